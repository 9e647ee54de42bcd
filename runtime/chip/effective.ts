/**
 * What a tile's cells come to behind its wires: the array that holds them reduced to its effective
 * conductances, reference columns solved along with it as trimmed columns beyond its last. Columns
 * of the array that hold nothing are switched off; their wires are there all the same.
 */
import type { CrossbarConfig, CrossbarTile } from "../../compiler/emit/crossbar/config.ts";
import type { Encoding } from "../../compiler/emit/crossbar/encoding.ts";
import { tileCircuit } from "../../compiler/emit/crossbar/netlist.ts";
import type { Siemens } from "../../targets/units.ts";
import { reduceArray, reduceWithSensitivities } from "./wires/reduced.ts";

export interface EffectiveTile {
  /** Effective conductances, siemens, [rows, columns] of the tile. */
  readonly cells: Float64Array;
  /**
   * What a small change of a cell makes of its effective conductance, [rows, columns]: where it was
   * asked for and wires cost so much that cells / conductances is no good answer.
   */
  readonly sensitivity: Float64Array | undefined;
  /** Effective conductance of an input's cell on a slice's reference column. */
  reference(input: number, slice: number): number;
}

/** Whether columns are converted singly, a reference taken off each. */
export const hasReference = (encoding: Encoding, sides: 1 | 2): boolean =>
  encoding.scheme === "offset" || sides === 2;

/**
 * Share of the current that wires may cost before sensitivities are solved for: where they cost a
 * third, Geff / G overstates the noise of the farthest column by 7 %; where two thirds, by half.
 */
export const LARGE_LOSS = 1 / 3;

/**
 * @param cells siemens, [rows, columns] of the tile
 * @param places column of the array for every column of the tile; the first columns unless given
 * @param noisy whether sensitivities are asked for
 */
export function solveTile(
  { config, encoding, sides }: {
    readonly config: CrossbarConfig; readonly encoding: Encoding; readonly sides: 1 | 2;
  },
  tile: CrossbarTile, cells: ArrayLike<number>, places?: Int32Array, noisy = false,
): EffectiveTile {
  const levels = hasReference(encoding, sides)
    ? [...new Set(encoding.reference)].filter((g) => g > 0) : [];
  const { rows, columns } = tile;
  const used = places ? Math.max(...places) + 1 : columns;
  const all = used + levels.length;
  const at = (column: number): number => places?.[column] ?? column;
  const grid = new Float64Array(rows * all);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) grid[r * all + at(c)] = cells[r * columns + c] as number;
    levels.forEach((g, i) => {
      grid[r * all + used + i] = g;
    });
  }
  const circuit = tileCircuit(config, { id: tile.id, rows, columns: all }, grid);
  const { conductance } = reduceArray(circuit);
  const total = (of: Float64Array): number => of.reduce((sum, g) => sum + g, 0);
  const isLossy = total(conductance) < (1 - LARGE_LOSS) * total(grid);
  const own = noisy && isLossy ? reduceWithSensitivities(circuit).own : undefined;
  const ofTile = (grid: Float64Array): Float64Array => {
    const out = new Float64Array(rows * columns);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) out[r * columns + c] = grid[r * all + at(c)] as number;
    }
    return out;
  };
  const rowsPerInput = rows / (tile.groups.count * tile.inputs.count);
  return {
    cells: ofTile(conductance), sensitivity: own && ofTile(own),
    reference: (input, slice) => {
      const level = levels.indexOf(encoding.reference[slice] as Siemens);
      return level < 0 ? 0 : conductance[input * rowsPerInput * all + used + level] as number;
    },
  };
}
