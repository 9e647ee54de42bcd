/**
 * WGSL functions whose results are exact: NaN and infinities kept, integers at the ends of their
 * ranges. Approximations are in `exponentialFunctions.ts` and `angleFunctions.ts`.
 */
import { define } from "./wgslFunction.ts";

/** Bit patterns, because compilers may assume that a float is a finite number. */
export const special = {
  as_f32: define([], `
// Infinities and NaN by their bits: a call is no constant expression, which may hold neither.
fn as_f32(bits: u32) -> f32 {
  return bitcast<f32>(bits);
}`),

  is_nan: define([], `
// By the bits: compilers may assume that x == x.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`),

  maximum: define(["as_f32", "is_nan"], `
// NaN if either is NaN, which max() does not promise.
fn maximum(a: f32, b: f32) -> f32 {
  return select(max(a, b), as_f32(0x7fc00000u), is_nan(a) || is_nan(b));
}`),

  minimum: define(["as_f32", "is_nan"], `
// NaN if either is NaN, which min() does not promise.
fn minimum(a: f32, b: f32) -> f32 {
  return select(min(a, b), as_f32(0x7fc00000u), is_nan(a) || is_nan(b));
}`),

  subgroup_maximum: define(["as_f32", "is_nan"], `
// NaN if any is NaN, which subgroupMax() does not promise.
fn subgroup_maximum(a: f32) -> f32 {
  return select(subgroupMax(a), as_f32(0x7fc00000u), subgroupAny(is_nan(a)));
}`),

  subgroup_minimum: define(["as_f32", "is_nan"], `
// NaN if any is NaN, which subgroupMin() does not promise.
fn subgroup_minimum(a: f32) -> f32 {
  return select(subgroupMin(a), as_f32(0x7fc00000u), subgroupAny(is_nan(a)));
}`),

  sign_of: define(["is_nan"], `
// NaN for NaN.
fn sign_of(x: f32) -> f32 {
  return select(sign(x), x, is_nan(x));
}`),

  to_i32: define(["is_nan"], `
// Truncates and saturates; 0 for NaN.
fn to_i32(x: f32) -> i32 {
  let inside = i32(clamp(x, -2147483648.0, 2147483520.0));
  return select(select(inside, 2147483647, x >= 2147483648.0), 0, is_nan(x));
}`),

  to_u32: define(["is_nan"], `
// Truncates and saturates; 0 for NaN.
fn to_u32(x: f32) -> u32 {
  let inside = u32(clamp(x, 0.0, 4294967040.0));
  return select(select(inside, 4294967295u, x >= 4294967296.0), 0u, is_nan(x));
}`),

  remainder: define(["as_f32", "is_nan"], `
// Exact a - b*trunc(a/b): every step takes b*2^n <= rest away, which rounds nothing.
fn remainder(a: f32, b: f32) -> f32 {
  let whole = bitcast<u32>(a) & 0x7fffffffu;
  let divisor = bitcast<u32>(b) & 0x7fffffffu;
  if (whole >= 0x7f800000u || divisor > 0x7f800000u || divisor < 0x00800000u) {
    return as_f32(0x7fc00000u);
  }
  var rest = whole;
  while (rest >= divisor) {
    var step = divisor + (((rest >> 23u) - (divisor >> 23u)) << 23u);
    if (step > rest) {
      step -= 1u << 23u;
    }
    rest = bitcast<u32>(bitcast<f32>(rest) - bitcast<f32>(step));
  }
  return bitcast<f32>(rest | (bitcast<u32>(a) & 0x80000000u));
}`),
} as const;

export const integers = {
  shift_left_i32: define([], `
// Counts of 32 and more shift everything out.
fn shift_left_i32(a: i32, count: u32) -> i32 {
  return select(a << (count & 31u), 0, count > 31u);
}`),

  shift_left_u32: define([], `
// Counts of 32 and more shift everything out.
fn shift_left_u32(a: u32, count: u32) -> u32 {
  return select(a << (count & 31u), 0u, count > 31u);
}`),

  shift_right_i32: define([], `
// Counts of 32 and more leave nothing but the sign.
fn shift_right_i32(a: i32, count: u32) -> i32 {
  return a >> min(count, 31u);
}`),

  shift_right_u32: define([], `
// Counts of 32 and more shift everything out.
fn shift_right_u32(a: u32, count: u32) -> u32 {
  return select(a >> (count & 31u), 0u, count > 31u);
}`),

  power_i32: define([], `
// By squaring, modulo 2^32; negative exponents truncate toward zero.
fn power_i32(base: i32, exponent: i32) -> i32 {
  if (exponent < 0) {
    let parity = select(1, base, (exponent & 1) == 1);
    return select(0, parity, base == 1 || base == -1);
  }
  var result = 1;
  var factor = base;
  for (var rest = exponent; rest > 0; rest >>= 1u) {
    result *= select(1, factor, (rest & 1) == 1);
    factor *= factor;
  }
  return result;
}`),

  power_u32: define([], `
// By squaring, modulo 2^32.
fn power_u32(base: u32, exponent: u32) -> u32 {
  var result = 1u;
  var factor = base;
  for (var rest = exponent; rest > 0u; rest >>= 1u) {
    result *= select(1u, factor, (rest & 1u) == 1u);
    factor *= factor;
  }
  return result;
}`),

  sort_key_f32: define(["is_nan"], `
// Unsigned numbers in the order of the floats: zeros equal, NaN last.
fn sort_key_f32(x: f32) -> u32 {
  let bits = select(bitcast<u32>(x), 0u, x == 0.0);
  let key = select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
  return select(key, 0xffffffffu, is_nan(x));
}`),

  sort_key_f32_descending: define(["sort_key_f32"], `
// The reverse order, NaN still last.
fn sort_key_f32_descending(x: f32) -> u32 {
  let key = sort_key_f32(x);
  return select(~key, key, key == 0xffffffffu);
}`),
} as const;
