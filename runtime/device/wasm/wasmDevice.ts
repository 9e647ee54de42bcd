/**
 * The `wasm` device: one growing memory, kernels emitted as WebAssembly SIMD (or taken from an
 * artifact), always available. Relaxed SIMD is used where the engine accepts it.
 */
import { emitWasmModule, planName } from "../../../compiler/emit/wasm/emit.ts";
import { BUFFER_BASE, END_SLACK } from "../../../compiler/emit/wasm/lower.ts";
import { relaxedSimdProbe } from "../../../compiler/emit/wasm/probe.ts";
import { InternalError, UserError } from "../../../compiler/errors.ts";
import type { Kernel } from "../../../compiler/kernels/kernel.ts";
import type {
  Command, CompiledKernel, Device, DeviceBuffer, DeviceInfo, PreparedKernel,
} from "../device.ts";
import { Arena } from "./arena.ts";

export interface WasmDeviceOptions {
  /** Number of threads that share out a kernel's work; 1 when absent. */
  readonly threads?: number;
}

const PAGE = 65536;
const LARGEST_PAGES = 65536;
const FIRST_PAGES = 64;

/** Compiled code is plain bytes to the engine, whatever kind of buffer holds them. */
const asSource = (bytes: Uint8Array): Uint8Array<ArrayBuffer> =>
  bytes as Uint8Array<ArrayBuffer>;

class WasmBuffer implements DeviceBuffer {
  readonly length: number;
  /** Byte address; undefined once freed. */
  address: number | undefined;
  constructor(length: number, address: number) {
    this.length = length;
    this.address = address;
  }
}

type Run = (...args: number[]) => void;
type Plan = (...sizes: number[]) => [work: number, scratchBytes: number];

interface Prepared extends PreparedKernel {
  readonly run: Run;
  readonly plan: Plan;
}

/** @throws UserError where the engine has no WebAssembly SIMD */
export async function openWasmDevice(_options: WasmDeviceOptions = {}): Promise<Device> {
  return new WasmDevice();
}

class WasmDevice implements Device {
  readonly info: DeviceInfo;
  readonly #memory = new WebAssembly.Memory({ initial: FIRST_PAGES, maximum: LARGEST_PAGES });
  readonly #arena = new Arena(BUFFER_BASE, (end) => this.#grow(end));
  readonly #relaxedSimd = WebAssembly.validate(asSource(relaxedSimdProbe()));
  #scratch = { address: 0, bytes: 0 };

  constructor() {
    const fused = this.#relaxedSimd ? ", fused multiply-add" : "";
    this.info = {
      kind: "wasm", isSoftware: false, description: `wasm (SIMD${fused}, 1 thread)`,
    };
  }

  // ---- memory --------------------------------------------------------------------------------

