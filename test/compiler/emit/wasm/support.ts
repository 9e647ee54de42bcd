/**
 * What the tests of the WASM emitter share: running a module, and functions applied to arrays.
 * Not a device: memory is a plain array and everything is laid out by hand.
 */
import { interpretKernel } from "../../../../compiler/emit/interpret/interpret.ts";
import { ModuleWriter } from "../../../../compiler/emit/wasm/assembler.ts";
import { Code, type Value } from "../../../../compiler/emit/wasm/code.ts";
import { writeCode } from "../../../../compiler/emit/wasm/codeWriter.ts";
import { emitWasm, planName } from "../../../../compiler/emit/wasm/emit.ts";
import { BUFFER_BASE, END_SLACK } from "../../../../compiler/emit/wasm/scope.ts";
import { MathLibrary } from "../../../../compiler/emit/wasm/math.ts";
import type { WasmType } from "../../../../compiler/emit/wasm/opcodes.ts";

import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { printKernel } from "../../../../compiler/kernels/print.ts";

export const PAGE = 65536;
export type KernelArray = Float32Array | Int32Array | Uint32Array;

export function instantiate(module: Uint8Array, pages = 16): {
  memory: WebAssembly.Memory;
  exports: Record<string, (...args: number[]) => number>;
} {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: PAGE });
  const compiled = new WebAssembly.Module(module as Uint8Array<ArrayBuffer>);
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  return { memory, exports: exports as Record<string, (...args: number[]) => number> };
}

/** A module with one function that returns what `build` makes of its parameters. */
export function singleFunction(
  parameters: readonly WasmType[], results: readonly WasmType[],
  build: (c: Code, args: readonly Value[], library: MathLibrary) => Value | undefined,
): Uint8Array {
  const module = new ModuleWriter("test");
  const library = new MathLibrary(module);
  const ref = module.declare("test", { parameters, results }, { exported: "test" });
  const code = new Code(parameters);
  const result = build(code, code.parameters, library);
  if (result) code.return(result);
  module.define(ref, writeCode(code));
  return module.finish();
}

/** Applies a function of one f32 (4 at a time when `vector`) to an array whose length 4 divides. */
export function applyUnary(
  inputs: Float32Array, vector: boolean,
  build: (c: Code, x: Value, library: MathLibrary) => Value,
): Float32Array {
  const step = vector ? 4 : 1;
  const [load, store] = vector
    ? ["v128.load", "v128.store"] as const : ["f32.load", "f32.store"] as const;
  const module = singleFunction(["i32", "i32", "i32"], [], (c, [from, to, count], library) => {
    c.loop(c.i32(0), count as Value, step, (i) => {
      const x = c.load(load, c.element(from as Value, i));
      c.store(store, c.element(to as Value, i), build(c, x, library));
    });
    return undefined;
  });
  const bytes = inputs.byteLength;
  const { memory, exports } = instantiate(module, 2 + Math.ceil((2 * bytes) / PAGE));
  new Float32Array(memory.buffer, PAGE, inputs.length).set(inputs);
  (exports["test"] as (...args: number[]) => void)(PAGE, PAGE + bytes, inputs.length);
  return new Float32Array(memory.buffer, PAGE + bytes, inputs.length).slice();
}

/** Applies a function of two f32. */
export function applyBinary(
  a: Float32Array, b: Float32Array,
  build: (c: Code, x: Value, y: Value, library: MathLibrary) => Value,
): Float32Array {
  const module = singleFunction(["i32", "i32", "i32", "i32"], [], (c, [p, q, to, n], library) => {
    c.loop(c.i32(0), n as Value, 1, (i) => {
      const x = c.load("f32.load", c.element(p as Value, i));
      const y = c.load("f32.load", c.element(q as Value, i));
      c.store("f32.store", c.element(to as Value, i), build(c, x, y, library));
    });
    return undefined;
  });
  const bytes = a.byteLength;
  const { memory, exports } = instantiate(module, 2 + Math.ceil((3 * bytes) / PAGE));
  new Float32Array(memory.buffer, PAGE, a.length).set(a);
  new Float32Array(memory.buffer, PAGE + bytes, a.length).set(b);
  (exports["test"] as (...args: number[]) => void)(PAGE, PAGE + bytes, PAGE + 2 * bytes, a.length);
  return new Float32Array(memory.buffer, PAGE + 2 * bytes, a.length).slice();
}

/** Distance of `got` from the real number `exact` in units in the last place of f32 at `exact`. */
export function ulpError(got: number, exact: number): number {
  const rounded = Math.fround(exact);
  if (Object.is(got, rounded) || (Number.isNaN(got) && Number.isNaN(exact))) return 0;
  if (!Number.isFinite(got) || !Number.isFinite(rounded)) {
    // One step from the largest finite number to infinity is one unit.
    return Math.abs(Math.abs(exact) - 2 ** 128) < 2 ** 105 ? 1 : Infinity;
  }
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(exact))), -126);
  return Math.abs(got - exact) / 2 ** (exponent - 23);
}

