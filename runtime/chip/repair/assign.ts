/**
 * The cheapest assignment of rows to columns of a cost table: the Hungarian method with potentials
 * and shortest augmenting paths (Kuhn 1955; Jonker and Volgenant 1987), n^2 m steps.
 */
import { InternalError } from "../../../compiler/errors.ts";

/**
 * @param cost of giving row i column j; finite
 * @param rows at most `columns`
 * @returns the column of every row, all different, of the least total cost
 */
export function assign(
  rows: number, columns: number, cost: (row: number, column: number) => number,
): Int32Array {
  if (rows > columns) throw new InternalError(`${rows} rows do not fit ${columns} columns`);
  // Row and column 0 stand for "none"; potentials u, v keep reduced costs non-negative.
  const u = new Float64Array(rows + 1);
  const v = new Float64Array(columns + 1);
  const rowOf = new Int32Array(columns + 1);
  const before = new Int32Array(columns + 1);
  for (let row = 1; row <= rows; row++) {
    rowOf[0] = row;
    const slack = new Float64Array(columns + 1).fill(Infinity);
    const done = new Uint8Array(columns + 1);
    let column = 0;
    do {
      done[column] = 1;
      const from = rowOf[column] as number;
      let [least, next] = [Infinity, 0];
      for (let j = 1; j <= columns; j++) {
        if (done[j]) continue;
        const reduced = cost(from - 1, j - 1) - (u[from] as number) - (v[j] as number);
        if (reduced < (slack[j] as number)) {
          slack[j] = reduced;
          before[j] = column;
        }
        if ((slack[j] as number) < least) [least, next] = [slack[j] as number, j];
      }
      for (let j = 0; j <= columns; j++) {
        if (done[j]) {
          u[rowOf[j] as number] = (u[rowOf[j] as number] as number) + least;
          v[j] = (v[j] as number) - least;
        } else slack[j] = (slack[j] as number) - least;
      }
      column = next;
    } while (rowOf[column] !== 0);
    while (column !== 0) {
      const previous = before[column] as number;
      rowOf[column] = rowOf[previous] as number;
      column = previous;
    }
  }
  const out = new Int32Array(rows);
  for (let j = 1; j <= columns; j++) {
    const row = rowOf[j] as number;
    if (row > 0) out[row - 1] = j - 1;
  }
  return out;
}
