/**
 * Sampling at positions that are data: GridSample, RoiAlign, deformable convolution. All read
 * elements of [B, D1.., C] at real-valued coordinates; the tap helpers below are theirs.
 */
import { mulDims, productOf, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import { elementAt, tensor } from "../../graph/tensor.ts";
import type { RuleContext } from "../context.ts";
import { clamp, dimAt, matmul, pick, range, swapLastTwo, unsqueeze } from "../lowering.ts";
import { perChannel, spatialOf, outputsOf } from "../spatial.ts";
import type { Family, Rule } from "../operator.ts";

/** One tap of an axis: source positions (int32) and weights (float), both [B, P]. */
interface Tap { readonly at: Value; readonly weight: Value }

const plus = (b: Builder, v: Value, n: number): Value => b.addition(v, b.full(v, n));
const scaled = (b: Builder, v: Value, n: number): Value => b.mul(v, b.full(v, n));

/** [B, C, D1..] as rows [B * D1.., C], so that one position is one row. */
function asRows(b: Builder, x: Value): Value {
  const [batch, channels, ...extents] = shapeOf(x) as [Dim, Dim, ...Dim[]];
  const moved = b.transpose(x, [0, ...range(2, rankOf(x)), 1]);
  return b.reshape(moved, [mulDims(batch, productOf(extents)), channels]);
}

/** Rows [B, P, C] at integer positions per axis, which must lie inside. */
function rowsAt(
  b: Builder, rows: Value, at: readonly Value[], extents: readonly number[],
): Value {
  const shape = shapeOf(at[0] as Value);
  const batch = b.iota(shape, 0, "int32");
  const flat = at.reduce((total, v, i) =>
    b.addition(scaled(b, total, extents[i] as number), v), batch);
  return b.gather(rows, flat, 0);
}

/** Every combination of one tap per axis, weighted and summed: [B, P, C]. */
function weightedSum(
  b: Builder, rows: Value, taps: readonly (readonly Tap[])[], extents: readonly number[],
): Value {
  const combine = (i: number, chosen: readonly Tap[]): Value[] => {
    if (i === taps.length) {
      const weight = chosen.map((t) => t.weight).reduce((p, w) => b.mul(p, w));
      const values = rowsAt(b, rows, chosen.map((t) => t.at), extents);
      return [b.mul(values, b.cast(unsqueeze(b, weight, [2]), values.type.dtype))];
    }
    return (taps[i] as readonly Tap[]).flatMap((tap) => combine(i + 1, [...chosen, tap]));
  };
  return combine(0, []).reduce((sum, v) => b.addition(sum, v));
}

/** A position outside reads 0: its weight goes, its position is brought inside. */
function zeroOutside(b: Builder, { at, weight }: Tap, extent: number): Tap {
  const low = b.binary("lt", at, b.full(at, 0));
  const high = b.binary("le", b.full(at, extent), at);
  const outside = b.binary("or", low, high);
  return {
    at: clamp(b, at, 0, extent - 1), weight: b.where(outside, b.full(weight, 0), weight),
  };
}

/** The two neighbours of a coordinate, by distance. */
function linearTaps(b: Builder, x: Value): Tap[] {
  const base = b.unary("floor", x);
  const fraction = b.sub(x, base);
  const at = b.cast(base, "int32");
  return [
    { at, weight: b.sub(b.full(fraction, 1), fraction) },
    { at: plus(b, at, 1), weight: fraction },
  ];
}

/** The four neighbours by Keys' kernel with a = -0.75. */
function cubicTaps(b: Builder, x: Value): Tap[] {
  const a = -0.75;
  const base = b.unary("floor", x);
  const t = b.sub(x, base);
  const first = b.cast(base, "int32");
  const near = (d: Value): Value =>
    plus(b, b.mul(b.mul(plus(b, scaled(b, d, a + 2), -(a + 3)), d), d), 1);
  const far = (d: Value): Value => plus(b, b.mul(plus(b, b.mul(
    plus(b, scaled(b, d, a), -5 * a), d), 8 * a), d), -4 * a);
  const back = b.sub(b.full(t, 1), t);
  return [
    { at: plus(b, first, -1), weight: far(plus(b, t, 1)) },
    { at: first, weight: near(t) },
    { at: plus(b, first, 1), weight: near(back) },
    { at: plus(b, first, 2), weight: far(plus(b, back, 1)) },
  ];
}

// ---- GridSample ----------------------------------------------------------------------------

/** Folds a coordinate back into [low, high] at its borders, as often as needed. */
function reflect(b: Builder, x: Value, low: number, high: number): Value {
  const span = high - low;
  if (span <= 0) return b.full(x, low);
  const from = b.unary("abs", plus(b, x, -low));
  const rounds = b.unary("floor", scaled(b, from, 1 / span));
  const rest = b.sub(from, scaled(b, rounds, span));
  const odd = b.sub(rounds, scaled(b, b.unary("floor", scaled(b, rounds, 0.5)), 2));
  const isOdd = b.binary("lt", b.full(odd, 0.5), odd);
  return b.where(isOdd, plus(b, b.unary("neg", rest), high), plus(b, rest, low));
}

type Padding = "zeros" | "border" | "reflection";

function settle(b: Builder, x: Value, padding: Padding, extent: number, corners: boolean): Value {
  if (padding === "border") return clamp(b, x, 0, extent - 1);
  if (padding !== "reflection") return x;
  return reflect(b, x, corners ? 0 : -0.5, corners ? extent - 1 : extent - 0.5);
}

/** A tap's position brought inside, or its weight dropped. */
function inside(
  b: Builder, tap: Tap, padding: Padding, extent: number, corners: boolean,
): Tap {
  if (padding === "zeros") return zeroOutside(b, tap, extent);
  if (padding === "border") return { ...tap, at: clamp(b, tap.at, 0, extent - 1) };
  const folded = reflect(
    b, b.cast(tap.at, "float32"), corners ? 0 : -0.5, corners ? extent - 1 : extent - 0.5);
  return { ...tap, at: clamp(b, b.cast(b.unary("round", folded), "int32"), 0, extent - 1) };
}

const gridSample: Rule = (c) => {
  const { b } = c;
  const [x, grid] = [c.input(0), c.input(1)];
  const n = rankOf(x) - 2;
  const problem = "The grid does not hold one coordinate per spatial axis";
  c.check(n >= 1 && rankOf(grid) === n + 2, problem);
  c.expectDim(dimAt(grid, n + 1), n, problem);
  const extents = c.concreteShape(shapeOf(x).slice(2));
  const mode = c.string("mode", "linear").replace(/^bi/, "");
  const padding = c.choice("padding_mode", "zeros", "border", "reflection");
  const corners = c.flag("align_corners");
  const [batch, ...outer] = shapeOf(grid).slice(0, -1) as [Dim, ...Dim[]];
  const points = b.reshape(b.cast(grid, "float32"), [batch, productOf(outer), n]);
  const taps = extents.map((extent, i) => {
    // The grid's last axis counts the other way round: x first.
    const given = pick(b, points, 2, n - 1 - i);
    const real = corners ? scaled(b, plus(b, given, 1), (extent - 1) / 2)
      : scaled(b, plus(b, scaled(b, plus(b, given, 1), extent), -1), 0.5);
    const place = (v: Value): Value => settle(b, v, padding, extent, corners);
    const found = mode === "nearest" ? (() => {
      const at = b.cast(place(b.unary("round", real)), "int32");
      return [{ at, weight: b.full(real, 1) }];
    })() : mode === "linear" ? linearTaps(b, place(real))
      // Cubic taps are brought inside one by one, as the exporting frameworks do.
      : mode === "cubic" ? cubicTaps(b, padding === "border" ? real : place(real))
        : c.unsupported(`The mode "${mode}" is not supported`);
    return found.map((tap) => inside(b, tap, padding, extent, corners));
  });
  const sampled = weightedSum(b, asRows(b, x), taps, extents);
  const channels = dimAt(x, 1);
  return b.reshape(swapLastTwo(b, sampled), [batch, channels, ...outer]);
};

/** A grid of coordinates in [-1, 1], moved by an affine map per batch element. */
const affineGrid: Rule = (c) => {
  const { b } = c;
  const theta = c.ranked(0, 3);
  const size = c.numbers(c.input(1));
  const extents = size.slice(2);
  const n = extents.length;
  c.check(size.every((d) => d >= 0) && n >= 1, `A grid cannot have the size [${size}]`);
  const corners = c.flag("align_corners");
  const { dtype } = theta.type;
  const columns = range(0, n).map((i) => {
    const axis = n - 1 - i;
    const extent = extents[axis] as number;
    const line = range(0, extent).map((p) => (corners
      ? (extent > 1 ? (2 * p) / (extent - 1) - 1 : -1) : (2 * p + 1) / extent - 1));
    const shape = extents.map((_, j) => (j === axis ? extent : 1));
    return b.broadcast(b.constant(tensor(dtype, shape, line)), extents);
  });
  const ones = b.broadcast(b.scalar(dtype, 1), extents);
  const points = b.concat([...columns, ones].map((v) => unsqueeze(b, v, [n])), n);
  const flat = b.reshape(points, [productOf(extents), n + 1]);
  const moved = matmul(b, unsqueeze(b, flat, [0]), swapLastTwo(b, theta));
  return b.reshape(moved, [size[0] as number, ...extents, n]);
};

// ---- RoiAlign ------------------------------------------------------------------------------

/** Samples per bin and axis: the attribute, or what each region needs to sample every element. */
function samplesPerBin(
  c: RuleContext, rois: Value, bins: readonly [number, number],
): { counts: readonly [Value | number, Value | number]; most: readonly [number, number] } {
  const fixed = c.int("sampling_ratio", 0);
  if (fixed > 0) return { counts: [fixed, fixed], most: [fixed, fixed] };
  const boxes = c.value(rois);
  const [scale, half] = [c.float("spatial_scale", 1), isHalf(c)];
  // In float32, as it is specified: a side that is a hair above a whole number of bins counts.
  const at = (r: number, i: number): number =>
    Math.fround(Math.fround(elementAt(boxes, r * 4 + i) * scale) - (half ? 0.5 : 0));
  const lists = [1, 0].map((axis, j) => range(0, boxes.shape[0] as number).map((r) => {
    const side = Math.max(Math.fround(at(r, axis + 2) - at(r, axis)), half ? 0 : 1);
    return Math.max(Math.ceil(Math.fround(side / (bins[j] as number))), 1);
  }));
  const most = lists.map((list) => Math.max(1, ...list)) as [number, number];
  const counts = lists.map((list) => c.b.constant(
    tensor("float32", [list.length, 1], list))) as [Value, Value];
  return { counts, most };
}

/** Opset 10 had no choice of coordinates and meant the ones without the half pixel. */
const isHalf = (c: RuleContext): boolean => c.opset >= 16 &&
  c.choice("coordinate_transformation_mode", "half_pixel", "output_half_pixel") === "half_pixel";

const roiAlign: Rule = (c) => {
  const { b } = c;
  const [x, rois, batches] = [c.ranked(0, 4), c.ranked(1, 2), c.input(2)];
  const [height, width] = c.concreteShape(shapeOf(x).slice(2)) as [number, number];
  const bins = [c.int("output_height", 1), c.int("output_width", 1)] as const;
  const count = c.concrete(dimAt(rois, 0), "The number of regions");
  const { counts, most } = samplesPerBin(c, rois, bins);
  const half = isHalf(c);
  const scale = c.float("spatial_scale", 1);
  const corner = (i: number): Value =>
    plus(b, scaled(b, b.cast(b.sliceAxis(rois, 1, i, i + 1), "float32"), scale), half ? -0.5 : 0);
  // Per axis: coordinates [R, bins * samples] and which samples count.
  const axis = (j: 0 | 1): { at: Value; used: Value } => {
    const [low, high] = [corner(1 - j), corner(3 - j)];
    const side = b.sub(high, low);
    const length = half ? side : b.max(side, b.full(side, 1));
    const bin = scaled(b, length, 1 / bins[j]);
    const shape = [count, bins[j], most[j]];
    const of = (v: Value): Value => b.reshape(v, [count, 1, 1]);
    const n = counts[j];
    const samples = typeof n === "number" ? b.broadcast(b.scalar("float32", n), shape)
      : b.broadcast(of(n), shape);
    const sample = b.iota(shape, 2, "float32");
    const start = b.addition(of(low), b.mul(b.iota(shape, 1, "float32"), of(bin)));
    const step = b.div(b.mul(plus(b, sample, 0.5), of(bin)), samples);
    const flat = [count, bins[j] * most[j]];
    return {
      at: b.reshape(b.addition(start, step), flat),
      used: b.reshape(b.binary("lt", sample, samples), flat),
    };
  };
  const [rows, columns] = [axis(0), axis(1)];
  const grid = [bins[0] * most[0], bins[1] * most[1]] as const;
  const spread = (v: Value, along: 0 | 1): Value => b.reshape(b.broadcast(
    unsqueeze(b, v, [along === 0 ? 2 : 1]), [count, ...grid]), [count, grid[0] * grid[1]]);
  const used = b.binary("and", spread(rows.used, 0), spread(columns.used, 1));
  // Beyond one element outside, a sample is 0; nearer, the border's elements count.
  const taps = ([[rows, height], [columns, width]] as const).map(([{ at }, extent], along) => {
    const all = spread(at, along as 0 | 1);
    const valid = b.binary("and", b.binary("le", b.full(all, -1), all),
      b.binary("le", all, b.full(all, extent)));
    const inner = linearTaps(b, clamp(b, all, 0, extent - 1));
    return inner.map((tap) => ({
      at: clamp(b, tap.at, 0, extent - 1),
      weight: b.where(b.binary("and", valid, used), tap.weight, b.full(tap.weight, 0)),
    }));
  });
  const source = asRows(b, b.gather(x, b.cast(batches, "int32"), 0));
  const channels = dimAt(x, 1);
  const apart = (v: Value): Value => b.transpose(b.reshape(v,
    [count, bins[0], most[0], bins[1], most[1], channels]), [0, 5, 1, 3, 2, 4]);
  if (c.choice("mode", "avg", "max") === "max") {
    // The largest weighted tap of any sample, as the specification's reference has it.
    const each = taps.map((list) => list) as [Tap[], Tap[]];
    const parts = each[0].flatMap((p) => each[1].map((q) =>
      apart(weightedSum(b, source, [[p], [q]], [height, width]))));
    const best = parts.reduce((m, v) => b.max(m, v));
    const counted = b.broadcast(b.transpose(b.reshape(used,
      [count, bins[0], most[0], bins[1], most[1], 1]), [0, 5, 1, 3, 2, 4]), shapeOf(best));
    return b.reduce("max", b.where(counted, best, b.full(best, -Infinity)), [4, 5]);
  }
  const total = b.reduce("sum", apart(weightedSum(b, source, taps, [height, width])), [4, 5]);
  const size = counts.map((n) => (typeof n === "number" ? b.scalar("float32", n) : n));
  const samples = b.mul(size[0] as Value, size[1] as Value);
  const divisor = rankOf(samples) === 0 ? samples : b.reshape(samples, [count, 1, 1, 1]);
  return b.div(total, b.cast(divisor, total.type.dtype));
};

// ---- DeformConv ----------------------------------------------------------------------------

const deformConv: Rule = (c) => {
  const { b } = c;
  const [x, w, offset] = [c.ranked(0, 4), c.ranked(1, 4), c.ranked(2, 4)];
  const kernel = c.concreteShape(shapeOf(w).slice(2)) as [number, number];
  const s = spatialOf(c, x, kernel);
  const extents = c.concreteShape(shapeOf(x).slice(2)) as [number, number];
  const outs = outputsOf(s, extents) as [number, number];
  const [groups, sets] = [c.int("group", 1), c.int("offset_group", 1)];
  const [batch, channels] = shapeOf(x) as [Dim, Dim];
  const perSet = c.divided(channels, sets, "Channels do not split into offset groups");
  const count = kernel[0] * kernel[1];
  const [points, lead] = [outs[0] * outs[1], mulDims(batch, sets)];
  // [N, sets * taps * 2, outs..] -> per axis [N * sets, taps * points]
  const moves = b.reshape(offset, [lead, count, 2, points]);
  const taps = extents.map((extent, i) => {
    const shape = [kernel[0], kernel[1], outs[0], outs[1]];
    const grid = b.addition(
      scaled(b, b.iota(shape, i, "int32"), s.dilations[i] as number),
      plus(b, scaled(b, b.iota(shape, 2 + i, "int32"), s.strides[i] as number),
        -(s.low[i] as number)));
    const base = b.reshape(b.cast(grid, "float32"), [count * points]);
    const move = b.reshape(b.cast(pick(b, moves, 2, i), "float32"), [lead, count * points]);
    return linearTaps(b, b.addition(move, base)).map((tap) => zeroOutside(b, tap, extent));
  });
  const split = b.reshape(x, [lead, perSet, ...extents]);
  let sampled = swapLastTwo(b, weightedSum(b, asRows(b, split), taps, extents));
  const mask = c.optional(4);
  if (mask) sampled = b.mul(sampled, b.reshape(mask, [lead, 1, count * points]));
  // [N * sets, C / sets, taps * points] -> groups of [C / groups * taps, points]
  const outputs = dimAt(w, 0);
  const [inner, each] = [channels, outputs].map((d) =>
    c.divided(d, groups, "Channels do not split into groups")) as [Dim, Dim];
  const columns = b.reshape(sampled, [batch, groups, mulDims(inner, count), points]);
  const weights = b.reshape(w, [1, groups, each, mulDims(inner, count)]);
  const y = b.reshape(matmul(b, weights, columns), [batch, outputs, ...outs]);
  const bias = c.optional(3);
  return bias ? b.addition(y, perChannel(c, bias, 4)) : y;
};

export const sampling: Family = [
  { name: "GridSample", since: { 16: gridSample } },
  { name: "AffineGrid", since: { 20: affineGrid } },
  { name: "RoiAlign", since: { 10: roiAlign } },
  { name: "DeformConv", since: { 19: deformConv } },
];
