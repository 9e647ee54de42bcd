/**
 * The `webgpu` device: kernels as WGSL on Dawn (Node) or `navigator.gpu` (browsers). All commands
 * of a run go into one pass and one submission; pipelines, bind groups and size buffers are kept;
 * the only wait is in `read`, which also reports what went wrong since the last one. It runs what
 * it is given and knows no graph; an adapter emulated on the CPU says so.
 */
import {
  dispatchOf, workgroupCounts, type Dispatch,
} from "../../../compiler/emit/wgsl/dispatch.ts";
import { emitWgsl } from "../../../compiler/emit/wgsl/emit.ts";
import { maxBytes, type DeviceProfile } from "../../../compiler/emit/wgsl/profile.ts";
import { InternalError, UserError } from "../../../compiler/errors.ts";
import type { Kernel } from "../../../compiler/kernels/kernel.ts";
import type {
  Command, CompiledKernel, Device, DeviceBuffer, DeviceInfo, PreparedKernel,
} from "../device.ts";
import { openWebGpu, type GpuSource, type WebGpu } from "./adapter.ts";
import { ShaderCache, type CompiledShader, type Shader } from "./shaders.ts";
import { WebGpuBuffers, type WebGpuBuffer } from "./webGpuBuffers.ts";

export interface WebGpuOptions {
  /** Where the adapter comes from; the host's by default. */
  readonly source?: GpuSource;
  /** Lower limits, and features left alone, than the adapter's: another device's, say. */
  readonly limits?: Partial<DeviceProfile>;
}

/** @throws UserError when there is no adapter, with the reason and what brings one */
export async function openWebGpuDevice(
  { source, limits }: WebGpuOptions = {},
): Promise<WebGpuDevice> {
  const opened = await openWebGpu(source);
  if ("unavailable" in opened) {
    throw new UserError(`no WebGPU device: ${opened.unavailable}`, { remedy: opened.remedy });
  }
  return new WebGpuDevice(opened, limits);
}

/** The limits of an open device as an emitter wants them. */
export function profileOf({ limits, features }: GPUDevice): DeviceProfile {
  return {
    storageBuffers: limits.maxStorageBuffersPerShaderStage,
    bindingBytes: limits.maxStorageBufferBindingSize,
    bufferBytes: limits.maxBufferSize,
    workgroupBytes: limits.maxComputeWorkgroupStorageSize,
    workgroupInvocations:
      Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX),
    workgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    features: { f16: features.has("shader-f16"), subgroups: features.has("subgroups") },
  };
}

interface Prepared extends PreparedKernel, CompiledShader {
  readonly id: number;
  readonly dispatch: Dispatch;
}

export class WebGpuDevice implements Device {
  readonly info: DeviceInfo;
  readonly profile: DeviceProfile;
  readonly #gpu: GPUDevice;
  readonly #buffers: WebGpuBuffers;
  readonly #shaders: ShaderCache;
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #groupsOf = new Map<number, Set<string>>();
  /** The first fault since the last `read`, which reports it. */
  #fault: Promise<GPUError | null> = Promise.resolve(null);
  #lost: string | undefined;
  #isDestroyed = false;
  #nextId = 0;

  /** Takes over the device: `destroy` destroys it. */
  constructor({ device, info }: WebGpu, limits: Partial<DeviceProfile> = {}) {
    this.#gpu = device;
    this.profile = { ...profileOf(device), ...limits };
    this.#buffers = new WebGpuBuffers(device, maxBytes(this.profile));
    this.#shaders = new ShaderCache(device);
    this.info = {
      kind: "webgpu",
      description: `webgpu (${info.description}${info.isSoftware ? ", software adapter" : ""})`,
      isSoftware: info.isSoftware,
    };
    void device.lost.then(({ message }) => {
      this.#lost = message || "no reason given";
    });
  }

  allocate(length: number): DeviceBuffer {
    this.#check();
    return this.#watch(() => this.#buffers.allocate(length));
  }

