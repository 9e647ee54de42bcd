/** Fourier transforms as products with cosines and sines, windows, and mel filter banks. */
import { isFloat } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import { tensor } from "../../graph/tensor.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, moveAxis, pick, range, unsqueeze } from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";

/**
 * cos and sin of 2 pi j k / n for j < n, k < bins. Whole turns and quarter turns are taken off in
 * integers, so that what is 0 or 1 is exactly that.
 */
function waves(b: Builder, n: number, bins: number): { cos: Value; sin: Value } {
  const shape = [n, bins];
  const turns = b.binaryWith("rem",
    b.mul(b.iota(shape, 0, "int32"), b.iota(shape, 1, "int32")), n);
  const quarters = b.binaryWith("mul", turns, 4);
  const quadrant = b.binaryWith("div", quarters, n);
  const rest = b.cast(b.binaryWith("rem", quarters, n), "float32");
  const angle = b.mul(rest, b.full(rest, Math.PI / 2 / n));
  const [cos, sin] = [b.unary("cos", angle), b.unary("sin", angle)];
  const [minusCos, minusSin] = [b.unary("neg", cos), b.unary("neg", sin)];
  const by = (...values: readonly [Value, Value, Value, Value]): Value => {
    const is = (q: number): Value => b.binary("eq", quadrant, b.full(quadrant, q));
    const [first, second, third, fourth] = values;
    return b.where(is(0), first, b.where(is(1), second, b.where(is(2), third, fourth)));
  };
  return {
    cos: by(cos, minusSin, minusCos, sin), sin: by(sin, cos, minusSin, minusCos),
  };
}

/** Longer transforms would overflow j * k in 32 bits. */
const longest = 46_340;

/**
 * Transforms the last axis of `real` (and `imaginary`, absent for 0): bins x n products. Forward:
 * X = sum x (cos - i sin); inverse: (1/n) sum X (cos + i sin).
 */
function transform(
  c: RuleContext, real: Value, imaginary: Value | undefined, bins: number, inverse: boolean,
): readonly [Value, Value] {
  const { b } = c;
  const n = c.concrete(dimAt(real, rankOf(real) - 1), "The length of the transform");
  if (n > longest) return c.unsupported(`A transform of length ${n} is not supported`);
  const { cos, sin } = waves(b, n, bins);
  const times = (v: Value, w: Value): Value => b.dot(v, b.cast(w, v.type.dtype), 0, 1);
  let re = times(real, cos);
  let im = times(real, sin);
  if (!inverse) im = b.unary("neg", im);
  if (imaginary) {
    const [cosine, sine] = [times(imaginary, cos), times(imaginary, sin)];
    re = inverse ? b.sub(re, sine) : b.addition(re, sine);
    im = b.addition(im, cosine);
  }
  if (!inverse) return [re, im];
  const share = (v: Value): Value => b.div(v, b.full(v, n));
  return [share(re), share(im)];
}

/** Cuts the last axis to `length` or fills it with zeros. */
function resized(c: RuleContext, v: Value, length: number): Value {
  const last = rankOf(v) - 1;
  const more = length - c.concrete(dimAt(v, last));
  const high = shapeOf(v).map((_, i) => (i === last ? more : 0));
  return c.b.pad(v, high.map(() => 0), high, 0);
}

/** Real and imaginary parts of [.., 1 or 2], with the transformed axis moved to the end. */
function partsOf(c: RuleContext, x: Value, axis: number): [Value, Value | undefined] {
  const last = rankOf(x) - 1;
  const kind = c.concrete(dimAt(x, last));
  c.check(kind === 1 || kind === 2, `The last axis has ${kind} entries, not 1 or 2`);
  const part = (i: number): Value => moveAxis(c.b, pick(c.b, x, last, i), axis, last - 1);
  return [part(0), kind === 2 ? part(1) : undefined];
}

/** [.., re and im] with the transformed axis back in its place. */
function complexAt(c: RuleContext, parts: readonly Value[], axis: number): Value {
  const rank = rankOf(parts[0] as Value);
  return c.b.concat(parts.map((v) =>
    unsqueeze(c.b, moveAxis(c.b, v, rank - 1, axis), [rank])), rank);
}

const dft = (axisOf: (c: RuleContext, rank: number) => number): Rule => (c) => {
  const x = c.input(0);
  const rank = rankOf(x);
  c.check(rank >= 2, "DFT needs a signal axis and one of real and imaginary parts");
  const axis = c.axis(axisOf(c, rank), rank);
  c.check(axis !== rank - 1, "The last axis holds real and imaginary parts");
  const [inverse, onesided] = [c.flag("inverse"), c.flag("onesided")];
  const [real, imaginary] = partsOf(c, x, axis);
  const given = c.optional(1);
  const half = inverse && onesided;
  const extent = c.concrete(dimAt(real, rank - 2), "The length of the transform");
  const length = given ? c.scalar(given) : half ? 2 * (extent - 1) : extent;
  c.check(Number.isInteger(length) && length > 0, `The length of the transform is ${length}`);
  if (half) return complexAt(c, [inverseReal(c, real, imaginary, length)], axis);
  const bins = onesided ? Math.floor(length / 2) + 1 : length;
  const fitted = [real, imaginary].map((v) => v && resized(c, v, length));
  return complexAt(c, transform(c, fitted[0] as Value, fitted[1], bins, inverse), axis);
};

