/** Activation functions, elementwise and along an axis, by the formulas of the specification. */
import { isFloat, integerRange } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import {
  clamp, dimAt, flattenAt, logSoftmax, oneHot, relu, sigmoid, softmax, softplus,
} from "../lowering.ts";
import type { Family, Operator, Rule } from "../operator.ts";

const number = (b: Builder, x: Value, value: number): Value => b.full(x, value);
const scaled = (b: Builder, x: Value, factor: number): Value => b.mul(x, b.full(x, factor));

/** x where x > 0, else `negative`. */
const positiveOr = (b: Builder, x: Value, negative: Value): Value =>
  b.where(b.binary("lt", x, b.full(x, 0)), negative, x);

/** exp(x) - 1 for x <= 0, through tanh: expm1(x) = 2 t / (1 - t) with t = tanh(x / 2). */
function expm1(b: Builder, x: Value): Value {
  const t = b.unary("tanh", scaled(b, b.min(x, b.full(x, 0)), 0.5));
  return b.div(scaled(b, t, 2), b.sub(b.full(x, 1), t));
}

/** Until opset 6 a vector of slopes was one per channel, whatever came after that axis. */
const channelSlope = (b: Builder, x: Value, slope: Value): Value => (rankOf(slope) === 1
  ? b.reshape(slope, [dimAt(slope, 0), ...shapeOf(x).slice(2).map(() => 1)]) : slope);

const prelu = (b: Builder, x: Value, slope: Value): Value => positiveOr(b, x, b.mul(x, slope));

