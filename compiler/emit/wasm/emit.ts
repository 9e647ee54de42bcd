/**
 * WASM modules from kernels: the public face of this folder.
 *
 * For a kernel `k` the module exports two functions:
 * - `k(buffer..., symbol..., scratch, begin, end)`: byte addresses of the arguments, the values of
 *   `kernel.symbols`, the address of scratch memory, and the range of work items to compute, which
 *   is cut to what exists. Calls with disjoint ranges and scratch may run at the same time.
 * - `k.plan(symbol...)`: the number of work items, the bytes of scratch memory one call needs, and
 *   roughly how many scalar operations all items take (an f64), to judge what threads are worth.
 *
 * The memory contract (where buffers may lie) is stated in `scope.ts`. Modules import private
 * memory; `shareMemory` of `assembler.ts` makes the variant for threads.
 */
import type { Dim } from "../../graph/dim.ts";
import { collect } from "../../kernels/expr.ts";
import { axesOf, rootsOf, type Kernel, type KernelBody } from "../../kernels/kernel.ts";
import { ModuleWriter } from "./assembler.ts";
import type { EmitOptions, Emission } from "./body.ts";
import { Code, type Value } from "./code.ts";
import { writeCode } from "./codeWriter.ts";
import { emitContract } from "./contract.ts";
import { emitCumulate } from "./cumulate.ts";
import { emitMap } from "./map.ts";
import { MathLibrary } from "./math.ts";
import { Microkernels } from "./microkernel.ts";
import type { WasmType } from "./opcodes.ts";
import { emitReduce } from "./reduce.ts";
import { emitScatter } from "./scatter.ts";
import type { Scope } from "./scope.ts";
import { emitSort } from "./sort.ts";

export interface WasmModule {
  readonly bytes: Uint8Array;
  /** How each kernel is computed, in the order given. */
  readonly strategies: readonly string[];
}

/** Name of the export that tells a kernel's work and scratch memory. */
export const planName = (kernel: string): string => `${kernel}.plan`;

type Emitters = {
  [K in KernelBody["kind"]]: (
    body: Extract<KernelBody, { kind: K }>, options: EmitOptions, micro: Microkernels,
    buffers: Kernel["arguments"],
  ) => Emission;
};

const emitters: Emitters = {
  map: emitMap, reduce: emitReduce, contract: emitContract, cumulate: emitCumulate,
  scatter: emitScatter, sort: emitSort,
};

/** One module for a list of kernels with distinct names. */
export function emitWasm(
  kernels: readonly Kernel[], options: Partial<EmitOptions> = {},
): WasmModule {
  const module = new ModuleWriter("crosstie");
  const library = new MathLibrary(module);
  const settings = { relaxedSimd: false, ...options };
  const micro = new Microkernels(module, settings);
  const strategies = kernels.map((kernel) => {
    const emit = emitters[kernel.body.kind] as
      (body: KernelBody, options: EmitOptions, micro: Microkernels,
        buffers: Kernel["arguments"]) => Emission;
    const emission = emit(kernel.body, settings, micro, kernel.arguments);
    writePlan(module, library, kernel, emission);
    writeKernel(module, library, kernel, emission);
    return emission.strategy;
  });
  return { bytes: module.finish(), strategies };
}

/** The module alone. */
export const emitWasmModule = (
  kernels: readonly Kernel[], options: Partial<EmitOptions> = {},
): Uint8Array => emitWasm(kernels, options).bytes;

const integers = (count: number): WasmType[] => Array.from({ length: count }, () => "i32");

function writePlan(
  module: ModuleWriter, library: MathLibrary, kernel: Kernel, emission: Emission,
): void {
  const name = planName(kernel.name);
  const parameters = integers(kernel.symbols.length);
  const ref = module.declare(name, { parameters, results: ["i32", "i32", "f64"] },
    { exported: name, parameterNames: kernel.symbols });
  const code = new Code(parameters);
  const scope = scopeOf(code, library, kernel, [], code.parameters);
  code.return(emission.work(scope), emission.scratch(scope), operations(code, kernel));
  module.define(ref, writeCode(code));
}

function writeKernel(
  module: ModuleWriter, library: MathLibrary, kernel: Kernel, emission: Emission,
): void {
  const [buffers, symbols] = [kernel.arguments.length, kernel.symbols.length];
  const parameters = integers(buffers + symbols + 3);
  const parameterNames = [
    ...kernel.arguments.map((a) => a.name), ...kernel.symbols, "scratch", "begin", "end",
  ];
  const ref = module.declare(kernel.name, { parameters, results: [] },
    { exported: kernel.name, parameterNames });
  const code = new Code(parameters);
  const given = code.parameters;
  const scope = scopeOf(code, library, kernel, given.slice(0, buffers),
    given.slice(buffers, buffers + symbols));
  const [scratch, begin, end] = given.slice(buffers + symbols) as [Value, Value, Value];
  const work = emission.work(scope);
  emission.run(scope, code.max(begin, code.i32(0)), code.min(end, work), scratch);
  module.define(ref, writeCode(code));
}

function scopeOf(
  code: Code, library: MathLibrary, kernel: Kernel, pointers: readonly Value[],
  symbols: readonly Value[],
): Scope {
  const values = new Map(kernel.symbols.map((name, i) => [name, symbols[i] as Value]));
  return {
    code, library, pointers, buffers: kernel.arguments,
    size: (dim) => polynomial(dim, {
      constant: (value) => code.i32(value),
      symbol: (name) => values.get(name) as Value,
      mul: (a, b) => code.mul(a, b),
      add: (a, b) => code.add(a, b),
    }),
  };
}

/** How a size is computed: constants, and products and sums of what symbols stand for. */
interface Arithmetic {
  constant(value: number): Value;
  symbol(name: string): Value;
  mul(a: Value, b: Value): Value;
  add(a: Value, b: Value): Value;
}

function polynomial(dim: Dim, { constant, symbol, mul, add }: Arithmetic): Value {
  if (typeof dim === "number") return constant(dim);
  return [...dim.terms].map(([key, coefficient]) => (key === "" ? [] : key.split("*"))
    .reduce((term, name) => mul(term, symbol(name)), constant(coefficient))).reduce(add);
}

/** Points of the innermost loop times nodes computed there; in f64, as it may exceed 2^32. */
function operations(c: Code, { body, symbols }: Kernel): Value {
  const points = axesOf(body).map(({ extent }) => polynomial(extent, {
    constant: (value) => c.f64(value),
    symbol: (name) => c.op("f64.convert_i32_s", c.parameters[symbols.indexOf(name)] as Value),
    mul: (a, b) => c.op("f64.mul", a, b),
    add: (a, b) => c.op("f64.add", a, b),
  }));
  return points.reduce((a, b) => c.op("f64.mul", a, b), c.f64(collect(rootsOf(body)).length));
}
