/**
 * The operators of kernel expressions on four lanes at once. A bool is a mask: all bits of a lane
 * set or none. An operator without an entry for a type is applied lane by lane with the rule of
 * `scalarRules.ts` (the caller does that), so a missing entry costs time and never meaning.
 */
import type { ExprBinary, ExprUnary, ScalarType } from "../../kernels/expr.ts";
import type { Code, Value } from "./code.ts";
import { erfLanes, expLanes, logLanes, tanhLanes } from "./mathVector.ts";
import type { PlainOp } from "./opcodes.ts";
import type { BinaryRule, UnaryRule } from "./scalarRules.ts";

type ByType<R> = Partial<Record<ScalarType, R>>;

const plain1 = (op: PlainOp): UnaryRule => (c, a) => c.op(op, a);
const plain2 = (op: PlainOp): BinaryRule => (c, a, b) => c.op(op, a, b);
const same: UnaryRule = (_c, a) => a;
const rounding = (op: PlainOp): ByType<UnaryRule> => ({ f32: plain1(op), i32: same, u32: same });
const not = plain1("v128.not");
const isZero = (c: Code, a: Value): Value => c.op("i32x4.eq", a, c.i32x4(0));
const never: UnaryRule = (c) => c.i32x4(0);
const byLanes: ByType<UnaryRule> = {};

export const vectorUnary: Record<ExprUnary, ByType<UnaryRule>> = {
  neg: { f32: plain1("f32x4.neg"), i32: plain1("i32x4.neg"), u32: plain1("i32x4.neg") },
  abs: { f32: plain1("f32x4.abs"), i32: plain1("i32x4.abs"), u32: same },
  sign: {
    f32: (c, a) => {
      const above = c.op("f32x4.gt", a, c.f32x4(0));
      const below = c.op("f32x4.lt", a, c.f32x4(0));
      const negative = c.op("v128.bitselect", c.f32x4(-1), a, below);
      return c.op("v128.bitselect", c.f32x4(1), negative, above);
    },
    // Masks are 0 or -1: below is the sign itself, above its negative.
    i32: (c, a) => c.op("i32x4.sub", c.op("i32x4.lt_s", a, c.i32x4(0)),
      c.op("i32x4.gt_s", a, c.i32x4(0))),
    u32: (c, a) => c.op("i32x4.neg", c.op("i32x4.ne", a, c.i32x4(0))),
  },
  floor: rounding("f32x4.floor"),
  ceil: rounding("f32x4.ceil"),
  round: rounding("f32x4.nearest"),
  trunc: rounding("f32x4.trunc"),
  exp: { f32: expLanes },
  log: { f32: logLanes },
  sqrt: { f32: plain1("f32x4.sqrt") },
  sin: byLanes,
  cos: byLanes,
  tan: byLanes,
  asin: byLanes,
  acos: byLanes,
  atan: byLanes,
  sinh: byLanes,
  cosh: byLanes,
  tanh: { f32: tanhLanes },
  asinh: byLanes,
  acosh: byLanes,
  atanh: byLanes,
  erf: { f32: erfLanes },
  not: {
    bool: not,
    // On integers the result is the number 0 or 1.
    i32: (c, a) => c.op("i32x4.neg", isZero(c, a)),
    u32: (c, a) => c.op("i32x4.neg", isZero(c, a)),
  },
  bitnot: { i32: not, u32: not },
  isnan: { f32: (c, a) => c.op("f32x4.ne", a, a), i32: never, u32: never, bool: never },
};

const arithmetic = (f32: PlainOp, i32: PlainOp): ByType<BinaryRule> =>
  ({ f32: plain2(f32), i32: plain2(i32), u32: plain2(i32) });
const bitwise = (op: PlainOp): ByType<BinaryRule> =>
  ({ i32: plain2(op), u32: plain2(op), bool: plain2(op) });
const implies: BinaryRule = (c, a, b) => c.op("v128.or", c.op("v128.not", a), b);

