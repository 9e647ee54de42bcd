/**
 * Compositions of primitives that several operator families share: matrix products with NumPy
 * broadcasting, softmax, one-hot, shapes as values. Free of ONNX forms: rules bring attributes
 * and operands here.
 */
import { broadcastShapes, type Builder } from "../graph/builder.ts";
import {
  addDims, isStatic, mulDims, productOf, subDims, type Dim,
} from "../graph/dim.ts";
import { dtypeFacts, isFloat, type DType } from "../graph/dtype.ts";
import { rankOf, shapeOf, type ReduceKind, type Value } from "../graph/graph.ts";
import { tensor } from "../graph/tensor.ts";
import { MisfitError } from "../ops/common.ts";

export const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i);

/** Size of one axis. */
export const dimAt = (v: Value, axis: number): Dim => v.type.shape[axis] as Dim;

/** A small constant vector. */
export const vector = (b: Builder, dtype: DType, elements: readonly number[]): Value =>
  b.constant(tensor(dtype, [elements.length], elements));

/** Sizes as a vector: a constant where they are numbers. */
export function sizesVector(b: Builder, dims: readonly Dim[], dtype: DType = "int64"): Value {
  if (isStatic(dims)) return vector(b, dtype, dims);
  return b.concat(dims.map((d) => b.reshape(b.size(d, dtype), [1])), 0);
}

export const zeros = (b: Builder, dtype: DType, shape: readonly Dim[]): Value =>
  b.broadcast(b.scalar(dtype, 0), shape);

/** Inserts axes of size 1; `axes` count in the result. */
export function unsqueeze(b: Builder, v: Value, axes: readonly number[]): Value {
  const rest = [...shapeOf(v)];
  const rank = rest.length + axes.length;
  return b.reshape(v, range(0, rank).map((i) => (axes.includes(i) ? 1 : rest.shift() as Dim)));
}

export const squeeze = (b: Builder, v: Value, axes: readonly number[]): Value =>
  b.reshape(v, shapeOf(v).filter((_, i) => !axes.includes(i)));

/** Joins all axes from `axis` on, and all before it: [product, product]. */
export function flattenAt(b: Builder, v: Value, axis: number): Value {
  return b.reshape(v, [productOf(shapeOf(v).slice(0, axis)), productOf(shapeOf(v).slice(axis))]);
}

export function moveAxis(b: Builder, v: Value, from: number, to: number): Value {
  const order = range(0, rankOf(v)).filter((i) => i !== from);
  order.splice(to, 0, from);
  return b.transpose(v, order);
}

export const swapLastTwo = (b: Builder, v: Value): Value => {
  const rank = rankOf(v);
  return b.transpose(v, [...range(0, rank - 2), rank - 1, rank - 2]);
};

/** To `dtype`, or as it is. */
export const toFloat = (b: Builder, v: Value, dtype: DType = "float32"): Value =>
  isFloat(v.type.dtype) ? v : b.cast(v, dtype);

// ---- elementwise ---------------------------------------------------------------------------

/** 1 / (1 + exp(-x)); exp overflowing to infinity gives the right 0. */
export const sigmoid = (b: Builder, x: Value): Value =>
  b.div(b.full(x, 1), b.addition(b.full(x, 1), b.unary("exp", b.unary("neg", x))));

export const relu = (b: Builder, x: Value): Value => b.max(x, b.full(x, 0));

/** log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)), with log1p(u) = 2 atanh(u / (2 + u)). */
export function softplus(b: Builder, x: Value): Value {
  const u = b.unary("exp", b.unary("neg", b.unary("abs", x)));
  const tail = b.unary("atanh", b.div(u, b.addition(b.full(u, 2), u)));
  return b.addition(relu(b, x), b.mul(b.full(x, 2), tail));
}

export const clamp = (b: Builder, x: Value, low: number, high: number): Value =>
  b.min(b.max(x, b.full(x, low)), b.full(x, high));

export const square = (b: Builder, x: Value): Value => b.mul(x, x);

/** Not-equal, as bool. */
export const notEqual = (b: Builder, x: Value, y: Value): Value =>
  b.not(b.binary("eq", x, y));

// ---- reductions ----------------------------------------------------------------------------

/** Reduces bool through int32, which is how devices hold it. */
export function reduce(
  b: Builder, kind: ReduceKind, x: Value, axes: readonly number[], keep: boolean,
): Value {
  if (x.type.dtype !== "bool") return b.reduce(kind, x, axes, keep);
  return b.cast(b.reduce(kind, b.cast(x, "int32"), axes, keep), "bool");
}

export function softmax(b: Builder, x: Value, axes: readonly number[]): Value {
  const shifted = b.sub(x, b.reduce("max", x, axes, true));
  const powers = b.unary("exp", shifted);
  return b.div(powers, b.reduce("sum", powers, axes, true));
}

