/**
 * Functions of one f32 that WebAssembly lacks, as module functions made on first use.
 *
 * All compute in f64 with a relative error below 1e-10 and round once, so each f32 result is within
 * 0.51 ULP of the exact one (tests sweep them against float64). Series are Taylor's unless said
 * otherwise; range reductions: Cody & Waite 1980 and Payne & Hanek 1983 for sin, cos, tan. The one
 * fitted polynomial (erfc) is our own least-maximum fit. Four lanes at a time: `mathVector.ts`.
 */
import { Code, type Value, type Variable } from "./code.ts";
import type { FunctionRef, ModuleWriter, Signature } from "./assembler.ts";
import { writeCode } from "./codeWriter.ts";

export const mathFunctions = [
  "exp", "log", "pow", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh",
  "asinh", "acosh", "atanh", "erf", "rem", "powInteger", "powUnsigned",
  "reduceQuarters", "reduceRest",
] as const;
export type MathFunction = (typeof mathFunctions)[number];

interface Definition extends Signature {
  build(code: Code, library: MathLibrary, args: readonly Value[]): Value;
}

/** The math functions of one module; a function is written when it is first asked for. */
export class MathLibrary {
  readonly #module: ModuleWriter;
  readonly #made = new Map<MathFunction, FunctionRef>();
  constructor(module: ModuleWriter) {
    this.#module = module;
  }

  call(code: Code, name: MathFunction, ...args: Value[]): Value {
    return code.call(this.#ref(name), ...args);
  }

  #ref(name: MathFunction): FunctionRef {
    const known = this.#made.get(name);
    if (known) return known;
    const definition = definitions[name];
    const ref = this.#module.declare(`math.${name}`, definition);
    this.#made.set(name, ref);
    const code = new Code(definition.parameters);
    code.return(definition.build(code, this, code.parameters));
    this.#module.define(ref, writeCode(code));
    return ref;
  }
}

// ---- building blocks in f64 ------------------------------------------------------------------

const LN2 = Math.LN2;

/** c[0] + c[1] x + ... by Horner's scheme. */
function polynomial(c: Code, x: Value, coefficients: readonly number[]): Value {
  return coefficients.reduceRight<Value | undefined>((sum, k) =>
    sum === undefined ? c.f64(k) : c.op("f64.add", c.op("f64.mul", sum, x), c.f64(k)),
  undefined) as Value;
}

const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1));
/** Coefficients in x*x of the odd (start 1) or even (start 0) part of a series. */
const series = (start: 0 | 1, count: number, term: (n: number, i: number) => number): number[] =>
  Array.from({ length: count }, (_, i) => term(2 * i + start, i));
const alternate = (i: number): number => (i % 2 === 0 ? 1 : -1);

/** x * p(x*x) */
function odd(c: Code, x: Value, coefficients: readonly number[]): Value {
  return c.op("f64.mul", x, polynomial(c, c.op("f64.mul", x, x), coefficients));
}
const even = (c: Code, x: Value, coefficients: readonly number[]): Value =>
  polynomial(c, c.op("f64.mul", x, x), coefficients);

/** e^x for any x; saturates beyond 2^+-288, which f32 cannot tell from infinity and 0. */
function exp64(c: Code, x: Value): Value {
  const clamped = c.op("f64.min", c.op("f64.max", x, c.f64(-200)), c.f64(200));
  const k = c.op("f64.nearest", c.op("f64.mul", clamped, c.f64(1 / LN2)));
  const r = c.op("f64.sub", clamped, c.op("f64.mul", k, c.f64(LN2)));
  const p = polynomial(c, r, Array.from({ length: 11 }, (_, n) => 1 / factorial(n)));
  const biased = c.op("i64.add", c.op("i64.trunc_sat_f64_s", k), c.i64(1023n));
  const power = c.op("f64.reinterpret_i64", c.op("i64.shl", biased, c.i64(52n)));
  return c.op("f64.mul", p, power);
}

