/**
 * WGSL functions that emitted code calls where the language's own are not good enough: they may
 * ignore NaN (`max`), overflow (`tanh`), be undefined on half the line (`pow`), be off by thousands
 * of units in the last place (`atan`, `asin`), or not exist (`erf`); what the language promises is
 * in https://www.w3.org/TR/WGSL/#floating-point-accuracy. A module carries only those it calls.
 *
 * Polynomials are own minimax fits (Remez exchange, relative error) on the intervals stated, with
 * or without fused multiply-add within 4 units in the last place of the result; `precise_sinh`,
 * `precise_cosh` and `power` are as good as the device's exp(), 3 + 2|x| units. Tests hold them
 * to it.
 */

export interface WgslFunction {
  readonly needs: readonly string[];
  readonly source: string;
}

const define = (needs: readonly string[], source: string): WgslFunction =>
  ({ needs, source: source.trim() });

/** Bit patterns, because compilers may assume that a float is a finite number. */
const special = {
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

const integers = {
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

const exponentials = {
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

const angles = {
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

const library = { ...special, ...integers, ...exponentials, ...angles } as const;
export type FunctionName = keyof typeof library;
export const functionNames = Object.keys(library) as readonly FunctionName[];

/** Sources of the functions called and of those they call, each before its callers. */
export function sourcesOf(called: Iterable<FunctionName>): string[] {
  const needed = new Set<string>();
  const visit = (name: FunctionName): void => {
    if (needed.has(name)) return;
    needed.add(name);
    for (const other of library[name].needs) visit(other as FunctionName);
  };
  for (const name of called) visit(name);
  return functionNames.filter((name) => needed.has(name)).map((name) => library[name].source);
}