export function logSoftmax(b: Builder, x: Value, axes: readonly number[]): Value {
  const shifted = b.sub(x, b.reduce("max", x, axes, true));
  const total = b.reduce("sum", b.unary("exp", shifted), axes, true);
  return b.sub(shifted, b.unary("log", total));
}

/** (x - mean) / sqrt(variance + epsilon) over `axes`, with what it divided by. */
export function standardize(
  b: Builder, x: Value, axes: readonly number[], epsilon: number,
): { readonly y: Value; readonly mean: Value; readonly deviation: Value } {
  const mean = b.mean(x, axes, true);
  const centred = b.sub(x, mean);
  const variance = b.mean(square(b, centred), axes, true);
  const deviation = b.unary("sqrt", b.addition(variance, b.full(variance, epsilon)));
  return { y: b.div(centred, deviation), mean, deviation };
}

// ---- indices -------------------------------------------------------------------------------

/** Negative indices count from the end of an axis of size `extent`. */
export function fromEnd(b: Builder, indices: Value, extent: Dim): Value {
  const { dtype } = indices.type;
  if (dtypeFacts[dtype].kind === "uint") return indices;
  const negative = b.binary("lt", indices, b.full(indices, 0));
  return b.where(negative, b.addition(indices, b.size(extent, dtype)), indices);
}

/** Bool [indices.., depth] at `axis`: true where the index along that axis is the element. */
export function oneHot(b: Builder, indices: Value, depth: Dim, axis: number): Value {
  const spread = unsqueeze(b, indices, [axis]);
  const shape = [...shapeOf(spread)];
  shape[axis] = depth;
  const { dtype } = indices.type;
  return b.binary("eq", b.broadcast(spread, shape), b.iota(shape, axis, dtype));
}

/** Flat row-major positions of `indices` along one axis; other coordinates are their own. */
export function flatAlong(b: Builder, x: Value, indices: Value, axis: number): Value {
  const shape = shapeOf(indices);
  let stride: Dim = 1;
  let total: Value | undefined;
  for (let i = rankOf(x) - 1; i >= 0; i--) {
    const at = i === axis ? b.cast(indices, "int32") : b.iota(shape, i, "int32");
    const step = b.mul(at, b.size(stride, "int32"));
    total = total ? b.addition(total, step) : step;
    stride = mulDims(stride, dimAt(x, i));
  }
  return total ?? b.cast(indices, "int32");
}

/** out[.., i, ..] = x[.., indices[.., i, ..], ..] along `axis` (ONNX GatherElements). */
export function gatherAlong(b: Builder, x: Value, indices: Value, axis: number): Value {
  const flat = b.reshape(x, [productOf(shapeOf(x))]);
  return b.gather(flat, flatAlong(b, x, indices, axis), 0);
}

// ---- products ------------------------------------------------------------------------------

/**
 * NumPy's matmul: [.., M, K] x [.., K, N], leading axes broadcast, vectors promoted and dropped.
 * @throws MisfitError when the leading axes do not meet
 */
export function matmul(b: Builder, x: Value, y: Value): Value {
  if (rankOf(x) === 0 || rankOf(y) === 0) throw new MisfitError("matmul expects no scalars");
  if (rankOf(y) <= 2) return b.dot(x, y, 0, 1);
  if (rankOf(x) === 1) {
    const row = matmul(b, unsqueeze(b, x, [0]), y);
    return squeeze(b, row, [rankOf(row) - 2]);
  }
  const lead = broadcastShapes(shapeOf(x).slice(0, -2), shapeOf(y).slice(0, -2));
  if ("conflict" in lead) throw new MisfitError(`matmul: ${lead.conflict}`);
  const [left, right] = [x, y].map((v) =>
    b.broadcast(v, [...lead.shape, ...shapeOf(v).slice(-2)])) as [Value, Value];
  return b.dot(left, right, lead.shape.length, 1);
}

/** Elements [start, end) of an axis, where either end may be left open. */
export function sliceFrom(b: Builder, v: Value, axis: number, start: Dim, end?: Dim): Value {
  return b.sliceAxis(v, axis, start, end ?? dimAt(v, axis));
}

/** Pieces of given sizes along an axis. */
export function splitAt(
  b: Builder, v: Value, axis: number, sizes: readonly Dim[],
): Value[] {
  let start: Dim = 0;
  return sizes.map((size) => {
    const piece = b.sliceAxis(v, axis, start, addDims(start, size));
    start = addDims(start, size);
    return piece;
  });
}

/** One element of an axis, which is dropped. */
export function pick(b: Builder, v: Value, axis: number, index: Dim): Value {
  return squeeze(b, b.sliceAxis(v, axis, index, addDims(index, 1)), [axis]);
}

/** True when `d >= n` for all symbols of at least 1 (the sizes of real inputs). */
export function surelyAtLeast(d: Dim, n: Dim): boolean {
  const difference = subDims(d, n);
  if (typeof difference === "number") return difference >= 0;
  let least = 0;
  for (const [key, c] of difference.terms) {
    if (key !== "" && c < 0) return false;
    least += c;
  }
  return least >= 0;
}
