/** Primitives that address by data: gather, scatter, argsort. */
import type { Builder } from "../graph/builder.ts";
import { dimsEqual, productOf, type Dim } from "../graph/dim.ts";
import { isFloat } from "../graph/dtype.ts";
import type { ScatterKind, TensorType, Value } from "../graph/graph.ts";
import { elementAt, sizeOf, type Tensor } from "../graph/tensor.ts";
import { multiplyIntegers } from "../kernels/scalar.ts";
import { check, noWork, result, sameArray, showShape, showType, workPerOutput } from "./common.ts";
import type { Primitive } from "./primitive.ts";

/** Indices out of range read the nearest element (the importer has made negative ones positive). */
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
      const row = Math.max(Math.min(elementAt(indices, position), extent - 1), 0);
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

interface ScatterParts {
  readonly b: Builder;
  readonly data: Value;
  readonly indices: Value;
  readonly updates: Value;
  readonly out: Value;
  /** Cotangent of the output. */
  readonly d: Value;
}
interface Shares {
  readonly data: Value;
  readonly updates: Value;
}
const flags = (b: Builder, condition: Value, like: Value): Value =>
  b.where(condition, b.full(like, 1), b.full(like, 0));

/** What equals the result has made it; several equal ones share alike. */
function extremeShares({ b, data, indices, updates, out, d }: ScatterParts): Shares {
  const won = flags(b, b.binary("eq", data, out), data);
  const wonUpdates = flags(b, b.binary("eq", updates, b.gather(out, indices, 0)), updates);
  const winners = b.add("scatter", [won, indices, wonUpdates], { kind: "add" });
  const share = b.div(d, winners);
  return { data: b.mul(won, share), updates: b.mul(wonUpdates, b.gather(share, indices, 0)) };
}

/** The product of all other factors: exact at zeros too, where d*out/x is not. */
function productShares({ b, data, indices, updates, d }: ScatterParts): Shares {
  const split = (v: Value): { isZero: Value; safe: Value; zeros: Value } => {
    const isZero = b.binary("eq", v, b.full(v, 0));
    return { isZero, safe: b.where(isZero, b.full(v, 1), v), zeros: flags(b, isZero, v) };
  };
  const [x, y] = [split(data), split(updates)];
  const others = b.add("scatter", [x.safe, indices, y.safe], { kind: "mul" });
  const zeros = b.add("scatter", [x.zeros, indices, y.zeros], { kind: "add" });
  type Part = ReturnType<typeof split>;
  const share = (part: Part, product: Value, count: Value, dy: Value): Value => {
    const zero = b.full(dy, 0);
    const noZero = b.binary("eq", count, zero);
    const sole = b.binary("and", part.isZero, b.binary("eq", count, b.full(dy, 1)));
    const rest = b.where(noZero, b.div(product, part.safe), b.where(sole, product, zero));
    return b.mul(dy, rest);
  };
  const at = (v: Value): Value => b.gather(v, indices, 0);
  return { data: share(x, others, zeros, d), updates: share(y, at(others), at(zeros), at(d)) };
}

/** Shares of data and updates in the cotangent, per combination. */
const scatterGradient: Record<ScatterKind, (parts: ScatterParts) => Shares> = {
  add: ({ b, indices, d }) => ({ data: d, updates: b.gather(d, indices, 0) }),
  // Overwritten rows pass nothing to data. A row written twice keeps the last update: the earlier
  // ones get no gradient, found by scattering the update numbers.
  none({ b, data, indices, d }) {
    const shape = data.type.shape;
    const count = indices.type.shape[0] as Dim;
    const numbers = b.iota([count, 1], 0, "int32");
    const nobody = b.broadcast(b.scalar("int32", -1), [shape[0] as Dim, 1]);
    const winner = b.add("scatter", [nobody, indices, numbers], { kind: "none" });
    const kept = b.broadcast(b.binary("eq", winner, b.full(winner, -1)), shape);
    const isLast = b.binary("eq", b.gather(winner, indices, 0), numbers);
    const taken = b.gather(d, indices, 0);
    const updates = b.where(isLast, taken, b.full(taken, 0));
    return { data: b.where(kept, d, b.full(d, 0)), updates };
  },
  mul: productShares,
  max: extremeShares,
  min: extremeShares,
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
    const step = kind === "mul" && !isFloat(data.dtype) ? multiplyIntegers : combine[kind];
    for (let i = 0; i < out.length; i++) out[i] = elementAt(data, i);
    for (let u = 0; u < (indices.shape[0] as number); u++) {
      const row = elementAt(indices, u);
      if (row < 0 || row >= rows) continue;
      for (let c = 0; c < columns; c++) {
        const at = row * columns + c;
        out[at] = step(out[at] as number, elementAt(updates, u * columns + c));
      }
    }
    return { dtype: data.dtype, shape: data.shape, data: out, splat: false };
  },
  gradient(b, node, d) {
    const [data, indices, updates] = node.inputs as [Value, Value, Value];
    const rule = scatterGradient[node.attrs.kind];
    const shares = rule({ b, data, indices, updates, out: node.outputs[0] as Value, d });
    // An update of a row that does not exist changed nothing.
    const lead = b.reshape(indices, [...indices.type.shape, 1]);
    const rows = b.cast(b.size(data.type.shape[0] as Dim, "int32"), lead.type.dtype);
    const outside = b.binary("or", b.binary("lt", lead, b.full(lead, 0)),
      b.not(b.binary("lt", lead, rows)));
    return [shares.data, undefined,
      b.where(outside, b.full(shares.updates, 0), shares.updates)];
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