/** ln x for x a non-negative f32 promoted to f64 or a quotient of such; NaN below 0. */
function log64(c: Code, x: Value): Value {
  const bits = c.op("i64.reinterpret_f64", x);
  // Mantissa in [sqrt(1/2), sqrt(2)): subtract the bits of sqrt(1/2), keep the exponent's carry.
  const shifted = c.op("i64.sub", bits, c.i64(0x3fe6a09e667f3bcdn));
  const exponent = c.op("i64.shr_s", shifted, c.i64(52n));
  const mantissa = c.op("i64.sub", bits, c.op("i64.shl", exponent, c.i64(52n)));
  const m = c.op("f64.reinterpret_i64", mantissa);
  const one = c.f64(1);
  const s = c.op("f64.div", c.op("f64.sub", m, one), c.op("f64.add", m, one));
  const log = odd(c, s, series(1, 8, (n) => 2 / n));
  const finite = c.op("f64.add", c.op("f64.mul", c.op("f64.convert_i64_s", exponent), c.f64(LN2)),
    log);
  const special = c.select(c.op("f64.eq", x, c.f64(0)), c.f64(-Infinity),
    c.select(c.op("f64.lt", x, c.f64(0)), c.f64(NaN), x));
  const inside = c.op("i32.and", c.op("f64.gt", x, c.f64(0)), c.op("f64.lt", x, c.f64(Infinity)));
  return c.select(inside, finite, special);
}

/** Angle in [-pi/2, pi/2] with this tangent, for any x. */
function atan64(c: Code, x: Value): Value {
  const one = c.f64(1);
  const a = c.op("f64.abs", x);
  const inverted = c.op("f64.gt", a, one);
  const t = c.select(inverted, c.op("f64.div", one, a), a);
  // atan t = pi/4 + atan((t - 1)/(t + 1)) keeps the series' argument below tan(pi/8).
  const turned = c.op("f64.gt", t, c.f64(Math.SQRT2 - 1));
  const u = c.select(turned, c.op("f64.div", c.op("f64.sub", t, one), c.op("f64.add", t, one)), t);
  const angle = c.op("f64.add", odd(c, u, series(1, 14, (n, i) => alternate(i) / n)),
    c.select(turned, c.f64(Math.PI / 4), c.f64(0)));
  const full = c.select(inverted, c.op("f64.sub", c.f64(Math.PI / 2), angle), angle);
  return c.op("f64.copysign", full, x);
}

const sinh64 = (c: Code, x: Value): Value => {
  const e = exp64(c, x);
  const far = c.op("f64.mul", c.f64(0.5), c.op("f64.sub", e, c.op("f64.div", c.f64(1), e)));
  const near = odd(c, x, series(1, 7, (n) => 1 / factorial(n)));
  return c.select(c.op("f64.lt", c.op("f64.abs", x), c.f64(1)), near, far);
};
const cosh64 = (c: Code, x: Value): Value => {
  const e = exp64(c, x);
  return c.op("f64.mul", c.f64(0.5), c.op("f64.add", e, c.op("f64.div", c.f64(1), e)));
};

/**
 * exp(x*x) * erfc(x) on [1, 6.3] as a polynomial in (x - 2)/(x + 2), the variable of Shepherd &
 * Laframboise 1981; own least-maximum fit, absolute error 3e-12.
 */
const erfcScaled = [
  0.2553956763123344, -0.42718584735096066, 0.2416581935840438, -0.0789785879956367,
  0.0037329341351301556, 0.006997659022988944, -0.0008481420681195971, -0.0009838049571259254,
  5.385923111593592e-5, 0.00017648288496130006, -1.2132852249207995e-5,
];

