/** Convolutions, forwards and transposed, of floats and of integers. */
import { mulDims, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, range } from "../lowering.ts";
import { allAxes, perChannel, spanOf, spatialOf, type Spatial } from "../spatial.ts";
import type { Family, Rule } from "../operator.ts";
import { centred } from "./products.ts";

/** The kernel's spatial sizes, checked against the attribute where that is given. */
function kernelOf(c: RuleContext, w: Value): number[] {
  const kernel = c.concreteShape(shapeOf(w).slice(2));
  const declared = c.ints("kernel_shape", kernel);
  c.check(declared.length === kernel.length && declared.every((k, i) => k === kernel[i]),
    `kernel_shape is [${declared}], the weights have [${kernel}]`);
  return kernel;
}

export function convolve(c: RuleContext, x: Value, w: Value, bias?: Value): Value {
  c.check(rankOf(x) >= 3 && rankOf(w) === rankOf(x),
    `The operand has ${rankOf(x)} axes, the weights ${rankOf(w)}`);
  const s = spatialOf(c, x, kernelOf(c, w));
  const { strides, dilations, low, high } = s;
  const groups = c.int("group", 1);
  c.check(groups >= 1, `The attribute "group" is ${groups}`);
  const y = c.b.add("conv", [x, w], { strides, dilations, low, high, groups });
  return bias ? c.b.addition(y, perChannel(c, bias, rankOf(x))) : y;
}

/** Products of centred 8-bit numbers whose sum float32 holds exactly: 258 of up to 255 * 255. */
const exactProducts = Math.floor(2 ** 24 / 255 ** 2);

/**
 * Convolution of centred 8-bit operands (int32 in, int32 out), by float convolutions over so few
 * input channels each that every sum is exact: floats are what devices multiply fast.
 */
export function convolveIntegers(c: RuleContext, x: Value, w: Value, bias?: Value): Value {
  const { b } = c;
  const [channels, ...kernel] = c.concreteShape(shapeOf(w).slice(1)) as [number, ...number[]];
  const each = Math.floor(exactProducts / kernel.reduce((p, d) => p * d, 1));
  const isWhole = channels <= each;
  if (each === 0 || (!isWhole && c.int("group", 1) > 1)) return convolve(c, x, w, bias);
  const [wideX, wideW] = [b.cast(x, "float32"), b.cast(w, "float32")];
  const part = (from: number): Value => {
    const to = Math.min(from + each, channels);
    const taken = (v: Value): Value => (isWhole ? v : b.sliceAxis(v, 1, from, to));
    return b.cast(convolve(c, taken(wideX), taken(wideW)), "int32");
  };
  const y = range(0, Math.ceil(channels / each)).map((i) => part(i * each))
    .reduce((sum, v) => b.addition(sum, v));
  return bias ? b.addition(y, perChannel(c, bias, rankOf(x))) : y;
}

const convInteger: Rule = (c) => {
  const [{ b }, x, w] = [c, c.input(0), c.input(1)];
  const zero = c.optional(3);
  // A vector of zero points is one per output channel.
  const perOutput = zero && rankOf(zero) === 1 && dimAt(zero, 0) !== 1
    ? b.reshape(zero, [dimAt(zero, 0), ...shapeOf(w).slice(1).map(() => 1)]) : zero;
  return convolveIntegers(
    c, centred(b, x, c.optional(2), false), centred(b, w, perOutput, false));
};

