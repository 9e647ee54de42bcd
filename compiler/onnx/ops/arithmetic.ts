/**
 * Elementwise operators of two or more operands: arithmetic, comparison, logic, bits, choice.
 * NumPy broadcasting is the builder's; opset 6's `broadcast`/`axis` form is brought to it here.
 */
import { dtypeFacts, isFloat } from "../../graph/dtype.ts";
import { rankOf, shapeOf, type BinaryOp, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import { notEqual } from "../lowering.ts";
import type { Family, Operator, Rule } from "../operator.ts";

type Meaning = (b: Builder, x: Value, y: Value) => Value;

/** Until opset 6 the second operand was aligned at `axis` of the first, if `broadcast` was set. */
function aligned(c: RuleContext): Value {
  const [x, y] = [c.input(0), c.input(1)];
  if (!c.flag("broadcast") || rankOf(y) === 0 || rankOf(y) >= rankOf(x)) return y;
  const axis = c.axis(c.int("axis", rankOf(x) - rankOf(y)), rankOf(x));
  const trailing = rankOf(x) - axis - rankOf(y);
  c.check(trailing >= 0, `The second operand does not fit at axis ${axis}`);
  return c.b.reshape(y, [...shapeOf(y), ...new Array<number>(trailing).fill(1)]);
}

/** An operator whose old form, if it has one, differs in broadcasting only. */
const binary = (name: string, meaning: Meaning, since: 1 | 7 | 11 | 12 | 16 | 18 = 1): Operator => {
  const modern: Rule = (c) => meaning(c.b, c.input(0), c.input(1));
  if (since !== 1) return { name, since: { [since]: modern } };
  return { name, since: { 1: (c) => meaning(c.b, c.input(0), aligned(c)), 7: modern } };
};

const primitive = (op: BinaryOp): Meaning => (b, x, y) => b.binary(op, x, y);

/** Sign of the divisor, as Python's %; for unsigned operands the primitive is that already. */
function floorMod(b: Builder, x: Value, y: Value): Value {
  const remainder = b.binary("rem", x, y);
  if (dtypeFacts[x.type.dtype].kind === "uint") return remainder;
  const zero = b.full(remainder, 0);
  const differs = b.binary("xor", b.binary("lt", remainder, zero),
    b.binary("lt", b.broadcast(y, shapeOf(remainder)), zero));
  const adjust = b.binary("and", differs, notEqual(b, remainder, zero));
  return b.where(adjust, b.addition(remainder, y), remainder);
}

/** The base's type is the result's; a float exponent of an integer is computed in float32. */
const power = (b: Builder, x: Value, y: Value): Value => {
  const base = x.type.dtype;
  const viaFloat = isFloat(y.type.dtype) && !isFloat(base);
  const work = viaFloat ? "float32" : base;
  return b.cast(b.binary("pow", b.cast(x, work), b.cast(y, work)), base);
};

const fold = (name: string, meaning: Meaning): Operator =>
  ({ name, since: { 1: (c) => c.inputs().reduce((x, y) => meaning(c.b, x, y)) } });

const mean: Rule = (c) => {
  const parts = c.inputs();
  const total = parts.reduce((x, y) => c.b.addition(x, y));
  return c.b.div(total, c.b.full(total, parts.length));
};

const shift: Rule = (c) => {
  const op = c.string("direction") === "LEFT" ? "shl" : "shr";
  return c.b.binary(op, c.input(0), c.input(1));
};

const modulo: Rule = (c) => {
  const [{ b }, x, y] = [c, c.input(0), c.input(1)];
  if (c.flag("fmod")) return b.binary("rem", x, y);
  return floorMod(b, x, y);
};

/** Not `not less`: a comparison with NaN is false. */
const greaterOrEqual: Meaning = (b, x, y) => b.binary("le", y, x);

export const arithmetic: Family = [
  binary("Add", primitive("add")), binary("Sub", primitive("sub")),
  binary("Mul", primitive("mul")), binary("Div", primitive("div")),
  binary("Pow", power),
  { name: "Mod", since: { 10: modulo } },
  fold("Max", primitive("max")), fold("Min", primitive("min")), fold("Sum", primitive("add")),
  { name: "Mean", since: { 1: mean } },
  binary("And", primitive("and")), binary("Or", primitive("or")), binary("Xor", primitive("xor")),
  binary("Equal", primitive("eq")), binary("Less", primitive("lt")),
  binary("Greater", (b, x, y) => b.binary("lt", y, x)),
  binary("LessOrEqual", primitive("le"), 12), binary("GreaterOrEqual", greaterOrEqual, 12),
  { name: "BitShift", since: { 11: shift } },
  binary("BitwiseAnd", primitive("and"), 18), binary("BitwiseOr", primitive("or"), 18),
  binary("BitwiseXor", primitive("xor"), 18),
  { name: "Where", since: { 9: (c) => c.b.where(c.input(0), c.input(1), c.input(2)) } },
];