function erf64(c: Code, x: Value): Value {
  const near = odd(c, x,
    series(1, 13, (n, i) => (2 / Math.sqrt(Math.PI)) * alternate(i) / (factorial(i) * n)));
  const a = c.op("f64.min", c.op("f64.abs", x), c.f64(6.3));
  const t = c.op("f64.div", c.op("f64.sub", a, c.f64(2)), c.op("f64.add", a, c.f64(2)));
  const tail = c.op("f64.mul", exp64(c, c.op("f64.neg", c.op("f64.mul", a, a))),
    polynomial(c, t, erfcScaled));
  const far = c.op("f64.copysign", c.op("f64.sub", c.f64(1), tail), x);
  return c.select(c.op("f64.lt", c.op("f64.abs", x), c.f64(1)), near, far);
}

// ---- trigonometry ----------------------------------------------------------------------------

/** pi/2 to 33 bits, so that whole multiples below 2^20 are exact, and the rest of it. */
const HALF_PI_HIGH = 1.5707963267341256;
const HALF_PI_LOW = 6.077100506506192e-11;
const LARGE_ANGLE = 2 ** 20;
/** Eight zero bits, then 2/pi to 248 bits. */
const TWO_OVER_PI = [
  0x00a2f9836e4e4415n, 0x29fc2757d1f534ddn, 0xc0db6295993c4390n, 0x41fe5163abdebbc5n,
] as const;

/**
 * Payne & Hanek for f32: |x| = M * 2^e with a 24-bit M. Of M * 2^e * (2/pi) only the part modulo 4
 * matters, so 96 bits of 2/pi from bit e - 2 on suffice: the product is a fraction of four
 * quarter turns to 64 bits.
 */
function largeQuarters(c: Code, a: Value): Value {
  const bits = c.op("i32.reinterpret_f32", c.op("f32.demote_f64", a));
  const mantissa = c.op("i64.extend_i32_u",
    c.op("i32.or", c.op("i32.and", bits, c.i32(0x7fffff)), c.i32(0x800000)));
  // Bit e - 2 of 2/pi is bit e + 6 of the table: exponent field - 150 + 6.
  const at = c.sub(c.op("i32.shr_u", bits, c.i32(23)), c.i32(144));
  const second = c.op("i32.ge_s", at, c.i32(64));
  const word = (i: number): Value => c.select(second,
    c.i64(TWO_OVER_PI[i + 1] as bigint), c.i64(TWO_OVER_PI[i] as bigint));
  const shift = c.op("i64.extend_i32_u", c.op("i32.and", at, c.i32(63)));
  // A shift by 64 - shift, in two steps, as shifts are modulo 64.
  const joined = (high: Value, low: Value): Value => c.op("i64.or",
    c.op("i64.shl", high, shift),
    c.op("i64.shr_u", c.op("i64.shr_u", low, c.i64(1n)), c.op("i64.sub", c.i64(63n), shift)));
  const high = joined(word(0), word(1));
  const low = c.op("i64.shr_u", joined(word(1), word(2)), c.i64(32n));
  return c.op("i64.add", c.op("i64.mul", mantissa, high),
    c.op("i64.shr_u", c.op("i64.mul", mantissa, low), c.i64(32n)));
}

const wholeQuarters = (c: Code, p: Value): Value =>
  c.op("i64.shr_u", c.op("i64.add", p, c.i64(1n << 61n)), c.i64(62n));
const smallQuarters = (c: Code, a: Value): Value =>
  c.op("f64.nearest", c.op("f64.mul", a, c.f64(2 / Math.PI)));

/** Runs `small` or `large` for the absolute value of the f32 x. */
function byAngle(
  c: Code, x: Value, type: "i32" | "f64",
  small: (a: Value) => Value, large: (a: Value) => Value,
): Value {
  const a = c.op("f64.abs", c.op("f64.promote_f32", x));
  const argument = c.variable("f64", a);
  const result = c.variable(type, type === "i32" ? c.i32(0) : c.f64(NaN));
  // Read inside the branches, so that only the chosen one is computed.
  c.if(c.op("f64.lt", a, c.f64(LARGE_ANGLE)), () => c.set(result, small(c.read(argument))), () =>
    c.if(c.op("f64.lt", a, c.f64(Infinity)), () => c.set(result, large(c.read(argument)))));
  return c.read(result);
}

