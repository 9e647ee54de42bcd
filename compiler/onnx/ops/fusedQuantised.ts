/**
 * Quantised operators of ONNX Runtime (domain com.microsoft): elementwise and pooling operators on
 * scaled integers, products with weights of a few bits. Computed as dequantise, operate, quantise,
 * which is what the operators are defined to round like.
 *
 * Where it comes from: the contrib operators' documentation of ONNX Runtime (ContribOperators.md).
 */
import { mulDims, type Dim } from "../../graph/dim.ts";
import { isFloat } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  matmul, range, sigmoid, softmax, swapLastTwo, unsqueeze,
} from "../lowering.ts";
import type { Family, Operator, Rule } from "../operator.ts";
import { averagePool } from "./pooling.ts";
import { centred } from "./products.ts";
import {
  dequantizeLinear, dynamicallyQuantised, quantizeLinear, saturate,
} from "./quantization.ts";

/** (x - zero) * scale, scale and zero point being scalars or vectors along the last axis. */
function dequantised(b: Builder, x: Value, scale: Value, zero: Value | undefined): Value {
  const plain = (v: Value): Value => (shapeOf(v).every((d) => d === 1) ? b.reshape(v, []) : v);
  const shifted = b.cast(centred(b, x, zero && plain(zero), false), "float32");
  return b.mul(shifted, plain(scale));
}

/** The value as integers of the zero point's type, or of `like`. */
function quantised(
  b: Builder, y: Value, scale: Value, zero: Value | undefined, like: Value,
): Value {
  const point = zero && b.reshape(zero, []);
  return saturate(b, b.div(y, b.reshape(scale, [])), point, (zero ?? like).type.dtype);
}

/** Operators on x, its scale and zero point, then the result's. */
const unary = (operate: (c: RuleContext, x: Value) => Value): Rule => (c) => {
  const x = c.input(0);
  const y = operate(c, dequantised(c.b, x, c.input(1), c.optional(2)));
  return quantised(c.b, y, c.input(3), c.optional(4), x);
};

const binary = (operator: "add" | "mul"): Rule => (c) => {
  const [left, right] = [0, 3].map((i) =>
    dequantised(c.b, c.input(i), c.input(i + 1), c.optional(i + 2))) as [Value, Value];
  return quantised(c.b, c.b.binary(operator, left, right), c.input(6), c.optional(7), c.input(0));
};

/** Runs an operator on channels that come first, whichever way they lie. */
const channelsFirst = (operate: (c: RuleContext, x: Value) => Value) =>
  (c: RuleContext, x: Value): Value => {
    if (!c.flag("channels_last")) return operate(c, x);
    const rank = rankOf(x);
    const y = operate(c, c.b.transpose(x, [0, rank - 1, ...range(1, rank - 1)]));
    return c.b.transpose(y, [0, ...range(2, rank), 1]);
  };

const leaky = (c: RuleContext, x: Value): Value => {
  const { b } = c;
  const slope = b.mul(x, b.full(x, c.float("alpha", 0.01)));
  return b.where(b.binary("lt", x, b.full(x, 0)), slope, x);
};

const softmaxOf = (c: RuleContext, x: Value): Value => {
  const axis = c.axis(c.int("axis", -1), rankOf(x));
  // Before opset 13 everything from the axis on is one row.
  return softmax(c.b, x, c.int("opset") < 13 ? range(axis, rankOf(x)) : [axis]);
};

const concat: Rule = (c) => {
  c.check(c.count >= 5 && (c.count - 2) % 3 === 0, `QLinearConcat has ${c.count} operands`);
  const parts = range(0, (c.count - 2) / 3).map((i) =>
    dequantised(c.b, c.input(2 + 3 * i), c.input(3 + 3 * i), c.optional(4 + 3 * i)));
  const joined = c.b.concat(parts, c.axis(c.int("axis"), rankOf(parts[0] as Value)));
  return quantised(c.b, joined, c.input(0), c.optional(1), c.input(2));
};

/** int32 product of centred operands, scaled to floats, with a bias. */
function scaledProduct(
  c: RuleContext, left: Value, right: Value, scales: readonly Value[], bias: Value | undefined,
): Value {
  const { b } = c;
  const plain = (v: Value): Value => (shapeOf(v).every((d) => d === 1) ? b.reshape(v, []) : v);
  const product = scales.reduce((y, scale) => b.mul(y, plain(scale)),
    b.cast(matmul(b, left, right), "float32"));
  return bias ? b.addition(product, bias) : product;
}

const dynamicQuantizeMatMul: Rule = (c) => {
  const { b } = c;
  const [x, scale, zero] = dynamicallyQuantised(b, c.input(0));
  return scaledProduct(c, centred(b, x, zero, false), centred(b, c.input(1), c.optional(3), false),
    [scale, c.input(2)], c.optional(4));
};

