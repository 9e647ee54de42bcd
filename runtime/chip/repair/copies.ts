/**
 * Copies of a tile's columns on those that its array has to spare. Copies err independently, so
 * their mean errs less: by the root of their number, whatever the error's origin, be it
 * programming, drift, stuck cells or read noise. The digital side takes the mean. A copy that stuck
 * cells have ruined is left out of it.
 *
 * The idea is that of layer ensemble averaging (Yousuf et al., "Layer ensemble averaging for fault
 * tolerance in memristive neural networks", Nature Communications 16, 2025) and of committee
 * machines (Joksas et al., Nature Communications 11, 4273, 2020), here within one array.
 */

/** More copies win little: the exact wires of a full array take three times as long to solve. */
const MOST = 8;

/** How often the columns of a tile go into its array. */
export const copiesIn = (columns: number, arrayColumns: number): number =>
  Math.max(1, Math.min(MOST, Math.floor(arrayColumns / columns)));

/** Cells [rows, columns] side by side as [rows, copies, columns]. */
export function repeatColumns(
  cells: ArrayLike<number>, columns: number, copies: number,
): Float64Array {
  const wide = columns * copies;
  return Float64Array.from({ length: cells.length * copies }, (_, i) =>
    cells[Math.floor(i / wide) * columns + (i % columns)] as number);
}

/**
 * What every copy counts for in the mean, [copies, outputs]: the same for all that are in it. With
 * known errors e of the copies and an unknown one of variance v in each, all independent, the mean
 * of n copies errs by sum(e^2 + v) / n^2: the best n are those that know least error.
 * @param errors sum of the squares of what stuck cells leave of each copy, [copies, outputs]
 * @param variance of what else a copy errs by, in the same unit
 */
export function sharesOf(errors: Float64Array, outputs: number, variance: number): Float64Array {
  const copies = errors.length / outputs;
  const shares = new Float64Array(errors.length);
  for (let output = 0; output < outputs; output++) {
    const order = Array.from({ length: copies }, (_, copy) => copy * outputs + output)
      .sort((a, b) => (errors[a] as number) - (errors[b] as number));
    let [sum, least, best] = [0, Infinity, 1];
    order.forEach((copy, i) => {
      sum += (errors[copy] as number) + variance;
      const left = sum / (i + 1) ** 2;
      if (left <= least) [least, best] = [left, i + 1];
    });
    for (const copy of order.slice(0, best)) shares[copy] = 1 / best;
  }
  return shares;
}
