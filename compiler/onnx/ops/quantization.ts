/**
 * Quantised operators, in float32 and int32: exact as long as integers stay below 2^24, which
 * 8-bit operands guarantee for sums of up to 256 products and rounding absorbs beyond.
 */
import { dtypeFacts, integerRange, type DType } from "../../graph/dtype.ts";
import { mulDims, type Dim } from "../../graph/dim.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import { clamp, dimAt, matmul, range, reduce, unsqueeze } from "../lowering.ts";
import type { Family, Rule } from "../operator.ts";
import { convolve, convolveIntegers } from "./convolution.ts";
import { centred } from "./products.ts";

/** Rounds half to even, shifts by the zero point, saturates. */
export function saturate(b: Builder, scaled: Value, zero: Value | undefined, dtype: DType): Value {
  const rounded = b.unary("round", b.cast(scaled, "float32"));
  const shifted = zero ? b.addition(rounded, b.cast(zero, "float32")) : rounded;
  const { min, max } = integerRange(dtype);
  return b.cast(clamp(b, shifted, min, max), dtype);
}

/** A scale or zero point that meets `x`: a scalar, a vector along the axis, or one per block. */
function meeting(c: RuleContext, x: Value, parameter: Value): Value {
  const { b } = c;
  const block = c.int("block_size", 0);
  if (rankOf(parameter) === 0 || (rankOf(parameter) === 1 && dimAt(parameter, 0) === 1)) {
    return b.reshape(parameter, []);
  }
  const axis = c.axis(c.int("axis", 1), rankOf(x));
  if (block === 0) {
    c.check(rankOf(parameter) === 1, "A scale per axis must be a vector");
    return b.reshape(parameter, [dimAt(parameter, 0), ...shapeOf(x).slice(axis + 1).map(() => 1)]);
  }
  c.check(rankOf(parameter) === rankOf(x), "Scales per block must have the operand's axes");
  const shape = shapeOf(parameter);
  const spread = b.broadcast(unsqueeze(b, parameter, [axis + 1]),
    [...shape.slice(0, axis + 1), block, ...shape.slice(axis + 1)]);
  const repeated = b.reshape(spread, shape.map((d, i): Dim =>
    (i === axis ? mulDims(d, block) : d)));
  // A last block may be short.
  return b.slice(repeated, shape.map(() => 0), shapeOf(x));
}

function integerType(c: RuleContext, dtype: DType): DType {
  const { kind } = dtypeFacts[dtype];
  return kind === "int" || kind === "uint" ? dtype
    : c.unsupported(`Quantising to ${dtype} is not supported`);
}

export const quantizeLinear: Rule = (c) => {
  const { b } = c;
  const [x, scale, zero] = [c.input(0), c.input(1), c.optional(2)];
  const code = c.int("output_dtype", 0);
  const dtype = integerType(c, zero?.type.dtype ?? (code === 0 ? "uint8" : c.dtypeFrom(code)));
  const wide = b.cast(x, "float32");
  const divided = b.div(wide, b.cast(meeting(c, x, scale), "float32"));
  return saturate(b, divided, zero && meeting(c, x, zero), dtype);
};

export const dequantizeLinear: Rule = (c) => {
  const { b } = c;
  const [x, scale, zero] = [c.input(0), c.input(1), c.optional(2)];
  integerType(c, x.type.dtype);
  const code = c.int("output_dtype", 0);
  const dtype = code === 0 ? scale.type.dtype : c.dtypeFrom(code);
  const shifted = zero ? b.sub(b.cast(x, "int32"), b.cast(meeting(c, x, zero), "int32")) : x;
  const factor = b.cast(meeting(c, x, scale), "float32");
  return b.cast(b.mul(b.cast(shifted, "float32"), factor), dtype);
};

/** The operand as uint8 over its own range, the step and the zero point. */
export function dynamicallyQuantised(b: Builder, x: Value): [Value, Value, Value] {
  const all = range(0, rankOf(x));
  const zero = b.scalar("float32", 0);
  const [low, high] = [b.min(reduce(b, "min", x, all, false), zero),
    b.max(reduce(b, "max", x, all, false), zero)];
  const scale = b.div(b.sub(high, low), b.scalar("float32", 255));
  const point = saturate(b, b.unary("neg", b.div(low, scale)), undefined, "uint8");
  return [saturate(b, b.div(x, scale), point, "uint8"), scale, point];
}

/** acc * scaleA * scaleB / scaleY, rounded and saturated. */
function requantize(
  c: RuleContext, acc: Value, scales: readonly [Value, Value, Value], zero: Value,
): Value {
  const { b } = c;
  const [a, w, y] = scales.map((s) => b.cast(s, "float32")) as [Value, Value, Value];
  return saturate(b, b.mul(b.cast(acc, "float32"), b.div(b.mul(a, w), y)), zero, zero.type.dtype);
}

/** A scale or zero point per row of the left operand. */
const perRow = (b: Builder, v: Value): Value =>
  (rankOf(v) === 1 && dimAt(v, 0) !== 1 ? unsqueeze(b, v, [1]) : v);

const qLinearMatMul: Rule = (c) => {
  const { b } = c;
  const [x, xScale, xZero, w, wScale, wZero, yScale, yZero] = c.inputs(8) as Value[] as
    [Value, Value, Value, Value, Value, Value, Value, Value];
  const acc = matmul(b, centred(b, x, perRow(b, xZero), false), centred(b, w, wZero, false));
  return requantize(c, acc, [perRow(b, xScale), wScale, perRow(b, yScale)], perRow(b, yZero));
};

const qLinearConv: Rule = (c) => {
  const { b } = c;
  const [x, xScale, xZero, w, wScale, wZero, yScale, yZero] =
    range(0, 8).map((i) => c.input(i)) as
      [Value, Value, Value, Value, Value, Value, Value, Value];
  const channel = (v: Value, rank: number): Value => (rankOf(v) === 1 && dimAt(v, 0) !== 1
    ? b.reshape(v, [dimAt(v, 0), ...new Array<number>(rank).fill(1)]) : b.reshape(v, []));
  const inner = rankOf(x) - 2;
  const weights = centred(b, w, channel(wZero, inner + 1), false);
  const bias = c.optional(8);
  const isByte = [x, w].every((v) => dtypeFacts[v.type.dtype].bits === 8);
  const acc = (isByte ? convolveIntegers : convolve)(
    c, centred(b, x, b.reshape(xZero, []), false), weights, bias);
  return requantize(c, acc,
    [b.reshape(xScale, []), channel(wScale, inner), b.reshape(yScale, [])], b.reshape(yZero, []));
};

export const quantization: Family = [
  { name: "QuantizeLinear", since: { 10: quantizeLinear } },
  { name: "DequantizeLinear", since: { 10: dequantizeLinear } },
  { name: "DynamicQuantizeLinear", since: { 11: (c) => dynamicallyQuantised(c.b, c.input(0)) } },
  { name: "QLinearMatMul", since: { 10: qLinearMatMul } },
  { name: "QLinearConv", since: { 10: qLinearConv } },
];
