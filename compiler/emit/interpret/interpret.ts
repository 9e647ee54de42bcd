/**
 * The oracle: runs a kernel by printing its loops and expressions one to one as JavaScript. No
 * tiling, no vectors, no reordering; sums accumulate in float64. In `f64` mode nothing is rounded
 * to float32, which is the reference that gradients and equilibria are checked against.
 *
 * Every node is computed at the loop that owns its innermost axis. Loads in a branch not taken read
 * `undefined` at worst, which the branch then discards.
 */
import { evalDim, type Bindings, type Dim } from "../../graph/dim.ts";
import { InternalError } from "../../errors.ts";
import { unpackHalf } from "../../graph/half.ts";
import { binaryFloat, binaryInteger, unaryFloat, unaryInteger } from "../../kernels/scalar.ts";
import {
  collect, operandsOf, type Expr, type ExprBinary, type ScalarType,
} from "../../kernels/expr.ts";
import {
  axesOf, rootsOf, storesOf, type Axis, type Kernel, type KernelBody, type Store,
} from "../../kernels/kernel.ts";
import type { FloatMode } from "../../graph/tensor.ts";

export type InterpreterArray = Float64Array | Float32Array | Int32Array | Uint32Array;
export type InterpretedKernel = (
  buffers: readonly InterpreterArray[], sizes: readonly number[],
) => void;

const saturate = (low: number, high: number) => (x: number): number =>
  Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), low), high);
const words = new DataView(new ArrayBuffer(4));

/** What generated code calls by name. */
const library = {
  unaryFloat, unaryInteger, binaryFloat, binaryInteger, unpackHalf,
  toI32: saturate(-(2 ** 31), 2 ** 31 - 1),
  toU32: saturate(0, 2 ** 32 - 1),
  bits(from: ScalarType, to: ScalarType, x: number): number {
    if (from === "f32") words.setFloat32(0, x);
    else words.setUint32(0, x);
    return to === "f32" ? words.getFloat32(0)
      : to === "i32" ? words.getInt32(0) : words.getUint32(0);
  },
};

const operators: Partial<Record<ExprBinary, string>> = {
  add: "+", sub: "-", lt: "<", le: "<=", eq: "===",
};
const initial = { sum: "0", prod: "1" } as const;
const bound: Record<"max" | "min", Record<ScalarType, string>> = {
  max: { f32: "-Infinity", i32: "-2147483648", u32: "0", bool: "0" },
  min: { f32: "Infinity", i32: "2147483647", u32: "4294967295", bool: "1" },
};

/** A size in generated code, looked up by its text. */
const sizeText = (size: Dim): string => `size(${JSON.stringify(String(size))})`;

class Printer {
  readonly lines: string[] = [];
  readonly #float: FloatMode;
  readonly #emitted = new Set<Expr>();
  readonly #halves: ReadonlySet<number>;

  constructor(float: FloatMode, buffers: Kernel["arguments"]) {
    this.#float = float;
    this.#halves = new Set(buffers.flatMap(({ storage }, i) => (storage === "f16" ? [i] : [])));
  }

  name(e: Expr): string {
    if (e.kind === "axis") return `i${e.axis}`;
    if (e.kind === "acc") return "acc";
    if (e.kind !== "const") return `e${e.id}`;
    return Object.is(e.value, -0) ? "-0" : String(e.value);
  }