/** Pads of a transposed convolution, from its output shape or automatic mode where given. */
function transposedPads(c: RuleContext, x: Value, s: Spatial): Pick<Spatial, "low" | "high"> {
  const n = s.kernel.length;
  const more = c.ints("output_padding", new Array<number>(n).fill(0));
  const auto = c.choice("auto_pad", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID");
  const extents = c.concreteShape(shapeOf(x).slice(2));
  const given = c.ints("output_shape", []);
  const wanted = given.length > 0 ? given.slice(-n)
    : auto.startsWith("SAME") ? extents.map((d, i) => d * (s.strides[i] as number)) : undefined;
  if (!wanted) {
    return auto === "VALID" ? { low: s.low.map(() => 0), high: more.map((m) => -m) }
      : { low: s.low, high: s.high.map((p, i) => p - (more[i] as number)) };
  }
  const low: number[] = [];
  const high: number[] = [];
  extents.forEach((extent, i) => {
    const span = spanOf(s.kernel[i] as number, s.dilations[i] as number);
    const full = (extent - 1) * (s.strides[i] as number) + (more[i] as number) + span;
    const total = full - (wanted[i] as number);
    // More than the kernel reaches is filled up at the end.
    const front = Math.max(auto === "SAME_UPPER" ? Math.floor(total / 2) : Math.ceil(total / 2), 0);
    low.push(front);
    high.push(total - front - (more[i] as number));
  });
  return { low, high };
}

/**
 * The gradient of a convolution with respect to its input: the operand's elements spread `stride`
 * apart, convolved with the mirrored kernel whose two channel axes trade places.
 */
const convTranspose: Rule = (c) => {
  const [{ b }, x, w] = [c, c.input(0), c.input(1)];
  c.check(rankOf(x) >= 3 && rankOf(w) === rankOf(x),
    `The operand has ${rankOf(x)} axes, the weights ${rankOf(w)}`);
  const s = spatialOf(c, x, kernelOf(c, w));
  const { low, high } = transposedPads(c, x, s);
  const groups = c.int("group", 1);
  const [channels, outputs] = [dimAt(w, 0), dimAt(w, 1)];
  const perGroup = c.divided(
    channels, groups, `${String(channels)} channels do not split into ${groups} groups`);
  const edge = (pads: readonly number[]): number[] => pads.map((p, i) =>
    (s.dilations[i] as number) * ((s.kernel[i] as number) - 1) - p);
  const spread = b.pad(x, allAxes(edge(low)), allAxes(edge(high)), 0,
    allAxes(s.strides.map((stride) => stride - 1)));
  const n = s.kernel.length;
  const grouped = b.reshape(w, [groups, perGroup, outputs, ...s.kernel]);
  const swapped = b.transpose(grouped, [0, 2, 1, ...range(3, 3 + n)]);
  const kernel = b.flip(
    b.reshape(swapped, [mulDims(outputs, groups), perGroup, ...s.kernel]), range(2, 2 + n));
  const zero = s.kernel.map(() => 0);
  const y = b.add("conv", [spread, kernel], {
    strides: s.kernel.map(() => 1), dilations: s.dilations, low: zero, high: zero, groups,
  });
  const bias = c.optional(2);
  return bias ? b.addition(y, perChannel(c, bias, rankOf(x))) : y;
};

/** y[t] = sum of the last K inputs, those before the first taken from the carried state. */
const causalConvWithState: Rule = (c) => {
  const [{ b }, x, w] = [c, c.ranked(0, 3), c.ranked(1, 3)];
  const [batch, channels, steps] = shapeOf(x) as [Dim, Dim, Dim];
  const taps = c.concrete(dimAt(w, 2));
  const past = c.optional(3) ??
    b.broadcast(b.scalar(x.type.dtype, 0), [batch, channels, taps - 1]);
  const line = b.concat([past, x], 2);
  const size = c.concrete(steps);
  const groups = c.concrete(channels);
  const y = b.add("conv", [line, w], {
    strides: [1], dilations: [1], low: [0], high: [0], groups,
  });
  const bias = c.optional(2);
  const biased = bias ? b.addition(y, b.reshape(bias, [channels, 1])) : y;
  const activation = c.choice("activation", "none", "silu", "swish");
  const one = b.full(biased, 1);
  const out = activation === "none" ? biased : b.div(biased,
    b.addition(one, b.unary("exp", b.unary("neg", biased))));
  return [out, b.sliceAxis(line, 2, size, size + taps - 1)];
};

export const convolution: Family = [
  { name: "Conv", since: { 1: (c) => convolve(c, c.input(0), c.input(1), c.optional(2)) } },
  { name: "ConvInteger", since: { 10: convInteger } },
  { name: "ConvTranspose", since: { 1: convTranspose } },
  { name: "CausalConvWithState", since: { 27: causalConvWithState } },
];
