/**
 * Movement primitives: where an element goes, never what it is. Each is one map from output
 * indices to input indices, so kernels inline them at no cost.
 */
import {
  addDims, dimAtLeast, dimsEqual, dimToString, divDimsExact, mulDims, productOf, shapesEqual,
  subDims, type Dim,
} from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import type { TensorType, Value } from "../graph/graph.ts";
import { elementAt, sizeOf, splat, type Tensor } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import type { ExprPool } from "../kernels/pool.ts";
import {
  check, flatIndex, forEachIndex, gatherInto, noWork, sameArray, showShape, showType, staticShape,
  stridesOf, workPerOutput,
} from "./common.ts";
import type { Primitive } from "./primitive.ts";

const typeAt = (types: readonly TensorType[], i = 0): TensorType => types[i] as TensorType;
const tensorAt = (tensors: readonly Tensor[], i = 0): Tensor => tensors[i] as Tensor;
const atLeast = (low: number, numbers: readonly number[]): boolean =>
  numbers.every((n) => n >= low);
const inputShape = (node: { inputs: readonly Value[] }): readonly Dim[] =>
  (node.inputs[0] as Value).type.shape;

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

export const pad: Primitive<"pad"> = {
  infer(types, { low, high, interior }) {
    const t = typeAt(types);
    const ranks = [low, high, interior].every((a) => a.length === t.shape.length);
    check(ranks && atLeast(0, interior), "pad",
      `${t.shape.length} pads per side, none inside below 0`,
      `[${low}], [${high}], [${interior}]`);
    const shape = t.shape.map((d, i) => {
      const spread = d === 0 ? 0
        : addDims(d, mulDims(subDims(d, 1), interior[i] as number));
      const size = addDims(spread, (low[i] as number) + (high[i] as number));
      check(typeof size !== "number" || size >= 0, "pad", `axis ${i} not cropped below 0`,
        dimToString(size));
      return size;
    });
    return { dtype: t.dtype, shape };
  },
  evaluate(tensors, attrs, mode) {
    const source = tensorAt(tensors);
    const { low, interior, value } = attrs;
    const shape = staticShape(pad.infer([source], attrs).shape, "pad");
    const strides = stridesOf(source.shape);
    return gatherInto(shape, source, mode, (index) => {
      let flat = 0;
      for (let i = 0; i < strides.length; i++) {
        const at = (index[i] as number) - (low[i] as number);
        const step = (interior[i] as number) + 1;
        if (at < 0 || at % step !== 0 || at / step >= (source.shape[i] as number)) return -1;
        flat += (at / step) * (strides[i] as number);
      }
      return flat;
    }, value);
  },
  gradient(b, node, d) {
    const { low, high, interior } = node.attrs;
    // Undo the padding first (crop or grow), then keep every (interior + 1)-th element.
    const cropped = b.pad(d, low.map((n) => 0 - n), high.map((n) => 0 - n), 0);
    const shape = inputShape(node);
    return [b.slice(cropped, shape.map(() => 0), shape, interior.map((n) => n + 1))];
  },
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const { low, interior, value } = node.attrs;
      const shape = inputShape(node);
      let inside = pool.const(1, "bool");
      const source = indices.map((index, i) => {
        const at = pool.sub(index, pool.const(low[i] as number));
        const step = (interior[i] as number) + 1;
        const size = shape[i] as Dim;
        const span = pool.size(mulDims(size, step));
        inside = pool.and(inside, pool.within(at, pool.const(0), span));
        if (step === 1) return at;
        // Division is only simplified for non-negative operands; inside the guard it is.
        const safe = pool.binary("max", at, pool.const(0));
        const stepExpr = pool.const(step);
        const onGrid = pool.binary("eq", pool.rem(safe, stepExpr), pool.const(0));
        inside = pool.and(inside, onGrid);
        return pool.div(safe, stepExpr);
      });
      const type = read(0, source);
      const fill = pool.const(value, type.type);
      return pool.guard(inside, type, fill);
    },
  },
  work: noWork,
  isMovement: true,
};