  #round(type: ScalarType, text: string): string {
    if (type === "f32") return this.#float === "f32" ? `Math.fround(${text})` : text;
    return type === "i32" ? `(${text}) | 0` : type === "u32" ? `(${text}) >>> 0` : text;
  }

  #text(e: Expr): string {
    switch (e.kind) {
      case "const": case "axis": case "acc": return this.name(e);
      case "size": return sizeText(e.dim);
      case "load": {
        const index = this.name(e.index);
        if (this.#halves.has(e.buffer)) return `L.unpackHalf(b${e.buffer}, ${index})`;
        const element = `b${e.buffer}[${index}]`;
        return e.type === "bool" ? `${element} !== 0 ? 1 : 0` : element;
      }
      case "unary": {
        const table = e.a.type === "f32" ? "unaryFloat" : "unaryInteger";
        return this.#round(e.type, `L.${table}.${e.op}(${this.name(e.a)})`);
      }
      case "binary": {
        const [a, b] = [this.name(e.a), this.name(e.b)];
        if (e.type === "bool" && operators[e.op]) return `${a} ${operators[e.op]} ${b} ? 1 : 0`;
        if (e.op === "mul") {
          return this.#round(e.type, e.type === "f32" ? `${a} * ${b}` : `Math.imul(${a}, ${b})`);
        }
        if (operators[e.op]) return this.#round(e.type, `${a} ${operators[e.op]} ${b}`);
        const table = e.a.type === "f32" ? "binaryFloat" : "binaryInteger";
        return this.#round(e.type, `L.${table}.${e.op}(${a}, ${b})`);
      }
      case "select": case "guard":
        return `${this.name(e.cond)} ? ${this.name(e.a)} : ${this.name(e.b)}`;
      case "cast": return this.#cast(e.a, e.type);
      case "bitcast": return `L.bits("${e.a.type}", "${e.type}", ${this.name(e.a)})`;
    }
  }

  #cast(a: Expr, to: ScalarType): string {
    const x = this.name(a);
    if (to === "bool") return `${x} !== 0 ? 1 : 0`;
    if (a.type === "f32") return to === "i32" ? `L.toI32(${x})` : `L.toU32(${x})`;
    return this.#round(to, x);
  }

  /** Prints, in order, the nodes under `roots` whose axes and accumulator are all available. */
  expressions(roots: readonly Expr[], axes: number, hasAcc: boolean): void {
    const late = new Map<Expr, boolean>();
    for (const e of collect(roots)) {
      const own = e.kind === "axis" ? e.axis >= axes : e.kind === "acc" ? !hasAcc : false;
      const isLate = own || operandsOf(e).some((o) => late.get(o));
      late.set(e, isLate);
      if (isLate || this.#emitted.has(e) || ["const", "axis", "acc"].includes(e.kind)) continue;
      this.#emitted.add(e);
      this.lines.push(`const ${this.name(e)} = ${this.#text(e)};`);
    }
  }

  /** Loops over `axes` numbered from `first`; each node is printed as far outside as it can be. */
  loops(
    axes: readonly Axis[], first: number, roots: readonly Expr[], hasAcc: boolean,
    body: () => void,
  ): void {
    this.expressions(roots, first, hasAcc);
    axes.forEach((axis, n) => {
      const i = `i${first + n}`;
      const count = `n${first + n}`;
      const init = `let ${i} = 0, ${count} = ${sizeText(axis.extent)}`;
      this.lines.push(`for (${init}; ${i} < ${count}; ${i}++) {`);
      this.expressions(roots, first + n + 1, hasAcc);
    });
    body();
    for (const _ of axes) this.lines.push("}");
  }

  store(store: Store): void {
    this.lines.push(`b${store.buffer}[${this.name(store.index)}] = ${this.name(store.value)};`);
  }

  /** Expressions printed in a scope that is closed must be printed again in the next one. */
  forget(): void {
    this.#emitted.clear();
  }
}

const step = (op: string, acc: string, x: string, type: ScalarType): string => {
  if (op === "sum") return `${acc} + ${x}`;
  if (op !== "prod") return `Math.${op}(${acc}, ${x})`;
  // Integers wrap; their exact product would not fit float64.
  return type === "f32" ? `${acc} * ${x}` : `Math.imul(${acc}, ${x})`;
};

type Bodies = {
  [K in KernelBody["kind"]]: (p: Printer, body: Extract<KernelBody, { kind: K }>) => void
};

