/** Normalisations. In inference, batch normalisation is a scale and a shift per channel. */
import { mulDims, productOf, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, range, square, standardize } from "../lowering.ts";
import { perChannel } from "../spatial.ts";
import type { Family, Rule } from "../operator.ts";

/**
 * y = x * scale + shift with scale = gamma / sqrt(var + eps), shift = beta - mean * scale: a form
 * that folds into the convolution before it.
 */
function scaleAndShift(
  c: RuleContext, x: Value, [gamma, beta, mean, variance]: readonly [Value, Value, Value, Value],
): Value {
  const { b } = c;
  const epsilon = c.float("epsilon", 1e-5);
  const deviation = b.unary("sqrt", b.addition(variance, b.full(variance, epsilon)));
  const scale = b.div(b.cast(gamma, deviation.type.dtype), deviation);
  const shift = b.sub(b.cast(beta, scale.type.dtype), b.mul(mean, scale));
  const [a, d] = [scale, shift].map((v) => perChannel(c, b.cast(v, x.type.dtype), rankOf(x)));
  return b.addition(b.mul(x, a as Value), d as Value);
}

/** Normalises by the batch itself, and moves the running statistics towards it. */
function trainingForm(c: RuleContext, x: Value, rest: readonly Value[]): readonly Value[] {
  const { b } = c;
  const [gamma, beta, oldMean, oldVariance] = rest as [Value, Value, Value, Value];
  const axes = [0, ...range(2, rankOf(x))];
  const wide = b.cast(x, oldMean.type.dtype);
  const mean = b.mean(wide, axes);
  const centre = b.sub(wide, perChannel(c, mean, rankOf(x)));
  const variance = b.mean(square(b, centre), axes);
  const y = scaleAndShift(c, x, [gamma, beta, mean, variance]);
  const momentum = c.float("momentum", 0.9);
  const moved = (old: Value, seen: Value): Value => b.addition(
    b.mul(old, b.full(old, momentum)), b.mul(seen, b.full(seen, 1 - momentum)));
  return [y, moved(oldMean, mean), moved(oldVariance, variance), mean, variance];
}

const batchNormalization = (isTraining: (c: RuleContext) => boolean): Rule => (c) => {
  const [x, ...rest] = c.inputs(5) as [Value, Value, Value, Value, Value];
  c.check(rankOf(x) >= 2, "The operand must have a batch and a channel axis");
  if (!c.flag("spatial", true)) return c.unsupported("Normalising per activation is not supported");
  return isTraining(c) ? trainingForm(c, x, rest) : [scaleAndShift(c, x, rest)];
};

const instanceNormalization: Rule = (c) => {
  const { b } = c;
  const [x, gamma, beta] = c.inputs(3) as [Value, Value, Value];
  const { y } = standardize(b, x, range(2, rankOf(x)), c.float("epsilon", 1e-5));
  return b.addition(b.mul(y, perChannel(c, gamma, rankOf(x))), perChannel(c, beta, rankOf(x)));
};

/** The statistics' type: float32 unless the operand is float64 or the model says otherwise. */
const stash = (c: RuleContext, x: Value): Value =>
  (x.type.dtype === "float64" ? x : c.b.cast(x, c.dtype("stash_type", "float32")));

const layerNormalization: Rule = (c) => {
  const [{ b }, x, gamma] = [c, c.input(0), c.input(1)];
  const axes = range(c.axis(c.int("axis", -1), rankOf(x)), rankOf(x));
  const { y, mean, deviation } = standardize(b, stash(c, x), axes, c.float("epsilon", 1e-5));
  const scaled = b.mul(b.cast(y, gamma.type.dtype), gamma);
  const beta = c.optional(2);
  const out = beta ? b.addition(scaled, beta) : scaled;
  return [b.cast(out, x.type.dtype), mean, b.div(b.full(deviation, 1), deviation)];
};

const rmsNormalization: Rule = (c) => {
  const x = c.input(0);
  const axes = range(c.axis(c.int("axis", -1), rankOf(x)), rankOf(x));
  return byRootMeanSquare(c, x, c.input(1), axes, 1e-5).y;
};

