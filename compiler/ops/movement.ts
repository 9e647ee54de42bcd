/**
 * Movement primitives of one operand: where an element goes, never what it is. Each is one map from
 * output indices to input indices, so kernels inline them at no cost. Outputs with elements from
 * several places are in `joining.ts`, sliding windows in `windows.ts`.
 */
import {
  addDims, dimAtLeast, dimsEqual, dimToString, divDimsExact, mulDims, productOf, subDims, type Dim,
} from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import type { Value } from "../graph/graph.ts";
import { elementAt, sizeOf, splat } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import type { ExprPool } from "../kernels/pool.ts";
import {
  atLeast, check, flatIndex, gatherInto, inputShape, noWork, showShape, showType, staticShape,
  stridesOf, tensorAt, typeAt,
} from "./common.ts";
import type { Primitive } from "./primitive.ts";

/**
 * Indices into `to` of the element at `indices` of `from` (same elements, row-major). Axes are
 * grouped where partial products meet, so only axes that really merge or split are flattened.
 */
export function reindex(
  pool: ExprPool, indices: readonly Expr[], from: readonly Dim[], to: readonly Dim[],
): Expr[] {
  const out: Expr[] = [];
  let i = 0;
  let j = 0;
  while (i < from.length || j < to.length) {
    const [i0, j0] = [i, j];
    let [x, y]: [Dim, Dim] = [1, 1];
    if (i < from.length) x = from[i++] as Dim;
    if (j < to.length) y = to[j++] as Dim;
    while (!dimsEqual(x, y)) {
      const growLeft = i < from.length && (j >= to.length || isShort(x, y));
      if (growLeft) x = mulDims(x, from[i++] as Dim);
      else if (j < to.length) y = mulDims(y, to[j++] as Dim);
      else break;
    }
    // Trailing size-1 axes join the last group.
    if (i >= from.length) while (j < to.length && to[j] === 1) j++;
    if (j >= to.length) while (i < from.length && from[i] === 1) i++;
    const [left, right] = [from.slice(i0, i), to.slice(j0, j)];
    const real = right.filter((d) => d !== 1).length;
    if (left.length === 1 && real <= 1 && dimsEqual(left[0] as Dim, productOf(right))) {
      for (const d of right) {
        out.push(d === 1 && real === 1 ? pool.const(0)
          : real === 1 ? indices[i0] as Expr : pool.const(0));
      }
      continue;
    }
    let flat = pool.const(0);
    left.forEach((d, n) => {
      flat = pool.add(pool.mul(flat, pool.size(d)), indices[i0 + n] as Expr);
    });
    const parts: Expr[] = [];
    for (let n = right.length - 1; n >= 0; n--) {
      const size = right[n] as Dim;
      if (n === 0) parts.unshift(flat);
      else {
        parts.unshift(pool.rem(flat, pool.size(size)));
        flat = pool.div(flat, pool.size(size));
      }
    }
    out.push(...parts);
  }
  return out;
}

/** Whether the left product x is the one that must grow to meet y. */
const isShort = (x: Dim, y: Dim): boolean => typeof x === "number" && typeof y === "number"
  ? x < y : divDimsExact(x, y) === undefined;

export const reshape: Primitive<"reshape"> = {
  infer(types, { shape }) {
    const t = typeAt(types);
    check(dimsEqual(productOf(t.shape), productOf(shape)), "reshape",
      `a shape of ${dimToString(productOf(t.shape))} elements for ${showShape(t.shape)}`,
      `${showShape(shape)} of ${dimToString(productOf(shape))}`);
    return { dtype: t.dtype, shape };
  },
  evaluate: (tensors, { shape }) =>
    ({ ...tensorAt(tensors), shape: staticShape(shape, "reshape") }),
  gradient: (b, node, d) => [b.reshape(d, inputShape(node))],
  lower: {
    kind: "view",
    at: ({ pool, node, read }, indices) =>
      read(0, reindex(pool, indices, node.attrs.shape, inputShape(node))),
  },
  work: noWork,
  isMovement: true,
};

