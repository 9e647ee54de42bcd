/**
 * Turns the JSON of a kernel back into a kernel, node by node without simplification, so that it is
 * the kernel that was written. Everything that the readers of kernels rely on is checked: an edited
 * file ends in a message and not in an emitter.
 */
import { UserError } from "../errors.ts";
import { symbolsOf, type Dim } from "../graph/dim.ts";
import type { BinaryOp, UnaryOp } from "../graph/graph.ts";
import { parseSize } from "../graph/text.ts";
import { collect, type Expr, type ScalarType } from "./expr.ts";
import {
  axesOf, storesOf, type Axis, type Kernel, type KernelBody, type Store,
} from "./kernel.ts";
import { convertBody, type KernelJson, type NodeJson } from "./kernelJson.ts";
import { ExprPool } from "./pool.ts";
import { binaryFloat, unaryFloat, unaryInteger } from "./scalar.ts";

/** Why an operator cannot take operands of a type; undefined when it can. */
function unaryFault(op: UnaryOp, t: ScalarType): string | undefined {
  const defined = t === "bool" ? op === "not" : t === "f32" ? unaryFloat[op]
    : op !== "not" && unaryInteger[op];
  return defined ? undefined : `${op} is not defined on ${t}`;
}
const onFlags = new Set<string>(["and", "or", "xor", "eq"]);
function binaryFault(op: BinaryOp, a: ScalarType, b: ScalarType): string | undefined {
  if (a !== b) return `${op} has operands of ${a} and ${b}`;
  const defined = a === "bool" ? onFlags.has(op) : a === "f32" ? binaryFloat[op] : true;
  return defined ? undefined : `${op} is not defined on ${a}`;
}

class KernelReader {
  readonly #json: KernelJson;
  readonly #place: string;
  readonly #pool = new ExprPool();
  readonly #exprs: Expr[] = [];
  #axes: readonly Axis[] = [];

  constructor(json: KernelJson, place: string) {
    this.#json = json;
    this.#place = place;
  }

