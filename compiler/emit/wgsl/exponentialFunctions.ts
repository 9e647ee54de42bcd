/**
 * WGSL functions of exponentials, logarithms and powers, and `erf`. Polynomials are own minimax
 * fits (Remez exchange, relative error) on the intervals stated, with or without fused multiply-add
 * within 4 units in the last place of the result; `precise_sinh`, `precise_cosh` and `power` are as
 * good as the device's exp(), 3 + 2|x| units. Tests hold them to it.
 */
import { define } from "./wgslFunction.ts";

export const exponentials = {
  square: define([], `
fn square(x: f32) -> f32 {
  return x * x;
}`),

  cube: define([], `
fn cube(x: f32) -> f32 {
  return x * x * x;
}`),

  precise_log: define(["as_f32", "is_nan"], `
// x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log(m) by a polynomial in m - 1.
fn precise_log(x: f32) -> f32 {
  if (is_nan(x) || x < 0.0) {
    return as_f32(0x7fc00000u);
  }
  if (x == 0.0) {
    return as_f32(0xff800000u);
  }
  if (bitcast<u32>(x) == 0x7f800000u) {
    return x;
  }
  let is_small = x < 1.17549435e-38;
  let bits = bitcast<u32>(select(x, x * 8388608.0, is_small)) - 0x3f3504f3u;
  let e = f32((bitcast<i32>(bits) >> 23u) - select(0, 23, is_small));
  let m = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
  var p = fma(-0.0763449296, m, 0.12761575);
  p = fma(p, m, -0.131601825);
  p = fma(p, m, 0.142017588);
  p = fma(p, m, -0.166233569);
  p = fma(p, m, 0.200012267);
  p = fma(p, m, -0.250008196);
  p = fma(p, m, 0.333333313);
  let tail = fma(m * m, fma(m, p, -0.5), e * 0.000276086823);
  return fma(e, 0.69287109375, m + tail);
}`),

  power: define(["as_f32", "is_nan", "precise_log"], `
// pow() is undefined for negative bases.
fn power(base: f32, exponent: f32) -> f32 {
  if (exponent == 0.0 || base == 1.0) {
    return 1.0;
  }
  if (is_nan(base) || is_nan(exponent)) {
    return as_f32(0x7fc00000u);
  }
  if (base == 0.0) {
    return select(0.0, as_f32(0x7f800000u), exponent < 0.0);
  }
  let magnitude = exp(exponent * precise_log(abs(base)));
  if (base > 0.0) {
    return magnitude;
  }
  if (trunc(exponent) != exponent) {
    return select(as_f32(0x7fc00000u), magnitude, bitcast<u32>(base) == 0xff800000u);
  }
  let is_odd = abs(exponent - 2.0 * trunc(exponent * 0.5)) == 1.0;
  return select(magnitude, -magnitude, is_odd);
}`),

  erf: define(["is_nan"], `
// |x| < 1: x * P(x^2); beyond: 1 - exp(Q(|x|)), where Q fits log(erfc).
fn erf(x: f32) -> f32 {
  let a = abs(x);
  if (a < 1.0) {
    let s = x * x;
    var p = fma(-0.000563142239, s, 0.0049175513);
    p = fma(p, s, -0.0267113112);
    p = fma(p, s, 0.112801798);
    p = fma(p, s, -0.37612325);
    return x * fma(p, s, 1.12837911);
  }
  let t = min(a, 4.0);
  var q = fma(0.000186379111, t, -0.0029476576);
  q = fma(q, t, 0.0218380615);
  q = fma(q, t, -0.103106752);
  q = fma(q, t, -0.638144851);
  q = fma(q, t, -1.12708914);
  q = fma(q, t, -0.000341523933);
  let magnitude = 1.0 - exp(q);
  return select(select(magnitude, -magnitude, x < 0.0), x, is_nan(x));
}`),

  precise_sinh: define(["is_nan"], `
// The difference of exponentials cancels below 1, and overflows too early unless halved first.
fn precise_sinh(x: f32) -> f32 {
  let a = abs(x);
  if (a < 1.0) {
    let s = x * x;
    return fma(x * s, fma(fma(0.000203721938, s, 0.00833028369), s, 0.166667163), x);
  }
  let t = exp(a - 0.693147182);
  let magnitude = t - 0.25 / t;
  return select(select(magnitude, -magnitude, x < 0.0), x, is_nan(x));
}`),

  precise_cosh: define(["is_nan"], `
fn precise_cosh(x: f32) -> f32 {
  let t = exp(abs(x) - 0.693147182);
  return select(t + 0.25 / t, x, is_nan(x));
}`),

  precise_tanh: define(["is_nan"], `
// tanh() may overflow for large |x| and cancel for small.
fn precise_tanh(x: f32) -> f32 {
  let a = abs(x);
  if (a < 0.625) {
    let s = x * x;
    var p = fma(-0.00570498733, s, 0.020639088);
    p = fma(p, s, -0.0537397154);
    p = fma(p, s, 0.133314416);
    p = fma(p, s, -0.333332807);
    return fma(x * s, p, x);
  }
  let magnitude = 1.0 - 2.0 / (exp(2.0 * min(a, 10.0)) + 1.0);
  return select(select(magnitude, -magnitude, x < 0.0), x, is_nan(x));
}`),

  precise_asinh: define(["precise_log"], `
fn precise_asinh(x: f32) -> f32 {
  let a = abs(x);
  if (a < 0.5) {
    let s = x * x;
    var p = fma(-0.0132375285, s, 0.0281691253);
    p = fma(p, s, -0.0443845168);
    p = fma(p, s, 0.0749865249);
    p = fma(p, s, -0.166666433);
    return fma(x * s, p, x);
  }
  // a^2 + 1 = a^2 in f32 long before a^2 overflows.
  if (a > 8192.0) {
    let large = precise_log(a) + 0.693147182;
    return select(large, -large, x < 0.0);
  }
  let magnitude = precise_log(a + sqrt(fma(a, a, 1.0)));
  return select(magnitude, -magnitude, x < 0.0);
}`),

  precise_acosh: define(["as_f32", "precise_log"], `
fn precise_acosh(x: f32) -> f32 {
  if (x < 1.0) {
    return as_f32(0x7fc00000u);
  }
  let t = x - 1.0;
  if (t < 0.5) {
    var p = fma(0.00124428736, t, -0.00532259699);
    p = fma(p, t, 0.0187064428);
    p = fma(p, t, -0.0833307058);
    return sqrt(2.0 * t) * fma(p, t, 1.0);
  }
  if (x > 8192.0) {
    return precise_log(x) + 0.693147182;
  }
  return precise_log(x + sqrt(fma(x, x, -1.0)));
}`),

  precise_atanh: define(["as_f32", "precise_log"], `
fn precise_atanh(x: f32) -> f32 {
  let a = abs(x);
  if (a < 0.5) {
    let s = x * x;
    var p = fma(0.181740075, s, 0.082437031);
    p = fma(p, s, 0.146691427);
    p = fma(p, s, 0.199782163);
    p = fma(p, s, 0.333337307);
    return fma(x * s, p, x);
  }
  if (a == 1.0) {
    return as_f32(bitcast<u32>(x) ^ 0x40000000u);
  }
  let magnitude = 0.5 * precise_log((1.0 + a) / (1.0 - a));
  return select(magnitude, -magnitude, x < 0.0);
}`),
} as const;
