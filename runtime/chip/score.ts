/**
 * How far blocks are from their digital twins and how often their converters clip, as sums that
 * add up over trials: in the order of the trials, so that any number of workers gives the same.
 */
import type { Saturation } from "./observe.ts";

/** Sums of one block over some trials. */
export interface BlockScore {
  readonly id: string;
  /** Sum of the squares of the digital outputs that were compared, and of the differences. */
  readonly signal: number;
  readonly error: number;
  readonly saturation: readonly Saturation[];
}

/** How a block does. */
export interface BlockStatistics {
  readonly id: string;
  /** Power of the digital result over that of the difference; null when there is none. */
  readonly snrDb: number | null;
  /** Conversions outside the converters' range, per tile; empty where nothing is converted. */
  readonly saturation: readonly Saturation[];
}

/** Squares of digital outputs, and of what the chip's differ by. */
export function powers(
  expected: ArrayLike<number>, actual: ArrayLike<number>,
): { signal: number; error: number } {
  let [signal, error] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    const e = expected[i] as number;
    signal += e * e;
    error += (e - (actual[i] as number)) ** 2;
  }
  return { signal, error };
}

function addSaturation(
  a: readonly Saturation[], b: readonly Saturation[],
): readonly Saturation[] {
  const all = new Map(a.map((one) => [one.tile, one]));
  for (const { tile, clipped, conversions } of b) {
    const before = all.get(tile);
    all.set(tile, {
      tile, clipped: clipped + (before?.clipped ?? 0),
      conversions: conversions + (before?.conversions ?? 0),
    });
  }
  return [...all.values()];
}

/** Scores of several trials, block by block in the order in which blocks appear. */
export function addScores(trials: readonly (readonly BlockScore[])[]): BlockScore[] {
  const all = new Map<string, BlockScore>();
  for (const score of trials.flat()) {
    const before = all.get(score.id);
    all.set(score.id, before ? {
      id: score.id, signal: before.signal + score.signal, error: before.error + score.error,
      saturation: addSaturation(before.saturation, score.saturation),
    } : score);
  }
  return [...all.values()];
}

export const statisticsOf = (scores: readonly BlockScore[]): BlockStatistics[] =>
  scores.map(({ id, signal, error, saturation }) => ({
    id, saturation, snrDb: error > 0 ? 10 * Math.log10(signal / error) : null,
  }));
