/** The WebGPU device as its interface promises it: memory, order, limits, reuse, and its errors. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { symbol } from "../../../../compiler/graph/dim.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { UserError } from "../../../../compiler/errors.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import type { DeviceBuffer, PreparedKernel } from "../../../../runtime/device/device.ts";
import { openWebGpu, type WebGpu } from "../../../../runtime/device/webgpu/adapter.ts";
import {
  openWebGpuDevice, WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { pool, relu, sortRows } from "../../../compiler/emit/wgsl/smallKernels.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";

/** y[i] = x[i] + step, over N elements. */
function adder(step: number): Kernel {
  const size = symbol("N");
  const index = pool.axis(0, size);
  const value = pool.binary("add", pool.load(0, index, "f32"), pool.const(step, "f32"));
  return {
    name: `add_${step}`, origin: [], symbols: ["N"],
    arguments: [
      { name: "x", storage: "f32", access: "read", size },
      { name: "y", storage: "f32", access: "write", size },
    ],
    body: { kind: "map", axes: [{ name: "i", extent: size }], store: { buffer: 1, index, value } },
  };
}

describe("without an adapter", () => {
  test("opening says why there is none and what brings one", async () => {
    const source = async () => ({ unavailable: "no driver", remedy: "Install one." });
    await expect(openWebGpuDevice({ source })).rejects.toThrow(UserError);
    await expect(openWebGpuDevice({ source })).rejects
      .toThrow("no WebGPU device: no driver. Install one.");
  });
});