  free(buffer: DeviceBuffer): void {
    const own = this.#buffers.own(buffer);
    for (const key of this.#groupsOf.get(own.id) ?? []) this.#groups.delete(key);
    this.#groupsOf.delete(own.id);
    this.#buffers.free(own);
  }

  write(
    buffer: DeviceBuffer, data: Float32Array | Int32Array | Uint32Array, offset = 0,
  ): void {
    this.#check();
    const own = this.#buffers.own(buffer);
    if (offset < 0 || offset + data.length > own.length) {
      throw new InternalError(
        `${data.length} elements at ${offset} do not fit a buffer of ${own.length}`);
    }
    if (data.length === 0) return;
    const bytes = data.buffer as ArrayBuffer;
    this.#watch(() => this.#gpu.queue.writeBuffer(
      own.memory, offset * 4, bytes, data.byteOffset, data.byteLength));
  }

  async read(buffer: DeviceBuffer, length: number): Promise<ArrayBuffer> {
    this.#check();
    const own = this.#buffers.own(buffer);
    if (length > own.length) {
      throw new InternalError(`${length} elements read from a buffer of ${own.length}`);
    }
    const bytes = length * 4;
    const staging = bytes === 0 ? undefined : this.#buffers.staging(bytes);
    try {
      if (staging) {
        this.#watch(() => {
          const encoder = this.#gpu.createCommandEncoder({ label: "read-back" });
          encoder.copyBufferToBuffer(own.memory, 0, staging, 0, bytes);
          this.#gpu.queue.submit([encoder.finish()]);
        });
        await staging.mapAsync(GPUMapMode.READ);
      }
      await this.#settle();
      return staging ? staging.getMappedRange().slice(0) : new ArrayBuffer(0);
    } catch (error) {
      // A lost device rejects the mapping with an error that does not say so.
      await this.#settle();
      throw error;
    } finally {
      staging?.destroy();
    }
  }

  async prepare(kernels: readonly CompiledKernel[]): Promise<PreparedKernel[]> {
    this.#check();
    const shaders = kernels.map(({ kernel, wgsl }) => {
      const emitted = wgsl === undefined ? emitWgsl(kernel, this.profile).source : wgsl;
      return shaderOf(kernel, emitted, wgsl !== undefined, this.profile);
    });
    const compiled = await this.#shaders.compile(shaders);
    this.#check();
    return kernels.map(({ kernel }, i): Prepared => {
      const { source, name } = shaders[i] as Shader;
      const dispatch = dispatchOf(source);
      if (!dispatch) {
        throw new UserError(`the shader of kernel ${name} does not say its workgroups`,
          { remedy: "Compile the artifact again." });
      }
      return { kernel, dispatch, id: this.#nextId++, ...(compiled[i] as CompiledShader) };
    });
  }

  async run(commands: readonly Command[]): Promise<void> {
    this.#check();
    const first = commands[0]?.kernel.kernel.name ?? "nothing";
    this.#watch(() => {
      const encoder = this.#gpu.createCommandEncoder(
        { label: `${commands.length} kernels from ${first} on` });
      const pass = encoder.beginComputePass();
      for (const command of commands) this.#encode(pass, command);
      pass.end();
      this.#gpu.queue.submit([encoder.finish()]);
    });
    if (this.#buffers.hasManySizes) {
      this.#groups.clear();
      this.#groupsOf.clear();
      this.#buffers.dropSizes();
    }
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#groups.clear();
    this.#buffers.releaseAll();
    this.#gpu.destroy();
  }

  #encode(pass: GPUComputePassEncoder, { kernel, buffers, sizes }: Command): void {
    const prepared = kernel as Prepared;
    const bindings = Object.fromEntries(
      prepared.kernel.symbols.map((symbol, i) => [symbol, sizes[i] as number]));
    const counts = workgroupCounts(
      prepared.dispatch, bindings, this.profile.workgroupsPerDimension);
    if (counts[0] === 0) return;
    pass.setPipeline(prepared.pipeline);
    pass.setBindGroup(0, this.#group(prepared, buffers, sizes));
    pass.dispatchWorkgroups(...counts);
  }

  /** The bind group of a kernel with these buffers and sizes, made once. */
  #group(
    { id, kernel, layout }: Prepared, buffers: readonly DeviceBuffer[], sizes: readonly number[],
  ): GPUBindGroup {
    const own = buffers.map((buffer) => this.#buffers.own(buffer));
    const uniform = kernel.symbols.length > 0 ? this.#buffers.sizes(sizes) : undefined;
    const key = `${id}:${own.map((b) => b.id).join(",")}:${uniform?.key ?? ""}`;
    const known = this.#groups.get(key);
    if (known) return known;
    checkArguments(kernel, own);
    const resources = [...own.map((b) => b.memory), ...(uniform ? [uniform.buffer] : [])];
    const group = this.#gpu.createBindGroup({
      label: kernel.name, layout,
      entries: resources.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    this.#groups.set(key, group);
    for (const { id: buffer } of own) {
      const keys = this.#groupsOf.get(buffer) ?? new Set<string>();
      this.#groupsOf.set(buffer, keys.add(key));
    }
    return group;
  }

  /** Does something, and keeps what the device says to it for the next `read`. */
  #watch<T>(action: () => T): T {
    const scopes = ["out-of-memory", "internal", "validation"] as const;
    for (const scope of scopes) this.#gpu.pushErrorScope(scope);
    try {
      return action();
    } finally {
      // A lost device rejects; that is noticed by itself.
      const said = scopes.map(() => this.#gpu.popErrorScope().catch(() => null));
      this.#fault = Promise.all([this.#fault, ...said])
        .then((faults) => faults.find((fault) => fault !== null) ?? null);
    }
  }

  /** Waits for all submissions; throws the first fault. */
  async #settle(): Promise<void> {
    const found = await this.#fault;
    this.#fault = Promise.resolve(null);
    this.#check();
    if (!found) return;
    if (found instanceof GPUOutOfMemoryError) {
      throw new UserError(`the WebGPU device is out of memory: ${found.message}`,
        { remedy: "Use a smaller batch, or the wasm device." });
    }
    throw new InternalError(`WebGPU: ${found.message}`);
  }

  #check(): void {
    if (this.#isDestroyed) throw new InternalError("the WebGPU device is used after destroy()");
    if (this.#lost === undefined) return;
    throw new UserError(`the WebGPU device was lost (${this.#lost})`,
      { remedy: "Run again; if it happens again, use the wasm device." });
  }
}

