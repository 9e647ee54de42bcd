/**
 * Standard normal numbers of a key: element i is made from word i of `random`'s stream, on the host
 * (`normalFromWord`) and in kernels from the same formula. One primitive and not a dozen, because
 * its parts are read several times each: as nodes they would all be given memory.
 *
 * The inverse error function is two polynomials in w = -ln((1 - x)(1 + x)), single precision
 * (Giles, "Approximating the erfinv function", GPU Computing Gems Jade, 2011, table of section 4).
 * Normals are within 1e-6 relative; beyond 5.4 sigma, where one word in 15 million falls, within
 * 0.003.
 */
import type { Expr } from "../kernels/expr.ts";
import { flatten, type ExprPool } from "../kernels/pool.ts";
import type { Tensor } from "../graph/tensor.ts";
import { result, staticShape, workPerOutput } from "./common.ts";
import type { Primitive } from "./primitive.ts";
import { checkKey, randomExpr, randomWord } from "./source.ts";

const CENTRAL = [
  2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503,
  -0.00417768164, 0.246640727, 1.50140941,
] as const;
const TAIL = [
  -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
  0.00943887047, 1.00167406, 2.83297682,
] as const;
const BORDER = 5;

/**
 * Standard normal from one word: the highest bit is the sign, the others are the probability p of
 * a larger magnitude, so that both tails are as fine as the middle: |z| = sqrt(2) erfinv(1 - p).
 */
export function normalFromWord(word: number): number {
  const p = ((word & 0x7fffffff) + 0.5) / 2 ** 31;
  const w = -Math.log(p * (2 - p));
  const [x, table] = w < BORDER ? [w - 2.5, CENTRAL] : [Math.sqrt(w) - 3, TAIL];
  let sum = 0;
  for (const c of table) sum = sum * x + c;
  const z = Math.SQRT2 * sum * (1 - p);
  return word >>> 31 ? -z : z;
}

/** ln(1 + f) / f for 1 + f in [sqrt(1/2), sqrt(2)]; error of the logarithm 2.1e-7. */
const LOG = [
  1.0000032477, -0.5000196512, 0.3330329786, -0.2488134058, 0.2060468046, -0.1890197005,
  0.1182744037,
] as const;

/** c[0] + c[1] x + ..., neighbours paired (Estrin): few operations wait for each other. */
function estrin(pool: ExprPool, coefficients: readonly number[], x: Expr): Expr {
  let terms = coefficients.map((c) => pool.const(c, "f32"));
  for (let power = x; terms.length > 1; power = pool.binary("mul", power, power)) {
    terms = terms.flatMap((low, i) => {
      if (i % 2 === 1) return [];
      const high = terms[i + 1];
      return [high ? pool.binary("add", low, pool.binary("mul", high, power)) : low];
    });
  }
  return terms[0] as Expr;
}

/** ln q of a normal positive number: exponent and mantissa apart. */
function logExpr(pool: ExprPool, q: Expr): Expr {
  const i = (value: number): Expr => pool.const(value, "i32");
  const bits = pool.bitcast(q, "i32");
  // The mantissa is taken between sqrt(1/2) and sqrt(2).
  const exponent = pool.binary("shr", pool.binary("sub", bits, i(0x3f3504f3)), i(23));
  const mantissa = pool.binary("sub", bits, pool.binary("shl", exponent, i(23)));
  const f = pool.binary("sub", pool.bitcast(mantissa, "f32"), pool.const(1, "f32"));
  return pool.binary("add", pool.binary("mul", f, estrin(pool, LOG, f)),
    pool.binary("mul", pool.cast(exponent, "f32"), pool.const(Math.LN2, "f32")));
}

function normalExpr(pool: ExprPool, word: Expr): Expr {
  const f = (value: number): Expr => pool.const(value, "f32");
  const u = (value: number): Expr => pool.const(value, "u32");
  const binary = pool.binary.bind(pool);
  const magnitude = pool.cast(binary("and", word, u(0x7fffffff)), "f32");
  const p = binary("mul", binary("add", magnitude, f(0.5)), f(2 ** -31));
  const q = binary("mul", p, binary("sub", f(2), p));
  const w = pool.unary("neg", logExpr(pool, q));
  const polynomial = (table: readonly number[], x: Expr): Expr =>
    estrin(pool, table.toReversed(), x);
  const central = polynomial(CENTRAL, binary("sub", w, f(2.5)));
  const tail = polynomial(TAIL, binary("sub", pool.unary("sqrt", w), f(3)));
  const erfinv = pool.select(binary("lt", w, f(BORDER)), central, tail);
  const z = binary("mul", erfinv, binary("mul", binary("sub", f(1), p), f(Math.SQRT2)));
  // The sign bit of the word becomes that of the number.
  const sign = binary("and", word, u(0x80000000));
  return pool.bitcast(binary("xor", pool.bitcast(z, "u32"), sign), "f32");
}

export const normal: Primitive<"normal"> = {
  infer([key], { shape }) {
    checkKey(key, "normal");
    return { dtype: "float32", shape };
  },
  evaluate([key], { shape }, mode) {
    const { data } = key as Tensor;
    const words = [data[0] as number, data[1] as number] as const;
    return result("float32", staticShape(shape, "normal"), mode, (out) => {
      for (let i = 0; i < out.length; i++) out[i] = normalFromWord(randomWord(words, i));
    });
  },
  gradient: () => [undefined],
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const counter = pool.cast(flatten(pool, indices, node.attrs.shape), "u32");
      return normalExpr(pool, randomExpr(pool, read, counter));
    },
  },
  work: workPerOutput,
  isMovement: false,
};
