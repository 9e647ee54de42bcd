/**
 * Index expressions read as sums of axis * stride: what tells an emitter that a store is in
 * row-major order, or which axis neighbouring elements of a load lie along.
 */
import { addDims, dimsEqual, mulDims, type Dim } from "../../graph/dim.ts";
import { collect, type Expr } from "../../kernels/expr.ts";
import type { Axis } from "../../kernels/kernel.ts";

/** An axis of a kernel with the number that expressions know it by. */
export interface NumberedAxis extends Axis {
  readonly axis: number;
}

export const number = (axes: readonly Axis[], first: number): NumberedAxis[] =>
  axes.map((a, i) => ({ ...a, axis: first + i }));

interface Linear {
  readonly constant: Dim;
  readonly strides: ReadonlyMap<number, Dim>;
}

/** `e` as constant + sum of stride * axis; undefined when it is no such sum. */
export function linearOf(e: Expr): Linear | undefined {
  if (e.kind === "const") return { constant: e.value, strides: new Map() };
  if (e.kind === "size") return { constant: e.dim, strides: new Map() };
  if (e.kind === "axis") return { constant: 0, strides: new Map([[e.axis, 1]]) };
  if (e.kind !== "binary" || (e.op !== "add" && e.op !== "mul") || e.type !== "i32") {
    return undefined;
  }
  const [a, b] = [linearOf(e.a), linearOf(e.b)];
  if (!a || !b) return undefined;
  if (e.op === "add") {
    const strides = new Map(a.strides);
    for (const [axis, s] of b.strides) strides.set(axis, addDims(strides.get(axis) ?? 0, s));
    return { constant: addDims(a.constant, b.constant), strides };
  }
  const [many, factor] = b.strides.size === 0 ? [a, b.constant] : [b, a.constant];
  if (a.strides.size > 0 && b.strides.size > 0) return undefined;
  const strides = [...many.strides].map(([axis, s]) => [axis, mulDims(s, factor)] as const);
  return { constant: mulDims(many.constant, factor), strides: new Map(strides) };
}

/** True when `e` is the row-major position in exactly `axes`. */
export function isRowMajor(e: Expr, axes: readonly NumberedAxis[]): boolean {
  const linear = linearOf(e);
  if (!linear || !dimsEqual(linear.constant, 0)) return false;
  const real = axes.filter((a) => a.extent !== 1);
  if (linear.strides.size !== real.length || real.length === 0) return false;
  let stride: Dim = 1;
  for (const { axis, extent } of real.toReversed()) {
    const found = linear.strides.get(axis);
    if (found === undefined || !dimsEqual(found, stride)) return false;
    stride = mulDims(stride, extent);
  }
  return true;
}

export const usesAxis = (e: Expr, axis: number): boolean =>
  collect([e]).some((node) => node.kind === "axis" && node.axis === axis);

/** Indices of every load under the roots. */
export const loadIndices = (roots: readonly Expr[]): Expr[] =>
  collect(roots).flatMap((node) => (node.kind === "load" ? [node.index] : []));

/** True when some load under `e` has the last real axis of `axes` as its stride-1 direction. */
export function isContiguousAlong(e: Expr, axes: readonly NumberedAxis[]): boolean {
  const last = axes.findLast((a) => a.extent !== 1);
  if (!last) return false;
  return loadIndices([e]).some((index) => linearOf(index)?.strides.get(last.axis) === 1);
}