/** The real signal whose spectrum's first half is given; the other half is its mirror. */
function inverseReal(
  c: RuleContext, real: Value, imaginary: Value | undefined, length: number,
): Value {
  const { b } = c;
  const bins = Math.floor(length / 2) + 1;
  const mirrored = (v: Value, sign: number): Value => {
    const first = resized(c, v, bins);
    const last = rankOf(v) - 1;
    const inner = b.sliceAxis(first, last, 1, length - bins + 1);
    const back = b.flip(inner, [last]);
    return b.concat([first, sign < 0 ? b.unary("neg", back) : back], last);
  };
  return transform(
    c, mirrored(real, 1), imaginary && mirrored(imaginary, -1), length, true)[0];
}

const stft: Rule = (c) => {
  const { b } = c;
  const signal = c.ranked(0, 2, 3);
  const step = c.scalar(c.input(1));
  const [window, lengthOperand] = [c.optional(2) && c.ranked(2, 1), c.optional(3)];
  const length = lengthOperand ? c.scalar(lengthOperand)
    : window ? c.concrete(dimAt(window, 0)) : c.fail("Neither a window nor frame_length is given");
  c.check(step >= 1 && length >= 1, `Frames of ${length} every ${step} make no sense`);
  const shaped = rankOf(signal) === 2 ? unsqueeze(b, signal, [2]) : signal;
  const [real, imaginary] = partsOf(c, shaped, 1);
  c.concrete(dimAt(real, 1), "The length of the signal");
  const frames = (v: Value): Value => {
    const cut = b.add("window", [v], { sizes: [length], strides: [step], dilations: [1] });
    return window ? b.mul(cut, b.cast(window, cut.type.dtype)) : cut;
  };
  const bins = c.flag("onesided", true) ? Math.floor(length / 2) + 1 : length;
  const parts = transform(c, frames(real), imaginary && frames(imaginary), bins, false);
  return complexAt(c, parts, 2);
};

// ---- windows -------------------------------------------------------------------------------

/** sum over k of (-1)^k a_k cos(2 pi k i / n), with n one less for a symmetric window. */
const windowOf = (...terms: readonly number[]): Rule => (c) => {
  const size = c.scalar(c.input(0));
  c.check(size >= 0 && size < 2 ** 24, `A window cannot have ${size} elements`);
  const dtype = c.dtype("output_datatype", "float32");
  c.check(isFloat(dtype), `A window of ${dtype} makes no sense`);
  const period = c.flag("periodic", true) ? size : Math.max(size - 1, 1);
  const values = range(0, size).map((i) => terms.reduce((sum, a, k) =>
    sum + (k % 2 === 0 ? a : -a) * Math.cos((2 * Math.PI * k * i) / period), 0));
  return c.b.constant(tensor(dtype, [size], values));
};

/** Triangles between frequencies spaced evenly in mel. */
const melWeights: Rule = (c) => {
  const [bins, length, rate, low, high] = range(0, 5).map((i) => c.scalar(c.input(i))) as
    [number, number, number, number, number];
  const dtype = c.dtype("output_datatype", "float32");
  const spectrum = Math.floor(length / 2) + 1;
  c.check(bins >= 0 && bins * spectrum < 2 ** 26 && rate > 0,
    "The filter bank cannot be this large");
  const toMel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
  const [from, to] = [toMel(low), toMel(high)];
  const edges = range(0, bins + 2).map((i) => {
    const hertz = 700 * (10 ** ((i * ((to - from) / (bins + 2)) + from) / 2595) - 1);
    return Math.floor(((length + 1) * hertz) / rate);
  });
  const weights = new Float32Array(spectrum * bins);
  for (let m = 0; m < bins; m++) {
    const [lower, centre, upper] = edges.slice(m, m + 3) as [number, number, number];
    const set = (row: number, value: number): void => {
      if (row >= 0 && row < spectrum) weights[row * bins + m] = value;
    };
    if (centre === lower) set(centre, 1);
    else for (let j = lower; j <= centre; j++) set(j, (j - lower) / (centre - lower));
    if (upper > centre) for (let j = centre; j < upper; j++) set(j, (upper - j) / (upper - centre));
  }
  return c.b.constant(tensor(dtype, [spectrum, bins], Array.from(weights)));
};

export const signals: Family = [
  {
    name: "DFT",
    since: {
      17: dft((c) => c.int("axis", 1)),
      20: dft((c, rank) => (c.optional(2) ? c.scalar(c.input(2)) : rank - 2)),
    },
  },
  { name: "STFT", since: { 17: stft } },
  { name: "HannWindow", since: { 17: windowOf(0.5, 0.5) } },
  { name: "HammingWindow", since: { 17: windowOf(25 / 46, 21 / 46) } },
  { name: "BlackmanWindow", since: { 17: windowOf(0.42, 0.5, 0.08) } },
  { name: "MelWeightMatrix", since: { 17: melWeights } },
];
