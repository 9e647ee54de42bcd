/**
 * Resize and Upsample: one axis after the other. For each output position of an axis the source
 * positions and their weights are worked out here, on numbers; the graph gathers and adds.
 */
import { dtypeFacts, isFloat } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import { tensor } from "../../graph/tensor.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, range, vector } from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

type Mode = "nearest" | "linear" | "cubic";

/** How one axis is resized. */
interface AxisPlan {
  readonly input: number;
  readonly output: number;
  readonly scale: number;
  /** Part of the axis that is sampled, for tf_crop_and_resize. */
  readonly from: number;
  readonly to: number;
}

type Coordinate = (i: number, p: AxisPlan) => number;
const halfPixel: Coordinate = (i, { scale }) => (i + 0.5) / scale - 0.5;

/** The output's width before it was rounded down to a whole number of elements. */
const exactWidth = ({ scale, input }: AxisPlan): number => {
  const width = scale * input;
  return Math.abs(width - Math.round(width)) < 1e-9 ? Math.round(width) : width;
};

/** Source coordinate of output position i, by coordinate_transformation_mode. */
const coordinates: Readonly<Record<string, Coordinate>> = {
  half_pixel: halfPixel,
  half_pixel_symmetric: (i, p) => {
    // What rounding the size down has cut off is cut off on both sides.
    const adjustment = p.output / exactWidth(p);
    return (p.input / 2) * (1 - adjustment) + halfPixel(i, p);
  },
  pytorch_half_pixel: (i, p) => (p.output > 1 ? halfPixel(i, p) : 0),
  align_corners: (i, p) =>
    (exactWidth(p) === 1 ? 0 : (i * (p.input - 1)) / (exactWidth(p) - 1)),
  asymmetric: (i, { scale }) => i / scale,
  tf_half_pixel_for_nn: (i, { scale }) => (i + 0.5) / scale,
  tf_crop_and_resize: (i, p) => (p.output > 1
    ? p.from * (p.input - 1) + (i * (p.to - p.from) * (p.input - 1)) / (exactWidth(p) - 1)
    : 0.5 * (p.from + p.to) * (p.input - 1)),
};

/** Source position nearest to x, by nearest_mode. */
const nearest: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