/** sin and cos of |x| as f64: the rest in [-pi/4, pi/4] and the number of quarter turns. */
function turned(c: Code, library: MathLibrary, x: Value): {
  sin: Value; cos: Value; quarters: Value;
} {
  const quarters = library.call(c, "reduceQuarters", x);
  const rest = library.call(c, "reduceRest", x);
  return {
    sin: odd(c, rest, series(1, 7, (n, i) => alternate(i) / factorial(n))),
    cos: even(c, rest, series(0, 8, (n, i) => alternate(i) / factorial(n))),
    quarters,
  };
}
const bit = (c: Code, x: Value, mask: number): Value => c.op("i32.and", x, c.i32(mask));
const negateIf = (c: Code, condition: Value, x: Value): Value =>
  c.select(condition, c.op("f64.neg", x), x);

// ---- the table -------------------------------------------------------------------------------

const ofFloat = (
  build: (c: Code, x: Value, library: MathLibrary, original: Value) => Value,
): Definition => ({
  parameters: ["f32"], results: ["f32"],
  build: (c, library, [x]) =>
    c.op("f32.demote_f64", build(c, c.op("f64.promote_f32", x as Value), library, x as Value)),
});

/** Below this, inverse hyperbolic functions lose digits to cancellation and use their series. */
const SMALL = 2 ** -8;
const unlessSmall = (c: Code, x: Value, near: readonly number[], far: Value): Value =>
  c.select(c.op("f64.lt", c.op("f64.abs", x), c.f64(SMALL)), odd(c, x, near), far);

