/** Operators that move elements: slices, pads, transposes, joins and rearrangements. */
import {
  addDims, divDimsExact, mulDims, subDims, symbolsOf, type Dim,
} from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { RuleContext } from "../context.ts";
import {
  dimAt, range, splitAt, surelyAtLeast, vector,
} from "../lowering.ts";
import { NeedsConcrete } from "../refusal.ts";
import type { Family, Rule } from "../operator.ts";

// ---- transposes and joins ------------------------------------------------------------------

const transpose: Rule = (c) => {
  const x = c.input(0);
  const rank = rankOf(x);
  const perm = c.axes(c.ints("perm", range(0, rank).reverse()), rank);
  c.check(perm.length === rank, `perm has ${perm.length} axes, the operand ${rank}`);
  return c.b.transpose(x, perm);
};

const concat = (fallback: number | undefined): Rule => (c) => {
  const parts = c.inputs();
  const axis = c.axis(c.int("axis", fallback), rankOf(parts[0] as Value));
  for (const part of parts) {
    c.check(rankOf(part) === rankOf(parts[0] as Value), "The parts have different numbers of axes");
  }
  return c.b.concat(parts, axis);
};

// ---- split ---------------------------------------------------------------------------------

/** Sizes of `parts` pieces: equal, but for a smaller last one where the axis does not divide. */
function evenSizes(c: RuleContext, extent: Dim, parts: number, uneven: boolean): Dim[] {
  c.check(parts > 0, "Split is asked for no pieces");
  const each = divDimsExact(extent, parts);
  if (each !== undefined) return range(0, parts).map(() => each);
  const size = c.concrete(extent);
  c.check(uneven, `${size} elements do not split into ${parts} equal pieces`);
  const piece = Math.ceil(size / parts);
  return range(0, parts).map((i) => Math.max(Math.min(piece, size - i * piece), 0));
}

const split = (sizesOf: (c: RuleContext, extent: Dim) => readonly Dim[]): Rule => (c) => {
  const x = c.input(0);
  const axis = c.axis(c.int("axis", 0), rankOf(x));
  const sizes = sizesOf(c, dimAt(x, axis));
  const total = sizes.reduce(addDims, 0);
  c.expectDim(total, dimAt(x, axis),
    `The pieces have ${String(total)} elements, the axis ${String(dimAt(x, axis))}`);
  c.check(sizes.length >= c.node.outputs.length, "More outputs are named than pieces are made");
  return splitAt(c.b, x, axis, sizes);
};

const splitByAttribute = split((c, extent) => (c.has("split") ? c.ints("split")
  : evenSizes(c, extent, c.node.outputs.length, false)));
const splitByOperand = split((c, extent) => {
  const given = c.optional(1);
  if (given) return c.elements(given);
  return evenSizes(c, extent, c.int("num_outputs", c.node.outputs.length), c.opset >= 18);
});

// ---- slice ---------------------------------------------------------------------------------

/** A start or end as an element number within [low, high] of an axis; both ends may be symbolic. */
function placed(c: RuleContext, given: Dim, extent: Dim, low: number, high: Dim): Dim {
  const wanted = typeof given === "number" && given < 0 ? addDims(extent, given) : given;
  // INT_MAX and its kin are how exporters write "to the end".
  if (typeof wanted === "number" && wanted > 2 ** 30 && typeof high !== "number") return high;
  if (typeof wanted === "number" && typeof high === "number") {
    return Math.min(Math.max(wanted, low), high);
  }
  if (surelyAtLeast(wanted, low) && surelyAtLeast(high, wanted)) return wanted;
  if (surelyAtLeast(wanted, high)) return high;
  if (surelyAtLeast(low, wanted)) return low;
  const symbols = [...new Set([wanted, high].flatMap(symbolsOf))].sort();
  throw new NeedsConcrete(symbols, "Slice", c.place);
}

interface Cut { readonly start: Dim; readonly size: Dim; readonly step: number }

