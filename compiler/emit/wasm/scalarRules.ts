/**
 * Every operator of kernel expressions on one value: the WASM side of the meaning that `expr.ts`
 * states. A bool is an i32 that is 0 or 1. An operator without an entry for a type has no meaning
 * there, and asking for it is an internal error.
 */
import { InternalError } from "../../errors.ts";
import type { ExprBinary, ExprUnary, ScalarType } from "../../kernels/expr.ts";
import type { Code, Value } from "./code.ts";
import type { MathFunction, MathLibrary } from "./math.ts";
import type { PlainOp } from "./opcodes.ts";

export type UnaryRule = (c: Code, a: Value, library: MathLibrary) => Value;
export type BinaryRule = (c: Code, a: Value, b: Value, library: MathLibrary) => Value;
type ByType<R> = Partial<Record<ScalarType, R>>;

const plain1 = (op: PlainOp): UnaryRule => (c, a) => c.op(op, a);
const plain2 = (op: PlainOp): BinaryRule => (c, a, b) => c.op(op, a, b);
const called = (name: MathFunction): ByType<UnaryRule> => ({
  f32: (c, a, library) => library.call(c, name, a),
});
const same: UnaryRule = (_c, a) => a;
/** Rounding leaves integers alone. */
const rounding = (op: PlainOp): ByType<UnaryRule> => ({ f32: plain1(op), i32: same, u32: same });
const isZero: UnaryRule = (c, a) => c.op("i32.eqz", a);
const negate: UnaryRule = (c, a) => c.sub(c.i32(0), a);
const invert: UnaryRule = (c, a) => c.op("i32.xor", a, c.i32(-1));
const never: UnaryRule = (c) => c.i32(0);

export const scalarUnary: Record<ExprUnary, ByType<UnaryRule>> = {
  neg: { f32: plain1("f32.neg"), i32: negate, u32: negate },
  abs: {
    f32: plain1("f32.abs"), u32: same,
    i32: (c, a) => {
      const sign = c.op("i32.shr_s", a, c.i32(31));
      return c.sub(c.op("i32.xor", a, sign), sign);
    },
  },
  sign: {
    // What is neither above nor below 0 is its own sign: zeros keep theirs, NaN stays.
    f32: (c, a) => c.select(c.op("f32.gt", a, c.f32(0)), c.f32(1),
      c.select(c.op("f32.lt", a, c.f32(0)), c.f32(-1), a)),
    i32: (c, a) => c.op("i32.or", c.op("i32.shr_s", a, c.i32(31)), c.op("i32.gt_s", a, c.i32(0))),
    u32: (c, a) => c.op("i32.ne", a, c.i32(0)),
  },
  floor: rounding("f32.floor"),
  ceil: rounding("f32.ceil"),
  round: rounding("f32.nearest"),
  trunc: rounding("f32.trunc"),
  exp: called("exp"),
  log: called("log"),
  sqrt: { f32: plain1("f32.sqrt") },
  sin: called("sin"),
  cos: called("cos"),
  tan: called("tan"),
  asin: called("asin"),
  acos: called("acos"),
  atan: called("atan"),
  sinh: called("sinh"),
  cosh: called("cosh"),
  tanh: called("tanh"),
  asinh: called("asinh"),
  acosh: called("acosh"),
  atanh: called("atanh"),
  erf: called("erf"),
  not: { bool: isZero, i32: isZero, u32: isZero },
  bitnot: { i32: invert, u32: invert },
  isnan: { f32: (c, a) => c.op("f32.ne", a, a), i32: never, u32: never, bool: never },
};

/** Quotient or remainder of u32; 0 where the divisor is 0. */
const unsignedDivision = (op: "i32.div_u" | "i32.rem_u"): BinaryRule => (c, a, b) => {
  const none = c.op("i32.eqz", b);
  return c.select(none, c.i32(0), c.op(op, a, c.op("i32.or", b, none)));
};

/** Shift by a count that may be 32 or more: `beyond` says what is shifted in its place. */
const shift = (op: PlainOp, beyond: (c: Code, a: Value) => Value): BinaryRule => (c, a, b) =>
  c.select(c.op("i32.lt_u", b, c.i32(32)), c.op(op, a, b), beyond(c, a));
const zero = (c: Code): Value => c.i32(0);

const compare = (f32: PlainOp, i32: PlainOp, u32: PlainOp): ByType<BinaryRule> =>
  ({ f32: plain2(f32), i32: plain2(i32), u32: plain2(u32), bool: plain2(u32) });
const integer = (op: PlainOp): ByType<BinaryRule> =>
  ({ i32: plain2(op), u32: plain2(op), bool: plain2(op) });
