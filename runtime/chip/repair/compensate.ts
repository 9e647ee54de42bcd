/**
 * What the working cells of one weight do about those that are stuck: the partner of a stuck cell
 * in its pair takes up the difference first, then the other slices of the weight, the least
 * significant first. A repaired cell is programmed to whatever conductance is needed between gMin
 * and gMax: levels are what a compiler stores, write-verify reaches any value.
 *
 * The idea is that of fault-tolerant mapping by redundancy within differential pairs (Liu et al.,
 * "Rescuing memristor-based neuromorphic design with high defects", DAC 2017); the sums are ours.
 */
import type { Encoding } from "../../../compiler/emit/crossbar/encoding.ts";

/** The cells of one weight, per slice: siemens. `minus` is not used without pairs. */
export interface WeightCells {
  readonly plus: Float64Array;
  readonly minus: Float64Array;
}

const isNumber = (x: number): boolean => x === x;
const clip = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** What a slice counts for: the share of a full digit, see `compiler/emit/crossbar/encoding.ts`. */
function digitOf({ scheme, gMin, gMax }: Encoding, plus: number, minus: number): number {
  return (plus - (scheme === "offset" ? gMin : minus)) / (gMax - gMin);
}

/**
 * Sets stuck cells to what they hold and lets the others make up for it, in place.
 * @param stuck siemens, NaN where a cell works
 * @returns what is left of the error, as a share of the column's scale
 */
export function compensateWeight(
  encoding: Encoding, cells: WeightCells, stuck: WeightCells,
): number {
  const { plus, minus } = cells;
  const { significance, gain, scheme } = encoding;
  const isPair = scheme !== "offset";
  const at = (s: number): number => digitOf(encoding, plus[s] as number, minus[s] as number);
  let error = 0;
  for (let s = 0; s < significance.length; s++) {
    const wanted = at(s);
    if (isNumber(stuck.plus[s] as number)) plus[s] = stuck.plus[s] as number;
    if (isPair && isNumber(stuck.minus[s] as number)) minus[s] = stuck.minus[s] as number;
    error += (significance[s] as number) * (at(s) - wanted);
  }
  const absorb = (s: number): void => {
    const before = at(s);
    const wanted = before - error / (significance[s] as number);
    setDigit(encoding, cells, stuck, s, wanted);
    error += (significance[s] as number) * (at(s) - before);
  };
  const isFaulty = (s: number): boolean => isNumber(stuck.plus[s] as number) ||
    (isPair && isNumber(stuck.minus[s] as number));
  for (let s = significance.length - 1; s >= 0 && error !== 0; s--) if (isFaulty(s)) absorb(s);
  for (let s = 0; s < significance.length && error !== 0; s++) if (!isFaulty(s)) absorb(s);
  return error * gain;
}

/** Brings the working cells of a slice as near to a digit as the window allows. */
function setDigit(
  { scheme, sides, gMin, gMax }: Encoding, { plus, minus }: WeightCells, stuck: WeightCells,
  s: number, digit: number,
): void {
  const difference = digit * (gMax - gMin);
  const plusWorks = !isNumber(stuck.plus[s] as number);
  if (scheme === "offset") {
    if (plusWorks) plus[s] = clip(gMin + difference, gMin, gMax);
    return;
  }
  const minusWorks = !isNumber(stuck.minus[s] as number);
  if (plusWorks && minusWorks) {
    const base = sides === "one" ? gMin + Math.max(difference, 0)
      : (gMin + gMax + difference) / 2;
    plus[s] = clip(base, gMin, gMax);
    minus[s] = clip((plus[s] as number) - difference, gMin, gMax);
  } else if (plusWorks) plus[s] = clip((minus[s] as number) + difference, gMin, gMax);
  else if (minusWorks) minus[s] = clip((plus[s] as number) - difference, gMin, gMax);
}
