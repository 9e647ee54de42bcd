/** Poolings: over windows and over everything, and the way back. */
import { productOf, type Dim } from "../../graph/dim.ts";
import { isFloat, integerRange } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import { tensor } from "../../graph/tensor.ts";
import type { RuleContext } from "../context.ts";
import { range, zeros } from "../lowering.ts";
import { allAxes, outputsOf, spanOf, spatialOf, windows, type Spatial } from "../spatial.ts";
import type { Family, Rule } from "../operator.ts";

const windowAxes = (rank: number, n: number): number[] => range(rank, rank + n);

const lowest = (v: Value): number =>
  (isFloat(v.type.dtype) ? -Infinity : integerRange(v.type.dtype).min);

/**
 * The operand and its windows. A window that hangs over an axis by less than a stride is cut: the
 * specification gives no element there, runtimes divide toward zero and give one, and networks fed
 * images that are a little too small rely on it.
 */
function pooled(c: RuleContext, x: Value = c.input(0)): { x: Value; s: Spatial } {
  const s = spatialOf(c, x, c.ints("kernel_shape"));
  const extents = c.concreteShape(shapeOf(x).slice(2));
  const cut = extents.map((extent, i) => {
    const [low, high, stride] = [s.low[i], s.high[i], s.strides[i]] as [number, number, number];
    const over = spanOf(s.kernel[i] as number, s.dilations[i] as number) - extent - low - high;
    return extent > 0 && over > 0 && over < stride ? over : 0;
  });
  if (cut.every((over) => over === 0)) return { x, s };
  c.note("a window is larger than its axis and is cut");
  return { x, s: { ...s, extra: s.extra.map((extra, i) => Math.max(extra, cut[i] as number)) } };
}

const maxPool: Rule = (c) => {
  const { x, s } = pooled(c);
  const { b } = c;
  const seen = windows(c, x, s, lowest(x));
  const axes = windowAxes(rankOf(x), s.kernel.length);
  const y = b.reduce("max", seen, axes);
  if (!c.wants(1)) return [y];
  // The position of the first largest element, as an index into the whole operand.
  const shape = c.concreteShape(shapeOf(x));
  const column = c.flag("storage_order");
  const at = windows(c, flatPositions(c, shape, column), s, -1);
  const isLargest = b.binary("eq", seen, b.reduce("max", seen, axes, true));
  const inside = b.not(b.binary("lt", at, b.full(at, 0)));
  const chosen = b.where(b.binary("and", isLargest, inside), at, b.full(at, 2 ** 31 - 1));
  return [y, b.cast(b.reduce("min", chosen, axes), "int64")];
};

/** Index of each element of a shape; column-major in the spatial axes if asked. */
function flatPositions(c: RuleContext, shape: readonly number[], columnMajor: boolean): Value {
  const { b } = c;
  const order = columnMajor
    ? [...range(2, shape.length), 1, 0] : range(0, shape.length).reverse();
  let stride = 1;
  let total = zeros(b, "int32", shape);
  for (const axis of order) {
    const index = b.iota(shape, axis, "int32");
    total = b.addition(total, b.mul(index, b.full(index, stride)));
    stride *= shape[axis] as number;
  }
  return total;
}

/** How many elements each window of an axis sees; pads if asked, what ceil mode adds never. */
function counts(s: Spatial, extents: readonly number[], includePads: boolean, i: number): number[] {
  const [low, high] = [s.low[i] as number, s.high[i] as number];
  const extent = extents[i] as number;
  const [from, to] = includePads ? [-low, extent + high] : [0, extent];
  return range(0, outputsOf(s, extents)[i] as number).map((position) => {
    const start = position * (s.strides[i] as number) - low;
    return range(0, s.kernel[i] as number).filter((tap) => {
      const at = start + tap * (s.dilations[i] as number);
      return at >= from && at < to;
    }).length;
  });
}

export function averagePool(c: RuleContext, operand: Value): Value {
  const { x, s } = pooled(c, operand);
  const { b } = c;
  const n = s.kernel.length;
  const total = b.reduce("sum", windows(c, x, s, 0), windowAxes(rankOf(x), n));
  const extents = c.concreteShape(shapeOf(x).slice(2));
  const perAxis = s.kernel.map((_, i) => counts(s, extents, c.flag("count_include_pad"), i));
  if (perAxis.every((list) => list.every((count) => count === list[0]))) {
    const count = perAxis.reduce((p, list) => p * (list[0] ?? 1), 1);
    return b.div(total, b.full(total, count));
  }
  const divisor = perAxis.map((list, i) => {
    const shape = perAxis.map((_, j) => (i === j ? list.length : 1));
    return b.constant(tensor(x.type.dtype, shape, list));
  }).reduce((p, v) => b.mul(p, v));
  return b.div(total, divisor);
}

