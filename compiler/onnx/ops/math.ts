/**
 * Elementwise functions of one operand. Most are one primitive and therefore one line; where an
 * operator changed its operand types over opsets but not its meaning, one rule serves all.
 */
import { dtypeFacts, isFloat } from "../../graph/dtype.ts";
import type { Builder } from "../../graph/builder.ts";
import type { UnaryOp, Value } from "../../graph/graph.ts";
import type { Family, Operator, Rule } from "../operator.ts";

const unary = (name: string, op: UnaryOp, since = 1): Operator =>
  ({ name, since: { [since]: (c) => c.b.unary(op, c.input(0)) } });

/** Integers are finite; the primitive has no rule for them. */
const isInfinite: Rule = (c) => {
  const x = c.input(0);
  const { b } = c;
  if (!isFloat(x.type.dtype)) return b.full(x, 0, "bool");
  const never = b.full(x, 0, "bool");
  const is = (value: number): Value => b.binary("eq", x, b.full(x, value));
  const positive = c.flag("detect_positive", true) ? is(Infinity) : never;
  const negative = c.flag("detect_negative", true) ? is(-Infinity) : never;
  return b.binary("or", positive, negative);
};

const negate: Rule = (c) => {
  c.check(dtypeFacts[c.input(0).type.dtype].kind !== "bool", "Neg has no meaning on bool");
  return c.b.unary("neg", c.input(0));
};

const reciprocal = (b: Builder, x: Value): Value => b.div(b.full(x, 1), x);

export const math: Family = [
  unary("Abs", "abs"), unary("Sign", "sign", 9),
  unary("Floor", "floor"), unary("Ceil", "ceil"), unary("Round", "round", 11),
  unary("Exp", "exp"), unary("Log", "log"), unary("Sqrt", "sqrt"), unary("Erf", "erf", 9),
  unary("Sin", "sin", 7), unary("Cos", "cos", 7), unary("Tan", "tan", 7),
  unary("Asin", "asin", 7), unary("Acos", "acos", 7), unary("Atan", "atan", 7),
  unary("Sinh", "sinh", 9), unary("Cosh", "cosh", 9), unary("Tanh", "tanh"),
  unary("Asinh", "asinh", 9), unary("Acosh", "acosh", 9), unary("Atanh", "atanh", 9),
  unary("Not", "not"), unary("BitwiseNot", "bitnot", 18), unary("IsNaN", "isnan", 9),
  { name: "Neg", since: { 1: negate } },
  { name: "Reciprocal", since: { 1: (c) => reciprocal(c.b, c.input(0)) } },
  { name: "IsInf", since: { 10: isInfinite } },
];
