import { describe, expect, test } from "vitest";
import { openWebGpu } from "../../../../runtime/device/webgpu/adapter.ts";

type Answer = Parameters<GPU["requestAdapter"]>[0];

/** A `GPU` of which only what `openWebGpu` touches exists. */
function gpuGiving(adapter: () => Promise<GPUAdapter | null>): GPU {
  const asked: Answer[] = [];
  const gpu = { requestAdapter: (options: Answer) => (asked.push(options), adapter()) };
  return gpu as unknown as GPU;
}

describe("openWebGpu without an adapter", () => {
  test("hands on why the source has none", async () => {
    const none = { unavailable: "no Vulkan driver is installed", remedy: "Install one." };
    expect(await openWebGpu(() => Promise.resolve(none))).toEqual(none);
  });

  test("says so when the adapter is null", async () => {
    const opened = await openWebGpu(() => Promise.resolve(gpuGiving(() => Promise.resolve(null))));
    expect(opened).toMatchObject({ unavailable: expect.stringMatching(/offers no adapter/) });
  });

  test("turns a refused device into a reason", async () => {
    const adapter = {
      features: new Set(),
      limits: {},
      requestDevice: () => Promise.reject(new Error("out of memory\nat native")),
    } as unknown as GPUAdapter;
    const gpu = gpuGiving(() => Promise.resolve(adapter));
    const opened = await openWebGpu(() => Promise.resolve(gpu));
    const unavailable = expect.stringMatching(/gave no device: out of memory$/) as string;
    expect(opened).toMatchObject({ unavailable });
  });
});

describe("what is said of the adapter", () => {
  const cases = [
    { description: "llvmpipe: Mesa 25.0.7", architecture: "software", isSoftware: true },
    { description: "SwiftShader driver", architecture: "swiftshader", isSoftware: true },
    { description: "NVIDIA H100", architecture: "hopper", isSoftware: false },
    { description: "", architecture: "gen-12lp", isSoftware: false },
  ];
  test.each(cases)("$architecture $description", async ({ isSoftware, ...names }) => {
    const device = {} as GPUDevice;
    const requested: GPUDeviceDescriptor[] = [];
    const adapter = {
      features: new Set(["shader-f16", "bgra8unorm-storage"]),
      limits: { maxBufferSize: 7 },
      info: { vendor: "maker", ...names, isFallbackAdapter: false },
      requestDevice: (wanted: GPUDeviceDescriptor) => {
        requested.push(wanted);
        return Promise.resolve(device);
      },
    } as unknown as GPUAdapter;
    const opened = await openWebGpu(() =>
      Promise.resolve(gpuGiving(() => Promise.resolve(adapter))),
    );
    const description = names.description || `maker ${names.architecture}`;
    expect(opened).toMatchObject({ device, info: { isSoftware, description } });
    expect(requested[0]?.requiredFeatures).toEqual(["shader-f16"]);
    expect(requested[0]?.requiredLimits).toMatchObject({ maxBufferSize: 7 });
  });
});
