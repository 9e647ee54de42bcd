/**
 * The meaning of every elementwise operator on JavaScript numbers: the one place that the
 * graph-level evaluator, the constant folder of kernel expressions and the interpreter share.
 *
 * Float functions compute in float64; the caller rounds to float32 where it models a device.
 * Integer operators get operands already in range and return a number to be wrapped by the caller.
 */
import type { BinaryOp, UnaryOp } from "../graph/graph.ts";

export function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  const fraction = x - down;
  if (fraction !== 0.5) return Math.round(x);
  // -0.5 rounds to -0, as in IEEE 754.
  return down === -1 ? -0 : down % 2 === 0 ? down : down + 1;
}

/**
 * erf to about 1e-15 relative: Maclaurin series below 2.5, else 1 minus the continued fraction of
 * erfc (Abramowitz & Stegun 7.1.6 and 7.1.14).
 */
export function erf(x: number): number {
  if (Number.isNaN(x)) return NaN;
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = a;
    let sum = a;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 200; n++) {
      term *= (2 * a * a) / (2 * n + 1);
      sum += term;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) * sum;
  }
  let fraction = 0;
  for (let n = 60; n >= 1; n--) fraction = n / 2 / (a + fraction);
  const erfc = Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction);
  return Math.sign(x) * (1 - erfc);
}

/** Float meaning of each unary operator; undefined where the operator has none on floats. */
export const unaryFloat: Record<UnaryOp, ((a: number) => number) | undefined> = {
  neg: (a) => -a,
  abs: Math.abs,
  sign: Math.sign,
  floor: Math.floor,
  ceil: Math.ceil,
  round: roundHalfEven,
  trunc: Math.trunc,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  asinh: Math.asinh,
  acosh: Math.acosh,
  atanh: Math.atanh,
  erf,
  not: undefined,
  bitnot: undefined,
  isnan: (a) => (Number.isNaN(a) ? 1 : 0),
};

/** Integer meaning (the result as a number to be wrapped); undefined where there is none. */
export const unaryInteger: Record<UnaryOp, ((a: number) => number) | undefined> = {
  neg: (a) => -a,
  abs: Math.abs,
  sign: Math.sign,
  floor: (a) => a,
  ceil: (a) => a,
  round: (a) => a,
  trunc: (a) => a,
  exp: undefined, log: undefined, sqrt: undefined, sin: undefined, cos: undefined, tan: undefined,
  asin: undefined, acos: undefined, atan: undefined, sinh: undefined, cosh: undefined,
  tanh: undefined, asinh: undefined, acosh: undefined, atanh: undefined, erf: undefined,
  not: (a) => (a === 0 ? 1 : 0),
  bitnot: (a) => ~a,
  isnan: () => 0,
};

const flag = (condition: boolean): number => (condition ? 1 : 0);

export const binaryFloat: Record<BinaryOp, ((a: number, b: number) => number) | undefined> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  rem: (a, b) => a % b,
  pow: (a, b) => (a === 1 ? 1 : Math.pow(a, b)),
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  and: undefined, or: undefined, xor: undefined, shl: undefined, shr: undefined,
  eq: (a, b) => flag(a === b),
  lt: (a, b) => flag(a < b),
  le: (a, b) => flag(a <= b),
};

/** Integer power by squaring, wrapped to 32 bits; a negative exponent truncates toward zero. */
function integerPower(base: number, exponent: number): number {
  if (exponent < 0) return base === 1 ? 1 : base === -1 ? (exponent % 2 === 0 ? 1 : -1) : 0;
  let result = 1;
  let factor = base;
  for (let e = exponent; e > 0; e = Math.floor(e / 2)) {
    if (e % 2 === 1) result = Math.imul(result, factor);
    factor = Math.imul(factor, factor);
  }
  return result;
}

/** The product modulo 2^32 where it is more than float64 holds. */
export function multiplyIntegers(a: number, b: number): number {
  const exact = a * b;
  return Number.isSafeInteger(exact) ? exact : Math.imul(a, b);
}

/** Whether shifting by `count` leaves any bit; a negative count is a large one. */
const isShift = (count: number): boolean => count >= 0 && count < 32;

/** 32-bit meaning; `shr` is given the operand's own signedness by its sign. */
export const binaryInteger: Record<BinaryOp, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: multiplyIntegers,
  div: (a, b) => (b === 0 ? 0 : Math.trunc(a / b)),
  rem: (a, b) => (b === 0 ? 0 : a % b),
  pow: integerPower,
  max: (a, b) => Math.max(a, b),
  min: (a, b) => Math.min(a, b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => (isShift(b) ? a << b : 0),
  shr: (a, b) => (a < 0 ? a >> (isShift(b) ? b : 31) : isShift(b) ? a >>> b : 0),
  eq: (a, b) => flag(a === b),
  lt: (a, b) => flag(a < b),
  le: (a, b) => flag(a <= b),
};