function cut(c: RuleContext, extent: Dim, start: Dim, end: Dim, step: number): Cut {
  c.check(step !== 0 && Number.isInteger(step), `The step of Slice is ${step}`);
  if (step > 0) {
    const from = placed(c, start, extent, 0, extent);
    const room = subDims(placed(c, end, extent, 0, extent), from);
    if (typeof room === "number") {
      return { start: from, size: Math.max(Math.ceil(room / step), 0), step };
    }
    if (step === 1) return { start: from, size: room, step };
    // ceil(room / step), where that is a polynomial.
    const whole = divDimsExact(addDims(room, step - 1), step) ?? divDimsExact(room, step);
    return { start: from, size: whole ?? c.concrete(room), step };
  }
  const last = subDims(extent, 1);
  const from = placed(c, start, extent, -1, last);
  const to = typeof end === "number" && end < -(2 ** 30) ? -1 : placed(c, end, extent, -1, last);
  const room = subDims(from, to);
  const size = step === -1 && typeof room !== "number" ? room
    : Math.max(Math.ceil(c.concrete(room) / -step), 0);
  return { start: from, size, step };
}

/** Cuts axes; a negative step is the cut of the reversed axis. */
function sliceAxes(
  c: RuleContext, x: Value, axes: readonly number[], starts: readonly Dim[],
  ends: readonly Dim[], steps: readonly number[],
): Value {
  c.check([starts, ends, steps].every((list) => list.length === axes.length),
    "Slice is given lists of different lengths");
  const from: Dim[] = shapeOf(x).map(() => 0);
  const sizes = [...shapeOf(x)];
  const each = sizes.map(() => 1);
  const flipped: number[] = [];
  axes.forEach((axis, i) => {
    const extent = dimAt(x, axis);
    const { start, size, step } =
      cut(c, extent, starts[i] as Dim, ends[i] as Dim, steps[i] as number);
    sizes[axis] = size;
    each[axis] = Math.abs(step);
    if (step > 0) from[axis] = size === 0 ? 0 : start;
    else {
      flipped.push(axis);
      from[axis] = size === 0 ? 0 : subDims(subDims(extent, 1), start);
    }
  });
  return c.b.slice(c.b.flip(x, flipped), from, sizes, each);
}

const sliceByAttributes: Rule = (c) => {
  const x = c.input(0);
  const starts = c.ints("starts");
  const axes = c.axes(c.ints("axes", range(0, starts.length)), rankOf(x));
  return sliceAxes(c, x, axes, starts, c.ints("ends"), starts.map(() => 1));
};

const sliceByOperands: Rule = (c) => {
  const x = c.input(0);
  const starts = c.elements(c.input(1));
  const [axesGiven, stepsGiven] = [c.optional(3), c.optional(4)];
  const axes = c.axes(axesGiven ? c.numbers(axesGiven) : range(0, starts.length), rankOf(x));
  const steps = stepsGiven ? c.numbers(stepsGiven) : starts.map(() => 1);
  return sliceAxes(c, x, axes, starts, c.elements(c.input(2)), steps);
};

// ---- pad -----------------------------------------------------------------------------------

type PadMode = "constant" | "reflect" | "edge" | "wrap";

/** Source positions of a padded axis of `extent` elements. */
function padPositions(mode: PadMode, extent: number, low: number, high: number): number[] {
  const period = mode === "reflect" ? Math.max(2 * extent - 2, 1) : extent;
  return range(-low, extent + high).map((at) => {
    if (mode === "edge") return Math.min(Math.max(at, 0), extent - 1);
    const wrapped = ((at % period) + period) % period;
    return mode === "reflect" && wrapped >= extent ? period - wrapped : wrapped;
  });
}

/** Fills with an element that is only known at run time, through a mask. */
function padWith(
  c: RuleContext, x: Value, low: readonly number[], high: readonly number[], fill: Value,
): Value {
  const { b } = c;
  const inside = b.pad(b.full(x, 1, "int32"), low, high, 0);
  const padded = b.pad(x, low, high, 0);
  return b.where(b.cast(inside, "bool"), padded, b.reshape(b.cast(fill, x.type.dtype), []));
}

