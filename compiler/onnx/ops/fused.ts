/**
 * What ONNX Runtime's optimisers make of float graphs (domain com.microsoft): activations, biases
 * and residuals fused into products and normalisations. Files that were saved after optimisation
 * hold them. Attention is in `fusedAttention.ts`, quantised operators in `fusedQuantised.ts`.
 *
 * Where it comes from: the contrib operators' documentation of ONNX Runtime (ContribOperators.md).
 */
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  clamp, dimAt, matmul, range, reduce, relu, sigmoid, standardize, swapLastTwo, unsqueeze,
} from "../lowering.ts";
import type { Family, Operator, Rule } from "../operator.ts";
import { gelu } from "./activations.ts";
import { convolve } from "./convolution.ts";
import { byRootMeanSquare } from "./normalization.ts";
import { gemm } from "./products.ts";

const scaled = (b: Builder, x: Value, factor: number): Value => b.mul(x, b.full(x, factor));

type Activation = (b: Builder, x: Value, parameters: readonly number[]) => Value;

/** Activations by name, with their parameters in the order of the attribute. */
const activations: Readonly<Record<string, Activation>> = {
  Relu: (b, x) => relu(b, x),
  Tanh: (b, x) => b.unary("tanh", x),
  Sigmoid: (b, x) => sigmoid(b, x),
  LeakyRelu: (b, x, [alpha = 0.01]) =>
    b.where(b.binary("lt", x, b.full(x, 0)), scaled(b, x, alpha), x),
  Clip: (b, x, [low = -Infinity, high = Infinity]) => clamp(b, x, low, high),
  HardSigmoid: (b, x, [alpha = 0.2, beta = 0.5]) =>
    clamp(b, b.addition(scaled(b, x, alpha), b.full(x, beta)), 0, 1),
};

function activated(c: RuleContext, x: Value, parameters: readonly number[]): Value {
  const name = c.string("activation", "");
  if (name === "") return x;
  const activation = activations[name];
  return activation ? activation(c.b, x, parameters)
    : c.unsupported(`The fused activation ${name} is not supported`);
}

const fusedConv: Rule = (c) => {
  const y = convolve(c, c.input(0), c.input(1), c.optional(2));
  const residual = c.optional(3);
  return activated(c, residual ? c.b.addition(y, residual) : y, c.floats("activation_params", []));
};

const fusedGemm: Rule = (c) => {
  const names = ["activation_alpha", "activation_beta"].filter((name) => c.has(name));
  return activated(c, gemm(c) as Value, names.map((name) => c.float(name)));
};

const fusedMatMul: Rule = (c) => {
  if (c.flag("transBatchA") || c.flag("transBatchB")) {
    return c.unsupported("FusedMatMul with transposed batch axes is not supported");
  }
  const turned = (v: Value, name: string): Value =>
    (c.flag(name) && rankOf(v) > 1 ? swapLastTwo(c.b, v) : v);
  const product = matmul(c.b, turned(c.input(0), "transA"), turned(c.input(1), "transB"));
  const alpha = c.float("alpha", 1);
  return alpha === 1 ? product : scaled(c.b, product, alpha);
};

/** Sum of the operand, the residual and a bias, which the node may give as its last output. */
function withSkip(c: RuleContext, bias: Value | undefined): Value {
  const { b } = c;
  const [x, skip] = [c.input(0), c.input(1)];
  const total = b.addition(x, skip);
  return bias ? b.addition(total, bias) : total;
}

function layerNormalised(
  c: RuleContext, x: Value, gamma: Value, beta: Value | undefined,
): Value[] {
  const { b } = c;
  const { y, mean, deviation } = standardize(
    b, b.cast(x, "float32"), [rankOf(x) - 1], c.float("epsilon", 1e-12));
  const normal = b.mul(b.cast(y, gamma.type.dtype), gamma);
  return [beta ? b.addition(normal, beta) : normal, mean, b.div(b.full(deviation, 1), deviation)];
}

