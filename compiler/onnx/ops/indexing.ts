/** Operators that address by data: gathers, scatters, one-hot, and selections by a mask. */
import { mulDims, productOf, type Dim } from "../../graph/dim.ts";
import { isFloat } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type ScatterKind, type Value } from "../../graph/graph.ts";
import { elementAt, sizeOf, tensor, type Tensor } from "../../graph/tensor.ts";
import { forEachIndex, stridesOf } from "../../ops/common.ts";
import type { RuleContext } from "../context.ts";
import {
  dimAt, flatAlong, fromEnd, gatherAlong, oneHot, pick, range, vector,
} from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

/** Indices of an axis with negative ones brought round; checked where they are known. */
function indicesOf(c: RuleContext, indices: Value, extent: Dim): Value {
  c.check(!isFloat(indices.type.dtype), "Indices must be integers");
  const known = c.tryNumbers(indices);
  if (!known) return fromEnd(c.b, indices, extent);
  if (typeof extent === "number") {
    const far = known.find((i) => i < -extent || i >= extent);
    c.check(far === undefined, `Index ${far} lies outside an axis of ${extent}`);
  }
  return known.every((i) => i >= 0) ? indices : fromEnd(c.b, indices, extent);
}

const gather: Rule = (c) => {
  const [x, indices] = [c.input(0), c.input(1)];
  const axis = c.axis(c.int("axis", 0), rankOf(x));
  return c.b.gather(x, indicesOf(c, indices, dimAt(x, axis)), axis);
};

const gatherElements: Rule = (c) => {
  const [x, indices] = [c.input(0), c.input(1)];
  const axis = c.axis(c.int("axis", 0), rankOf(x));
  c.check(rankOf(indices) === rankOf(x), "Data and indices must have the same number of axes");
  return gatherAlong(c.b, x, indicesOf(c, indices, dimAt(x, axis)), axis);
};

/** Row numbers of index tuples [.., k] into the first `k` of `extents`, joined. */
function joinedRows(c: RuleContext, indices: Value, extents: readonly Dim[]): Value {
  const { b } = c;
  const last = rankOf(indices) - 1;
  let row = b.broadcast(b.scalar("int32", 0), shapeOf(indices).slice(0, -1));
  extents.forEach((extent, i) => {
    const at = fromEnd(b, b.cast(pick(b, indices, last, i), "int32"), extent);
    row = b.addition(b.mul(row, b.size(extent, "int32")), at);
  });
  return row;
}

const gatherND: Rule = (c) => {
  const [{ b }, x, indices] = [c, c.input(0), c.input(1)];
  const batch = c.int("batch_dims", 0);
  c.check(rankOf(indices) >= 1, "The indices must have an axis");
  const k = c.concrete(dimAt(indices, rankOf(indices) - 1));
  c.check(batch >= 0 && batch < rankOf(indices) && batch + k <= rankOf(x) && k >= 1,
    `${k} indices after ${batch} batch axes do not fit ${rankOf(x)} axes`);
  const lead = shapeOf(x).slice(0, batch);
  const extents = shapeOf(x).slice(batch, batch + k);
  const rest = shapeOf(x).slice(batch + k);
  let row = joinedRows(c, indices, extents);
  const outer = shapeOf(row);
  // The batch's own number comes first: rows of batch i begin at i * (rows per batch).
  let stride = productOf(extents);
  for (let axis = batch - 1; axis >= 0; axis--) {
    row = b.addition(row, b.mul(b.iota(outer, axis, "int32"), b.size(stride, "int32")));
    stride = mulDims(stride, lead[axis] as Dim);
  }
  const rows = b.reshape(x, [productOf([...lead, ...extents]), ...rest]);
  return b.gather(rows, row, 0);
};

const scatterKinds: Readonly<Record<string, ScatterKind>> = {
  none: "none", add: "add", mul: "mul", max: "max", min: "min",
};

const kindOf = (c: RuleContext): ScatterKind => scatterKinds[
  c.choice("reduction", "none", "add", "mul", "max", "min")] as ScatterKind;