const bodies: Bodies = {
  map(p, body) {
    p.loops(body.axes, 0, rootsOf(body), false, () =>
      storesOf(body).forEach((store) => p.store(store)));
  },
  reduce(p, { axes, reduceAxes, op, value, store }) {
    const start = op === "sum" || op === "prod" ? initial[op] : bound[op][value.type];
    p.loops(axes, 0, [value, store.index, store.value], false, () => {
      p.lines.push(`let acc = ${start};`);
      p.loops(reduceAxes, axes.length, [value], false, () => {
        p.lines.push(`acc = ${step(op, "acc", p.name(value), value.type)};`);
      });
      p.lines.push(`acc = round(acc, "${value.type}");`);
      p.expressions([store.index, store.value], axes.length, true);
      p.store(store);
    });
  },
  contract(p, { batch, m, n, k, a, b, store }) {
    const out = [...batch, ...m, ...n];
    p.loops(out, 0, [a, b, store.index, store.value], false, () => {
      p.lines.push("let acc = 0;");
      p.loops(k, out.length, [a, b], false, () => {
        p.lines.push(`acc += ${step("prod", p.name(a), p.name(b), a.type)};`);
      });
      p.lines.push(`acc = round(acc, "${a.type}");`);
      p.expressions([store.index, store.value], out.length, true);
      p.store(store);
    });
  },
  cumulate(p, { axes, op, value, store }) {
    const outer = axes.slice(0, -1);
    p.loops(outer, 0, [value, store.index, store.value], false, () => {
      p.lines.push(`let acc = ${initial[op]};`);
      p.loops(axes.slice(-1), outer.length, [value, store.index], false, () => {
        const next = step(op, "acc", p.name(value), value.type);
        p.lines.push(`acc = round(${next}, "${value.type}");`);
        p.expressions([store.index, store.value], axes.length, true);
        p.store(store);
      });
    });
  },
  scatter(p, { rows, columns, updates, op, initial: start, target, update, output }) {
    const at = "[i0 * columns + i1]";
    p.lines.push(`const columns = ${sizeText(columns.extent)};`);
    p.loops([rows, columns], 0, [start], false, () => {
      p.lines.push(`b${output}${at} = ${p.name(start)};`);
    });
    p.forget();
    // Axis numbers are row 0, column 1, update 2; the row is data here.
    p.lines.push(`for (let i2 = 0, n2 = ${sizeText(updates.extent)}; i2 < n2; i2++) {`);
    p.lines.push("for (let i1 = 0; i1 < columns; i1++) {");
    p.expressions([target, update], 3, false);
    p.lines.push(`const i0 = ${p.name(target)};`);
    p.lines.push(`if (i0 < 0 || i0 >= ${sizeText(rows.extent)}) continue;`);
    const [old, x] = [`b${output}${at}`, p.name(update)];
    const how = { add: "sum", mul: "prod", max: "max", min: "min", none: "none" } as const;
    const combined = op === "none" ? x : step(how[op], old, x, update.type);
    p.lines.push(`${old} = ${combined};`, "}", "}");
  },
  sort(p, { axes, sorted, descending, value, output }) {
    p.lines.push("let row = 0;");
    p.loops(axes, 0, [value], false, () => {
      p.lines.push("const keys = [];");
      const push = (): void => void p.lines.push(`keys.push(${p.name(value)});`);
      p.loops([sorted], axes.length, [value], false, push);
      p.lines.push(
        "const order = keys.map((_, i) => i).sort((x, y) => {",
        "const [u, v] = [keys[x], keys[y]];",
        "if (u !== u || v !== v) return (u !== u) - (v !== v) || x - y;",
        `return ${descending ? "v - u" : "u - v"} || x - y; });`,
        `for (const i of order) b${output}[row++] = i;`,
      );
    });
  },
};

/** Compiles a kernel to a JavaScript function over one array per argument. */
export function interpretKernel(kernel: Kernel, float: FloatMode = "f32"): InterpretedKernel {
  const printer = new Printer(float, kernel.arguments);
  const print = bodies[kernel.body.kind] as (p: Printer, body: KernelBody) => void;
  print(printer, kernel.body);
  const buffers = kernel.arguments.map((_, i) => `const b${i} = buffers[${i}];`);
  const source = [...buffers, ...printer.lines].join("\n");
  let run: (...args: unknown[]) => void;
  try {
    run = new Function("L", "buffers", "size", "round", source) as typeof run;
  } catch (error) {
    throw new InternalError(`kernel ${kernel.name} is not runnable: ${String(error)}\n${source}`);
  }
  const dims = sizesIn(kernel);
  const round = (x: number, type: ScalarType): number =>
    type === "f32" ? (float === "f32" ? Math.fround(x) : x) : type === "i32" ? x | 0 : x >>> 0;
  return (arrays, sizes) => {
    const bindings: Record<string, number> = {};
    kernel.symbols.forEach((name, i) => {
      bindings[name] = sizes[i] as number;
    });
    const values = new Map([...dims].map(([text, dim]) =>
      [text, evalDim(dim, bindings as Bindings)]));
    run(library, arrays, (text: string) => values.get(text), round);
  };
}

/** Every size that the printed code asks for, by its text. */
function sizesIn(kernel: Kernel): Map<string, Axis["extent"]> {
  const found = new Map<string, Axis["extent"]>();
  for (const axis of axesOf(kernel.body)) found.set(String(axis.extent), axis.extent);
  for (const e of collect(rootsOf(kernel.body))) {
    if (e.kind === "size") found.set(String(e.dim), e.dim);
  }
  return found;
}