function padAxes(
  c: RuleContext, x: Value, mode: PadMode, low: readonly number[], high: readonly number[],
  fill: number | Value,
): Value {
  if (mode === "constant") {
    return typeof fill === "number" ? c.b.pad(x, low, high, fill) : padWith(c, x, low, high, fill);
  }
  // Crops first: the other modes continue what is left.
  const crop = (list: readonly number[]): number[] => list.map((n) => Math.min(n, 0));
  let y = c.b.pad(x, crop(low), crop(high), 0);
  shapeOf(x).forEach((_, axis) => {
    const [before, after] = [Math.max(low[axis] as number, 0), Math.max(high[axis] as number, 0)];
    if (before === 0 && after === 0) return;
    const extent = c.concrete(dimAt(y, axis), `Pad in mode ${mode}`);
    c.check(extent > 0, `Axis ${axis} is empty and cannot be continued`);
    const positions = padPositions(mode, extent, before, after);
    y = c.b.gather(y, vector(c.b, "int32", positions), axis);
  });
  return y;
}

const pad = (
  padsOf: (c: RuleContext) => readonly number[], fillOf: (c: RuleContext) => number | Value,
): Rule => (c) => {
  const x = c.input(0);
  const rank = rankOf(x);
  const pads = padsOf(c);
  const given = c.optional(3);
  const axes = c.axes(given ? c.numbers(given) : range(0, rank), rank);
  c.check(pads.length === 2 * axes.length, `${pads.length} pads for ${axes.length} axes`);
  const spread = (from: number): number[] => range(0, rank).map((axis) => {
    const at = axes.indexOf(axis);
    return at < 0 ? 0 : pads[from + at] as number;
  });
  const mode = c.choice("mode", "constant", "reflect", "edge", "wrap");
  return padAxes(c, x, mode, spread(0), spread(axes.length), fillOf(c));
};

const fillOperand = (c: RuleContext): number | Value => {
  const given = c.optional(2);
  return given ? c.tryNumbers(given)?.[0] ?? given : 0;
};

// ---- rearrangements ------------------------------------------------------------------------

const depthToSpace: Rule = (c) => {
  const [{ b }, x, size] = [c, c.ranked(0, 4), c.int("blocksize")];
  const [n, channels, h, w] = shapeOf(x) as [Dim, Dim, Dim, Dim];
  const depth = c.divided(channels, size * size,
    `${String(channels)} channels do not split into blocks of ${size} x ${size}`);
  const columnFirst = c.choice("mode", "DCR", "CRD") === "CRD";
  const split = columnFirst ? [n, depth, size, size, h, w] : [n, size, size, depth, h, w];
  const perm = columnFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  const spread = b.transpose(b.reshape(x, split), perm);
  return b.reshape(spread, [n, depth, mulDims(h, size), mulDims(w, size)]);
};

const spaceToDepth: Rule = (c) => {
  const [{ b }, x, size] = [c, c.ranked(0, 4), c.int("blocksize")];
  const [n, channels, h, w] = shapeOf(x) as [Dim, Dim, Dim, Dim];
  const [rows, columns] = [h, w].map((d) =>
    c.divided(d, size, `${String(d)} does not split into blocks of ${size}`)) as [Dim, Dim];
  const blocks = b.reshape(x, [n, channels, rows, size, columns, size]);
  const gathered = b.transpose(blocks, [0, 3, 5, 1, 2, 4]);
  return b.reshape(gathered, [n, mulDims(channels, size * size), rows, columns]);
};

const tile: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const repeats = c.elements(c.input(1));
  c.check(repeats.length === rankOf(x), `${repeats.length} repeats for ${rankOf(x)} axes`);
  c.check(repeats.every((r) => typeof r !== "number" || r >= 0), "A number of repeats is negative");
  // [d] -> [r, d] by repetition, then joined.
  const apart = b.reshape(x, shapeOf(x).flatMap((d) => [1, d]));
  const spread = b.broadcast(apart, shapeOf(x).flatMap((d, i) => [repeats[i] as Dim, d]));
  return b.reshape(spread, shapeOf(x).map((d, i) => mulDims(d, repeats[i] as Dim)));
};