/** (sum |x|^p)^(1/p) over `axes`. */
function norm(c: RuleContext, v: Value, axes: readonly number[], keep: boolean): Value {
  const { b } = c;
  const p = c.has("p") && c.node.attributes.get("p")?.kind === "float"
    ? c.float("p") : c.int("p", 2);
  const size = b.unary("abs", v);
  if (p === 1) return b.reduce("sum", size, axes, keep);
  const total = b.reduce("sum", p === 2 ? b.mul(v, v) : b.binaryWith("pow", size, p), axes, keep);
  return p === 2 ? b.unary("sqrt", total) : b.binaryWith("pow", total, 1 / p);
}

const lpPool: Rule = (c) => {
  const { x, s } = pooled(c);
  return norm(c, windows(c, x, s, 0), windowAxes(rankOf(x), s.kernel.length), false);
};

const global = (reduce: (c: RuleContext, x: Value, axes: number[]) => Value): Rule => (c) => {
  const x = c.input(0);
  c.check(rankOf(x) >= 2, "A global pooling needs a batch and a channel axis");
  return reduce(c, x, range(2, rankOf(x)));
};

/** Puts elements back where MaxPool found them. */
const maxUnpool: Rule = (c) => {
  const [{ b }, x, indices] = [c, c.input(0), c.input(1)];
  const n = rankOf(x) - 2;
  c.check(n >= 1, "MaxUnpool needs a spatial axis");
  const kernel = c.ints("kernel_shape");
  const strides = c.ints("strides", new Array<number>(n).fill(1));
  const pads = c.ints("pads", new Array<number>(2 * n).fill(0));
  const [batch, channels, ...extents] =
    c.concreteShape(shapeOf(x)) as [number, number, ...number[]];
  const inner = extents.map((d, i) => (d - 1) * (strides[i] as number) + (kernel[i] as number) -
    (pads[i] as number) - (pads[n + i] as number));
  const shape = [batch, channels, ...inner];
  const count = productOf(shapeOf(x));
  const target = zeros(b, x.type.dtype, [productOf(shape), 1]);
  const filled = b.reshape(b.add("scatter", [
    target, b.cast(b.reshape(indices, [count]), "int32"), b.reshape(x, [count, 1]),
  ], { kind: "none" }), shape);
  const wanted = c.optional(2);
  if (!wanted) return filled;
  const more = c.numbers(wanted).map((d, i) => d - (shape[i] as number));
  return b.pad(filled, shape.map(() => 0), more, 0);
};

/** Sums blocks [N, C * block.., L] back onto an image: the transpose of taking windows. */
const col2im: Rule = (c) => {
  const [{ b }, x] = [c, c.ranked(0, 3)];
  const [image, block] = [c.numbers(c.input(1)), c.numbers(c.input(2))];
  const n = image.length;
  const ones = new Array<number>(n).fill(1);
  const [strides, dilations] = [c.ints("strides", ones), c.ints("dilations", ones)];
  const pads = c.ints("pads", new Array<number>(2 * n).fill(0));
  const [low, high] = [pads.slice(0, n), pads.slice(n)];
  const padded = image.map((d, i) => d + (low[i] as number) + (high[i] as number));
  const positions = padded.map((d, i) => {
    const span = ((block[i] as number) - 1) * (dilations[i] as number) + 1;
    return Math.floor((d - span) / (strides[i] as number)) + 1;
  });
  const [batch, columns] = shapeOf(x) as [Dim, Dim];
  const channels = c.concrete(columns) / block.reduce((p, d) => p * d, 1);
  c.check(Number.isInteger(channels), "The columns do not split into blocks");
  const apart = b.reshape(x, [batch, channels, ...block, ...positions]);
  const asWindows = b.transpose(apart, [0, 1, ...range(2 + n, 2 + 2 * n), ...range(2, 2 + n)]);
  const summed = b.add("unwindow", [asWindows], {
    shape: [batch, channels, ...padded], sizes: block, strides, dilations,
  });
  const crop = (list: readonly number[]): number[] => allAxes(list.map((p) => -p));
  return b.pad(summed, crop(low), crop(high), 0);
};

export const pooling: Family = [
  { name: "MaxPool", since: { 1: maxPool } },
  { name: "AveragePool", since: { 1: (c) => averagePool(c, c.input(0)) } },
  { name: "LpPool", since: { 1: lpPool } },
  { name: "GlobalMaxPool", since: { 1: global((c, x, axes) => c.b.reduce("max", x, axes, true)) } },
  { name: "GlobalAveragePool", since: { 1: global((c, x, axes) => c.b.mean(x, axes, true)) } },
  { name: "GlobalLpPool", since: { 1: global((c, x, axes) => norm(c, x, axes, true)) } },
  { name: "MaxUnpool", since: { 9: maxUnpool } },
  { name: "Col2Im", since: { 18: col2im } },
];