export const vectorBinary: Record<ExprBinary, ByType<BinaryRule>> = {
  add: arithmetic("f32x4.add", "i32x4.add"),
  sub: arithmetic("f32x4.sub", "i32x4.sub"),
  mul: arithmetic("f32x4.mul", "i32x4.mul"),
  div: { f32: plain2("f32x4.div") },
  rem: {},
  pow: {},
  max: {
    f32: plain2("f32x4.max"), i32: plain2("i32x4.max_s"), u32: plain2("i32x4.max_u"),
    bool: plain2("v128.or"),
  },
  min: {
    f32: plain2("f32x4.min"), i32: plain2("i32x4.min_s"), u32: plain2("i32x4.min_u"),
    bool: plain2("v128.and"),
  },
  and: bitwise("v128.and"),
  or: bitwise("v128.or"),
  xor: bitwise("v128.xor"),
  shl: {},
  shr: {},
  eq: {
    f32: plain2("f32x4.eq"), i32: plain2("i32x4.eq"), u32: plain2("i32x4.eq"),
    bool: plain2("i32x4.eq"),
  },
  lt: {
    f32: plain2("f32x4.lt"), i32: plain2("i32x4.lt_s"), u32: plain2("i32x4.lt_u"),
    bool: (c, a, b) => c.op("v128.andnot", b, a),
  },
  le: {
    f32: plain2("f32x4.le"), i32: plain2("i32x4.le_s"), u32: plain2("i32x4.le_u"), bool: implies,
  },
};

/** Shift of all lanes by one count, which may be 32 or more. */
export function shiftLanes(
  c: Code, op: "shl" | "shr", type: ScalarType, a: Value, count: Value,
): Value {
  const inRange = c.op("i32.lt_u", count, c.i32(32));
  if (op === "shr" && type === "i32") {
    return c.op("i32x4.shr_s", a, c.select(inRange, count, c.i32(31)));
  }
  const shifted = c.op(op === "shl" ? "i32x4.shl" : "i32x4.shr_u", a, count);
  return c.select(inRange, shifted, c.i32x4(0));
}

/**
 * The larger or smaller of four floats and a constant, in one instruction or two: `pmax` and `pmin`
 * keep their first operand where it is NaN or equal, while `max` and `min` take eight to keep NaN
 * of either operand and to order zeros. Undefined where the constant needs that care.
 */
export function boundLanes(
  c: Code, op: "max" | "min", x: Value, constant: number,
): Value | undefined {
  const bound = Math.fround(constant);
  if (Number.isNaN(bound) || (op === "min" && Object.is(bound, -0))) return undefined;
  const bounded = c.op(op === "max" ? "f32x4.pmax" : "f32x4.pmin", x, c.f32x4(bound));
  // -0 is not above +0 as numbers go; added to +0 it is +0.
  return op === "max" && Object.is(bound, 0) ? c.op("f32x4.add", bounded, c.f32x4(0)) : bounded;
}

const isNonZero: UnaryRule = (c, a) => c.op("i32x4.ne", a, c.i32x4(0));
const toNumber = plain1("i32x4.neg");

export const vectorCast: Record<ScalarType, Record<ScalarType, UnaryRule>> = {
  f32: {
    f32: same, i32: plain1("i32x4.trunc_sat_f32x4_s"), u32: plain1("i32x4.trunc_sat_f32x4_u"),
    bool: (c, a) => c.op("f32x4.ne", a, c.f32x4(0)),
  },
  i32: { f32: plain1("f32x4.convert_i32x4_s"), i32: same, u32: same, bool: isNonZero },
  u32: { f32: plain1("f32x4.convert_i32x4_u"), i32: same, u32: same, bool: isNonZero },
  bool: {
    f32: (c, a) => c.op("v128.and", a, c.f32x4(1)), i32: toNumber, u32: toNumber, bool: same,
  },
};