export const concat: Primitive<"concat"> = {
  infer(types, { axis }) {
    const first = typeAt(types);
    const valid = axis >= 0 && axis < first.shape.length;
    check(valid, "concat", `an axis of ${showType(first)}`, `${axis}`);
    let total: Dim = 0;
    for (const t of types) {
      const fits = t.dtype === first.dtype && t.shape.length === first.shape.length &&
        t.shape.every((d, i) => i === axis || dimsEqual(d, first.shape[i] as Dim));
      check(fits, "concat", `parts like ${showType(first)} but for axis ${axis}`, showType(t));
      total = addDims(total, t.shape[axis] as Dim);
    }
    return { dtype: first.dtype, shape: first.shape.map((d, i) => (i === axis ? total : d)) };
  },
  evaluate(tensors, { axis }, mode) {
    const first = tensorAt(tensors);
    const shape = [...first.shape];
    shape[axis] = tensors.reduce((sum, t) => sum + (t.shape[axis] as number), 0);
    const wide = tensors.find((t) => t.data instanceof Float64Array) ?? first;
    const data = sameArray(wide, sizeOf(shape), mode);
    const inner = sizeOf(shape.slice(axis + 1));
    const row = inner * (shape[axis] as number);
    let offset = 0;
    for (const t of tensors) {
      const width = inner * (t.shape[axis] as number);
      for (let i = 0; i < sizeOf(t.shape); i++) {
        data[Math.floor(i / width) * row + offset + (i % width)] = elementAt(t, i);
      }
      offset += width;
    }
    return { dtype: first.dtype, shape, data, splat: false };
  },
  gradient(b, node, d) {
    const { axis } = node.attrs;
    let start: Dim = 0;
    return node.inputs.map((part) => {
      const end = addDims(start, part.type.shape[axis] as Dim);
      const piece = b.sliceAxis(d, axis, start, end);
      start = end;
      return piece;
    });
  },
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const { axis } = node.attrs;
      const at = indices[axis] as Expr;
      const shifted = (start: Dim): Expr[] =>
        indices.map((e, i) => (i === axis ? pool.sub(at, pool.size(start)) : e));
      const starts: Dim[] = [];
      let start: Dim = 0;
      for (const part of node.inputs) {
        starts.push(start);
        start = addDims(start, part.type.shape[axis] as Dim);
      }
      let value = read(node.inputs.length - 1, shifted(starts.at(-1) as Dim));
      for (let i = node.inputs.length - 2; i >= 0; i--) {
        const before = pool.lt(at, pool.size(starts[i + 1] as Dim));
        value = pool.guard(before, read(i, shifted(starts[i] as Dim)), value);
      }
      return value;
    },
  },
  work: noWork,
  isMovement: true,
};

/** Number of windows along an axis of any size; undefined when it is no polynomial. */
export function windowCount(
  size: Dim, kernel: number, stride: number, dilation: number,
): Dim | undefined {
  const span = dilation * (kernel - 1) + 1;
  const room = subDims(size, span);
  if (typeof room === "number") return room < 0 ? 0 : Math.floor(room / stride) + 1;
  const steps = divDimsExact(room, stride);
  return steps === undefined ? undefined : addDims(steps, 1);
}

