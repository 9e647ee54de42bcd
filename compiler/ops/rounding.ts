/**
 * Rounding to 16-bit floats, on numbers and as kernel expressions over the bits of a float32.
 * Values of both types are computed and held in float32; only a cast rounds, to nearest, ties to
 * even.
 */
import type { DType } from "../graph/dtype.ts";
import {
  bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat,
} from "../graph/half.ts";
import type { Expr } from "../kernels/expr.ts";
import type { ExprPool } from "../kernels/pool.ts";

/** Rounding of numbers, for the types that have one. */
export const roundNumber: Partial<Record<DType, (x: number) => number>> = {
  float16: (x) => halfToFloat(floatToHalf(x)),
  bfloat16: (x) => bfloatToFloat(floatToBfloat(x)),
};

/** The steps below on u32 expressions. */
interface Bits {
  readonly magnitude: Expr;
  readonly sign: Expr;
  u(value: number): Expr;
  and(a: Expr, b: Expr): Expr;
  add(a: Expr, b: Expr): Expr;
  less(a: Expr, b: Expr): Expr;
  /** Rounds away the lowest `count` bits; a carry moves into the exponent, as it should. */
  drop(a: Expr, count: number): Expr;
}

function bitsOf(pool: ExprPool, x: Expr): Bits {
  const u = (value: number): Expr => pool.const(value, "u32");
  const and = (a: Expr, b: Expr): Expr => pool.binary("and", a, b);
  const add = (a: Expr, b: Expr): Expr => pool.binary("add", a, b);
  const bits = pool.bitcast(x, "u32");
  return {
    magnitude: and(bits, u(0x7fffffff)), sign: and(bits, u(0x80000000)), u, and, add,
    less: (a, b) => pool.binary("lt", a, b),
    drop(a, count) {
      const odd = and(pool.binary("shr", a, u(count)), u(1));
      return and(add(add(a, odd), u(2 ** (count - 1) - 1)), u(-(2 ** count)));
    },
  };
}

function roundToHalf(pool: ExprPool, x: Expr): Expr {
  const { magnitude, sign, u, less, drop } = bitsOf(pool, x);
  // Below 2^-14 the spacing is 2^-24, which float32 has between 0.5 and 1: adding 0.5 rounds.
  const shifted = pool.binary("add", pool.bitcast(magnitude, "f32"), pool.const(0.5, "f32"));
  const steps = pool.binary("sub", pool.bitcast(shifted, "u32"), u(0x3f000000));
  const tiny = pool.binary("mul", pool.cast(steps, "f32"), pool.const(2 ** -24, "f32"));
  const normal = pool.select(less(magnitude, u(0x477ff000)), drop(magnitude, 13), u(0x7f800000));
  const rounded = pool.select(less(magnitude, u(0x38800000)), pool.bitcast(tiny, "u32"), normal);
  const result = pool.bitcast(pool.binary("or", rounded, sign), "f32");
  return pool.select(less(u(0x7f800000), magnitude), x, result);
}

function roundToBfloat(pool: ExprPool, x: Expr): Expr {
  const { magnitude, sign, u, less, drop } = bitsOf(pool, x);
  const result = pool.bitcast(pool.binary("or", drop(magnitude, 16), sign), "f32");
  return pool.select(less(u(0x7f800000), magnitude), x, result);
}

/** Rounding of f32 expressions, for the types that have one. */
export const roundExpr: Partial<Record<DType, (pool: ExprPool, x: Expr) => Expr>> = {
  float16: roundToHalf,
  bfloat16: roundToBfloat,
};