const scatterElements: Rule = (c) => {
  const { b } = c;
  const [x, indices, updates] = c.inputs(3) as [Value, Value, Value];
  const axis = c.axis(c.int("axis", 0), rankOf(x));
  c.check(rankOf(indices) === rankOf(x), "Data and indices must have the same number of axes");
  const rows = flatAlong(b, x, indicesOf(c, indices, dimAt(x, axis)), axis);
  const count = productOf(shapeOf(indices));
  const out = b.add("scatter", [
    b.reshape(x, [productOf(shapeOf(x)), 1]), b.reshape(rows, [count]),
    b.reshape(updates, [count, 1]),
  ], { kind: kindOf(c) });
  return b.reshape(out, shapeOf(x));
};

const scatterND: Rule = (c) => {
  const { b } = c;
  const [x, indices, updates] = c.inputs(3) as [Value, Value, Value];
  c.check(rankOf(indices) >= 1, "The indices must have an axis");
  const k = c.concrete(dimAt(indices, rankOf(indices) - 1));
  c.check(k >= 1 && k <= rankOf(x), `${k} indices do not fit ${rankOf(x)} axes`);
  const row = joinedRows(c, indices, shapeOf(x).slice(0, k));
  const [rows, columns] = [productOf(shapeOf(x).slice(0, k)), productOf(shapeOf(x).slice(k))];
  const count = productOf(shapeOf(row));
  const out = b.add("scatter", [
    b.reshape(x, [rows, columns]), b.reshape(row, [count]), b.reshape(updates, [count, columns]),
  ], { kind: kindOf(c) });
  return b.reshape(out, shapeOf(x));
};

/** Writes a block of steps into a cache, batch by batch at its own place. */
const tensorScatter: Rule = (c) => {
  const { b } = c;
  const [cache, update] = [c.input(0), c.input(1)];
  const rank = rankOf(cache);
  const axis = c.axis(c.int("axis", -2), rank);
  c.check(axis > 0, "The first axis is the batch");
  c.check(rankOf(update) === rank, "Cache and update must have the same number of axes");
  const circular = c.choice("mode", "linear", "circular") === "circular";
  const order = [0, axis, ...range(1, rank).filter((i) => i !== axis)];
  const inverse = range(0, rank).map((i) => order.indexOf(i));
  const [rows, news] = [b.transpose(cache, order), b.transpose(update, order)];
  const [batch, extent, ...rest] = shapeOf(rows) as [Dim, Dim, ...Dim[]];
  const steps = dimAt(news, 1);
  const at = b.iota([batch, steps], 1, "int32");
  const given = c.optional(2);
  const start = given ? b.reshape(b.cast(given, "int32"), [batch, 1]) : b.scalar("int32", 0);
  const position = b.addition(at, start);
  const inside = circular ? b.binary("rem", position, b.size(extent, "int32")) : position;
  const first = b.mul(b.iota([batch, steps], 0, "int32"), b.size(extent, "int32"));
  const row = b.addition(first, inside);
  const columns = productOf(rest);
  const out = b.add("scatter", [
    b.reshape(rows, [mulDims(batch, extent), columns]), b.reshape(row, [mulDims(batch, steps)]),
    b.reshape(news, [mulDims(batch, steps), columns]),
  ], { kind: "none" });
  return b.transpose(b.reshape(out, shapeOf(rows)), inverse);
};

const oneHotRule: Rule = (c) => {
  const { b } = c;
  const [indices, depthOperand, values] = c.inputs(3) as [Value, Value, Value];
  const given = c.element(depthOperand);
  const depth = typeof given === "number" ? Math.trunc(given) : given;
  c.check(typeof depth !== "number" || depth >= 0, `The depth of OneHot is ${String(depth)}`);
  const axis = c.axis(c.int("axis", -1), rankOf(indices) + 1);
  const at = fromEnd(b, b.cast(indices, "int32"), depth);
  const hot = oneHot(b, at, depth, axis);
  return b.where(hot, pick(b, values, 0, 1), pick(b, values, 0, 0));
};

