/**
 * Memory of the WebGPU device: storage buffers, checked against the limits before they are asked
 * for; small immutable buffers for symbolic sizes; staging buffers to read back. Knows no kernel.
 */
import { InternalError, UserError } from "../../../compiler/errors.ts";
import type { DeviceBuffer } from "../device.ts";

const BYTES = 4;
/** Sets of sizes kept; a program has one per batch size it was run with. */
const keptSizes = 64;

export class WebGpuBuffer implements DeviceBuffer {
  readonly length: number;
  readonly id: number;
  #memory: GPUBuffer | undefined;

  constructor(length: number, id: number, memory: GPUBuffer) {
    this.length = length;
    this.id = id;
    this.#memory = memory;
  }

  get memory(): GPUBuffer {
    if (!this.#memory) throw new InternalError("a WebGPU buffer is used after it was freed");
    return this.#memory;
  }

  release(): void {
    this.#memory?.destroy();
    this.#memory = undefined;
  }
}

export class WebGpuBuffers {
  readonly #device: GPUDevice;
  readonly #limit: number;
  readonly #all = new Set<WebGpuBuffer>();
  readonly #sizes = new Map<string, GPUBuffer>();
  #nextId = 0;

  /** @param limit bytes that one buffer may have */
  constructor(device: GPUDevice, limit: number) {
    this.#device = device;
    this.#limit = limit;
  }

  /** @throws UserError when a tensor of so many elements exceeds what the device can bind */
  allocate(length: number): WebGpuBuffer {
    const bytes = length * BYTES;
    if (bytes > this.#limit) {
      throw new UserError(
        `a tensor of ${length} elements needs ${megabytes(bytes)}, ` +
        `and the WebGPU device holds at most ${megabytes(this.#limit)} in one buffer`,
        { remedy: "Use a smaller batch, or the wasm device." });
    }
    // WebGPU binds no empty buffer; nothing ever reads what an empty tensor does not hold.
    const memory = this.#device.createBuffer({
      size: Math.max(bytes, BYTES),
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
    const buffer = new WebGpuBuffer(length, this.#nextId++, memory);
    this.#all.add(buffer);
    return buffer;
  }

  /** The buffer as one of this device. */
  own(buffer: DeviceBuffer): WebGpuBuffer {
    if (buffer instanceof WebGpuBuffer && this.#all.has(buffer)) return buffer;
    throw new InternalError("a buffer of another device, or a freed one, was given to WebGPU");
  }

  free(buffer: WebGpuBuffer): void {
    this.#all.delete(buffer);
    buffer.release();
  }

  /** A uniform buffer of i32 sizes; the same values give the same buffer. */
  sizes(values: readonly number[]): { readonly key: string; readonly buffer: GPUBuffer } {
    const key = values.join(",");
    const known = this.#sizes.get(key);
    if (known) return { key, buffer: known };
    const buffer = this.#device.createBuffer({
      label: "sizes", size: Math.ceil((values.length * BYTES) / 16) * 16,
      usage: GPUBufferUsage.UNIFORM, mappedAtCreation: true,
    });
    new Int32Array(buffer.getMappedRange()).set(values);
    buffer.unmap();
    this.#sizes.set(key, buffer);
    return { key, buffer };
  }

  /** True when so many sets of sizes are kept that they should be dropped with what uses them. */
  get hasManySizes(): boolean {
    return this.#sizes.size > keptSizes;
  }

  dropSizes(): void {
    for (const buffer of this.#sizes.values()) buffer.destroy();
    this.#sizes.clear();
  }

  /** A buffer to copy into and map. */
  staging(bytes: number): GPUBuffer {
    return this.#device.createBuffer({
      label: "read-back", size: bytes, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
  }

  releaseAll(): void {
    for (const buffer of this.#all) buffer.release();
    this.#all.clear();
    this.dropSizes();
  }
}

const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