  #grow(end: number): void {
    const missing = Math.ceil((end + END_SLACK) / PAGE) - this.#memory.buffer.byteLength / PAGE;
    if (missing <= 0) return;
    // Growing by half as much again keeps the number of growths small.
    const current = this.#memory.buffer.byteLength / PAGE;
    const generous = Math.min(Math.max(missing, current >> 1), LARGEST_PAGES - current);
    for (const pages of [generous, missing]) {
      try {
        if (pages >= missing) {
          this.#memory.grow(pages);
          return;
        }
      } catch {
        // The engine refused; ask for less, or give up below.
      }
    }
    const megabytes = Math.ceil(end / 2 ** 20);
    throw new UserError(`the wasm device can not hold ${megabytes} MiB`, {
      place: "memory",
      remedy: "Use a smaller batch, or --device webgpu; WebAssembly memory ends at 4096 MiB",
    });
  }

  allocate(length: number): DeviceBuffer {
    return new WasmBuffer(length, this.#arena.allocate(4 * length));
  }
  free(buffer: DeviceBuffer): void {
    this.#arena.free(addressOf(buffer));
    (buffer as WasmBuffer).address = undefined;
  }

  write(buffer: DeviceBuffer, data: Float32Array | Int32Array | Uint32Array, offset = 0): void {
    if (offset + data.length > buffer.length) {
      throw new InternalError(`${data.length} elements at ${offset} of ${buffer.length}`);
    }
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    new Uint8Array(this.#memory.buffer).set(bytes, addressOf(buffer) + 4 * offset);
  }

  read(buffer: DeviceBuffer, length: number): Promise<ArrayBuffer> {
    if (length > buffer.length) throw new InternalError(`${length} elements of ${buffer.length}`);
    const copy = new Uint8Array(4 * length);
    copy.set(new Uint8Array(this.#memory.buffer, addressOf(buffer), copy.length));
    return Promise.resolve(copy.buffer);
  }

  // ---- kernels -------------------------------------------------------------------------------

  async prepare(
    kernels: readonly CompiledKernel[], wasm?: Uint8Array,
  ): Promise<PreparedKernel[]> {
    const list = kernels.map(({ kernel }) => kernel);
    const exports = wasm ? await this.#instantiate(await compileArtifact(wasm, list))
      : await this.#instantiate(await WebAssembly.compile(
        asSource(emitWasmModule(list, { relaxedSimd: this.#relaxedSimd }))));
    return list.map((kernel): Prepared => ({
      kernel, run: exports[kernel.name] as Run, plan: exports[planName(kernel.name)] as Plan,
    }));
  }

  async #instantiate(module: WebAssembly.Module): Promise<WebAssembly.Exports> {
    const { exports } = await WebAssembly.instantiate(module, { env: { memory: this.#memory } });
    return exports;
  }

  run(commands: readonly Command[]): Promise<void> {
    for (const { kernel, buffers, sizes } of commands) {
      const { run, plan } = kernel as Prepared;
      const [work, scratchBytes] = plan(...sizes);
      this.#reserveScratch(scratchBytes);
      run(...buffers.map(addressOf), ...sizes, this.#scratch.address, 0, work);
    }
    return Promise.resolve();
  }

  #reserveScratch(bytes: number): void {
    if (bytes <= this.#scratch.bytes) return;
    if (this.#scratch.bytes > 0) this.#arena.free(this.#scratch.address);
    this.#scratch = { address: this.#arena.allocate(bytes), bytes };
  }

  destroy(): void {
    // Memory goes with the last reference to the device.
  }
}

function addressOf(buffer: DeviceBuffer): number {
  if (buffer instanceof WasmBuffer && buffer.address !== undefined) return buffer.address;
  throw new InternalError("a buffer that was freed or belongs to another device");
}

/** @throws UserError when the bytes are no module for these kernels */
async function compileArtifact(
  wasm: Uint8Array, kernels: readonly Kernel[],
): Promise<WebAssembly.Module> {
  const place = "kernels.wasm";
  const remedy = "Compile the model again; the file was changed or cut off";
  let module: WebAssembly.Module;
  try {
    module = await WebAssembly.compile(asSource(wasm));
  } catch (error) {
    throw new UserError(`no valid WebAssembly module: ${String(error)}`, { place, remedy });
  }
  const found = new Set(WebAssembly.Module.exports(module).map(({ name }) => name));
  const missing = kernels.flatMap(({ name }) => [name, planName(name)])
    .filter((name) => !found.has(name));
  if (missing.length > 0) {
    throw new UserError(`the module lacks ${missing.slice(0, 3).join(", ")}`, { place, remedy });
  }
  const foreign = WebAssembly.Module.imports(module).filter(({ module: from, name }) =>
    from !== "env" || name !== "memory");
  if (foreign.length > 0) {
    const names = foreign.map(({ module: from, name }) => `${from}.${name}`).join(", ");
    throw new UserError(`the module asks for ${names}`, { place, remedy });
  }
  return module;
}
