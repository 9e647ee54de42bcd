/**
 * Drift compensation: the outputs of an aged array divided by how much they have faded since it was
 * programmed, as one factor per array or one per column (aihwkit's global and per-column drift
 * compensation). What fades is measured as there, by the mean magnitude of the outputs for one-hot
 * inputs; those reads are averaged until their noise does not matter. Noise is amplified with the
 * signal.
 */
import type { CrossbarBlock } from "../../compiler/emit/crossbar/config.ts";
import { tilesByColumn, type BlockLayout } from "./layout.ts";
import type { BlockMatrices } from "./tileMatrix.ts";

export const compensations = ["none", "global", "column"] as const;
export type Compensation = (typeof compensations)[number];

/** How much of the outputs is left, per chunk and column; arrays that gave nothing give 1. */
export function fading(
  layout: BlockLayout, block: CrossbarBlock, young: BlockMatrices, old: BlockMatrices,
  per: Exclude<Compensation, "none">,
): Float64Array {
  const { chunks, columns, rows, reads } = layout;
  const magnitudes = ({ weights }: BlockMatrices): Float64Array =>
    Float64Array.from({ length: chunks * columns }, (_, line) => {
      let sum = 0;
      for (let i = line * rows; i < (line + 1) * rows; i++) sum += Math.abs(weights[i] as number);
      return sum;
    });
  const [before, after] = [magnitudes(young), magnitudes(old)];
  const tiles = tilesByColumn(layout, block);
  const keyOf = (line: number): string => {
    const column = line % columns;
    // The reads of an array share its converters.
    const array = Math.floor(Math.floor(line / columns) / reads);
    return per === "global" ? `${tiles[line]}` : `${array} ${column}`;
  };
  const sums = new Map<string, [number, number]>();
  before.forEach((magnitude, line) => {
    const held = sums.get(keyOf(line)) ?? [0, 0];
    sums.set(keyOf(line), [held[0] + magnitude, held[1] + (after[line] as number)]);
  });
  return before.map((_, line) => {
    const [was, is] = sums.get(keyOf(line)) as [number, number];
    return was > 0 && is > 0 ? is / was : 1;
  });
}

/** Divides the columns of a block by what is left of them, in place. */
export function compensate(
  { columns, rows, chunks }: BlockLayout, matrices: BlockMatrices, left: Float64Array,
): void {
  for (let line = 0; line < chunks * columns; line++) {
    const factor = 1 / (left[line] as number);
    for (let i = line * rows; i < (line + 1) * rows; i++) {
      for (const { weights } of [matrices, ...matrices.terms]) {
        weights[i] = (weights[i] as number) * factor;
      }
      if (matrices.variance) {
        matrices.variance[i] = (matrices.variance[i] as number) * factor ** 2;
        (matrices.lasting as Float32Array)[i]! *= factor ** 2;
      }
    }
    if (matrices.thermal) {
      matrices.thermal[line] = (matrices.thermal[line] as number) * factor ** 2;
    }
  }
  const { at, step } = matrices.telegraph;
  at.forEach((element, i) => {
    step[i] = (step[i] as number) / (left[Math.floor(element / rows)] as number);
  });
}
