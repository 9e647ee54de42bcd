/** Reductions over axes, and running reductions along one. */
import { productOf, type Dim } from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import type { Node, ReduceKind, TensorType, Value } from "../graph/graph.ts";
import { integerRange, isFloat, type DType } from "../graph/dtype.ts";
import { elementAt, newData, sizeOf, splat, type Tensor } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import { multiplyIntegers } from "../kernels/scalar.ts";
import { check, flatIndex, forEachIndex, showType, stridesOf } from "./common.ts";
import type { Primitive, Work } from "./primitive.ts";

/** Value of an empty reduction. */
export function identityOf(kind: ReduceKind, dtype: DType): number {
  if (kind === "sum") return 0;
  if (kind === "prod") return 1;
  const sign = kind === "max" ? -1 : 1;
  if (isFloat(dtype)) return sign * Infinity;
  const { min, max } = integerRange(dtype);
  return kind === "max" ? min : max;
}

type Step = (acc: number, x: number) => number;
const steps: Record<ReduceKind, Step> = {
  sum: (acc, x) => acc + x,
  prod: (acc, x) => acc * x,
  max: Math.max,
  min: Math.min,
};
const stepIn = (kind: ReduceKind, dtype: DType): Step =>
  kind === "prod" && !isFloat(dtype) ? multiplyIntegers : steps[kind];
/** Flags have an any and an all, but no sum. */
const canCombine = (kind: ReduceKind, dtype: DType): boolean =>
  dtype !== "bool" || kind === "max" || kind === "min";

const inputOf = (node: Node): Value => node.inputs[0] as Value;
const workPerInput = (node: Node): Work => ({ macs: 0, ops: productOf(inputOf(node).type.shape) });

/** Puts the reduced axes back, as repeated elements. */
function expand(b: Builder, v: Value, axes: readonly number[], shape: readonly Dim[]): Value {
  const kept = shape.map((d, i) => (axes.includes(i) ? 1 : d));
  return b.broadcast(b.reshape(v, kept), shape);
}

/** sum over the other elements' product: exact at zeros too, where d*out/x is not. */
function productGradient(b: Builder, x: Value, axes: readonly number[], d: Value): Value {
  const shape = x.type.shape;
  const one = b.full(x, 1);
  const zero = b.full(x, 0);
  const isZero = b.binary("eq", x, zero);
  const zeros = expand(b, b.reduce("sum", b.where(isZero, one, zero), axes), axes, shape);
  const others = expand(b, b.reduce("prod", b.where(isZero, one, x), axes), axes, shape);
  const noZero = b.binary("eq", zeros, zero);
  const soleZero = b.binary("and", isZero, b.binary("eq", zeros, one));
  const safe = b.where(isZero, one, x);
  const partial = b.where(noZero, b.div(others, safe), b.where(soleZero, others, zero));
  return b.mul(expand(b, d, axes, shape), partial);
}

