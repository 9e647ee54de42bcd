/**
 * The `wasm` device: one growing memory, kernels emitted as WebAssembly SIMD (or taken from an
 * artifact), always available. Relaxed SIMD is used where the engine accepts it.
 */
import { shareMemory } from "../../../compiler/emit/wasm/assembler.ts";
import { emitWasmModule, planName } from "../../../compiler/emit/wasm/emit.ts";
import { BUFFER_BASE, END_SLACK } from "../../../compiler/emit/wasm/scope.ts";
import { relaxedSimdProbe } from "../../../compiler/emit/wasm/probe.ts";
import { InternalError, UserError } from "../../../compiler/errors.ts";
import type { Kernel } from "../../../compiler/kernels/kernel.ts";
import type {
  Command, CompiledKernel, Device, DeviceBuffer, DeviceInfo, PreparedKernel,
} from "../device.ts";
import { Arena } from "./arena.ts";
import { canShareMemory, Crew } from "./crew.ts";

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
type Plan = (...sizes: number[]) => [work: number, scratchBytes: number, operations: number];

interface Prepared extends PreparedKernel {
  /** What the crew knows it by. */
  readonly number: number;
  readonly run: Run;
  readonly plan: Plan;
}

/** Below about this many scalar operations, waking other threads takes longer than the work. */
const WORTH_SHARING = 500_000;

/** @throws UserError when threads are asked for where memory can not be shared */
export async function openWasmDevice({ threads = 1 }: WasmDeviceOptions = {}): Promise<Device> {
  if (!Number.isInteger(threads) || threads < 1) {
    throw new UserError(`${threads} is no number of threads`, {
      place: "threads", remedy: "Give a whole number from 1 on",
    });
  }
  if (threads > 1 && !canShareMemory()) {
    throw new UserError("threads can not share memory here", {
      place: "threads",
      remedy: "Use 1 thread, or serve the page with the headers Cross-Origin-Opener-Policy: " +
        "same-origin and Cross-Origin-Embedder-Policy: require-corp",
    });
  }
  const memory = new WebAssembly.Memory({
    initial: FIRST_PAGES, maximum: LARGEST_PAGES, shared: threads > 1,
  });
  return new WasmDevice(memory, threads > 1 ? await Crew.hire(threads, memory) : undefined);
}

class WasmDevice implements Device {
  readonly info: DeviceInfo;
  readonly #memory: WebAssembly.Memory;
  readonly #crew: Crew | undefined;
  readonly #arena = new Arena(BUFFER_BASE, (end) => this.#grow(end));
  readonly #relaxedSimd = WebAssembly.validate(asSource(relaxedSimdProbe()));
  #scratch = { address: 0, bytes: 0 };

  constructor(memory: WebAssembly.Memory, crew: Crew | undefined) {
    this.#memory = memory;
    this.#crew = crew;
    const fused = this.#relaxedSimd ? ", fused multiply-add" : "";
    const threads = crew ? `${crew.threads} threads` : "1 thread";
    this.info = {
      kind: "wasm", isSoftware: false, description: `wasm (SIMD${fused}, ${threads})`,
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
    const bytes = wasm ?? emitWasmModule(list, { relaxedSimd: this.#relaxedSimd });
    const module = await compileFor(list, bytes, wasm !== undefined, this.#crew !== undefined);
    const { exports } = await WebAssembly.instantiate(module, { env: { memory: this.#memory } });
    const first = await this.#crew?.learn(module, list.map(({ name }) => name)) ?? 0;
    return list.map((kernel, i): Prepared => ({
      kernel, number: first + i, run: exports[kernel.name] as Run,
      plan: exports[planName(kernel.name)] as Plan,
    }));
  }

  run(commands: readonly Command[]): Promise<void> {
    for (const { kernel, buffers, sizes } of commands) {
      const prepared = kernel as Prepared;
      const [work, scratchBytes, operations] = prepared.plan(...sizes);
      const args = [...buffers.map(addressOf), ...sizes];
      const crew = operations >= WORTH_SHARING && work > 1 ? this.#crew : undefined;
      const pitch = Math.ceil(scratchBytes / 64) * 64;
      this.#reserveScratch(pitch * (crew?.threads ?? 1));
      const scratch = this.#scratch.address;
      if (crew) crew.run(prepared, args, scratch, pitch, work);
      else prepared.run(...args, scratch, 0, work);
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
    this.#crew?.dismiss();
  }
}

function addressOf(buffer: DeviceBuffer): number {
  if (buffer instanceof WasmBuffer && buffer.address !== undefined) return buffer.address;
  throw new InternalError("a buffer that was freed or belongs to another device");
}

/** @throws UserError when an artifact's bytes are no module for these kernels */
async function compileFor(
  kernels: readonly Kernel[], bytes: Uint8Array, isFromArtifact: boolean, isShared: boolean,
): Promise<WebAssembly.Module> {
  if (!isFromArtifact) return WebAssembly.compile(asSource(isShared ? shareMemory(bytes) : bytes));
  const place = "kernels.wasm";
  const remedy = "Compile the model again; the file was changed or cut off";
  let module: WebAssembly.Module;
  try {
    // Compiled as it is first, so that whatever is wrong is said of the file itself.
    module = await WebAssembly.compile(asSource(bytes));
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
  return isShared ? WebAssembly.compile(asSource(shareMemory(bytes))) : module;
}