const skipLayerNormalization: Rule = (c) => {
  const total = withSkip(c, c.optional(4));
  return [...layerNormalised(c, total, c.input(2), c.optional(3)), total];
};

const skipRmsNormalization: Rule = (c) => {
  const total = withSkip(c, c.optional(3));
  const { y, inverse } = byRootMeanSquare(c, total, c.input(2), [rankOf(total) - 1], 1e-12);
  return [y, undefined, inverse, total];
};

const rmsNormalization: Rule = (c) => {
  const x = c.input(0);
  const axes = range(c.axis(c.int("axis", -1), rankOf(x)), rankOf(x));
  const { y, inverse } = byRootMeanSquare(c, x, c.input(1), axes, 1e-5);
  return [y, inverse];
};

/** Words, positions and segments looked up, summed and normalised. */
const embedLayerNormalization: Rule = (c) => {
  const { b } = c;
  const ids = c.ranked(0, 2);
  const [batch, steps] = [dimAt(ids, 0), dimAt(ids, 1)];
  const positions = c.optional(8);
  const places = positions ? b.gather(c.input(3), positions, 0)
    : unsqueeze(b, b.sliceAxis(c.input(3), 0, 0, steps), [0]);
  const [segments, segmentTable] = [c.optional(1), c.optional(4)];
  const words = b.addition(b.gather(c.input(2), ids, 0), places);
  const total = segments && segmentTable
    ? b.addition(words, b.gather(segmentTable, segments, 0)) : words;
  const [y] = layerNormalised(c, total, c.input(5), c.input(6));
  const mask = c.optional(7);
  const lengths = mask ? reduce(b, "sum", b.cast(mask, "int32"), [1], false)
    : b.broadcast(b.scalar("int32", 0), [batch]);
  return [y, lengths, total];
};

const biased = (c: RuleContext): Value => {
  const bias = c.optional(1);
  return bias ? c.b.addition(c.input(0), bias) : c.input(0);
};

const fusion = (name: string, rule: Rule, domain = "com.microsoft"): Operator =>
  ({ name, domain, since: { 1: rule } });

export const fused: Family = [
  fusion("FusedConv", fusedConv),
  fusion("FusedGemm", fusedGemm),
  fusion("FusedMatMul", fusedMatMul),
  fusion("TransposeMatMul", fusedMatMul),
  fusion("Gelu", (c) => gelu(c.b, c.input(0), "none")),
  fusion("BiasGelu", (c) => gelu(c.b, biased(c), "none")),
  fusion("FastGelu", (c) => gelu(c.b, biased(c), "tanh")),
  fusion("QuickGelu", (c) => {
    const [{ b }, x] = [c, c.input(0)];
    return b.mul(x, sigmoid(b, scaled(b, x, c.float("alpha", 1.702))));
  }),
  fusion("BiasSplitGelu", (c) => {
    const [{ b }, x] = [c, biased(c)];
    const last = rankOf(x) - 1;
    const half = c.divided(dimAt(x, last), 2, "The width of BiasSplitGelu is odd");
    const [left, right] = [b.sliceAxis(x, last, 0, half),
      b.sliceAxis(x, last, half, dimAt(x, last))];
    return b.mul(left, gelu(b, right, "none"));
  }),
  fusion("BiasAdd", (c) => c.b.addition(c.b.addition(c.input(0), c.input(1)), c.input(2))),
  fusion("SkipLayerNormalization", skipLayerNormalization),
  fusion("SkipSimplifiedLayerNormalization", skipRmsNormalization),
  // Known to ONNX Runtime under ONNX's own domain, and to no version of ONNX.
  fusion("SimplifiedLayerNormalization", rmsNormalization, ""),
  fusion("SimplifiedLayerNormalization", rmsNormalization),
  fusion("EmbedLayerNormalization", embedLayerNormalization),
  fusion("ExpandDims", (c) => {
    const x = c.input(0);
    return unsqueeze(c.b, x, [c.axis(c.scalar(c.input(1)), shapeOf(x).length + 1)]);
  }),
];