export const window: Primitive<"window"> = {
  infer(types, { sizes, strides, dilations }) {
    const t = typeAt(types);
    const lead = t.shape.length - sizes.length;
    check(lead >= 0, "window", `at least ${sizes.length} axes`, showShape(t.shape));
    const same = strides.length === sizes.length && dilations.length === sizes.length;
    check(same && [sizes, strides, dilations].every((a) => atLeast(1, a)), "window",
      `${sizes.length} sizes, strides and dilations of 1 or more`,
      `[${sizes}], [${strides}], [${dilations}]`);
    const counts = sizes.map((k, i) => {
      const d = t.shape[lead + i] as Dim;
      const count = windowCount(d, k, strides[i] as number, dilations[i] as number);
      check(count !== undefined, "window", "a size that its stride divides", dimToString(d));
      return count as Dim;
    });
    return { dtype: t.dtype, shape: [...t.shape.slice(0, lead), ...counts, ...sizes] };
  },
  evaluate(tensors, attrs, mode) {
    const source = tensorAt(tensors);
    const shape = staticShape(window.infer([source], attrs).shape, "window");
    const n = attrs.sizes.length;
    const lead = source.shape.length - n;
    const strides = stridesOf(source.shape);
    return gatherInto(shape, source, mode, (index) => {
      let flat = 0;
      for (let i = 0; i < lead; i++) flat += (index[i] as number) * (strides[i] as number);
      for (let i = 0; i < n; i++) {
        const at = (index[lead + i] as number) * (attrs.strides[i] as number) +
          (index[lead + n + i] as number) * (attrs.dilations[i] as number);
        flat += at * (strides[lead + i] as number);
      }
      return flat;
    });
  },
  gradient: (b, node, d) => [b.add("unwindow", [d], { ...node.attrs, shape: inputShape(node) })],
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const { sizes, strides, dilations } = node.attrs;
      const n = sizes.length;
      const lead = indices.length - 2 * n;
      const spatial = sizes.map((_, i) => pool.add(
        pool.mul(indices[lead + i] as Expr, pool.const(strides[i] as number)),
        pool.mul(indices[lead + n + i] as Expr, pool.const(dilations[i] as number))));
      return read(0, [...indices.slice(0, lead), ...spatial]);
    },
  },
  work: noWork,
  isMovement: true,
};

export const unwindow: Primitive<"unwindow"> = {
  infer(types, attrs) {
    const t = typeAt(types);
    const { shape } = attrs;
    const windows = window.infer([{ dtype: t.dtype, shape }], attrs);
    check(shapesEqual(windows.shape, t.shape), "unwindow",
      `the windows ${showShape(windows.shape)}`, showShape(t.shape));
    return { dtype: t.dtype, shape };
  },
  evaluate(tensors, { shape, sizes, strides, dilations }, mode) {
    const source = tensorAt(tensors);
    const to = staticShape(shape, "unwindow");
    const n = sizes.length;
    const lead = to.length - n;
    const toStrides = stridesOf(to);
    const data = sameArray(source, sizeOf(to), mode);
    forEachIndex(source.shape, (index, flat) => {
      let at = 0;
      for (let i = 0; i < lead; i++) at += (index[i] as number) * (toStrides[i] as number);
      for (let i = 0; i < n; i++) {
        const position = (index[lead + i] as number) * (strides[i] as number) +
          (index[lead + n + i] as number) * (dilations[i] as number);
        at += position * (toStrides[lead + i] as number);
      }
      data[at] = (data[at] as number) + elementAt(source, flat);
    });
    return { dtype: source.dtype, shape: to, data, splat: false };
  },
  gradient: (b, node, d) => {
    const { sizes, strides, dilations } = node.attrs;
    return [b.add("window", [d], { sizes, strides, dilations })];
  },
  lower: {
    kind: "reduce",
    plan: (node) => ({ op: "sum", extents: node.attrs.sizes }),
    // Every window that covers an element: for each offset i, position (x - i*dilation)/stride.
    value({ pool, node, read }, out, offsets) {
      const { sizes, strides, dilations } = node.attrs;
      const windows = inputShape(node);
      const lead = out.length - sizes.length;
      let covered = pool.const(1, "bool");
      const positions = sizes.map((_, i) => {
        const stride = pool.const(strides[i] as number);
        const from = pool.sub(out[lead + i] as Expr,
          pool.mul(offsets[i] as Expr, pool.const(dilations[i] as number)));
        const safe = pool.binary("max", from, pool.const(0));
        const count = windows[lead + i] as Dim;
        covered = pool.and(covered, pool.not(pool.lt(from, pool.const(0))));
        covered = pool.and(covered, pool.binary("eq", pool.rem(safe, stride), pool.const(0)));
        const position = pool.div(safe, stride);
        covered = pool.and(covered, pool.lt(position, pool.size(count)));
        return position;
      });
      const term = read(0, [...out.slice(0, lead), ...positions, ...offsets]);
      return pool.guard(covered, term, pool.const(0, term.type));
    },
  },
  work: workPerOutput,
  isMovement: false,
};
