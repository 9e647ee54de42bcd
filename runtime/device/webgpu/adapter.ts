/**
 * Opens a WebGPU adapter and a device on it, the same way in a browser (`navigator.gpu`) and in
 * Node (Dawn, from the optional package `webgpu`). It says which adapter it got and whether that is
 * emulated on the CPU; where there is none it says why and what to do. It runs no kernel, and it
 * never chooses another kind of device: that is its caller's decision.
 */

export interface WebGpuInfo {
  readonly vendor: string;
  readonly architecture: string;
  /** For a person; never empty. */
  readonly description: string;
  /** True when the adapter is emulated on the CPU: right answers, at the speed of a CPU. */
  readonly isSoftware: boolean;
  /** Smallest and largest subgroup size, where the device has the feature `subgroups`. */
  readonly subgroupSizes: { readonly min: number; readonly max: number } | undefined;
}

export interface WebGpu {
  readonly adapter: GPUAdapter;
  /** Has every feature of `wantedFeatures` that the adapter has. Its owner calls `destroy()`. */
  readonly device: GPUDevice;
  readonly info: WebGpuInfo;
}

export interface NoWebGpu {
  /** One clause: why there is no adapter. */
  readonly unavailable: string;
  /** One sentence: what brings one. */
  readonly remedy: string;
}

/** Where the `GPU` object comes from; tests put their own here. */
export type GpuSource = () => Promise<GPU | NoWebGpu>;

/** Features that some kernel can use; each one is asked for only where the adapter has it. */
const wantedFeatures = ["shader-f16", "subgroups", "timestamp-query"] as const;

/** Limits that big layers need; a device has only the default (128 MiB, ...) unless asked. */
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
] as const;

const softwareNames = /swiftshader|llvmpipe|lavapipe|software|basic render|\bwarp\b/i;

/**
 * @param source defaults to the browser's `navigator.gpu`, else Dawn in Node
 * @returns the adapter with a new device on it, or why there is none; it throws nothing for that
 */
export async function openWebGpu(source: GpuSource = hostGpu): Promise<WebGpu | NoWebGpu> {
  const gpu = await source();
  if ("unavailable" in gpu) return gpu;
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (adapter === null) {
      return {
        unavailable: "WebGPU is here but offers no adapter",
        remedy: "Enable hardware acceleration, or install a GPU driver.",
      };
    }
    const device = await adapter.requestDevice({
      requiredFeatures: wantedFeatures.filter((feature) => adapter.features.has(feature)),
      requiredLimits: Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]])),
    });
    return { adapter, device, info: describe(adapter) };
  } catch (error) {
    return {
      unavailable: `the WebGPU adapter gave no device: ${messageOf(error)}`,
      remedy: "Update the GPU driver.",
    };
  }
}

function describe({ info, features }: GPUAdapter): WebGpuInfo {
  const { vendor, architecture, subgroupMinSize: min, subgroupMaxSize: max } = info;
  const description = info.description || [vendor, architecture].join(" ").trim() || "unnamed";
  return {
    vendor,
    architecture,
    description,
    isSoftware: info.isFallbackAdapter || softwareNames.test(`${architecture} ${description}`),
    subgroupSizes: features.has("subgroups") ? { min, max } : undefined,
  };
}

async function hostGpu(): Promise<GPU | NoWebGpu> {
  if (typeof navigator !== "undefined" && navigator.gpu !== undefined) return navigator.gpu;
  if (typeof process === "undefined" || process.versions?.node === undefined) {
    return {
      unavailable: "this browser has no WebGPU (navigator.gpu is missing)",
      remedy: "Use a current browser, over https or on localhost.",
    };
  }
  const { dawnGpu } = await import("./dawn.ts");
  return dawnGpu();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
}