/** x/2 (1 + erf(x / sqrt 2)), or its tanh approximation. */
export function gelu(b: Builder, x: Value, approximate: "none" | "tanh"): Value {
  const inner = approximate === "none"
    ? b.unary("erf", scaled(b, x, Math.SQRT1_2))
    : b.unary("tanh", scaled(b,
      b.addition(x, scaled(b, b.mul(b.mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI)));
  return b.mul(scaled(b, x, 0.5), b.addition(number(b, x, 1), inner));
}

const elu = (c: RuleContext, alpha: number): Value => {
  const x = c.input(0);
  return positiveOr(c.b, x, scaled(c.b, expm1(c.b, x), alpha));
};

const hardSigmoid = (c: RuleContext, alpha: number, beta: number): Value => {
  const [{ b }, x] = [c, c.input(0)];
  return clamp(b, b.addition(scaled(b, x, alpha), number(b, x, beta)), 0, 1);
};

const shrink: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const [bias, lambd] = [c.float("bias", 0), c.float("lambd", 0.5)];
  const zero = number(b, x, 0);
  // Compared as floats: lambd need not be a value of an integer x.
  const wide = b.cast(x, "float32");
  const low = b.binary("lt", wide, b.full(wide, -lambd));
  const high = b.binary("lt", b.full(wide, lambd), wide);
  const shifted = (by: number): Value =>
    b.cast(b.addition(wide, b.full(wide, by)), x.type.dtype);
  return b.where(low, shifted(bias), b.where(high, shifted(-bias), zero));
};

/** A bound of Clip: an operand, or nothing. Constant bounds beyond the type's range are dropped. */
function bounded(c: RuleContext, x: Value, i: number, op: "max" | "min"): Value {
  const bound = c.optional(i);
  if (!bound) return x;
  const { b } = c;
  const known = c.tryNumbers(bound);
  if (known?.length === 1 && !isFloat(x.type.dtype)) {
    const { min, max } = integerRange(x.type.dtype);
    const value = Math.min(Math.max(known[0] as number, min), max);
    return b.binary(op, x, b.full(x, value));
  }
  return b.binary(op, x, b.reshape(bound, []));
}

const clipAttributes: Rule = (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const low = c.has("min") ? b.max(x, number(b, x, c.float("min"))) : x;
  return c.has("max") ? b.min(low, number(b, x, c.float("max"))) : low;
};

/** Before opset 13, softmax and its kin saw their operand as a matrix cut at `axis`. */
const flattened = (along: (b: Builder, x: Value, axis: number) => Value): Rule => (c) => {
  const x = c.input(0);
  const axis = c.axis(c.int("axis", 1), rankOf(x));
  return c.b.reshape(along(c.b, flattenAt(c.b, x, axis), 1), shapeOf(x));
};
const alongAxis = (along: (b: Builder, x: Value, axis: number) => Value): Rule => (c) =>
  along(c.b, c.input(0), c.axis(c.int("axis", -1), rankOf(c.input(0))));

const axisOperator = (
  name: string, along: (b: Builder, x: Value, axis: number) => Value,
): Operator => ({ name, since: { 1: flattened(along), 13: alongAxis(along) } });

/** 1 at the first largest element. */
function hardmax(b: Builder, x: Value, axis: number): Value {
  const largest = b.binary("eq", x, b.reduce("max", x, [axis], true));
  const at = b.iota(shapeOf(x), axis, "int32");
  const last = b.full(at, 2 ** 31 - 1);
  const first = b.reduce("min", b.where(largest, at, last), [axis]);
  return b.cast(oneHot(b, first, dimAt(x, axis), axis), x.type.dtype);
}

const elementwise = (name: string, rule: Rule, since = 1): Operator =>
  ({ name, since: { [since]: rule } });

export const activations: Family = [
  elementwise("Relu", (c) => relu(c.b, c.input(0))),
  elementwise("LeakyRelu", (c) =>
    positiveOr(c.b, c.input(0), scaled(c.b, c.input(0), c.float("alpha", 0.01)))),
  {
    name: "PRelu",
    since: {
      1: (c) => prelu(c.b, c.input(0), channelSlope(c.b, c.input(0), c.input(1))),
      7: (c) => prelu(c.b, c.input(0), c.input(1)),
    },
  },
  elementwise("Elu", (c) => elu(c, c.float("alpha", 1))),
  elementwise("Selu", (c) => {
    const alpha = c.float("alpha", 1.6732632423543772);
    return scaled(c.b, elu(c, alpha), c.float("gamma", 1.0507009873554805));
  }),
  elementwise("Celu", (c) => {
    const [{ b }, x, alpha] = [c, c.input(0), c.float("alpha", 1)];
    return positiveOr(b, x, scaled(b, expm1(b, scaled(b, x, 1 / alpha)), alpha));
  }, 12),
  elementwise("Sigmoid", (c) => sigmoid(c.b, c.input(0))),
  elementwise("HardSigmoid", (c) => hardSigmoid(c, c.float("alpha", 0.2), c.float("beta", 0.5))),
  elementwise("HardSwish", (c) => c.b.mul(c.input(0), hardSigmoid(c, 1 / 6, 0.5)), 14),
  elementwise("Softplus", (c) => softplus(c.b, c.input(0))),
  elementwise("Softsign", (c) => {
    const [{ b }, x] = [c, c.input(0)];
    return b.div(x, b.addition(number(b, x, 1), b.unary("abs", x)));
  }),
  elementwise("Mish", (c) => {
    const x = c.input(0);
    return c.b.mul(x, c.b.unary("tanh", softplus(c.b, x)));
  }, 18),
  elementwise("Gelu", (c) =>
    gelu(c.b, c.input(0), c.choice("approximate", "none", "tanh")), 20),
  elementwise("Swish", (c) => {
    const [{ b }, x] = [c, c.input(0)];
    return b.mul(x, sigmoid(b, scaled(b, x, c.float("alpha", 1))));
  }, 24),
  elementwise("SwiGLU", (c) => {
    const [{ b }, x] = [c, c.input(0)];
    return b.mul(b.mul(x, sigmoid(b, scaled(b, x, c.float("alpha", 1)))), c.input(1));
  }, 28),
  elementwise("ThresholdedRelu", (c) => {
    const [{ b }, x] = [c, c.input(0)];
    const above = b.binary("lt", number(b, x, c.float("alpha", 1)), x);
    return b.where(above, x, number(b, x, 0));
  }, 10),
  elementwise("Shrink", shrink, 9),
  {
    name: "Clip",
    since: { 1: clipAttributes, 11: (c) => bounded(c, bounded(c, c.input(0), 1, "max"), 2, "min") },
  },
  axisOperator("Softmax", (b, x, axis) => softmax(b, x, [axis])),
  axisOperator("LogSoftmax", (b, x, axis) => logSoftmax(b, x, [axis])),
  axisOperator("Hardmax", hardmax),
];
