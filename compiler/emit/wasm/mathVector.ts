/**
 * exp, log, tanh and erf on four f32 lanes at once, written in line: their constants are computed
 * outside the loops, which a call would prevent.
 *
 * Error bounds, in ULP of the exact result (tests sweep them): exp 1, log 1, tanh 2, erf 2. Range
 * reductions are the classical ones (Cody & Waite 1980); polynomials are our own least-maximum
 * fits of the relative error of the whole function, figures beside them.
 */
import type { Code, Value } from "./code.ts";

const LOG2E = 1 / Math.LN2;
/** ln 2 in two parts; the first has 9 bits, so its product with an exponent is exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = Math.LN2 - LN2_HIGH;

/** Four equal lanes. */
const all = (c: Code, x: number): Value => c.f32x4(x);
const add = (c: Code, a: Value, b: Value): Value => c.op("f32x4.add", a, b);
const sub = (c: Code, a: Value, b: Value): Value => c.op("f32x4.sub", a, b);
const mul = (c: Code, a: Value, b: Value): Value => c.op("f32x4.mul", a, b);

function polynomial(c: Code, x: Value, coefficients: readonly number[]): Value {
  return coefficients.reduceRight<Value | undefined>((sum, k) =>
    sum === undefined ? all(c, k) : add(c, mul(c, sum, x), all(c, k)), undefined) as Value;
}

/** (e^r - 1 - r) / r^2 for |r| <= ln(2)/2; relative error of e^r 3e-9. */
const EXP = [
  0.49999993437345214, 0.16666520476994612, 0.041668389874413486, 0.008368735632181677,
  0.0013814559128137662,
];

/** e^x; 0 below -104, infinite above 88.73, NaN stays. Denormal results are rounded once. */
export function expLanes(c: Code, x: Value): Value {
  // These keep their first operand where it is NaN.
  const clamped = c.op("f32x4.pmin", c.op("f32x4.pmax", x, all(c, -104)), all(c, 89));
  const n = c.op("f32x4.nearest", mul(c, clamped, all(c, LOG2E)));
  const r = sub(c, sub(c, clamped, mul(c, n, all(c, LN2_HIGH))), mul(c, n, all(c, LN2_LOW)));
  const p = add(c, add(c, mul(c, polynomial(c, r, EXP), mul(c, r, r)), r), all(c, 1));
  // 2^n as two factors, each a normal number.
  const whole = c.op("i32x4.trunc_sat_f32x4_s", n);
  const half = c.op("i32x4.shr_s", whole, c.i32(1));
  const power = (e: Value): Value =>
    c.op("i32x4.shl", c.op("i32x4.add", e, c.i32x4(127)), c.i32(23));
  return mul(c, mul(c, p, power(half)), power(c.op("i32x4.sub", whole, half)));
}

/** (log(1+f) - f + f^2/2) / f^3 for 1+f in [sqrt(1/2), sqrt(2)]; relative error 8e-10. */
const LOG = [
  0.33333312604061194, -0.25000009599489526, 0.20002118659128906, -0.16667995852681963,
  0.14219552352005768, -0.1240558890314892, 0.11888162295394537, -0.11675652029737217,
  0.06746640802191435,
];

/** ln x; denormals included, -inf at 0, NaN below. */
export function logLanes(c: Code, x: Value): Value {
  const isTiny = c.op("f32x4.lt", x, all(c, 2 ** -126));
  const normal = c.op("v128.bitselect", mul(c, x, all(c, 2 ** 23)), x, isTiny);
  const shifted = c.op("i32x4.sub", normal, c.i32x4(0x3f3504f3));
  const exponent = c.op("i32x4.shr_s", shifted, c.i32(23));
  const mantissa = c.op("i32x4.sub", normal, c.op("i32x4.shl", exponent, c.i32(23)));
  const e = sub(c, c.op("f32x4.convert_i32x4_s", exponent),
    c.op("v128.and", isTiny, all(c, 23)));
  const f = sub(c, mantissa, all(c, 1));
  const square = mul(c, f, f);
  const high = mul(c, mul(c, polynomial(c, f, LOG), square), f);
  const low = add(c, high, mul(c, e, all(c, LN2_LOW)));
  const tail = sub(c, low, mul(c, square, all(c, 0.5)));
  const log = add(c, add(c, tail, f), mul(c, e, all(c, LN2_HIGH)));
  // What the bit tricks do not cover: 0, negative numbers, infinity and NaN.
  const regular = c.op("v128.and", c.op("f32x4.gt", x, all(c, 0)),
    c.op("f32x4.lt", x, all(c, Infinity)));
  const atZero = c.op("v128.bitselect", all(c, -Infinity), all(c, NaN),
    c.op("f32x4.eq", x, all(c, 0)));
  const special = c.op("v128.bitselect", x, atZero,
    c.op("v128.not", c.op("f32x4.le", x, all(c, 0))));
  const other = c.op("v128.bitselect", all(c, NaN), special, c.op("f32x4.lt", x, all(c, 0)));
  return c.op("v128.bitselect", log, other, regular);
}

/** (tanh(x) - x) / x^3 in x^2 for |x| <= 0.625; relative error of tanh 4e-9. */
const TANH = [
  -0.3333328392529573, 0.13331491286946845, -0.05374349806391384, 0.020650587218040143,
  -0.00571704495422312,
];

const SIGN = -(2 ** 31);
const copySign = (c: Code, size: Value, sign: Value): Value =>
  c.op("v128.bitselect", sign, size, c.i32x4(SIGN));

/** Odd polynomial below 0.625; beyond it 1 - 2/(e^(2|x|) + 1). */
export function tanhLanes(c: Code, x: Value): Value {
  const a = c.op("f32x4.abs", x);
  const square = mul(c, x, x);
  const near = add(c, mul(c, mul(c, polynomial(c, square, TANH), square), x), x);
  const e = expLanes(c, add(c, a, a));
  const rest = c.op("f32x4.div", all(c, 2), add(c, e, all(c, 1)));
  const far = copySign(c, sub(c, all(c, 1), rest), x);
  return c.op("v128.bitselect", near, far, c.op("f32x4.lt", a, all(c, 0.625)));
}

/** erf(x)/x - 1 in x^2 for |x| <= 1; relative error of erf 1.3e-9. */
const ERF_NEAR = [
  0.1283791657265532, -0.3761262582363821, 0.1128358514301599, -0.02685381172193644,
  0.005188327302471552, -0.0008010190382495392, 7.853850931651419e-5,
];
/** log(erfc(x)) for x in [0.98, 4]; error of erf 1.2e-9. */
const ERF_FAR = [
  -0.00030043723208962727, -1.1272514187737515, -0.6378831503643283, -0.10332728952405255,
  0.021940400683606715, -0.002972434168265209, 0.00018882277445837333,
];

/** Odd polynomial below 1; beyond it 1 - exp(polynomial), which is 1 from 4 on. */
export function erfLanes(c: Code, x: Value): Value {
  const a = c.op("f32x4.abs", x);
  const near = add(c, mul(c, x, polynomial(c, mul(c, x, x), ERF_NEAR)), x);
  const bounded = c.op("f32x4.min", a, all(c, 4));
  const tail = expLanes(c, polynomial(c, bounded, ERF_FAR));
  const far = copySign(c, sub(c, all(c, 1), tail), x);
  return c.op("v128.bitselect", near, far, c.op("f32x4.lt", a, all(c, 1)));
}
