/**
 * The conductances of one tile, made when they are asked for, and the weights read back from them.
 * Where a cell lies is `cellPosition` of the tiling, what it holds is the encoding; this file
 * brings the two together at the speed that networks of 100 million weights need.
 */
import { elementAt } from "../../graph/tensor.ts";
import type { CellLayout, Tile } from "../../partition/tiling.ts";
import type { WeightMatrix } from "../../partition/units.ts";
import { cellWriter, decodeCells, type CellSteps, type Encoding } from "./encoding.ts";

/** Cells used by a tile. */
export function tileSize(tile: Tile, layout: CellLayout): { rows: number; columns: number } {
  return {
    rows: tile.groups.count * tile.inputs.count * layout.rowsPerInput,
    columns: tile.groups.count * tile.outputs.count * layout.columnsPerOutput,
  };
}

/** How far the cells of one weight are apart on a tile. */
interface Steps extends CellSteps {
  readonly perInput: number;
  readonly perOutput: number;
}

function stepsOf(tile: Tile, layout: CellLayout, encoding: Encoding): Steps {
  const { columns } = tileSize(tile, layout);
  const perSlice = layout.columnsPerOutput / layout.slices;
  return {
    perInput: layout.rowsPerInput * columns,
    perOutput: layout.columnsPerOutput,
    perSlice,
    toNegative: encoding.scheme === "differential-rows" ? columns
      : encoding.scheme === "differential-columns" ? 1 : 0,
  };
}

/** Calls `visit` for every weight of a tile with its place in the model and its first cell. */
function eachWeight(
  tile: Tile, steps: Steps,
  visit: (group: number, input: number, output: number, cell: number) => void,
): void {
  const { groups, inputs, outputs } = tile;
  for (let g = 0; g < groups.count; g++) {
    for (let o = 0; o < outputs.count; o++) {
      let cell = g * inputs.count * steps.perInput + (g * outputs.count + o) * steps.perOutput;
      for (let i = 0; i < inputs.count; i++, cell += steps.perInput) {
        visit(groups.start + g, inputs.start + i, outputs.start + o, cell);
      }
    }
  }
}

/** The weight as a share of its column's scale, within [-1, 1]. */
export const shareOf = (weight: number, scale: number): number =>
  scale === 0 ? 0 : Math.min(Math.max(weight / scale, -1), 1);

/**
 * Conductances of a tile.
 * @param scales [groups, colsN] of the block
 * @returns siemens, [rows, columns] row-major
 */
export function encodeTile(
  matrix: WeightMatrix, scales: Float32Array, tile: Tile, layout: CellLayout,
  encoding: Encoding & { readonly exact?: true },
): Float32Array {
  const { rows, columns } = tileSize(tile, layout);
  const steps = stepsOf(tile, layout, encoding);
  const cells = new Float32Array(rows * columns);
  if (tile.groups.count > 1) fillIdle(cells, layout, encoding);
  const write = cellWriter(encoding, steps);
  const { tensor, strides, colsN } = matrix;
  eachWeight(tile, steps, (group, input, output, first) => {
    const at = group * strides.group + input * strides.input + output * strides.output;
    const share = shareOf(elementAt(tensor, at), scales[group * colsN + output] as number);
    write(share, cells, first);
  });
  return cells;
}

/** Cells between the groups of a packed tile: both of a pair alike, by slice otherwise. */
function fillIdle(cells: Float32Array, layout: CellLayout, encoding: Encoding): void {
  const perSlice = layout.columnsPerOutput / layout.slices;
  for (let cell = 0; cell < cells.length; cell++) {
    const slice = Math.floor((cell % layout.columnsPerOutput) / perSlice);
    cells[cell] = encoding.idle[slice] as number;
  }
}

/**
 * Reads a tile's weights back.
 * @param cells siemens, [rows, columns]
 * @param take called once per weight with its share of the column's scale
 */
export function decodeTile(
  cells: ArrayLike<number>, tile: Tile, layout: CellLayout, encoding: Encoding,
  take: (group: number, input: number, output: number, share: number) => void,
): void {
  const steps = stepsOf(tile, layout, encoding);
  const positive = new Float64Array(encoding.slices);
  const negative = new Float64Array(encoding.slices);
  const { perSlice, toNegative } = steps;
  eachWeight(tile, steps, (group, input, output, first) => {
    for (let s = 0, cell = first; s < positive.length; s++, cell += perSlice) {
      positive[s] = cells[cell] as number;
      negative[s] = cells[cell + toNegative] as number;
    }
    take(group, input, output, decodeCells(encoding, positive, negative));
  });
}
