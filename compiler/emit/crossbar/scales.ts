/**
 * The scale of each weight column: the largest magnitude in it, or in the whole tensor where a
 * target has one scale only. Float32, because that is how the artifact stores it. Splat tensors are
 * never expanded.
 */
import { UserError } from "../../errors.ts";
import { elementAt } from "../../graph/tensor.ts";
import type { WeightMatrix } from "../../partition/units.ts";

/**
 * @returns [groups, colsN]; 0 for a column of zeros
 * @throws UserError when a weight is not finite
 */
export function columnScales(matrix: WeightMatrix, perColumn: boolean): Float32Array {
  const { tensor, groups, rowsK, colsN, strides } = matrix;
  const scales = new Float32Array(groups * colsN);
  if (tensor.splat) {
    scales.fill(checked(Math.abs(elementAt(tensor, 0)), matrix));
    return scales;
  }
  const { data } = tensor;
  for (let g = 0; g < groups; g++) {
    for (let o = 0; o < colsN; o++) {
      let at = g * strides.group + o * strides.output;
      let largest = 0;
      for (let i = 0; i < rowsK; i++, at += strides.input) {
        const magnitude = Math.abs(data[at] as number);
        // Written so that NaN is kept.
        if (!(magnitude <= largest)) largest = magnitude;
        if (largest !== largest) break;
      }
      scales[g * colsN + o] = checked(largest, matrix);
    }
  }
  if (!perColumn) scales.fill(scales.reduce((a, b) => Math.max(a, b), 0));
  return scales;
}

function checked(magnitude: number, matrix: WeightMatrix): number {
  if (Number.isFinite(Math.fround(magnitude))) return magnitude;
  throw new UserError(`A weight is ${magnitude}, which no conductance stands for`, {
    place: `weights ${matrix.name}`,
    remedy: "Repair the model, or keep it digital with --analog none.",
  });
}
