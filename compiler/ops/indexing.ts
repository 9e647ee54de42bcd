/** Primitives that address by data: gather, scatter, argsort. */
import { dimsEqual, productOf, type Dim } from "../graph/dim.ts";
import { isFloat } from "../graph/dtype.ts";
import type { ScatterKind, TensorType, Value } from "../graph/graph.ts";
import { elementAt, sizeOf, type Tensor } from "../graph/tensor.ts";
import { check, noWork, result, sameArray, showShape, showType, workPerOutput } from "./common.ts";
import type { Primitive } from "./primitive.ts";

/** Out-of-range indices read element 0 (the importer has already made negative ones positive). */
export const gather: Primitive<"gather"> = {
  infer(types, { axis }) {
    const [data, indices] = types as [TensorType, TensorType];
    check(axis >= 0 && axis < data.shape.length, "gather", `an axis of ${showShape(data.shape)}`,
      `${axis}`);
    check(!isFloat(indices.dtype), "gather", "integer indices", showType(indices));
    const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
    return { dtype: data.dtype, shape };
  },
  evaluate(tensors, attrs, mode) {
    const [data, indices] = tensors as [Tensor, Tensor];
    const { axis } = attrs;
    const shape = gather.infer([data, indices], attrs).shape as number[];
    const inner = sizeOf(data.shape.slice(axis + 1));
    const count = sizeOf(indices.shape);
    const extent = data.shape[axis] as number;
    const out = sameArray(data, sizeOf(shape), mode);
    for (let i = 0; i < out.length; i++) {
      const within = i % inner;
      const position = Math.floor(i / inner) % count;
      const outer = Math.floor(i / (inner * count));
      const index = elementAt(indices, position);
      const row = index >= 0 && index < extent ? index : 0;
      out[i] = elementAt(data, (outer * extent + row) * inner + within);
    }
    return { dtype: data.dtype, shape, data: out, splat: false };
  },
  gradient(b, node, d) {
    const [data, indices] = node.inputs as [Value, Value];
    const { axis } = node.attrs;
    const shape = data.type.shape;
    const rank = shape.length;
    // Scatter-add over rows: bring the gathered axis first, on both sides.
    const inner = rank - axis - 1;
    const k = indices.type.shape.length;
    const lead = Array.from({ length: axis }, (_, i) => i);
    const middle = Array.from({ length: k }, (_, i) => axis + i);
    const tail = Array.from({ length: inner }, (_, i) => axis + k + i);
    const rest = [...shape.slice(0, axis), ...shape.slice(axis + 1)];
    const extent = shape[axis] as Dim;
    const count = productOf(indices.type.shape);
    const columns = productOf(rest);
    const updates = b.reshape(b.transpose(d, [...middle, ...lead, ...tail]), [count, columns]);
    const zeros = b.broadcast(b.scalar(d.type.dtype, 0), [extent, columns]);
    const rows = b.cast(b.reshape(indices, [count]), "int32");
    const summed = b.reshape(b.add("scatter", [zeros, rows, updates], { kind: "add" }),
      [extent, ...rest]);
    const back = Array.from({ length: rank }, (_, i) => (i < axis ? i + 1 : i === axis ? 0 : i));
    return [b.transpose(summed, back), undefined];
  },
  lower: {
    kind: "view",
    at({ pool, node, read }, at) {
      const [data, indices] = node.inputs as [Value, Value];
      const { axis } = node.attrs;
      const k = indices.type.shape.length;
      const raw = pool.cast(read(1, at.slice(axis, axis + k)), "i32");
      // Clamped so that no reader needs a bound of its own.
      const extent = data.type.shape[axis] as Dim;
      const low = pool.binary("max", raw, pool.const(0));
      const safe = pool.binary("min", low, pool.sub(pool.size(extent), pool.const(1)));
      return read(0, [...at.slice(0, axis), safe, ...at.slice(axis + k)]);
    },
  },
  work: noWork,
  isMovement: false,
};

