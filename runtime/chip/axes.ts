/** Lists of axes, for graphs that move them. */

/** from, from + 1, .. to - 1. */
export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