/** x / rms(x) * gamma, and 1 / rms(x). */
export function byRootMeanSquare(
  c: RuleContext, x: Value, gamma: Value, axes: readonly number[], epsilon: number,
): { readonly y: Value; readonly inverse: Value } {
  const { b } = c;
  const wide = stash(c, x);
  const power = b.mean(square(b, wide), axes, true);
  const rms = b.unary("sqrt", b.addition(power, b.full(power, c.float("epsilon", epsilon))));
  const y = b.mul(b.cast(b.div(wide, rms), gamma.type.dtype), gamma);
  return { y, inverse: b.div(b.full(rms, 1), rms) };
}

/** Until opset 20 scale and bias are one per group, since opset 21 one per channel. */
const groupNormalization: Rule = (c) => {
  const { b } = c;
  const [x, gamma, beta] = c.inputs(3) as [Value, Value, Value];
  const groups = c.int("num_groups");
  const [batch, channels, ...inner] = shapeOf(x) as [Dim, Dim, ...Dim[]];
  const each = c.divided(
    channels, groups, `${String(channels)} channels do not split into ${groups} groups`);
  const grouped = b.reshape(stash(c, x), [batch, groups, mulDims(each, productOf(inner))]);
  const { y } = standardize(b, grouped, [2], c.float("epsilon", 1e-5));
  const perGroup = c.opset < 21;
  const shape = perGroup ? shapeOf(grouped) : shapeOf(x);
  const normal = b.reshape(b.cast(y, x.type.dtype), shape);
  const [a, d] = [gamma, beta].map((v) => perChannel(c, v, shape.length)) as [Value, Value];
  return b.reshape(b.addition(b.mul(normal, a), d), shapeOf(x));
};

/** Divides by the energy of neighbouring channels. */
const localResponse: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const size = c.int("size");
  c.check(size >= 1 && size < 1024 && rankOf(x) >= 2, `The size of LRN is ${size}`);
  const before = Math.floor((size - 1) / 2);
  const after = size - 1 - before;
  const around = (n: number): number[] => shapeOf(x).map((_, i) => (i === 1 ? n : 0));
  const padded = b.pad(square(b, x), around(before), around(after), 0);
  const channels = dimAt(x, 1);
  const shape = shapeOf(x);
  const total = range(0, size).map((i) =>
    b.slice(padded, shape.map((_, axis) => (axis === 1 ? i : 0)), [shape[0] as Dim, channels,
      ...shape.slice(2)])).reduce((sum, v) => b.addition(sum, v));
  const weight = c.float("alpha", 1e-4) / size;
  const base = b.addition(b.mul(total, b.full(total, weight)), b.full(total, c.float("bias", 1)));
  return b.div(x, b.binaryWith("pow", base, c.float("beta", 0.75)));
};

/** Vectors of length 0 stay as they are. */
const lpNormalization: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const axis = c.axis(c.int("axis", -1), rankOf(x));
  const p = c.int("p", 2);
  c.check(p === 1 || p === 2, `The norm p=${p} is none of 1, 2`);
  const total = p === 1 ? b.reduce("sum", b.unary("abs", x), [axis], true)
    : b.unary("sqrt", b.reduce("sum", square(b, x), [axis], true));
  const isZero = b.binary("eq", total, b.full(total, 0));
  return b.div(x, b.where(isZero, b.full(total, 1), total));
};

const meanVariance: Rule = (c) => {
  const x = c.input(0);
  const axes = c.axes(c.ints("axes", [0, 2, 3]), rankOf(x));
  // The specification's function body adds 1e-9 to the deviation.
  const { b } = c;
  const mean = b.mean(x, axes, true);
  const centred = b.sub(x, mean);
  const deviation = b.unary("sqrt", b.mean(square(b, centred), axes, true));
  return b.div(centred, b.addition(deviation, b.full(deviation, 1e-9)));
};

export const normalization: Family = [
  {
    name: "BatchNormalization",
    since: {
      1: batchNormalization((c) => !c.flag("is_test", true) || c.wants(1)),
      7: batchNormalization((c) => c.wants(1)),
      14: batchNormalization((c) => c.flag("training_mode")),
    },
  },
  { name: "InstanceNormalization", since: { 1: instanceNormalization } },
  { name: "LayerNormalization", since: { 17: layerNormalization } },
  { name: "RMSNormalization", since: { 23: rmsNormalization } },
  { name: "GroupNormalization", since: { 18: groupNormalization } },
  { name: "LRN", since: { 1: localResponse } },
  { name: "LpNormalization", since: { 1: lpNormalization } },
  { name: "MeanVarianceNormalization", since: { 9: meanVariance } },
];
