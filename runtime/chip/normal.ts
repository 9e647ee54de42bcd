/**
 * Random numbers of the chip: counter-based words (threefry, `compiler/ops/source.ts`) made into
 * uniform and normal numbers, on the host one by one (cells, which are drawn once), inside a graph
 * four at a time (`compiler/ops/normal.ts`; reads), the same on every device and at every thread
 * count. Streams are told apart by keys derived from the seed and a path of names and numbers; no
 * state is kept anywhere.
 *
 * On the host, the inverse error function is two polynomials in w = -ln((1 - x)(1 + x)), single
 * precision (Giles, "Approximating the erfinv function", GPU Computing Gems Jade, 2011, table of
 * section 4). Normals are within 1e-6 relative; beyond 5.4 sigma, where one word in 15 million
 * falls, within 0.003.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { productOf } from "../../compiler/graph/dim.ts";
import { randomWord } from "../../compiler/ops/source.ts";

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

/** Standard normal: element `counter` of a stream. */
export const normalAt = (key: Key, counter: number): number =>
  normalFromWord(randomWord(key, counter));

/**
 * Standard normals of a shape inside a graph. The axes that are numbers, the longest run of them,
 * are drawn as one that is filled up to whole blocks of four.
 */
export function normals(b: Builder, key: Value, shape: readonly Dim[]): Value {
  const { from, to } = largestRun(shape);
  const flat = [shape.slice(0, from), shape.slice(from, to), shape.slice(to)]
    .map((dims) => productOf(dims));
  const full = flat.with(1, 4 * Math.ceil(flat[1] as number / 4));
  const drawn = b.add("normal", [key], { shape: full, axis: 1 });
  return b.reshape(b.slice(drawn, [0, 0, 0], flat), shape);
}

/** Neighbouring axes whose sizes are numbers, with the most elements; none may be an empty run. */
function largestRun(shape: readonly Dim[]): { from: number; to: number } {
  let best = { from: 0, to: 0, size: 0 };
  for (let from = 0; from < shape.length; from++) {
    let size = 1;
    for (let to = from; to < shape.length && typeof shape[to] === "number"; to++) {
      size *= shape[to] as number;
      if (size > best.size) best = { from, to: to + 1, size };
    }
  }
  return best;
}
