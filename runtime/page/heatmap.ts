/**
 * A grid of numbers as a small grey PNG inside a page: one pixel per cell, or the mean of a block
 * of cells where the grid is larger than eyes need. White is the low end of the range, black the
 * high one.
 */
import { PNG } from "pngjs";

/** Pixels along one side, at most. */
const MOST_PIXELS = 64;

export interface Grid {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** Means of blocks of cells, so that neither side has more than `most` of them. */
export function shrink({ rows, columns, values }: Grid, most = MOST_PIXELS): Grid {
  const [high, wide] = [Math.ceil(rows / most), Math.ceil(columns / most)];
  const [newRows, newColumns] = [Math.ceil(rows / high), Math.ceil(columns / wide)];
  const sums = new Float64Array(newRows * newColumns);
  const counts = new Float64Array(newRows * newColumns);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const at = Math.floor(r / high) * newColumns + Math.floor(c / wide);
      sums[at]! += values[r * columns + c]!;
      counts[at]!++;
    }
  }
  return { rows: newRows, columns: newColumns, values: sums.map((s, i) => s / counts[i]!) };
}

/** Least and largest value. */
export function rangeOf(values: Float64Array): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const v of values) {
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return [low, high];
}

/** The picture as a `data:` address. */
export function heatmap(grid: Grid, [low, high]: readonly [number, number]): string {
  const { rows, columns, values } = shrink(grid);
  const span = high > low ? high - low : 1;
  const grey = Buffer.from(Uint8Array.from(values, (v) =>
    Math.round(255 * (1 - Math.min(1, Math.max(0, (v - low) / span))))));
  const png = new PNG({ width: columns, height: rows });
  png.data = grey;
  const written = PNG.sync.write(png, {
    colorType: 0, inputColorType: 0, inputHasAlpha: false, bitDepth: 8,
  });
  return `data:image/png;base64,${written.toString("base64")}`;
}
