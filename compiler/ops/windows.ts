/**
 * Sliding windows as a primitive and its transpose. A window is a map of indices like those of
 * `movement.ts`, at no cost in kernels; its transpose sums where windows overlap. Products with
 * windows (`conv`) are in `contraction.ts`.
 */
import {
  addDims, dimToString, divDimsExact, shapesEqual, subDims, type Dim,
} from "../graph/dim.ts";
import { elementAt, sizeOf } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import {
  atLeast, check, forEachIndex, gatherInto, inputShape, noWork, sameArray, showShape, staticShape,
  stridesOf, tensorAt, typeAt, workPerOutput,
} from "./common.ts";
import type { Primitive } from "./primitive.ts";

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