export const transpose: Primitive<"transpose"> = {
  infer(types, { perm }) {
    const t = typeAt(types);
    const isPermutation = [...perm].sort((a, b) => a - b).every((p, i) => p === i);
    check(perm.length === t.shape.length && isPermutation, "transpose",
      `a permutation of ${t.shape.length} axes`, `[${perm}]`);
    return { dtype: t.dtype, shape: perm.map((p) => t.shape[p] as Dim) };
  },
  evaluate(tensors, { perm }, mode) {
    const source = tensorAt(tensors);
    const shape = perm.map((p) => source.shape[p] as number);
    if (source.splat) return { ...source, shape };
    const strides = stridesOf(source.shape);
    const picked = perm.map((p) => strides[p] as number);
    return gatherInto(shape, source, mode, (index) => flatIndex(index, picked));
  },
  gradient(b, node, d) {
    const inverse: number[] = [];
    node.attrs.perm.forEach((p, i) => {
      inverse[p] = i;
    });
    return [b.transpose(d, inverse)];
  },
  lower: {
    kind: "view",
    at({ node, read }, indices) {
      const source: Expr[] = [];
      node.attrs.perm.forEach((p, i) => {
        source[p] = indices[i] as Expr;
      });
      return read(0, source);
    },
  },
  work: noWork,
  isMovement: true,
};

export const broadcast: Primitive<"broadcast"> = {
  infer(types, { shape }) {
    const t = typeAt(types);
    const lead = shape.length - t.shape.length;
    const fits = lead >= 0 &&
      t.shape.every((d, i) => d === 1 || dimsEqual(d, shape[lead + i] as Dim));
    check(fits, "broadcast", `a shape that ${showShape(t.shape)} repeats into`, showShape(shape));
    return { dtype: t.dtype, shape };
  },
  evaluate(tensors, { shape }, mode) {
    const source = tensorAt(tensors);
    const concrete = staticShape(shape, "broadcast");
    if (source.splat || sizeOf(source.shape) === 1) {
      return splat(source.dtype, concrete, elementAt(source, 0), mode);
    }
    const lead = concrete.length - source.shape.length;
    const strides = stridesOf(source.shape).map((s, i) => (source.shape[i] === 1 ? 0 : s));
    return gatherInto(concrete, source, mode, (index) => {
      let flat = 0;
      strides.forEach((s, i) => {
        flat += s * (index[lead + i] as number);
      });
      return flat;
    });
  },
  gradient(b, node, d) {
    const from = inputShape(node);
    const lead = node.attrs.shape.length - from.length;
    const axes = node.attrs.shape.flatMap((size, i) =>
      i < lead || (from[i - lead] === 1 && size !== 1) ? [i] : []);
    return [b.reshape(b.reduce("sum", d, axes), from)];
  },
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const from = inputShape(node);
      const lead = node.attrs.shape.length - from.length;
      return read(0, from.map((d, i) => (d === 1 ? pool.const(0) : indices[lead + i] as Expr)));
    },
  },
  work: noWork,
  isMovement: true,
};

/**
 * The transpose of slicing one axis by symbolic sizes, which no pad can hold: every place takes the
 * element that was taken from it, or a zero that stands behind them all.
 */
function spread(
  b: Builder, d: Value, axis: number,
  { start, step, size }: { readonly start: Dim; readonly step: number; readonly size: Dim },
): Value {
  const count = b.size(d.type.shape[axis] as Dim, "int32");
  const at = b.sub(b.iota([size], 0, "int32"), b.size(start, "int32"));
  const taken = b.binaryWith("div", at, step);
  const isTaken = [
    b.binary("le", b.full(at, 0), at),
    b.binary("eq", b.binaryWith("rem", at, step), b.full(at, 0)),
    b.binary("lt", taken, count),
  ].reduce((x, y) => b.binary("and", x, y));
  const none = d.type.shape.map(() => 0);
  const withZero = b.pad(d, none, none.map((_, i) => (i === axis ? 1 : 0)), 0);
  return b.gather(withZero, b.where(isTaken, taken, count), axis);
}

