/**
 * What a device is: memory and kernels, nothing else. It knows no graph, no plan and no ONNX; the
 * executor (`runtime/execute`) decides what runs when. Three devices implement this: `wasm`,
 * `webgpu` and `interpreter`.
 */
import type { DeviceProfile } from "../../compiler/emit/wgsl/profile.ts";
import type { Kernel } from "../../compiler/kernels/kernel.ts";

export const deviceKinds = ["wasm", "webgpu", "interpreter"] as const;
export type DeviceKind = (typeof deviceKinds)[number];

/** What the device says of itself; results and reports repeat it, so nothing falls back unseen. */
export interface DeviceInfo {
  readonly kind: DeviceKind;
  /** For a person: "wasm (SIMD, 1 thread)", "webgpu (llvmpipe, software adapter)". */
  readonly description: string;
  /** True when a WebGPU adapter is emulated on the CPU. */
  readonly isSoftware: boolean;
}

/** Memory on a device. Elements are 4 bytes: f32, i32 or u32, in the host's byte order. */
export interface DeviceBuffer {
  /** Number of 4-byte elements. */
  readonly length: number;
}

/** A kernel with what its emitters made of it: an artifact carries the emitted code. */
export interface CompiledKernel {
  readonly kernel: Kernel;
  /** WGSL module; its entry point is the kernel's name. Emitted on demand when absent. */
  readonly wgsl?: string;
}

/** A kernel made ready on one device. */
export interface PreparedKernel {
  readonly kernel: Kernel;
}

export interface Command {
  readonly kernel: PreparedKernel;
  /** One per kernel argument, in order. */
  readonly buffers: readonly DeviceBuffer[];
  /** Values of `kernel.symbols`, in order. */
  readonly sizes: readonly number[];
}

export interface Device {
  readonly info: DeviceInfo;
  /** Limits that a program for this device should keep to; absent where there are none. */
  readonly profile?: DeviceProfile;
  /** @throws UserError when the device's memory or buffer limit does not allow it. */
  allocate(length: number): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  /** Copies 4-byte elements into the buffer, from element `offset`. */
  write(buffer: DeviceBuffer, data: Float32Array | Int32Array | Uint32Array, offset?: number): void;
  /** The first `length` elements as raw bytes, after all submitted commands have run. */
  read(buffer: DeviceBuffer, length: number): Promise<ArrayBuffer>;
  /**
   * Compiles kernels. `wasm` may carry the module an artifact holds for exactly these kernels, in
   * this order, with one export per kernel name.
   */
  prepare(kernels: readonly CompiledKernel[], wasm?: Uint8Array): Promise<PreparedKernel[]>;
  /** Runs commands in order; each sees the writes of those before it. */
  run(commands: readonly Command[]): Promise<void>;
  /** Frees everything. */
  destroy(): void;
}