  #fail(at: string, message: string): never {
    throw new UserError(message, {
      place: `${this.#place}.${at}`, remedy: "Compile the model again, or undo the edit",
    });
  }

  #size(text: string, at: string): Dim {
    const size = parseSize(text, `${this.#place}.${at}`);
    if (typeof size === "number" && size < 0) this.#fail(at, `a size of ${size}`);
    const unknown = symbolsOf(size).find((s) => !this.#json.symbols.includes(s));
    if (unknown !== undefined) this.#fail(at, `the symbol ${unknown} is not among the symbols`);
    return size;
  }

  #axis(json: { name: string; extent: string }, at: string): Axis {
    return { name: json.name, extent: this.#size(json.extent, at) };
  }

  #expr(place: number, at: string): Expr {
    return this.#exprs[place] ?? this.#fail(at, `there is no node ${place} before it`);
  }

  #node(json: NodeJson, at: string): Expr {
    const pool = this.#pool;
    const operand = (place: number): Expr => this.#expr(place, at);
    const ensure = (fault: string | undefined): void => {
      if (fault !== undefined) this.#fail(at, fault);
    };
    switch (json.kind) {
      case "const": {
        const value = typeof json.value === "number" ? json.value
          : Number(json.value.replace("inf", "Infinity").replace("nan", "NaN"));
        const made = pool.const(value, json.type);
        ensure(json.type === "f32" || made.kind === "const" && Object.is(made.value, value)
          ? undefined : `${json.type} holds no ${json.value}`);
        return made;
      }
      case "axis": {
        const own = this.#axes[json.axis];
        return own ? pool.axis(json.axis, own.extent) : this.#fail(at, `no axis ${json.axis}`);
      }
      case "size": return pool.size(this.#size(json.dim, at));
      case "load": {
        const argument = this.#json.arguments[json.buffer];
        const place = operand(json.index);
        if (argument?.access !== "read") return this.#fail(at, `no buffer ${json.buffer} to read`);
        const fits = json.type === argument.storage ||
          (json.type === "f32" && argument.storage === "f16") ||
          (json.type === "bool" && argument.storage === "i32");
        ensure(fits ? undefined : `${argument.storage} is read as ${json.type}`);
        ensure(place.type === "i32" ? undefined : `an index of ${place.type}`);
        return pool.load(json.buffer, place, json.type, argument.range);
      }
      case "acc": return pool.acc(json.type);
      case "unary": {
        const a = operand(json.a);
        ensure(unaryFault(json.op, a.type));
        return pool.restore({ kind: json.kind, op: json.op, a });
      }
      case "binary": {
        const [a, b] = [operand(json.a), operand(json.b)];
        ensure(binaryFault(json.op, a.type, b.type));
        return pool.restore({ kind: json.kind, op: json.op, a, b });
      }
      case "select": case "guard": {
        const [cond, a, b] = [operand(json.cond), operand(json.a), operand(json.b)];
        ensure(cond.type === "bool" ? undefined : `a condition of ${cond.type}`);
        ensure(a.type === b.type ? undefined : `branches of ${a.type} and ${b.type}`);
        return pool.restore({ kind: json.kind, cond, a, b });
      }
      case "cast":
        return pool.restore({ kind: json.kind, type: json.type, a: operand(json.a) });
      case "bitcast": {
        const a = operand(json.a);
        ensure([a.type, json.type].includes("bool") ? "bits of a bool" : undefined);
        return pool.restore({ kind: json.kind, type: json.type, a });
      }
    }
  }

  /** What may be stored: a value that the buffer's storage holds, at an i32 index. */
  #checkTarget(buffer: number, value: ScalarType, at: string): void {
    const argument = this.#json.arguments[buffer];
    if (argument?.access !== "write") this.#fail(at, `there is no buffer ${buffer} to write`);
    const fits = value === argument.storage || (value === "bool" && argument.storage === "i32");
    if (!fits) this.#fail(at, `${value} is written as ${argument.storage}`);
  }

  #checkStore({ buffer, index: place, value }: Store, accumulated?: ScalarType): void {
    this.#checkTarget(buffer, value.type, "body.store");
    if (place.type !== "i32") this.#fail("body.store", `an index of ${place.type}`);
    for (const e of collect([place, value])) {
      if (e.kind === "acc" && e.type !== accumulated) {
        this.#fail("body.store", `it reads an accumulator of ${e.type}, there is ${accumulated}`);
      }
    }
  }

  /** Expressions may only use what exists where they are computed. */
  #checkScope(roots: readonly Expr[], field: string, axesInScope: (axis: number) => boolean): void {
    for (const e of collect(roots)) {
      if (e.kind === "axis" && !axesInScope(e.axis)) {
        this.#fail(`body.${field}`, `it uses axis ${e.axis}, which does not run there`);
      }
      if (e.kind === "acc" && field !== "store") {
        this.#fail(`body.${field}`, "it uses the accumulator before there is one");
      }
    }
  }

  #numeric(e: Expr, field: string): ScalarType {
    return e.type === "bool" ? this.#fail(`body.${field}`, "a bool is combined") : e.type;
  }

  #check(body: KernelBody): void {
    const count = (...lists: (readonly Axis[])[]): number => lists.flat().length;
    const below = (n: number) => (a: number): boolean => a < n;
    switch (body.kind) {
      case "map":
        storesOf(body).forEach((store) => this.#checkStore(store));
        break;
      case "reduce":
        this.#checkScope([body.value], "value", () => true);
        this.#checkScope([body.store.index, body.store.value], "store", below(body.axes.length));
        this.#checkStore(body.store, body.value.type);
        break;
      case "contract": {
        const { batch, m, n } = body;
        const [firstN, firstK] = [count(batch, m), count(batch, m, n)];
        const isM = (a: number): boolean => a >= batch.length && a < firstN;
        const isN = (a: number): boolean => a >= firstN && a < firstK;
        this.#checkScope([body.a], "a", (a) => !isN(a));
        this.#checkScope([body.b], "b", (a) => !isM(a));
        this.#checkScope([body.store.index, body.store.value], "store", below(firstK));
        if (body.b.type !== this.#numeric(body.a, "a")) {
          this.#fail("body.b", `${body.b.type} meets ${body.a.type}`);
        }
        this.#checkStore(body.store, body.a.type);
        break;
      }
      case "cumulate":
        if (body.axes.length === 0) this.#fail("body.axes", "there is no axis to run along");
        this.#checkScope([body.value], "value", () => true);
        this.#numeric(body.value, "value");
        this.#checkStore(body.store, body.value.type);
        break;
      case "scatter":
        this.#checkScope([body.initial], "initial", (a) => a !== 2);
        this.#checkScope([body.target], "target", (a) => a === 2);
        this.#checkScope([body.update], "update", (a) => a !== 0);
        if (body.target.type !== "i32") this.#fail("body.target", `a row of ${body.target.type}`);
        if (body.initial.type !== body.update.type) {
          this.#fail("body.update", `${body.update.type} on rows of ${body.initial.type}`);
        }
        this.#checkTarget(body.output, body.initial.type, "body.output");
        break;
      case "sort":
        this.#checkScope([body.value], "value", () => true);
        this.#checkTarget(body.output, "i32", "body.output");
        break;
    }
  }

  read(): Kernel {
    const { name, origin, symbols, nodes } = this.#json;
    symbols.forEach((s, i) => {
      const ascends = i === 0 || (symbols[i - 1] as string) < s;
      if (!ascends || symbolsOf(parseSize(s, `${this.#place}.symbols`))[0] !== s) {
        this.#fail("symbols", "they are not names in ascending order");
      }
    });
    const args = this.#json.arguments.map((a, i) =>
      ({ ...a, size: this.#size(a.size, `arguments[${i}].size`) }));
    if (args.filter((a) => a.access === "write").length !== 1) {
      this.#fail("arguments", "not exactly one of them is written");
    }
    // Axes first: nodes take the ranges of their indices from them.
    const axisOf = (json: { name: string; extent: string }): Axis => this.#axis(json, "body");
    const withAxes = convertBody(this.#json.body, {
      axis: axisOf, axes: (list: { name: string; extent: string }[]) => list.map(axisOf),
      expr: (place: number) => place, store: (s: object) => s, stores: (list: object) => list,
    }) as KernelBody;
    this.#axes = axesOf(withAxes);
    nodes.forEach((node, i) => this.#exprs.push(this.#node(node, `nodes[${i}]`)));
    const storeOf = (s: { buffer: number; index: number; value: number }): Store => ({
      buffer: s.buffer, index: this.#expr(s.index, "body"), value: this.#expr(s.value, "body"),
    });
    const body = convertBody(withAxes, {
      axis: (a: Axis) => a, axes: (list: readonly Axis[]) => list,
      expr: (place: number) => this.#expr(place, "body"),
      store: storeOf, stores: (list: Parameters<typeof storeOf>[0][]) => list.map(storeOf),
    }) as KernelBody;
    this.#check(body);
    return { name, origin, symbols, arguments: args, body };
  }
}

/**
 * The kernel that `kernelToJson` wrote.
 * @param place where it stands in its file, for messages
 * @throws UserError naming the node or field that does not hold together
 */
export const kernelFromJson = (json: KernelJson, place: string): Kernel =>
  new KernelReader(json, place).read();