const combine: Record<ScatterKind, (old: number, update: number) => number> = {
  none: (_old, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  max: Math.max,
  min: Math.min,
};

export const scatter: Primitive<"scatter"> = {
  infer(types) {
    const [data, indices, updates] = types as [TensorType, TensorType, TensorType];
    const fits = data.shape.length === 2 && indices.shape.length === 1 && updates.shape.length === 2
      && data.dtype === updates.dtype && !isFloat(indices.dtype)
      && dimsEqual(indices.shape[0] as Dim, updates.shape[0] as Dim)
      && dimsEqual(data.shape[1] as Dim, updates.shape[1] as Dim);
    check(fits, "scatter", "data [N,D], integer indices [M], updates [M,D]",
      [data, indices, updates].map(showType).join(", "));
    return data;
  },
  evaluate(tensors, { kind }, mode) {
    const [data, indices, updates] = tensors as [Tensor, Tensor, Tensor];
    const [rows, columns] = data.shape as [number, number];
    const out = sameArray(data, rows * columns, mode);
    for (let i = 0; i < out.length; i++) out[i] = elementAt(data, i);
    for (let u = 0; u < (indices.shape[0] as number); u++) {
      const row = elementAt(indices, u);
      if (row < 0 || row >= rows) continue;
      for (let c = 0; c < columns; c++) {
        const at = row * columns + c;
        out[at] = combine[kind](out[at] as number, elementAt(updates, u * columns + c));
      }
    }
    return { dtype: data.dtype, shape: data.shape, data: out, splat: false };
  },
  gradient(b, node, d) {
    const [data, indices] = node.inputs as [Value, Value];
    const taken = b.gather(d, indices, 0);
    if (node.attrs.kind === "add") return [d, undefined, taken];
    if (node.attrs.kind !== "none") return [undefined, undefined, undefined];
    // Overwritten rows pass nothing to data. A row written twice keeps the last update: the
    // earlier ones get no gradient, found by scattering the update numbers.
    const shape = data.type.shape;
    const count = indices.type.shape[0] as Dim;
    const columns = shape[1] as Dim;
    const numbers = b.iota([count, 1], 0, "int32");
    const nobody = b.broadcast(b.scalar("int32", -1), [shape[0] as Dim, 1]);
    const winner = b.add("scatter", [nobody, indices, numbers], { kind: "none" });
    const kept = b.broadcast(b.binary("eq", winner, b.full(winner, -1)), shape);
    const zero = b.full(d, 0);
    const isLast = b.binary("eq", b.gather(winner, indices, 0), numbers);
    const wins = b.broadcast(isLast, [count, columns]);
    return [b.where(kept, d, zero), undefined, b.where(wins, taken, b.full(taken, 0))];
  },
  lower: { kind: "scatter", plan: (node) => ({ op: node.attrs.kind }) },
  work: workPerOutput,
  isMovement: false,
};

export const argsort: Primitive<"argsort"> = {
  infer(types) {
    const t = types[0] as TensorType;
    check(t.shape.length >= 1, "argsort", "an axis to sort", showShape(t.shape));
    return { dtype: "int32", shape: t.shape };
  },
  evaluate(tensors, { descending }, mode) {
    const source = tensors[0] as Tensor;
    const length = source.shape.at(-1) as number;
    return result("int32", source.shape, mode, (data) => {
      for (let row = 0; row < data.length; row += length) {
        const order = Array.from({ length }, (_, i) => i);
        const key = (i: number): number => elementAt(source, row + i);
        order.sort((i, j) => {
          const [x, y] = [key(i), key(j)];
          const [nanX, nanY] = [Number.isNaN(x), Number.isNaN(y)];
          if (nanX || nanY) return Number(nanX) - Number(nanY);
          return descending ? y - x || i - j : x - y || i - j;
        });
        data.set(order, row);
      }
    });
  },
  gradient: () => [undefined],
  lower: { kind: "sort", plan: (node) => ({ descending: node.attrs.descending }) },
  work: workPerOutput,
  isMovement: false,
};
