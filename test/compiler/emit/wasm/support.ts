/**
 * What the tests of the WASM emitter share: running a module, and functions applied to arrays.
 * Not a device: memory is a plain array and everything is laid out by hand.
 */
import { ModuleWriter } from "../../../../compiler/emit/wasm/assembler.ts";
import { Code, type Value } from "../../../../compiler/emit/wasm/code.ts";
import { writeCode } from "../../../../compiler/emit/wasm/codeWriter.ts";
import { MathLibrary } from "../../../../compiler/emit/wasm/math.ts";
import type { WasmType } from "../../../../compiler/emit/wasm/opcodes.ts";

export const PAGE = 65536;

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