function shaderOf(
  kernel: Kernel, source: string, isGiven: boolean, profile: DeviceProfile,
): Shader {
  const { name, symbols } = kernel;
  if (kernel.arguments.length > profile.storageBuffers) {
    throw new UserError(
      `kernel ${name} touches ${kernel.arguments.length} tensors, ` +
      `this device allows ${profile.storageBuffers}`, { remedy: "Compile for this device." });
  }
  const entryPoint = /@compute[^{]*?\bfn\s+(\w+)/.exec(source)?.[1];
  if (entryPoint === undefined) {
    throw new UserError(`the shader of kernel ${name} has no entry point`,
      { remedy: "Compile the artifact again." });
  }
  const bindings: GPUBufferBindingType[] = kernel.arguments.map(({ access }) =>
    (access === "read" ? "read-only-storage" : "storage"));
  if (symbols.length > 0) bindings.push("uniform");
  return { name, source, entryPoint, bindings, isGiven };
}

/** WebGPU forbids one buffer to be read and written in a dispatch: the memory plan must not. */
function checkArguments(kernel: Kernel, buffers: readonly WebGpuBuffer[]): void {
  if (buffers.length !== kernel.arguments.length) {
    throw new InternalError(
      `kernel ${kernel.name} takes ${kernel.arguments.length} buffers, not ${buffers.length}`);
  }
  kernel.arguments.forEach(({ access, name }, i) => {
    if (access === "read") return;
    if (buffers.some((other, j) => j !== i && other === buffers[i])) {
      throw new InternalError(`kernel ${kernel.name} writes ${name} into a buffer that it reads`);
    }
  });
}