/** Bits of a NaN that no kernel may let through from memory it was not given. */
const POISON = 0x7fdeadbe;

export interface WasmRun {
  readonly strategy: string;
  /** All buffers after the run, as they were given: same types, same lengths. */
  readonly buffers: readonly KernelArray[];
}

/**
 * Runs a kernel as WASM on copies of `buffers`, its work cut into `parts` ranges run back to back.
 * All other memory is poisoned before, and checked for stray writes around the buffers afterwards.
 */
export function runAsWasm(
  kernel: Kernel, buffers: readonly KernelArray[], sizes: readonly number[], parts = 1,
): WasmRun {
  const { bytes, strategies } = emitWasm([kernel]);
  const strategy = strategies[0] as string;
  let at = BUFFER_BASE;
  const places = buffers.map((data) => {
    const place = at;
    // One element of margin keeps neighbours apart and unaligned to 16 bytes.
    at += 4 * data.length + 4;
    return place;
  });
  const scratch = (at + 63) & -64;
  const module = new WebAssembly.Module(bytes as Uint8Array<ArrayBuffer>);
  const plan = (imports: WebAssembly.Memory): [number, number] => {
    const instance = new WebAssembly.Instance(module, { env: { memory: imports } });
    const ask = instance.exports[planName(kernel.name)] as (...s: number[]) => [number, number];
    return ask(...sizes);
  };
  const [work, scratchBytes] = plan(new WebAssembly.Memory({ initial: 4, maximum: PAGE }));
  const pages = Math.ceil((scratch + scratchBytes + END_SLACK) / PAGE) + 4;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: PAGE });
  const words = new Int32Array(memory.buffer);
  words.fill(POISON);
  buffers.forEach((data, i) => words.set(new Int32Array(data.buffer, data.byteOffset, data.length),
    (places[i] as number) / 4));
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const run = instance.exports[kernel.name] as (...args: number[]) => void;
  const cut = (part: number): number => Math.floor((work * part) / parts);
  for (let part = 0; part < parts; part++) {
    run(...places, ...sizes, scratch, cut(part), part === parts - 1 ? 0x7fffffff : cut(part + 1));
  }
  const isKept = (word: number): boolean => words[word] === POISON;
  for (let word = 0; word < BUFFER_BASE / 4; word++) {
    if (!isKept(word)) throw new Error(`${kernel.name} wrote at byte ${word * 4}`);
  }
  places.forEach((place, i) => {
    if (!isKept(place / 4 + (buffers[i] as KernelArray).length)) {
      throw new Error(`${kernel.name} wrote past the end of buffer ${i}`);
    }
  });
  for (let word = (scratch + scratchBytes) / 4; word < words.length; word++) {
    if (!isKept(word)) throw new Error(`${kernel.name} wrote past its scratch memory`);
  }
  return {
    strategy,
    buffers: buffers.map((data, i) => {
      const copy = data.slice() as KernelArray;
      const view = data.constructor as Float32ArrayConstructor;
      copy.set(new view(memory.buffer, places[i] as number, data.length));
      return copy;
    }),
  };
}

/** The same kernel run by the oracle, on copies. */
export function runByOracle(
  kernel: Kernel, buffers: readonly KernelArray[], sizes: readonly number[],
): readonly KernelArray[] {
  const copies = buffers.map((data) => data.slice() as KernelArray);
  interpretKernel(kernel)(copies, sizes);
  return copies;
}

/**
 * Checks a kernel against the oracle, bit by bit but for the payload of NaN and, if `zerosAlike`
 * (sums that start from +0 or from their first term), the sign of zero.
 * @returns how it was computed
 */
export function expectLikeOracle(
  kernel: Kernel, buffers: readonly KernelArray[], sizes: readonly number[],
  { parts = 1, zerosAlike = false } = {},
): string {
  const { strategy, buffers: got } = runAsWasm(kernel, buffers, sizes, parts);
  runByOracle(kernel, buffers, sizes).forEach((expected, i) => {
    const actual = got[i] as KernelArray;
    const at = expected.findIndex((e, j) => {
      const a = actual[j] as number;
      return !(Object.is(a, e) || (zerosAlike && a === e));
    });
    if (at < 0) return;
    throw new Error(`${printKernel(kernel)}\n${strategy}, sizes ${sizes.join()}: buffer ${i}` +
      ` at ${at} is ${actual[at]}, expected ${expected[at]}`);
  });
  return strategy;
}