/** Keeps the upper or lower triangle of the last two axes, seen from diagonal `k`. */
const trilu: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const rank = rankOf(x);
  c.check(rank >= 2, "Trilu needs a matrix");
  const given = c.optional(1);
  const k = given ? b.cast(b.reshape(given, []), "int32") : b.scalar("int32", 0);
  const [row, column] = [rank - 2, rank - 1].map((axis) => b.iota(shapeOf(x), axis, "int32")) as
    [Value, Value];
  const edge = b.addition(row, k);
  const kept = c.flag("upper", true) ? b.binary("le", edge, column) : b.binary("le", column, edge);
  return b.where(kept, x, b.full(x, 0));
};

/** Reverses the first `sequence_lens[n]` elements of each sequence. */
const reverseSequence: Rule = (c) => {
  const [{ b }, x, lengths] = [c, c.input(0), c.ranked(1, 1)];
  const time = c.axis(c.int("time_axis", 0), rankOf(x));
  const batch = c.axis(c.int("batch_axis", 1), rankOf(x));
  c.check(time !== batch && time < 2 && batch < 2, "time_axis and batch_axis must be 0 and 1");
  const first = time === 0 ? x : b.transpose(x, [1, 0, ...range(2, rankOf(x))]);
  const [steps, count] = [dimAt(first, 0), dimAt(first, 1)];
  const at = b.iota([steps, count], 0, "int32");
  const length = b.cast(lengths, "int32");
  const mirrored = b.sub(b.sub(length, b.scalar("int32", 1)), at);
  const source = b.where(b.binary("lt", at, length), mirrored, at);
  // Row (t, n) of the joined axes is t * count + n.
  const base = b.mul(source, b.size(count, "int32"));
  const rows = b.addition(base, b.iota([steps, count], 1, "int32"));
  const rest = shapeOf(first).slice(2);
  const joined = b.reshape(first, [mulDims(steps, count), ...rest]);
  const out = b.gather(joined, rows, 0);
  return time === 0 ? out : b.transpose(out, [1, 0, ...range(2, rankOf(x))]);
};

/** Crops or pads around the centre. */
const centerCropPad: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const rank = rankOf(x);
  const wanted = c.numbers(c.input(1));
  const axes = c.axes(c.ints("axes", range(0, rank)), rank);
  c.check(wanted.length === axes.length, `${wanted.length} sizes for ${axes.length} axes`);
  const [low, high] = [new Array<number>(rank).fill(0), new Array<number>(rank).fill(0)];
  axes.forEach((axis, i) => {
    const missing = (wanted[i] as number) - c.concrete(dimAt(x, axis));
    // An odd crop or pad has its extra element at the end: crops cut floor(n/2) in front.
    const front = missing < 0 ? -Math.floor(-missing / 2) : Math.floor(missing / 2);
    low[axis] = front;
    high[axis] = missing - front;
  });
  return b.pad(x, low, high, 0);
};

export const movement: Family = [
  { name: "Transpose", since: { 1: transpose } },
  { name: "Concat", since: { 1: concat(1), 4: concat(undefined) } },
  { name: "Split", since: { 2: splitByAttribute, 13: splitByOperand } },
  { name: "Slice", since: { 1: sliceByAttributes, 10: sliceByOperands } },
  {
    name: "Pad",
    since: {
      1: pad((c) => c.ints("paddings"), (c) => c.float("value", 0)),
      2: pad((c) => c.ints("pads"), (c) => c.float("value", 0)),
      11: pad((c) => c.numbers(c.input(1)), fillOperand),
    },
  },
  { name: "DepthToSpace", since: { 1: depthToSpace } },
  { name: "SpaceToDepth", since: { 1: spaceToDepth } },
  { name: "Tile", since: { 6: tile } },
  { name: "Trilu", since: { 14: trilu } },
  { name: "ReverseSequence", since: { 10: reverseSequence } },
  { name: "CenterCropPad", since: { 18: centerCropPad } },
];