const definitions: Record<MathFunction, Definition> = {
  exp: ofFloat(exp64),
  log: ofFloat(log64),
  sinh: ofFloat(sinh64),
  cosh: ofFloat(cosh64),
  tanh: ofFloat((c, x) => {
    // Beyond 20 the quotient is 1 to f64; the bound keeps infinity from becoming inf/inf.
    const bounded = c.op("f64.min", c.op("f64.max", x, c.f64(-20)), c.f64(20));
    return c.op("f64.div", sinh64(c, bounded), cosh64(c, bounded));
  }),
  erf: ofFloat(erf64),
  atan: ofFloat(atan64),
  asin: ofFloat((c, x) => {
    const one = c.f64(1);
    const product = c.op("f64.mul", c.op("f64.sub", one, x), c.op("f64.add", one, x));
    return atan64(c, c.op("f64.div", x, c.op("f64.sqrt", product)));
  }),
  acos: ofFloat((c, x) => {
    const one = c.f64(1);
    const quotient = c.op("f64.div", c.op("f64.sub", one, x), c.op("f64.add", one, x));
    return c.op("f64.mul", c.f64(2), atan64(c, c.op("f64.sqrt", quotient)));
  }),
  asinh: ofFloat((c, x) => {
    const a = c.op("f64.abs", x);
    const root = c.op("f64.sqrt", c.op("f64.add", c.op("f64.mul", a, a), c.f64(1)));
    const far = c.op("f64.copysign", log64(c, c.op("f64.add", a, root)), x);
    return unlessSmall(c, x, [1, -1 / 6, 3 / 40, -15 / 336], far);
  }),
  acosh: ofFloat((c, x) => {
    const one = c.f64(1);
    const product = c.op("f64.mul", c.op("f64.sub", x, one), c.op("f64.add", x, one));
    const log = log64(c, c.op("f64.add", x, c.op("f64.sqrt", product)));
    return c.select(c.op("f64.lt", x, one), c.f64(NaN), log);
  }),
  atanh: ofFloat((c, x) => {
    const one = c.f64(1);
    const quotient = c.op("f64.div", c.op("f64.add", one, x), c.op("f64.sub", one, x));
    const far = c.op("f64.mul", c.f64(0.5), log64(c, quotient));
    return unlessSmall(c, x, [1, 1 / 3, 1 / 5, 1 / 7], far);
  }),
  sin: ofFloat((c, x, library, original) => {
    const { sin, cos, quarters } = turned(c, library, original);
    const value = negateIf(c, bit(c, quarters, 2), c.select(bit(c, quarters, 1), cos, sin));
    // sin(-0) is -0, so the sign of x is not read off a comparison.
    return c.op("f64.mul", value, c.op("f64.copysign", c.f64(1), x));
  }),
  cos: ofFloat((c, _x, library, original) => {
    const { sin, cos, quarters } = turned(c, library, original);
    const negative = bit(c, c.add(quarters, c.i32(1)), 2);
    return negateIf(c, negative, c.select(bit(c, quarters, 1), sin, cos));
  }),
  tan: ofFloat((c, x, library, original) => {
    const { sin, cos, quarters } = turned(c, library, original);
    const isOdd = bit(c, quarters, 1);
    const value = c.select(isOdd, c.op("f64.neg", c.op("f64.div", cos, sin)),
      c.op("f64.div", sin, cos));
    return c.op("f64.mul", value, c.op("f64.copysign", c.f64(1), x));
  }),
  /** Quarter turns nearest to |x|, modulo 4. */
  reduceQuarters: {
    parameters: ["f32"], results: ["i32"],
    build: (c, _library, [x]) => byAngle(c, x as Value, "i32",
      (a) => c.op("i32.and", c.op("i32.trunc_sat_f64_s", smallQuarters(c, a)), c.i32(3)),
      (a) => c.op("i32.wrap_i64",
        c.op("i64.and", wholeQuarters(c, largeQuarters(c, a)), c.i64(3n)))),
  },
  /** |x| less its nearest quarter turns; NaN for infinities and NaN. */
  reduceRest: {
    parameters: ["f32"], results: ["f64"],
    build: (c, _library, [x]) => byAngle(c, x as Value, "f64",
      (a) => {
        const n = smallQuarters(c, a);
        const first = c.op("f64.sub", a, c.op("f64.mul", n, c.f64(HALF_PI_HIGH)));
        return c.op("f64.sub", first, c.op("f64.mul", n, c.f64(HALF_PI_LOW)));
      },
      (a) => {
        const p = largeQuarters(c, a);
        const rest = c.op("i64.sub", p, c.op("i64.shl", wholeQuarters(c, p), c.i64(62n)));
        return c.op("f64.mul", c.op("f64.convert_i64_s", rest), c.f64(Math.PI / 2 / 2 ** 62));
      }),
  },
  pow: {
    parameters: ["f32", "f32"], results: ["f32"],
    build(c, _library, [a, b]) {
      const [x, y] = [a, b].map((v) => c.op("f64.promote_f32", v as Value)) as [Value, Value];
      const zero = c.f64(0);
      const size = exp64(c, c.op("f64.mul", y, log64(c, c.op("f64.abs", x))));
      const isWhole = c.op("f64.eq", c.op("f64.trunc", y), y);
      const half = c.op("f64.mul", y, c.f64(0.5));
      const isOdd = c.op("i32.and", isWhole, c.op("f64.ne", c.op("f64.trunc", half), half));
      const isNegative = c.op("i64.lt_s", c.op("i64.reinterpret_f64", x), c.i64(0n));
      const signed = negateIf(c, c.op("i32.and", isOdd, isNegative), size);
      const isUndefined = c.op("i32.and", c.op("f64.lt", x, zero),
        c.op("i32.and", c.op("f64.gt", x, c.f64(-Infinity)), c.op("i32.eqz", isWhole)));
      const general = c.select(isUndefined, c.f64(NaN), signed);
      const isOne = c.op("i32.or", c.op("f64.eq", y, zero), c.op("f64.eq", x, c.f64(1)));
      return c.op("f32.demote_f64", c.select(isOne, c.f64(1), general));
    },
  },
  /**
   * Exact remainder with the sign of a (C's fmod): each turn takes off a multiple of b * 2^s below
   * 2^28 of them, which f64 holds exactly.
   */
  rem: {
    parameters: ["f32", "f32"], results: ["f32"],
    build(c, _library, [a, b]) {
      const [x, y] = [a, b].map((v) =>
        c.op("f64.abs", c.op("f64.promote_f32", v as Value))) as [Value, Value];
      const rest = c.variable("f64", x);
      const isProper = c.op("i32.and", c.op("f64.lt", x, c.f64(Infinity)),
        c.op("f64.gt", y, c.f64(0)));
      c.if(isProper, () => {
        c.if(c.op("f64.lt", y, c.f64(Infinity)), () => c.repeat(() => {
          const r = c.read(rest);
          const quotient = c.op("f64.div", r, y);
          // 2^s: the quotient's exponent less 27, at least 0.
          const field = c.op("i64.shr_u", c.op("i64.reinterpret_f64", quotient), c.i64(52n));
          const s = c.max(c.sub(c.op("i32.wrap_i64", field), c.i32(1023 + 27)), c.i32(0));
          const biased = c.op("i64.extend_i32_u", c.add(s, c.i32(1023)));
          const scale = c.op("f64.reinterpret_i64", c.op("i64.shl", biased, c.i64(52n)));
          const step = c.op("f64.mul", y, scale);
          const whole = c.op("f64.trunc", c.op("f64.div", r, step));
          const next = c.op("f64.sub", r, c.op("f64.mul", whole, step));
          c.set(rest, next);
          return c.op("f64.ge", next, y);
        }));
      }, () => c.set(rest, c.f64(NaN)));
      const size = c.op("f32.demote_f64", c.read(rest));
      const isNaN = c.op("f32.ne", b as Value, b as Value);
      return c.select(isNaN, b as Value, c.op("f32.copysign", size, a as Value));
    },
  },
  /** a^b of i32, wrapping; a negative exponent truncates toward zero. */
  powInteger: {
    parameters: ["i32", "i32"], results: ["i32"],
    build(c, _library, [a, b]) {
      const [x, y, one] = [a as Value, b as Value, c.i32(1)];
      const result = c.variable("i32", one);
      c.if(c.op("i32.lt_s", y, c.i32(0)), () => {
        const parity = c.select(c.op("i32.and", y, one), c.i32(-1), one);
        c.set(result, c.select(c.op("i32.eq", x, one), one,
          c.select(c.op("i32.eq", x, c.i32(-1)), parity, c.i32(0))));
      }, () => bySquaring(c, x, y, result));
      return c.read(result);
    },
  },
  powUnsigned: {
    parameters: ["i32", "i32"], results: ["i32"],
    build(c, _library, [a, b]) {
      const result = c.variable("i32", c.i32(1));
      bySquaring(c, a as Value, b as Value, result);
      return c.read(result);
    },
  },
};

/** result *= x^y, modulo 2^32, for y as an unsigned number. */
function bySquaring(c: Code, x: Value, y: Value, result: Variable): void {
  const [factor, left] = [c.variable("i32", x), c.variable("i32", y)];
  c.repeat(() => {
    const [r, f, e] = [c.read(result), c.read(factor), c.read(left)];
    c.set(result, c.select(c.op("i32.and", e, c.i32(1)), c.mul(r, f), r));
    c.set(factor, c.mul(f, f));
    const rest = c.op("i32.shr_u", e, c.i32(1));
    c.set(left, rest);
    return rest;
  });
}
