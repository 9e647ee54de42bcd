/**
 * Builds graphs node by node. Every node's type is inferred as it is added, equal nodes are shared
 * (all primitives are pure), and movement that moves nothing is not added.
 *
 * Elementwise helpers broadcast their operands by the NumPy rules; the primitives themselves take
 * equal shapes only.
 */
import { MisfitError } from "../ops/common.ts";
import { primitiveOf } from "../ops/registry.ts";
import {
  dimsEqual, dimToString, productOf, shapesEqual, subDims, type Dim,
} from "./dim.ts";
import type { DType } from "./dtype.ts";
import {
  type BinaryOp, type Graph, type Node, type PrimAttrs, type PrimName, type ReduceKind,
  type TensorType, type UnaryOp, type Value,
} from "./graph.ts";
import { scalar, type Tensor } from "./tensor.ts";

/** Shape of an elementwise result, or a reason why there is none. */
export function broadcastShapes(
  a: readonly Dim[], b: readonly Dim[],
): { readonly shape: readonly Dim[] } | { readonly conflict: string } {
  const rank = Math.max(a.length, b.length);
  const shape: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (dimsEqual(x, y) || y === 1) shape.push(x);
    else if (x === 1) shape.push(y);
    else return { conflict: `${dimToString(x)} does not meet ${dimToString(y)}` };
  }
  return { shape };
}

export class Builder {
  readonly #name: string;
  readonly #inputs: Value[] = [];
  readonly #nodes: Node[] = [];
  readonly #known = new Map<string, Value>();
  readonly #names = new Map<string, number>();
  #ids = 0;
  #origin: readonly string[] = [];

  constructor(name = "graph") {
    this.#name = name;
  }

  /** Nodes added inside `body` are recorded as coming from the ONNX node(s) `origin`. */
  from<T>(origin: string | readonly string[], body: () => T): T {
    const outer = this.#origin;
    this.#origin = typeof origin === "string" ? [...outer, origin] : origin;
    try {
      return body();
    } finally {
      this.#origin = outer;
    }
  }

  get origin(): readonly string[] {
    return this.#origin;
  }

