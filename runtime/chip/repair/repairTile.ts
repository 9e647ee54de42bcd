/**
 * A tile repaired: its columns copied to spare ones, placed where stuck cells cost least, working
 * cells making up for stuck ones, wire drop answered in advance. The mapper knows the faults of the
 * array (a map measured once, as every memory tester makes one) and the resistance of its wires; it
 * does not know how programming will miss or how cells will age.
 */
import type { CrossbarConfig, CrossbarTile } from "../../../compiler/emit/crossbar/config.ts";
import type { Encoding } from "../../../compiler/emit/crossbar/encoding.ts";
import { solveTile } from "../effective.ts";
import type { StuckCells } from "../faults.ts";
import type { BlockLayout } from "../layout.ts";
import { copiesIn, repeatColumns, sharesOf } from "./copies.ts";
import { inPlace, placeColumns, type ColumnPlaces, type TileCells } from "./placement.ts";
import { predistort } from "./predistort.ts";
import { noTrims, type ColumnTrims } from "./trims.ts";

export interface RepairRequest {
  readonly config: CrossbarConfig;
  readonly encoding: Encoding;
  readonly layout: BlockLayout;
  readonly tile: CrossbarTile;
  /** Siemens, [rows, columns] of the tile; what is outside the window is taken as its end. */
  readonly target: ArrayLike<number>;
  /** Faults of the array; none unless given. */
  readonly stuck?: StuckCells | undefined;
  readonly wires: boolean;
  /** Standard deviation of programming, siemens: what a small gain amplifies. */
  readonly spread: number;
}

/** A tile with its copies side by side; all columns are counted over them. */
export interface RepairedTile {
  readonly tile: CrossbarTile;
  readonly copies: number;
  /** What each counts for in the mean, [copies, outputs]. */
  readonly shares: Float64Array;
  /** What the cells should come to, and what they are programmed to for that. */
  readonly wanted: Float64Array;
  readonly target: Float64Array;
  readonly places: ColumnPlaces;
  readonly trims: ColumnTrims;
}

export function repairTile(request: RepairRequest): RepairedTile {
  const { config, encoding, layout, target, stuck, wires, spread } = request;
  const { groups, inputs, rows } = request.tile;
  const { gMin, gMax } = encoding;
  const arrayColumns = config.array.columns;
  // Words that are sensed as digits have no mean.
  const copies = config.input.coding === "digital" ? 1
    : copiesIn(request.tile.columns, arrayColumns);
  const tile = { ...request.tile, columns: request.tile.columns * copies };
  const outputs = groups.count * tile.outputs.count;
  const shape: TileCells = {
    encoding, rows, columns: tile.columns, arrayColumns,
    columnsPerOutput: request.tile.columns / outputs,
    rowsPerInput: rows / (groups.count * inputs.count),
  };
  const wanted = repeatColumns(target, request.tile.columns, copies)
    .map((g) => Math.min(Math.max(g, gMin), gMax));
  const { places, target: placed, errors } = stuck ? placeColumns(shape, wanted, stuck)
    : { places: inPlace(tile.columns), target: wanted, errors: new Float64Array(outputs * copies) };
  const shares = sharesOf(errors, outputs, columnVariance(shape, spread));
  const { sides, slices } = layout;
  const made = { tile, copies, shares, wanted, places };
  if (!wires) return { ...made, target: placed, trims: noTrims(copies * outputs * slices * sides) };
  const held = stuckOf(stuck, tile, places, arrayColumns);
  const repaired = predistort({
    tile: shape, sides, wanted: placed, spread,
    isFixed: (cell) => held !== undefined && held[cell] === held[cell],
    solve: (now) => solveTile({ config, encoding, sides }, tile, now, places),
  });
  return { ...made, target: repaired.target, trims: repaired.trims };
}

/** Sum over the weights of an output of their variance by programming, as shares of its scale. */
function columnVariance({ encoding, rows }: TileCells, spread: number): number {
  const { scheme, significance, gain, gMin, gMax } = encoding;
  // Rows are cells of a column; a pair of columns has as many again.
  const cells = rows * (scheme === "differential-columns" ? 2 : 1);
  const bySlice = significance.reduce((sum, s) => sum + s * s, 0);
  return cells * bySlice * ((gain * spread) / (gMax - gMin)) ** 2;
}

/** Faults of an array as the cells of a tile meet them; undefined when there are none to meet. */
export function stuckOf(
  stuck: StuckCells | undefined, { rows, columns }: Pick<CrossbarTile, "rows" | "columns">,
  places: ColumnPlaces, arrayColumns: number,
): Float64Array | undefined {
  if (!stuck) return undefined;
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < columns; c++) {
      out[row * columns + c] = stuck[row * arrayColumns + (places[c] as number)] as number;
    }
  }
  return out;
}
