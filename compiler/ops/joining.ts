/**
 * Movement primitives whose outputs hold elements from several places: a tensor with a border, or
 * several tensors side by side. Kernels read them through guards, one for each place.
 */
import {
  addDims, dimsEqual, dimToString, mulDims, subDims, type Dim,
} from "../graph/dim.ts";
import { elementAt, sizeOf } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import {
  atLeast, check, gatherInto, inputShape, noWork, sameArray, showType, staticShape, stridesOf,
  tensorAt, typeAt,
} from "./common.ts";
import type { Primitive } from "./primitive.ts";

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