// ---- selections whose size depends on data -------------------------------------------------

/** Indices of the elements that are not 0, as rows of coordinates. */
function nonZero(t: Tensor): number[][] {
  const found: number[][] = [];
  forEachIndex(t.shape, (index, flat) => {
    if (elementAt(t, flat) !== 0) found.push([...index]);
  });
  return found;
}

const nonZeroRule: Rule = (c) => {
  const found = nonZero(c.value(c.input(0)));
  const rank = rankOf(c.input(0));
  const columns = range(0, rank).flatMap((axis) => found.map((index) => index[axis] as number));
  return c.b.constant(tensor("int64", [rank, found.length], columns));
};

const compress: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const chosen = nonZero(c.value(c.ranked(1, 1))).map(([i]) => i as number);
  const whole = !c.has("axis");
  const from = whole ? b.reshape(x, [productOf(shapeOf(x))]) : x;
  const axis = whole ? 0 : c.axis(c.int("axis"), rankOf(x));
  return b.gather(from, vector(b, "int32", chosen), axis);
};

/** Distinct rows of [rows, width]: first positions in order, and which one each row is. */
function distinct(
  rows: number, width: number, at: (row: number, i: number) => number, sorted: boolean,
): { first: number[]; inverse: number[]; counts: number[] } {
  const compare = (x: number, y: number): number => {
    for (let i = 0; i < width; i++) {
      const [p, q] = [at(x, i), at(y, i)];
      if (p !== q && !(Number.isNaN(p) && Number.isNaN(q))) {
        return Number.isNaN(p) ? 1 : Number.isNaN(q) ? -1 : p - q;
      }
    }
    return 0;
  };
  const order = range(0, rows).sort((x, y) => compare(x, y) || x - y);
  const groups: number[][] = [];
  for (const row of order) {
    const last = groups.at(-1);
    if (last && compare(last[0] as number, row) === 0) last.push(row);
    else groups.push([row]);
  }
  if (!sorted) groups.sort((x, y) => (x[0] as number) - (y[0] as number));
  const inverse = new Array<number>(rows);
  groups.forEach((group, g) => group.forEach((row) => {
    inverse[row] = g;
  }));
  return { first: groups.map((g) => g[0] as number), inverse, counts: groups.map((g) => g.length) };
}

const unique: Rule = (c) => {
  const { b } = c;
  const whole = !c.has("axis");
  const x = whole ? b.reshape(c.input(0), [productOf(shapeOf(c.input(0)))]) : c.input(0);
  const axis = whole ? 0 : c.axis(c.int("axis"), rankOf(x));
  const t = c.value(x);
  const stride = stridesOf(t.shape)[axis] as number;
  const rows = t.shape[axis] as number;
  const width = rows === 0 ? 0 : sizeOf(t.shape) / rows;
  // Element i of a row: its place in the block before the axis, and after it.
  const at = (row: number, i: number): number => elementAt(t,
    Math.floor(i / stride) * stride * rows + row * stride + (i % stride));
  const { first, inverse, counts } = distinct(rows, width, at, c.flag("sorted", true));
  const list = (values: readonly number[]): Value => vector(b, "int64", values);
  return [b.gather(x, vector(b, "int32", first), axis), list(first), list(inverse), list(counts)];
};

export const indexing: Family = [
  { name: "Gather", since: { 1: gather } },
  { name: "GatherElements", since: { 11: gatherElements } },
  { name: "GatherND", since: { 11: gatherND } },
  { name: "Scatter", since: { 9: scatterElements } },
  { name: "ScatterElements", since: { 11: scatterElements } },
  { name: "ScatterND", since: { 11: scatterND } },
  { name: "TensorScatter", since: { 24: tensorScatter } },
  { name: "OneHot", since: { 9: oneHotRule } },
  { name: "NonZero", since: { 9: nonZeroRule } },
  { name: "Compress", since: { 9: compress } },
  { name: "Unique", since: { 11: unique } },
];
