/**
 * A tile repaired: columns placed where stuck cells cost least, working cells making up for stuck
 * ones, wire drop answered in advance. The mapper knows the faults of the array (a map measured
 * once, as every memory tester makes one) and the resistance of its wires; it does not know how
 * programming will miss or how cells will age.
 */
import type { CrossbarConfig, CrossbarTile } from "../../../compiler/emit/crossbar/config.ts";
import type { Encoding } from "../../../compiler/emit/crossbar/encoding.ts";
import { solveTile } from "../effective.ts";
import type { StuckCells } from "../faults.ts";
import type { BlockLayout } from "../layout.ts";
import { inPlace, placeColumns, type ColumnPlaces, type TileCells } from "./placement.ts";
import { predistort } from "./predistort.ts";
import { noTrims, type ColumnTrims } from "./trims.ts";

export interface RepairRequest {
  readonly config: CrossbarConfig;
  readonly encoding: Encoding;
  readonly layout: BlockLayout;
  readonly tile: CrossbarTile;
  /** Siemens, [rows, columns] of the tile. */
  readonly target: ArrayLike<number>;
  /** Faults of the array; none unless given. */
  readonly stuck?: StuckCells | undefined;
  readonly wires: boolean;
  /** Standard deviation of programming, siemens: what a small gain amplifies. */
  readonly spread: number;
}

export interface RepairedTile {
  readonly target: Float64Array;
  readonly places: ColumnPlaces;
  readonly trims: ColumnTrims;
}

export function repairTile(request: RepairRequest): RepairedTile {
  const { config, encoding, layout, tile, target, stuck, wires, spread } = request;
  const { rows, columns } = tile;
  const arrayColumns = config.array.columns;
  const outputs = tile.groups.count * tile.outputs.count;
  const shape: TileCells = {
    encoding, rows, columns, arrayColumns, columnsPerOutput: columns / outputs,
    rowsPerInput: rows / (tile.groups.count * tile.inputs.count),
  };
  const { places, target: wanted } = stuck ? placeColumns(shape, target, stuck)
    : { places: inPlace(columns), target: Float64Array.from(target) };
  const { sides } = layout;
  if (!wires) return { target: wanted, places, trims: noTrims(outputs * layout.slices * sides) };
  const held = stuckOf(stuck, tile, places, arrayColumns);
  const repaired = predistort({
    tile: shape, sides, wanted, spread,
    isFixed: (cell) => held !== undefined && held[cell] === held[cell],
    solve: (now) => solveTile({ config, encoding, sides }, tile, now, places),
  });
  return { target: repaired.target, places, trims: repaired.trims };
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