const arithmetic = (f32: PlainOp, i32: PlainOp): ByType<BinaryRule> =>
  ({ f32: plain2(f32), i32: plain2(i32), u32: plain2(i32) });
const choose = (op: PlainOp): BinaryRule => (c, a, b) => c.select(c.op(op, a, b), a, b);

export const scalarBinary: Record<ExprBinary, ByType<BinaryRule>> = {
  add: { ...arithmetic("f32.add", "i32.add"), i32: (c, a, b) => c.add(a, b) },
  sub: { ...arithmetic("f32.sub", "i32.sub"), i32: (c, a, b) => c.sub(a, b) },
  mul: { ...arithmetic("f32.mul", "i32.mul"), i32: (c, a, b) => c.mul(a, b) },
  div: {
    f32: plain2("f32.div"),
    // Divisors 0 and -1 never reach the instruction, which would trap on 0 and on -2^31 / -1;
    // a * b is the quotient by -1 and a harmless value by 0.
    i32: (c, a, b) => {
      const unsafe = c.op("i32.le_u", c.add(b, c.i32(1)), c.i32(1));
      const quotient = c.op("i32.div_s", a, c.select(unsafe, c.i32(1), b));
      return c.select(unsafe, c.mul(a, b), quotient);
    },
    u32: unsignedDivision("i32.div_u"),
  },
  rem: {
    f32: (c, a, b, library) => library.call(c, "rem", a, b),
    i32: (c, a, b) => c.op("i32.rem_s", a, c.op("i32.or", b, c.op("i32.eqz", b))),
    u32: unsignedDivision("i32.rem_u"),
  },
  pow: {
    f32: (c, a, b, library) => library.call(c, "pow", a, b),
    i32: (c, a, b, library) => library.call(c, "powInteger", a, b),
    u32: (c, a, b, library) => library.call(c, "powUnsigned", a, b),
  },
  max: {
    f32: plain2("f32.max"), i32: choose("i32.gt_s"), u32: choose("i32.gt_u"),
    bool: plain2("i32.or"),
  },
  min: {
    f32: plain2("f32.min"), i32: choose("i32.lt_s"), u32: choose("i32.lt_u"),
    bool: plain2("i32.and"),
  },
  and: integer("i32.and"),
  or: integer("i32.or"),
  xor: integer("i32.xor"),
  shl: { i32: shift("i32.shl", zero), u32: shift("i32.shl", zero) },
  shr: {
    i32: shift("i32.shr_s", (c, a) => c.op("i32.shr_s", a, c.i32(31))),
    u32: shift("i32.shr_u", zero),
  },
  eq: compare("f32.eq", "i32.eq", "i32.eq"),
  lt: compare("f32.lt", "i32.lt_s", "i32.lt_u"),
  le: compare("f32.le", "i32.le_s", "i32.le_u"),
};

const isNonZero: UnaryRule = (c, a) => c.op("i32.ne", a, c.i32(0));

/** From a type to another. */
export const scalarCast: Record<ScalarType, Record<ScalarType, UnaryRule>> = {
  f32: {
    f32: same, i32: plain1("i32.trunc_sat_f32_s"), u32: plain1("i32.trunc_sat_f32_u"),
    bool: (c, a) => c.op("f32.ne", a, c.f32(0)),
  },
  i32: { f32: plain1("f32.convert_i32_s"), i32: same, u32: same, bool: isNonZero },
  u32: { f32: plain1("f32.convert_i32_u"), i32: same, u32: same, bool: isNonZero },
  bool: { f32: plain1("f32.convert_i32_u"), i32: same, u32: same, bool: same },
};

const bits = plain1("i32.reinterpret_f32");
const float = plain1("f32.reinterpret_i32");
/** The same 32 bits as another type. */
const scalarBitcast: Record<ScalarType, ByType<UnaryRule>> = {
  f32: { i32: bits, u32: bits },
  i32: { f32: float, u32: same },
  u32: { f32: float, i32: same },
  bool: {},
};

export const unaryRule = (op: ExprUnary, type: ScalarType): UnaryRule =>
  scalarUnary[op][type] ?? missing(op, type);
export const binaryRule = (op: ExprBinary, type: ScalarType): BinaryRule =>
  scalarBinary[op][type] ?? missing(op, type);
export const bitcastRule = (from: ScalarType, to: ScalarType): UnaryRule =>
  scalarBitcast[from][to] ?? missing("bitcast", from);

function missing(op: string, type: ScalarType): never {
  throw new InternalError(`kernel expressions have no ${op} of ${type}`);
}
