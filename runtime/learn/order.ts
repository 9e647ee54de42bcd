/** The order in which training sees its samples: a permutation per epoch, from the seed alone. */
import { hashName } from "../../models/init.ts";
import { randomWord } from "../../compiler/ops/source.ts";

/** Fisher and Yates' shuffle of 0..count-1 with counter-based random words. */
export function epochOrder(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const key = [seed >>> 0, hashName(`order ${epoch}`)] as const;
  for (let i = count - 1; i > 0; i--) {
    // 32 random bits times i+1, the integer part: biased by less than count/2^32.
    const j = Math.floor((randomWord(key, i) * (i + 1)) / 2 ** 32);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** +1 or -1 for a step: the random-sign estimator's. */
export const stepSign = (seed: number, step: number): 1 | -1 =>
  ((randomWord([seed >>> 0, hashName("sign")], step) & 1) === 0 ? 1 : -1);

/** From `first` down to `last` along half a cosine, at a fraction of the way. */
export const cosine = (first: number, last: number, fraction: number): number =>
  last + ((first - last) * (1 + Math.cos(Math.PI * fraction))) / 2;