export const reduce: Primitive<"reduce"> = {
  infer(types, { kind, axes }) {
    const t = types[0] as TensorType;
    check(canCombine(kind, t.dtype), "reduce", `a type that has a ${kind}`, t.dtype);
    const ascending = axes.every((a, i) => i === 0 || a > (axes[i - 1] as number));
    const valid = ascending && axes.every((a) => a >= 0 && a < t.shape.length);
    check(valid, "reduce", `ascending axes of ${showType(t)}`, `[${axes}]`);
    return { dtype: t.dtype, shape: t.shape.filter((_, i) => !axes.includes(i)) };
  },
  evaluate(tensors, { kind, axes }, mode) {
    const source = tensors[0] as Tensor;
    const shape = source.shape.filter((_, i) => !axes.includes(i));
    if (source.splat && kind !== "sum" && kind !== "prod" && sizeOf(source.shape) > 0) {
      return splat(source.dtype, shape, elementAt(source, 0), mode);
    }
    const step = stepIn(kind, source.dtype);
    const total = new Float64Array(sizeOf(shape)).fill(identityOf(kind, source.dtype));
    const kept = stridesOf(shape);
    const strides = source.shape.map((_, i) =>
      axes.includes(i) ? 0 : kept[i - axes.filter((a) => a < i).length] as number);
    forEachIndex(source.shape, (index, flat) => {
      const at = flatIndex(index, strides);
      total[at] = step(total[at] as number, elementAt(source, flat));
    });
    const data = newData(source.dtype, total.length, mode);
    data.set(total);
    return { dtype: source.dtype, shape, data, splat: false };
  },
  gradient(b, node, d) {
    const x = inputOf(node);
    const { kind, axes } = node.attrs;
    const { shape } = x.type;
    if (kind === "sum") return [expand(b, d, axes, shape)];
    if (kind === "prod") return [productGradient(b, x, axes, d)];
    // Equal shares for ties: the subgradient of least norm.
    const extreme = expand(b, node.outputs[0] as Value, axes, shape);
    const wins = b.binary("eq", x, extreme);
    const mask = b.where(wins, b.full(x, 1), b.full(x, 0));
    const count = expand(b, b.reduce("sum", mask, axes), axes, shape);
    return [b.div(b.mul(expand(b, d, axes, shape), mask), count)];
  },
  lower: {
    kind: "reduce",
    plan: (node) => ({
      op: node.attrs.kind,
      extents: node.attrs.axes.map((a) => inputOf(node).type.shape[a] as Dim),
    }),
    value({ node, read }, out, reduced) {
      const { axes } = node.attrs;
      const indices: Expr[] = [];
      let next = 0;
      inputOf(node).type.shape.forEach((_, i) => {
        const at = axes.indexOf(i);
        indices.push((at >= 0 ? reduced[at] : out[next++]) as Expr);
      });
      return read(0, indices);
    },
  },
  work: workPerInput,
  isMovement: false,
};

/**
 * dx_i = sum over j >= i of d_j times the product of x_0 .. x_j without x_i. One row per i, in
 * which x_i is 1: quadratic in the axis, but exact at zeros, where dividing by x_i is not.
 */
function runningProductGradient(b: Builder, x: Value, axis: number, d: Value): Value {
  const { shape } = x.type;
  const length = shape[axis] as Dim;
  const [before, after] = [shape.slice(0, axis), shape.slice(axis)];
  const rows = [...before, length, ...after];
  const perRow = (v: Value): Value => b.broadcast(b.reshape(v, [...before, 1, ...after]), rows);
  const at = (n: number): Value => b.iota(rows, n, "int32");
  const [i, j] = [at(axis), at(axis + 1)];
  const others = perRow(x);
  const withoutOwn = b.where(b.binary("eq", i, j), b.full(others, 1), others);
  const products = b.add("cumulate", [withoutOwn], { kind: "prod", axis: axis + 1 });
  const terms = b.mul(perRow(d), products);
  const reached = b.where(b.binary("le", i, j), terms, b.full(terms, 0));
  return b.reduce("sum", reached, [axis + 1]);
}

export const cumulate: Primitive<"cumulate"> = {
  infer(types, { kind, axis }) {
    const t = types[0] as TensorType;
    check(canCombine(kind, t.dtype), "cumulate", `a type that has a ${kind}`, t.dtype);
    check(axis >= 0 && axis < t.shape.length, "cumulate", `an axis of ${showType(t)}`, `${axis}`);
    return t;
  },
  evaluate(tensors, { kind, axis }, mode) {
    const source = tensors[0] as Tensor;
    const data = newData(source.dtype, sizeOf(source.shape), mode);
    const stride = stridesOf(source.shape)[axis] as number;
    const step = stepIn(kind, source.dtype);
    const running = new Float64Array(data.length);
    forEachIndex(source.shape, (index, flat) => {
      const x = elementAt(source, flat);
      const before = running[flat - stride] as number;
      running[flat] = index[axis] === 0 ? x : step(before, x);
    });
    data.set(running);
    return { dtype: source.dtype, shape: source.shape, data, splat: false };
  },
  gradient(b, node, d) {
    const { kind, axis } = node.attrs;
    if (kind === "prod") return [runningProductGradient(b, inputOf(node), axis, d)];
    const backwards = b.flip(d, [axis]);
    return [b.flip(b.add("cumulate", [backwards], { kind, axis }), [axis])];
  },
  lower: { kind: "cumulate", plan: ({ attrs }) => ({ op: attrs.kind, axis: attrs.axis }) },
  work: workPerInput,
  isMovement: false,
};
