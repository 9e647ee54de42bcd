/**
 * WGSL functions of angles, of any size, and their inverses. Polynomials are own minimax fits
 * (Remez exchange, relative error) on the intervals stated, with or without fused multiply-add
 * within 4 units in the last place of the result. Tests hold them to it.
 */
import { define } from "./wgslFunction.ts";

export const angles = {
  Angle: define([], `
// x = rest + quadrant * pi/2, |rest| <= pi/4.
struct Angle {
  rest: f32,
  quadrant: i32,
}`),

  high_product: define([], `
// Upper 32 bits of a * b.
fn high_product(a: u32, b: u32) -> u32 {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let inner = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let outer = (a & 0xffffu) * (b >> 16u) + (inner & 0xffffu);
  return (a >> 16u) * (b >> 16u) + (inner >> 16u) + (outer >> 16u);
}`),

  reduce_large_angle: define(["Angle", "high_product"], `
// x * 2/pi modulo 4 in integers, from the 96 bits of 2/pi that matter (Payne and Hanek, 1983).
fn reduce_large_angle(x: f32) -> Angle {
  var two_over_pi = array<u32, 8>(0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u,
    0xdb629599u, 0x3c439041u, 0xfe5163abu);
  let bits = bitcast<u32>(x) & 0x7fffffffu;
  let mantissa = (bits & 0x007fffffu) | 0x00800000u;
  let start = (bits >> 23u) - 120u;
  let word = start >> 5u;
  let shift = start & 31u;
  var window: array<u32, 3>;
  for (var i = 0u; i < 3u; i++) {
    let next = (two_over_pi[word + i + 1u] >> 1u) >> (31u - shift);
    window[i] = (two_over_pi[word + i] << shift) | next;
  }
  let carried = high_product(window[2], mantissa);
  let low = window[1] * mantissa + carried;
  let carry = select(0u, 1u, low < carried);
  let high = window[0] * mantissa + high_product(window[1], mantissa) + carry;
  // Two bits of quadrant, then the fraction, taken as signed so that it is the nearer one.
  let fraction = bitcast<i32>((high << 2u) | (low >> 30u));
  let quadrant = i32(high >> 30u) + select(0, 1, fraction < 0);
  let rest = fma(f32(low << 2u), 2.32830644e-10, f32(fraction)) * 3.6572953e-10;
  if (x < 0.0) {
    return Angle(-rest, -quadrant);
  }
  return Angle(rest, quadrant);
}`),

  reduce_angle: define(["Angle", "as_f32", "reduce_large_angle"], `
// pi/2 in three parts, of which n times the first two is exact (Cody and Waite).
fn reduce_angle(x: f32) -> Angle {
  if (abs(x) > 8192.0) {
    if ((bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u) {
      return Angle(as_f32(0x7fc00000u), 0);
    }
    return reduce_large_angle(x);
  }
  let n = round(x * 0.636619747);
  let rest = fma(-n, 7.54979013e-8, fma(-n, 0.0004837512969970703125, fma(-n, 1.5703125, x)));
  return Angle(rest, i32(n));
}`),

  sine_in_quadrant: define(["Angle"], `
fn sine_in_quadrant(angle: Angle) -> f32 {
  let r = angle.rest;
  let s = r * r;
  let sine = fma(r * s, fma(fma(-0.000195120287, s, 0.00833213702), s, -0.166666538), r);
  let c = fma(fma(2.44348466e-5, s, -0.00138873374), s, 0.0416666456);
  let cosine = fma(s * s, c, fma(-0.5, s, 1.0));
  let value = select(sine, cosine, (angle.quadrant & 1) == 1);
  return select(value, -value, (angle.quadrant & 2) == 2);
}`),

  precise_sin: define(["reduce_angle", "sine_in_quadrant"], `
fn precise_sin(x: f32) -> f32 {
  return sine_in_quadrant(reduce_angle(x));
}`),

  precise_cos: define(["reduce_angle", "sine_in_quadrant"], `
fn precise_cos(x: f32) -> f32 {
  let angle = reduce_angle(x);
  return sine_in_quadrant(Angle(angle.rest, angle.quadrant + 1));
}`),

  precise_tan: define(["reduce_angle", "sine_in_quadrant"], `
fn precise_tan(x: f32) -> f32 {
  let angle = reduce_angle(x);
  return sine_in_quadrant(angle) / sine_in_quadrant(Angle(angle.rest, angle.quadrant + 1));
}`),

  precise_atan: define(["is_nan"], `
// atan(x) = pi/2 - atan(1/x) brings every argument into [0, 1].
fn precise_atan(x: f32) -> f32 {
  let a = abs(x);
  let t = select(a, 1.0 / a, a > 1.0);
  let s = t * t;
  var p = fma(0.00292069232, s, -0.0163679291);
  p = fma(p, s, 0.0432118624);
  p = fma(p, s, -0.0755221471);
  p = fma(p, s, 0.106660046);
  p = fma(p, s, -0.142110556);
  p = fma(p, s, 0.199937731);
  p = fma(p, s, -0.333331525);
  let inner = fma(t * s, p, t);
  let magnitude = select(inner, 1.57079637 - inner, a > 1.0);
  return select(select(magnitude, -magnitude, x < 0.0), x, is_nan(x));
}`),

  asin_of_half: define([], `
// asin for |x| <= 1/2.
fn asin_of_half(x: f32) -> f32 {
  let s = x * x;
  var p = fma(0.042166315, s, 0.0241795108);
  p = fma(p, s, 0.0454703756);
  p = fma(p, s, 0.0749529749);
  p = fma(p, s, 0.166667521);
  return fma(x * s, p, x);
}`),

  precise_asin: define(["as_f32", "asin_of_half"], `
// asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)) for x > 1/2.
fn precise_asin(x: f32) -> f32 {
  let a = abs(x);
  if (a <= 0.5) {
    return asin_of_half(x);
  }
  if (a <= 1.0) {
    let magnitude = 1.57079637 - 2.0 * asin_of_half(sqrt(0.5 - 0.5 * a));
    return select(magnitude, -magnitude, x < 0.0);
  }
  return as_f32(0x7fc00000u);
}`),

  precise_acos: define(["as_f32", "asin_of_half"], `
fn precise_acos(x: f32) -> f32 {
  let a = abs(x);
  if (a <= 0.5) {
    return 1.57079637 - asin_of_half(x);
  }
  if (a <= 1.0) {
    let inner = 2.0 * asin_of_half(sqrt(0.5 - 0.5 * a));
    return select(inner, 3.14159274 - inner, x < 0.0);
  }
  return as_f32(0x7fc00000u);
}`),
} as const;
