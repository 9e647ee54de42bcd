/**
 * Random numbers of the chip: counter-based words (threefry, `compiler/ops/source.ts`) made into
 * uniform and normal numbers, on the host and inside a graph from the same formula
 * (`compiler/ops/normal.ts`), so a chip is the same on every device and at every thread count.
 * Streams are told apart by keys derived from the seed and a path of names and numbers; no state
 * is kept anywhere.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Dim } from "../../compiler/graph/dim.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { normalFromWord } from "../../compiler/ops/normal.ts";
import { randomWord } from "../../compiler/ops/source.ts";

export { normalFromWord };

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

/** Standard normals of a shape inside a graph; element i is `normalAt(key, i)` in float32. */
export const normals = (b: Builder, key: Value, shape: readonly Dim[]): Value =>
  b.add("normal", [key], { shape });
