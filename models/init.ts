/**
 * Initial values of parameters, from a seed: counter-based (Threefry), one stream per parameter
 * name, so that adding a layer does not move the others' numbers.
 */
import { randomWord } from "../compiler/ops/source.ts";

export type Init =
  | { readonly kind: "constant"; readonly value: number }
  /** Uniform in +-bound. */
  | { readonly kind: "uniform"; readonly bound: number }
  /**
   * Every square kernel a random symmetric matrix: diagonal variance 8v/3, off-diagonal v/3
   * (the "GOE" start of the published ff-EBMs, equilibrium-propagation.md, section 1.3).
   */
  | { readonly kind: "symmetric"; readonly variance: number };

export const constantInit = (value: number): Init => ({ kind: "constant", value });
export const uniformInit = (bound: number): Init => ({ kind: "uniform", bound });
export const symmetricInit = (variance: number): Init => ({ kind: "symmetric", variance });

/** 32-bit FNV-1a: a name's number. */
export function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (const character of name) {
    hash = Math.imul(hash ^ (character.codePointAt(0) as number), 0x01000193) >>> 0;
  }
  return hash;
}

/** Numbers uniform in (0, 1), the same for the same seed and name everywhere. */
export function uniformStream(seed: number, name: string): (counter: number) => number {
  const key = [seed >>> 0, hashName(name)] as const;
  return (counter) => (randomWord(key, counter) + 0.5) / 2 ** 32;
}

/** Standard normal numbers by Box and Muller, two uniform ones for each. */
export function normalStream(seed: number, name: string): (counter: number) => number {
  const uniform = uniformStream(seed, name);
  return (counter) => Math.sqrt(-2 * Math.log(uniform(2 * counter))) *
    Math.cos(2 * Math.PI * uniform(2 * counter + 1));
}

export function initialValues(
  init: Init, shape: readonly number[], seed: number, name: string,
): Float32Array {
  const data = new Float32Array(shape.reduce((p, d) => p * d, 1));
  if (init.kind === "constant") return data.fill(init.value);
  if (init.kind === "uniform") {
    const uniform = uniformStream(seed, name);
    return data.map((_, i) => init.bound * (2 * uniform(i) - 1));
  }
  const normal = normalStream(seed, name);
  const columns = shape.at(-1) as number;
  const rows = shape.at(-2) ?? columns;
  return data.map((_, i) => {
    const [kernel, row, column] = [Math.floor(i / (rows * columns)),
      Math.floor(i / columns) % rows, i % columns];
    // The lower triangle repeats the upper one.
    const [low, high] = row < column ? [row, column] : [column, row];
    const at = kernel * rows * columns + low * columns + high;
    const share = row === column ? 8 / 3 : 1 / 3;
    return Math.sqrt(share * init.variance) * normal(rows === columns ? at : i);
  });
}