describeWebGpu("the WebGPU device", (get) => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  const upload = (data: Float32Array): DeviceBuffer => {
    const buffer = device.allocate(data.length);
    device.write(buffer, data);
    return buffer;
  };
  const download = async (buffer: DeviceBuffer): Promise<number[]> =>
    [...new Float32Array(await device.read(buffer, buffer.length))];
  const prepare = async (kernel: Kernel): Promise<PreparedKernel> =>
    (await device.prepare([{ kernel }]))[0] as PreparedKernel;

  test("says what it is, and that an emulated adapter is one", () => {
    const { info } = get();
    expect(device.info.kind).toBe("webgpu");
    expect(device.info.isSoftware).toBe(info.isSoftware);
    expect(device.info.description).toContain(info.description);
    expect(device.info.description.includes("software adapter")).toBe(info.isSoftware);
    expect(device.profile.storageBuffers).toBeGreaterThanOrEqual(8);
  });

  test("memory holds what was written, at offsets, and empty tensors exist", async () => {
    const buffer = upload(Float32Array.of(1, 2, 3, 4));
    device.write(buffer, Float32Array.of(9, 8), 1);
    expect(await download(buffer)).toEqual([1, 9, 8, 4]);
    expect(new Float32Array(await device.read(buffer, 2))).toEqual(Float32Array.of(1, 9));
    const part = new Float32Array(8).fill(5).subarray(2, 4);
    device.write(buffer, part, 2);
    expect(await download(buffer)).toEqual([1, 9, 5, 5]);
    const empty = upload(new Float32Array(0));
    expect(await download(empty)).toEqual([]);
    expect(() => device.write(buffer, Float32Array.of(1), 4)).toThrow("do not fit");
    device.free(buffer);
    await expect(device.read(buffer, 1)).rejects.toThrow("freed");
  });

  test("commands of a run see the writes of those before them", async () => {
    const [one, ten] = [await prepare(adder(1)), await prepare(adder(10))];
    const [a, b] = [upload(Float32Array.of(1, 2, 3)), device.allocate(3)];
    const commands = Array.from({ length: 300 }, (_, i) => ({
      kernel: i % 3 === 0 ? ten : one, buffers: i % 2 === 0 ? [a, b] : [b, a], sizes: [3],
    }));
    await device.run(commands);
    expect(await download(a)).toEqual([1, 2, 3].map((x) => x + 100 * 10 + 200));
  });

  test("one pipeline serves every size, and the size 0 without a dispatch", async () => {
    const kernel = await prepare(adder(1));
    const [x, y] = [upload(Float32Array.of(1, 2, 3, 4)), upload(new Float32Array(4))];
    for (const size of [2, 4, 0]) await device.run([{ kernel, buffers: [x, y], sizes: [size] }]);
    await device.run([{ kernel, buffers: [x, y], sizes: [2] }]);
    expect(await download(y)).toEqual([2, 3, 4, 5]);
    const [none, nothing] = [device.allocate(0), device.allocate(0)];
    await device.run([{ kernel, buffers: [none, nothing], sizes: [0] }]);
    expect(await download(nothing)).toEqual([]);
  });

  test("more batch sizes than are remembered give right results", async () => {
    const kernel = await prepare(adder(1));
    const [x, y] = [upload(new Float32Array(100).fill(1)), upload(new Float32Array(100))];
    for (let size = 1; size <= 100; size++) {
      await device.run([{ kernel, buffers: [x, y], sizes: [size] }]);
    }
    expect(await download(y)).toEqual(Array(100).fill(2));
  });

  test("a shader is compiled once, whoever asks", async () => {
    const [first, second] = await device.prepare([{ kernel: relu(77) }, { kernel: relu(77) }]);
    const third = await prepare(relu(77));
    const pipelines = [first, second, third].map((p) => (p as { pipeline?: unknown }).pipeline);
    expect(pipelines[0]).toBeDefined();
    expect(new Set(pipelines).size).toBe(1);
  });

  test("freed memory is not mixed up with what comes after it", async () => {
    const kernel = await prepare(adder(1));
    for (let round = 0; round < 5; round++) {
      const [x, y] = [upload(Float32Array.of(round, round)), device.allocate(2)];
      await device.run([{ kernel, buffers: [x, y], sizes: [2] }]);
      expect(await download(y)).toEqual([round + 1, round + 1]);
      device.free(x);
      device.free(y);
    }
  });

  test("more workgroups than one dimension holds", async () => {
    const size = 65_535 * 64 + 1000;
    expect(emitWgsl(relu(size)).dispatch.dimensions).toBe(2);
    const data = Float32Array.from({ length: size }, (_, i) => (i % 7) - 3);
    const [x, y] = [upload(data), device.allocate(size)];
    await device.run([{ kernel: await prepare(relu(size)), buffers: [x, y], sizes: [] }]);
    const got = new Float32Array(await device.read(y, size));
    const wrong = data.findIndex((value, i) => got[i] !== Math.max(value, 0));
    expect(wrong).toBe(-1);
    device.free(x);
    device.free(y);
  });

  test("a row longer than a workgroup is sorted by one", async () => {
    const kernel = sortRows(1, 5000);
    const scores = Float32Array.from({ length: 5000 }, (_, i) => (i * 7919) % 1000);
    const [x, order] = [upload(scores), device.allocate(5000)];
    await device.run([{ kernel: await prepare(kernel), buffers: [x, order], sizes: [] }]);
    const got = new Int32Array(await device.read(order, 5000));
    const want = [...scores.keys()]
      .sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
    expect([...got]).toEqual(want);
  });

  test("a tensor beyond the limits is refused before anything is asked for", () => {
    const elements = Math.ceil(device.profile.bindingBytes / 4) + 1;
    expect(() => device.allocate(elements)).toThrow(UserError);
    expect(() => device.allocate(elements)).toThrow(/holds at most .* MiB in one buffer/);
  });

  test("a buffer that a kernel reads and writes is refused by name", async () => {
    const kernel = await prepare(adder(1));
    const x = upload(Float32Array.of(1));
    await expect(device.run([{ kernel, buffers: [x, x], sizes: [1] }])).rejects
      .toThrow("kernel add_1 writes y into a buffer that it reads");
    // The device is none the worse for it.
    expect(await download(x)).toEqual([1]);
  });

  test("a lost device says so, with a remedy", async () => {
    const own = await openWebGpu() as WebGpu;
    const lost = new WebGpuDevice(own);
    const buffer = lost.allocate(4);
    own.device.destroy();
    await own.device.lost;
    await expect(lost.read(buffer, 4)).rejects.toThrow(/the WebGPU device was lost .* wasm device/);
    expect(() => lost.allocate(1)).toThrow(UserError);
    lost.destroy();
  });

  test("after destroy, use is an internal error", async () => {
    const gone = await openWebGpuDevice();
    gone.destroy();
    gone.destroy();
    expect(() => gone.allocate(1)).toThrow("internal: the WebGPU device is used after destroy()");
  });
});
