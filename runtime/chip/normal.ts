/**
 * Random numbers of the chip: counter-based words (threefry, `compiler/ops/source.ts`) made into
 * uniform and normal numbers, on the host and inside a graph from the same formula, so a chip is
 * the same on every device and at every thread count. Streams are told apart by keys derived from
 * the seed and a path of names and numbers; no state is kept anywhere.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { randomWord } from "../../compiler/ops/source.ts";

/** Two 32-bit words: what a stream of random words is computed from. */
export type Key = readonly [number, number];

/** FNV-1a of a name's UTF-16 units. */
function wordOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return hash >>> 0;
}

/** The key of a stream: the seed, then a path such as "read", trial 3, block "a2". */
export function keyOf(seed: number, ...path: readonly (string | number)[]): Key {
  let key: Key = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
  for (const step of path) {
    const word = typeof step === "string" ? wordOf(step) : step >>> 0;
    // The path's own words are the counter; the two results are the next key.
    key = [randomWord(key, 2 * word), randomWord(key, 2 * word + 1)];
  }
  return key;
}

/** Uniform in (0, 1): element `counter` of a stream. */
export const uniformAt = (key: Key, counter: number): number =>
  (randomWord(key, counter) + 0.5) / 2 ** 32;

/**
 * Inverse error function by two polynomials in w = -ln((1 - x)(1 + x)), single precision (Giles,
 * "Approximating the erfinv function", GPU Computing Gems Jade, 2011, table of section 4). Its
 * normals are within 1e-6 relative; beyond 5.4 sigma, where one word in 15 million falls, within
 * 0.003.
 */
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

/** Standard normal: element `counter` of a stream. */
export const normalAt = (key: Key, counter: number): number =>
  normalFromWord(randomWord(key, counter));

/** Standard normals of a shape inside a graph; element i is `normalAt(key, i)` in float32. */
export function normals(b: Builder, key: Value, shape: readonly Dim[]): Value {
  const word = b.add("random", [key], { shape });
  const with32 = (op: "and" | "shr", constant: number): Value =>
    b.binary(op, word, b.full(word, constant));
  const magnitude = b.cast(with32("and", 0x7fffffff), "float32");
  const p = b.mul(b.addition(magnitude, b.full(magnitude, 0.5)), b.full(magnitude, 2 ** -31));
  const w = b.unary("neg", b.unary("log", b.mul(p, b.sub(b.full(p, 2), p))));
  const polynomial = (table: readonly number[], x: Value): Value => table.slice(1).reduce(
    (sum, c) => b.addition(b.mul(sum, x), b.full(x, c)), b.full(x, table[0] as number));
  const central = polynomial(CENTRAL, b.sub(w, b.full(w, 2.5)));
  const tail = polynomial(TAIL, b.sub(b.unary("sqrt", w), b.full(w, 3)));
  const erfinv = b.where(b.binary("lt", w, b.full(w, BORDER)), central, tail);
  const z = b.mul(erfinv, b.mul(b.sub(b.full(p, 1), p), b.full(p, Math.SQRT2)));
  const negative = b.binary("eq", with32("shr", 31), b.full(word, 1));
  return b.where(negative, b.unary("neg", z), z);
}