const matmulIntegerToFloat: Rule = (c) => scaledProduct(c,
  centred(c.b, c.input(0), c.optional(4), true), centred(c.b, c.input(1), c.optional(5), false),
  [c.input(2), c.input(3)], c.optional(6));

const qGemm: Rule = (c) => {
  const { b } = c;
  const turned = (v: Value, name: string): Value => (c.flag(name) ? swapLastTwo(b, v) : v);
  const left = turned(dequantised(b, c.input(0), c.input(1), c.input(2)), "transA");
  // Scales of the right operand are one per column of the product.
  const [w, scale, zero] = [c.input(3), c.input(4), c.input(5)];
  const right = dequantised(b, turned(w, "transB"), scale, zero);
  const bias = c.optional(6);
  const unit = b.mul(c.input(1), scale);
  const product = b.dot(left, right, 0, 1);
  const total = bias ? b.addition(product, b.mul(b.cast(bias, "float32"), unit)) : product;
  const y = b.mul(total, b.full(total, c.float("alpha", 1)));
  const out = c.optional(7);
  return out ? quantised(b, y, out, c.input(8), c.input(0)) : y;
};

/** Whole numbers of `bits` bits, packed into bytes from the low end, as int32 [.., bytes * n]. */
function unpacked(b: Builder, bytes: Value, bits: number): Value {
  const shape = shapeOf(bytes);
  const per = 8 / bits;
  if (per === 1) return b.cast(bytes, "int32");
  const parts = range(0, per).map((i) => {
    const shifted = b.binary("shr", bytes, b.full(bytes, i * bits));
    return unsqueeze(b, b.binary("and", shifted, b.full(shifted, 2 ** bits - 1)), [shape.length]);
  });
  const last = mulDims(shape.at(-1) as Dim, per);
  return b.cast(b.reshape(b.concat(parts, shape.length), [...shape.slice(0, -1), last]), "int32");
}

/** x [.., K] times weights [N, K] of a few bits, with a scale (and zero point) per block of K. */
const matmulNBits: Rule = (c) => {
  const { b } = c;
  const [inputs, outputs] = [c.int("K"), c.int("N")];
  const [bits, block] = [c.int("bits", 4), c.int("block_size")];
  if (![2, 4, 8].includes(bits)) c.unsupported(`Weights of ${bits} bits are not supported`);
  if (c.optional(4)) return c.unsupported("MatMulNBits with g_idx is not supported");
  const x = c.input(0);
  const blocks = Math.ceil(inputs / block);
  const scales = b.reshape(c.input(2), [outputs, blocks, 1]);
  const perBlock = b.reshape(unpacked(b, c.input(1), bits), [outputs, blocks, block]);
  const given = c.optional(3);
  const zero = !given ? b.full(perBlock, 2 ** (bits - 1), "float32")
    : isFloat(given.type.dtype) ? b.cast(b.reshape(given, [outputs, blocks, 1]), "float32")
    : b.cast(zeroPoints(b, given, outputs, blocks, bits), "float32");
  const centredWeights = b.sub(b.cast(perBlock, "float32"), zero);
  const weights = b.mul(centredWeights, b.cast(scales, "float32"));
  const whole = b.sliceAxis(b.reshape(weights, [outputs, blocks * block]), 1, 0, inputs);
  const product = b.dot(x, b.transpose(b.cast(whole, x.type.dtype), [1, 0]), 0, 1);
  const bias = c.optional(5);
  return bias ? b.addition(product, bias) : product;
};

/** Packed like weights, each output's row filled up to whole bytes. */
function zeroPoints(
  b: Builder, packed: Value, outputs: number, blocks: number, bits: number,
): Value {
  const bytes = Math.ceil((blocks * bits) / 8);
  const rows = unpacked(b, b.reshape(packed, [outputs, bytes]), bits);
  return b.reshape(b.sliceAxis(rows, 1, 0, blocks), [outputs, blocks, 1]);
}

const contrib = (name: string, rule: Rule): Operator =>
  ({ name, domain: "com.microsoft", since: { 1: rule } });

export const fusedQuantised: Family = [
  contrib("QuantizeLinear", quantizeLinear),
  contrib("DequantizeLinear", dequantizeLinear),
  contrib("QLinearAdd", binary("add")),
  contrib("QLinearMul", binary("mul")),
  contrib("QLinearSigmoid", unary((c, x) => sigmoid(c.b, x))),
  contrib("QLinearLeakyRelu", unary(leaky)),
  contrib("QLinearSoftmax", unary(softmaxOf)),
  contrib("QLinearAveragePool", unary(channelsFirst(averagePool))),
  contrib("QLinearGlobalAveragePool", unary(channelsFirst((c, x) =>
    c.b.mean(x, range(2, rankOf(x)), true)))),
  contrib("QLinearConcat", concat),
  contrib("DynamicQuantizeMatMul", dynamicQuantizeMatMul),
  contrib("MatMulIntegerToFloat", matmulIntegerToFloat),
  contrib("QGemm", qGemm),
  contrib("MatMulNBits", matmulNBits),
];