/** Keys' cubic convolution kernel with parameter a. */
function cubic(distance: number, a: number): number {
  const d = Math.abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

interface Taps { readonly positions: number[]; readonly weights: number[] }

/** Source positions of coordinate x (they may lie outside) and their weights. */
function tapsAt(c: RuleContext, x: number, mode: "linear" | "cubic", scale: number): Taps {
  const a = c.float("cubic_coeff_a", -0.75);
  const width = mode === "linear" ? 1 : 2;
  // When shrinking, an antialiasing kernel is as much wider as the output is coarser.
  const squeeze = c.flag("antialias") ? Math.min(scale, 1) : 1;
  const reach = squeeze === 1 ? width : 1 - (Math.floor(-width / squeeze) + 1);
  const base = Math.ceil(x) - 1;
  const positions = range(base - reach + 1, base + reach + 1);
  const weights = positions.map((p) => {
    const d = (p - x) * squeeze;
    return mode === "linear" ? Math.max(1 - Math.abs(d), 0) : cubic(d, a);
  });
  const total = weights.reduce((s, w) => s + w, 0);
  return { positions, weights: squeeze === 1 ? weights : weights.map((w) => w / total) };
}

/** Weights of positions outside dropped, the rest brought back to a sum of 1. */
function insideOnly({ positions, weights }: Taps, extent: number): Taps {
  const kept = weights.map((w, i) => {
    const p = positions[i] as number;
    return p < 0 || p >= extent ? 0 : w;
  });
  const total = kept.reduce((s, w) => s + w, 0);
  return { positions, weights: total === 0 ? weights : kept.map((w) => w / total) };
}

function resizeAxis(
  c: RuleContext, x: Value, axis: number, p: AxisPlan, mode: Mode, coordinate: Coordinate,
  pickNearest: (x: number) => number,
): Value {
  const { b } = c;
  const inside = (position: number): number => Math.min(Math.max(position, 0), p.input - 1);
  const at = range(0, p.output).map((i) => coordinate(i, p));
  if (mode === "nearest") {
    const positions = at.map((v) => inside(pickNearest(v)));
    if (positions.length === p.input && positions.every((v, i) => v === i)) return x;
    return b.gather(x, vector(b, "int32", positions), axis);
  }
  const taps = at.map((v) => {
    const found = tapsAt(c, v, mode, p.scale);
    return c.flag("exclude_outside") ? insideOnly(found, p.input) : found;
  });
  const count = (taps[0] as Taps | undefined)?.positions.length ?? 0;
  const shape = shapeOf(x).map((_, i) => (i === axis ? p.output : 1));
  const parts = range(0, count).map((t) => {
    const positions = taps.map((tap) => inside(tap.positions[t] as number));
    const weights = taps.map((tap) => tap.weights[t] as number);
    const weight = b.constant(tensor(x.type.dtype, shape, weights));
    return b.mul(b.gather(x, vector(b, "int32", positions), axis), weight);
  });
  return parts.reduce((sum, part) => b.addition(sum, part));
}

/** Overwrites what was sampled outside of the operand, for tf_crop_and_resize. */
function extrapolate(
  c: RuleContext, y: Value, plans: readonly (AxisPlan | undefined)[], coordinate: Coordinate,
): Value {
  const { b } = c;
  const fill = b.full(y, c.float("extrapolation_value", 0));
  return plans.reduce<Value>((v, p, axis) => {
    if (!p) return v;
    const outside = range(0, p.output).map((i) => {
      const x = coordinate(i, p);
      return x < 0 || x > p.input - 1 ? 1 : 0;
    });
    if (outside.every((flag) => flag === 0)) return v;
    const shape = shapeOf(v).map((_, i) => (i === axis ? p.output : 1));
    return b.where(b.constant(tensor("bool", shape, outside)), fill, v);
  }, y);
}

interface Form {
  readonly mode: Mode;
  readonly coordinate: string;
  readonly nearest: string;
  readonly scales: readonly number[] | undefined;
  readonly sizes: readonly number[] | undefined;
  readonly roi: readonly number[] | undefined;
  readonly axes: readonly number[];
}

/** Sizes asked for, with the aspect ratio kept where the node says so. */
function resolve(c: RuleContext, form: Form, extents: readonly number[]): [number, number][] {
  const { scales, sizes } = form;
  if (scales) {
    return scales.map((scale, i) => [Math.floor((extents[i] as number) * scale), scale]);
  }
  const wanted = sizes ?? c.fail("Neither scales nor sizes are given");
  const ratios = wanted.map((size, i) => size / (extents[i] as number));
  const policy = c.choice(
    "keep_aspect_ratio_policy", "stretch", "not_larger", "not_smaller");
  if (policy === "stretch") return wanted.map((size, i) => [size, ratios[i] as number]);
  const scale = policy === "not_larger" ? Math.min(...ratios) : Math.max(...ratios);
  return extents.map((d) => [Math.floor(d * scale + 0.5), scale]);
}

function resize(c: RuleContext, x: Value, form: Form): Value {
  const { axes, roi } = form;
  const n = axes.length;
  const lists = [form.scales, form.sizes].filter((list) => list !== undefined);
  c.check(lists.every((list) => list.length === n), `Scales or sizes are not given for ${n} axes`);
  // Axes that keep their size need no number: a batch stays symbolic.
  const keeps = (i: number): boolean => form.scales?.[i] === 1;
  const coordinate = coordinates[form.coordinate] ??
    c.unsupported(`The coordinates "${form.coordinate}" are not supported`);
  const pickNearest = nearest[form.nearest] ??
    c.unsupported(`The nearest_mode "${form.nearest}" is not supported`);
  const crops = form.coordinate === "tf_crop_and_resize";
  const changing = range(0, n).filter((i) => crops || !keeps(i));
  const extents = changing.map((i) => c.concrete(dimAt(x, axes[i] as number)));
  const pickOut = (list: readonly number[] | undefined): number[] | undefined =>
    list && changing.map((i) => list[i] as number);
  const resolved = resolve(
    c, { ...form, scales: pickOut(form.scales), sizes: pickOut(form.sizes) }, extents);
  const plans = new Array<AxisPlan | undefined>(rankOf(x)).fill(undefined);
  changing.forEach((i, j) => {
    const [output, scale] = resolved[j] as [number, number];
    c.check(output >= 0 && output < 2 ** 24 && scale > 0,
      `Axis ${axes[i]} cannot get size ${output}`);
    const input = extents[j] as number;
    c.check(input > 0 || output === 0, `Axis ${axes[i]} is empty`);
    plans[axes[i] as number] = {
      input, output, scale, from: roi?.[i] ?? 0, to: roi?.[n + i] ?? 1,
    };
  });
  const { kind } = dtypeFacts[x.type.dtype];
  const viaFloat = form.mode !== "nearest" && kind !== "float";
  let y = viaFloat ? c.b.cast(x, "float32") : x;
  plans.forEach((p, axis) => {
    if (!p || (p.input === p.output && p.scale === 1 && !crops)) return;
    y = resizeAxis(c, y, axis, p, form.mode, coordinate, pickNearest);
  });
  if (crops) y = extrapolate(c, y, plans, coordinate);
  if (!viaFloat) return y;
  // Saturated when cast: cubic weights overshoot.
  return c.b.cast(y, x.type.dtype);
}

const modeOf = (c: RuleContext): Mode => {
  const mode = c.string("mode", "nearest");
  // The first opsets called it after its two-dimensional form.
  return mode === "bilinear" ? "linear" : mode === "nearest" || mode === "linear" ||
    mode === "cubic" ? mode : c.unsupported(`The mode "${mode}" is not supported`);
};

/** An operand's numbers; an empty one stands for none. */
function numbersOf(c: RuleContext, i: number): readonly number[] | undefined {
  const v = c.optional(i);
  if (!v || dimAt(v, 0) === 0) return undefined;
  const numbers = c.numbers(v);
  // Scales are float32 in the file: 0.6 must not become 0.60000002 in the arithmetic here.
  return isFloat(v.type.dtype) ? numbers.map(shortest) : numbers;
}

/** The shortest decimal that is this float32: what a person wrote. */
function shortest(x: number): number {
  for (let digits = 1; digits <= 9; digits++) {
    const candidate = Number(x.toPrecision(digits));
    if (Math.fround(candidate) === Math.fround(x)) return candidate;
  }
  return x;
}

/** Scales only, asymmetric coordinates, floor: Upsample, and Resize in opset 10. */
const early = (scalesOf: (c: RuleContext) => readonly number[] | undefined): Rule => (c) => {
  const x = c.input(0);
  return resize(c, x, {
    mode: modeOf(c), coordinate: "asymmetric", nearest: "floor", sizes: undefined, roi: undefined,
    scales: scalesOf(c), axes: range(0, rankOf(x)),
  });
};

const modern: Rule = (c) => {
  const x = c.input(0);
  const rank = rankOf(x);
  const sizes = numbersOf(c, 3);
  return resize(c, x, {
    mode: modeOf(c),
    coordinate: c.string("coordinate_transformation_mode", "half_pixel"),
    nearest: c.string("nearest_mode", "round_prefer_floor"),
    scales: sizes ? undefined : numbersOf(c, 2),
    sizes,
    roi: numbersOf(c, 1),
    axes: c.axes(c.ints("axes", range(0, rank)), rank),
  });
};

export const resizing: Family = [
  { name: "Resize", since: { 10: early((c) => numbersOf(c, 1)), 11: modern } },
  {
    name: "Upsample",
    since: { 7: early((c) => c.floats("scales")), 9: early((c) => numbersOf(c, 1)) },
  },
];
