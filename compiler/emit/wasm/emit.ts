/**
 * WASM modules from kernels: the public face of this folder.
 *
 * For a kernel `k` the module exports two functions:
 * - `k(buffer..., symbol..., scratch, begin, end)`: byte addresses of the arguments, the values of
 *   `kernel.symbols`, the address of scratch memory, and the range of work items to compute, which
 *   is cut to what exists. Calls with disjoint ranges and scratch may run at the same time.
 * - `k.plan(symbol...)`: the number of work items, and the bytes of scratch memory one call needs.
 *
 * The memory contract (where buffers may lie) is stated in `lower.ts`. Modules import private
 * memory; `shareMemory` of `assembler.ts` makes the variant for threads.
 */
import type { Dim } from "../../graph/dim.ts";
import type { Kernel, KernelBody } from "../../kernels/kernel.ts";
import { ModuleWriter } from "./assembler.ts";
import type { EmitOptions, Emission } from "./body.ts";
import { Code, type Value } from "./code.ts";
import { writeCode } from "./codeWriter.ts";
import { emitContract } from "./contract.ts";
import { emitCumulate } from "./cumulate.ts";
import type { Scope } from "./lower.ts";
import { emitMap } from "./map.ts";
import { MathLibrary } from "./math.ts";
import { Microkernels } from "./microkernel.ts";
import type { WasmType } from "./opcodes.ts";
import { emitReduce } from "./reduce.ts";
import { emitScatter } from "./scatter.ts";
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
      (body: KernelBody, options: EmitOptions, micro: Microkernels) => Emission;
    const emission = emit(kernel.body, settings, micro);
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
  const ref = module.declare(name, { parameters, results: ["i32", "i32"] },
    { exported: name, parameterNames: kernel.symbols });
  const code = new Code(parameters);
  const scope = scopeOf(code, library, kernel, [], code.parameters);
  code.return(emission.work(scope), emission.scratch(scope));
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
    size: (dim) => sizeValue(code, dim, values),
  };
}

/** A size as a polynomial of the symbol parameters. */
function sizeValue(c: Code, dim: Dim, symbols: ReadonlyMap<string, Value>): Value {
  if (typeof dim === "number") return c.i32(dim);
  let total = c.i32(0);
  for (const [key, coefficient] of dim.terms) {
    let term = c.i32(coefficient);
    for (const name of key === "" ? [] : key.split("*")) {
      term = c.mul(term, symbols.get(name) as Value);
    }
    total = c.add(total, term);
  }
  return total;
}