export const slice: Primitive<"slice"> = {
  infer(types, { starts, sizes, steps }) {
    const t = typeAt(types);
    const ranks = [starts, sizes, steps].every((a) => a.length === t.shape.length);
    check(ranks, "slice", `${t.shape.length} starts, sizes and steps`,
      `${starts.length}, ${sizes.length}, ${steps.length}`);
    check(atLeast(1, steps), "slice", "steps of 1 or more", `[${steps}]`);
    t.shape.forEach((d, i) => {
      const size = sizes[i] as Dim;
      if (size === 0) return;
      const last = addDims(starts[i] as Dim, mulDims(subDims(size, 1), steps[i] as number));
      // Only decidable cases are checked here; symbolic ones are the importer's to prove.
      if (typeof last === "number" && typeof d === "number") {
        check(dimAtLeast(starts[i] as Dim, 0) && last < d, "slice", `axis ${i} within ${d}`,
          `last index ${last}`);
      }
    });
    return { dtype: t.dtype, shape: sizes };
  },
  evaluate(tensors, { starts, sizes, steps }, mode) {
    const source = tensorAt(tensors);
    const shape = staticShape(sizes, "slice");
    const from = staticShape(starts, "slice");
    if (source.splat) return { ...source, shape };
    const strides = stridesOf(source.shape);
    return gatherInto(shape, source, mode, (index) => {
      let flat = 0;
      for (let i = 0; i < strides.length; i++) {
        const at = (from[i] as number) + (index[i] as number) * (steps[i] as number);
        flat += at * (strides[i] as number);
      }
      return flat;
    });
  },
  gradient(b, node, d) {
    const { starts, sizes, steps } = node.attrs;
    const shape = inputShape(node);
    const high = shape.map((size, i) => {
      const rest = subDims(size, starts[i] as Dim);
      if (sizes[i] === 0) return rest;
      return subDims(rest, addDims(mulDims(subDims(sizes[i] as Dim, 1), steps[i] as number), 1));
    });
    const isStaticAxis = shape.map((_, i) =>
      typeof starts[i] === "number" && typeof high[i] === "number");
    const where = <T>(numbers: readonly T[], otherwise: number): number[] =>
      numbers.map((n, i) => (isStaticAxis[i] ? n as number : otherwise));
    const padded = b.pad(d, where(starts, 0), where(high, 0), 0, where(steps.map((s) => s - 1), 0));
    return [shape.reduce((whole: Value, size, axis) => (isStaticAxis[axis] ? whole : spread(
      b, whole, axis, { start: starts[axis] as Dim, step: steps[axis] as number, size },
    )), padded)];
  },
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const { starts, steps } = node.attrs;
      return read(0, indices.map((index, i) =>
        pool.add(pool.mul(index, pool.const(steps[i] as number)), pool.size(starts[i] as Dim))));
    },
  },
  work: noWork,
  isMovement: true,
};

export const flip: Primitive<"flip"> = {
  infer(types, { axes }) {
    const t = typeAt(types);
    const valid = axes.every((a) => a >= 0 && a < t.shape.length);
    check(valid, "flip", `axes of ${showType(t)}`, `[${axes}]`);
    return t;
  },
  evaluate(tensors, { axes }, mode) {
    const source = tensorAt(tensors);
    const strides = stridesOf(source.shape);
    return gatherInto(source.shape, source, mode, (index) => {
      let flat = 0;
      index.forEach((x, i) => {
        const at = axes.includes(i) ? (source.shape[i] as number) - 1 - x : x;
        flat += (strides[i] as number) * at;
      });
      return flat;
    });
  },
  gradient: (b, node, d) => [b.flip(d, node.attrs.axes)],
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const shape = inputShape(node);
      return read(0, indices.map((index, i) => node.attrs.axes.includes(i)
        ? pool.sub(pool.size(subDims(shape[i] as Dim, 1)), index) : index));
    },
  },
  work: noWork,
  isMovement: true,
};
