/** Statistics and random numbers that the quality tests share. */
import type { Random } from "../../support/randomGraph.ts";

/** Ranks from 0, ties sharing their mean rank. */
function ranks(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const result = new Array<number>(values.length);
  for (let i = 0; i < order.length; ) {
    let end = i;
    while (end < order.length && values[order[end]!] === values[order[i]!]) end++;
    for (let k = i; k < end; k++) result[order[k]!] = (i + end - 1) / 2;
    i = end;
  }
  return result;
}

/** Spearman's rank correlation. */
export function rankCorrelation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)];
  const mean = (a.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  x.forEach((rx, i) => {
    const ry = y[i]!;
    xy += (rx - mean) * (ry - mean);
    xx += (rx - mean) ** 2;
    yy += (ry - mean) ** 2;
  });
  return xy / Math.sqrt(xx * yy);
}

/** A standard normal number (Box and Muller). */
export const normal = (r: Random): number =>
  Math.sqrt(-2 * Math.log(1 - r.next())) * Math.cos(2 * Math.PI * r.next());