  #unique(name: string): string {
    const seen = this.#names.get(name);
    this.#names.set(name, (seen ?? 0) + 1);
    if (seen === undefined) return name;
    return this.#unique(`${name}_${seen}`);
  }

  /** Gives a value another name, made unique: for names that are known only afterwards. */
  rename(value: Value, name: string): void {
    if (value.name !== name) (value as { name: string }).name = this.#unique(name);
  }

  input(name: string, type: TensorType): Value {
    const value: Value = { id: this.#ids++, name: this.#unique(name), type, index: 0 };
    this.#inputs.push(value);
    return value;
  }

  /** Adds a node, or returns the equal one that exists. `name` names the value if it is new. */
  add<O extends PrimName>(
    op: O, inputs: readonly Value[], attrs: PrimAttrs[O], name?: string,
  ): Value {
    const key = op === "constant" ? undefined : this.#key(op, inputs, attrs);
    const known = key === undefined ? undefined : this.#known.get(key);
    if (known) return known;
    const type = primitiveOf(op).infer(inputs.map((v) => v.type), attrs);
    const outputs: Value[] = [];
    const node: Node<O> = {
      id: this.#ids++, op, inputs, attrs, outputs, origin: this.#origin,
    };
    const fallback = this.#origin.at(-1) ? `${this.#origin.at(-1)}.${op}` : op;
    const value: Value = {
      id: this.#ids++, name: this.#unique(name ?? fallback), type, node: node as Node, index: 0,
    };
    outputs.push(value);
    this.#nodes.push(node as Node);
    if (key !== undefined) this.#known.set(key, value);
    return value;
  }

  #key(op: PrimName, inputs: readonly Value[], attrs: object): string {
    const text = JSON.stringify(attrs, (_, v: unknown) =>
      typeof v === "number" && !Number.isFinite(v) ? `#${v}` : Object.is(v, -0) ? "#-0"
        : v && typeof v === "object" && "terms" in v ? dimToString(v as Dim) : v);
    return `${op} ${inputs.map((v) => v.id).join(",")} ${text}`;
  }

  /** @throws InternalError when an output is not a value of this builder. */
  finish(outputs: readonly { readonly name: string; readonly value: Value }[]): Graph {
    const [inputs, nodes] = [[...this.#inputs], [...this.#nodes]];
    return { name: this.#name, inputs, outputs: [...outputs], nodes };
  }

  // ---- sources -----------------------------------------------------------------------------

  constant(tensor: Tensor, name?: string): Value {
    const small = tensor.shape.length === 0 && name === undefined;
    const key = `scalar ${tensor.dtype} ${Object.is(tensor.data[0], -0) ? "-0" : tensor.data[0]}`;
    const known = small ? this.#known.get(key) : undefined;
    if (known) return known;
    const value = this.add("constant", [], { tensor }, name);
    if (small) this.#known.set(key, value);
    return value;
  }

  scalar(dtype: DType, value: number): Value {
    return this.constant(scalar(dtype, value));
  }

  /** `value` everywhere in the shape of `like`, in its dtype unless another is given. */
  full(like: Value, value: number, dtype: DType = like.type.dtype): Value {
    return this.broadcast(this.scalar(dtype, value), like.type.shape);
  }

  /** A size as an int64 scalar. */
  size(dim: Dim, dtype: DType = "int64"): Value {
    return typeof dim === "number" ? this.scalar(dtype, dim) : this.add("size", [], { dim, dtype });
  }

  iota(shape: readonly Dim[], axis: number, dtype: DType): Value {
    return this.add("iota", [], { shape, axis, dtype });
  }

  // ---- elementwise -------------------------------------------------------------------------

  unary(op: UnaryOp, a: Value, name?: string): Value {
    return this.add(op, [a], {}, name);
  }

  binary(op: BinaryOp, a: Value, b: Value, name?: string): Value {
    const [x, y] = this.#aligned(op, a, b);
    return this.add(op, [x as Value, y as Value], {}, name);
  }

  #aligned(op: string, ...values: readonly Value[]): Value[] {
    let shape: readonly Dim[] = [];
    for (const v of values) {
      const joined = broadcastShapes(shape, v.type.shape);
      if ("conflict" in joined) throw new MisfitError(`${op}: ${joined.conflict}`);
      shape = joined.shape;
    }
    return values.map((v) => this.broadcast(v, shape));
  }

  addition(a: Value, b: Value): Value { return this.binary("add", a, b); }
  sub(a: Value, b: Value): Value { return this.binary("sub", a, b); }
  mul(a: Value, b: Value): Value { return this.binary("mul", a, b); }
  div(a: Value, b: Value): Value { return this.binary("div", a, b); }
  max(a: Value, b: Value): Value { return this.binary("max", a, b); }
  min(a: Value, b: Value): Value { return this.binary("min", a, b); }
  /** With a number as second operand, in the dtype of `a`. */
  binaryWith(op: BinaryOp, a: Value, b: number): Value {
    return this.binary(op, a, this.scalar(a.type.dtype, b));
  }
  not(a: Value): Value { return this.unary("not", a); }

  where(cond: Value, a: Value, b: Value, name?: string): Value {
    const [c, x, y] = this.#aligned("where", cond, a, b);
    return this.add("where", [c as Value, x as Value, y as Value], {}, name);
  }

  cast(a: Value, dtype: DType, name?: string): Value {
    return a.type.dtype === dtype ? a : this.add("cast", [a], { dtype }, name);
  }

  // ---- movement ----------------------------------------------------------------------------

  reshape(a: Value, shape: readonly Dim[], name?: string): Value {
    if (shapesEqual(a.type.shape, shape)) return a;
    const source = a.node?.op === "reshape" ? (a.node.inputs[0] as Value) : a;
    if (shapesEqual(source.type.shape, shape)) return source;
    return this.add("reshape", [source], { shape }, name);
  }

  transpose(a: Value, perm: readonly number[], name?: string): Value {
    return perm.every((p, i) => p === i) ? a : this.add("transpose", [a], { perm }, name);
  }

  broadcast(a: Value, shape: readonly Dim[], name?: string): Value {
    return shapesEqual(a.type.shape, shape) ? a : this.add("broadcast", [a], { shape }, name);
  }

  slice(
    a: Value, starts: readonly Dim[], sizes: readonly Dim[], steps?: readonly number[],
    name?: string,
  ): Value {
    const each = steps ?? sizes.map(() => 1);
    const isWhole = shapesEqual(sizes, a.type.shape);
    if (isWhole && each.every((s, i) => s === 1 || sizes[i] === 1)) return a;
    return this.add("slice", [a], { starts, sizes, steps: each }, name);
  }

  /** Elements [start, end) of one axis. */
  sliceAxis(a: Value, axis: number, start: Dim, end: Dim): Value {
    const starts: Dim[] = a.type.shape.map(() => 0);
    const sizes = [...a.type.shape];
    starts[axis] = start;
    sizes[axis] = subDims(end, start);
    return this.slice(a, starts, sizes);
  }

  flip(a: Value, axes: readonly number[], name?: string): Value {
    const real = axes.filter((axis) => a.type.shape[axis] !== 1);
    return real.length === 0 ? a : this.add("flip", [a], { axes: real }, name);
  }

  pad(
    a: Value, low: readonly number[], high: readonly number[], value: number,
    interior: readonly number[] = low.map(() => 0), name?: string,
  ): Value {
    const nothing = [...low, ...high, ...interior].every((n) => n === 0);
    return nothing ? a : this.add("pad", [a], { low, high, interior, value }, name);
  }

  concat(parts: readonly Value[], axis: number, name?: string): Value {
    const real = parts.filter((p) => p.type.shape[axis] !== 0);
    if (real.length === 1) return real[0] as Value;
    return this.add("concat", real.length === 0 ? parts.slice(0, 1) : real, { axis }, name);
  }

  // ---- the rest ----------------------------------------------------------------------------

  /** Reduces `axes`; with `keep`, they stay as size 1. */
  reduce(kind: ReduceKind, a: Value, axes: readonly number[], keep = false, name?: string): Value {
    const sorted = [...axes].sort((x, y) => x - y);
    const kept = a.type.shape.map((d, i) => (sorted.includes(i) ? 1 : d));
    if (sorted.length === 0) return a;
    const reduced = this.add("reduce", [a], { kind, axes: sorted }, keep ? undefined : name);
    return keep ? this.reshape(reduced, kept, name) : reduced;
  }

  mean(a: Value, axes: readonly number[], keep = false): Value {
    const count = productOf(axes.map((axis) => a.type.shape[axis] as Dim));
    const total = this.reduce("sum", a, axes, keep);
    return this.div(total, this.cast(this.size(count, "int32"), total.type.dtype));
  }

  dot(a: Value, b: Value, batch: number, contract: number, name?: string): Value {
    return this.add("dot", [a, b], { batch, contract }, name);
  }

  gather(data: Value, indices: Value, axis: number, name?: string): Value {
    return this.add("gather", [data, indices], { axis }, name);
  }
}

/** Elements of a shape, as a size. */
export const elementsOf = (v: Value): Dim => productOf(v.type.shape);
