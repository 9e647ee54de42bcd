/**
 * How a contraction is cut into array-sized tiles: the one answer that the cost model counts with
 * and the crossbar emission writes weights by. Inputs are cut over row tiles (whose partial sums
 * are added digitally), outputs over column tiles, both as evenly as possible; small groups of a
 * grouped convolution share a tile block-diagonally. Weights are placed once: a convolution keeps
 * its loop, its windows become products with the same tile.
 */
import { InternalError, UserError } from "../errors.ts";
import { convertedColumns, readSchedule, type Schedule } from "../../targets/schedule.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import type { ContractionShape } from "./cost/cost.ts";

/** How one weight lies on cells. */
export interface CellLayout {
  /** 2 when the sign comes from a pair of rows. */
  readonly rowsPerInput: number;
  /** Bit slices, times 2 when the sign comes from a pair of columns. */
  readonly columnsPerOutput: number;
  readonly slices: number;
  /** Cells that carry the two signs of a slice: 2, or 1 with an offset. */
  readonly signs: number;
  readonly inputsPerTile: number;
  readonly outputsPerTile: number;
}

/**
 * @throws UserError when not even one weight fits the array's columns
 */
export function cellLayout(target: HybridTarget): CellLayout {
  const { scheme, slices } = target.encoding;
  const rowsPerInput = scheme === "differential-rows" ? 2 : 1;
  const pairColumns = scheme === "differential-columns" ? 2 : 1;
  const columnsPerOutput = slices.value * pairColumns;
  const inputsPerTile = Math.floor(target.array.rows.value / rowsPerInput);
  const outputsPerTile = Math.floor(target.array.columns.value / columnsPerOutput);
  if (inputsPerTile < 1 || outputsPerTile < 1) {
    throw new UserError(
      `an array of ${target.array.rows.value} x ${target.array.columns.value} cells holds no ` +
        `weight of ${rowsPerInput} x ${columnsPerOutput} cells`,
      {
        place: `target ${target.name}: array`,
        remedy: "Use a larger array, fewer slices or another encoding scheme.",
      },
    );
  }
  return {
    rowsPerInput,
    columnsPerOutput,
    slices: slices.value,
    signs: scheme === "offset" ? 1 : 2,
    inputsPerTile,
    outputsPerTile,
  };
}

/** The tiles of one contraction. */
export interface TileGrid {
  readonly layout: CellLayout;
  /** Per group (or per pack of groups). */
  readonly rowTiles: number;
  readonly columnTiles: number;
  /** Groups that share one tile; 1 unless a whole group fits several times. */
  readonly groupsPerTile: number;
  readonly groupTiles: number;
  /** All of them: groupTiles x rowTiles x columnTiles. */
  readonly tiles: number;
  /** Sums over tiles, in cells of the array's rows and columns. */
  readonly usedRows: number;
  readonly usedColumns: number;
  /** Cells that hold weights, and cells between packed groups that hold zero. */
  readonly weightCells: number;
  readonly idleCells: number;
  /** Columns and rows of the fullest tile. */
  readonly widestColumns: number;
  readonly tallestRows: number;
  /** Weight cells over the cells of all tiles. */
  readonly utilisation: number;
}

/** How a contraction lies on a target's arrays. Shapes are per group, see `ContractionShape`. */
export function tileGrid(
  shape: Pick<ContractionShape, "rowsK" | "colsN" | "groups" | "name">,
  target: HybridTarget,
): TileGrid {
  const { rowsK, colsN, groups } = shape;
  if (!(rowsK >= 1 && colsN >= 1 && groups >= 1)) {
    throw new InternalError(`contraction ${shape.name} is ${groups} x ${rowsK} x ${colsN}`);
  }
  const layout = cellLayout(target);
  const rowTiles = Math.ceil(rowsK / layout.inputsPerTile);
  const columnTiles = Math.ceil(colsN / layout.outputsPerTile);
  const fits = rowTiles === 1 && columnTiles === 1;
  const perTile = Math.min(
    Math.floor(layout.inputsPerTile / rowsK),
    Math.floor(layout.outputsPerTile / colsN),
  );
  const groupsPerTile = fits ? Math.min(groups, Math.max(1, perTile)) : 1;
  const groupTiles = Math.ceil(groups / groupsPerTile);
  const tiles = groupTiles * rowTiles * columnTiles;
  const groupRows = rowsK * layout.rowsPerInput;
  const groupColumns = colsN * layout.columnsPerOutput;
  const weightCells = groups * groupRows * groupColumns;
  const packs = splitEvenly(groups, groupTiles);
  // Where groups share a tile there is one row and one column tile, so a pack is a rectangle.
  const boxes = packs.reduce((sum, { count }) => sum + count * groupRows * count * groupColumns, 0);
  const widestGroups = Math.max(...packs.map(({ count }) => count));
  return {
    layout,
    rowTiles,
    columnTiles,
    groupsPerTile,
    groupTiles,
    tiles,
    usedRows: groups * groupRows * columnTiles,
    usedColumns: groups * groupColumns * rowTiles,
    weightCells,
    idleCells: groupsPerTile > 1 ? boxes - weightCells : 0,
    widestColumns: widestGroups * Math.ceil(colsN / columnTiles) * layout.columnsPerOutput,
    tallestRows: widestGroups * Math.ceil(rowsK / rowTiles) * layout.rowsPerInput,
    utilisation: weightCells / (tiles * target.array.rows.value * target.array.columns.value),
  };
}

/** What one product of a grid's fullest tile takes. */
export const tileSchedule = (target: HybridTarget, grid: TileGrid): Schedule =>
  readSchedule(target, convertedColumns(target, grid.widestColumns), grid.tallestRows);

/** Arrays that so many tiles occupy: whole cores, where software starts nothing smaller. */
export function arraysFor(tiles: number, { mode, chip }: HybridTarget): number {
  const atOnce = mode === "core" ? chip.arraysPerCore.value : 1;
  return Math.ceil(tiles / atOnce) * atOnce;
}

export interface Span {
  readonly start: number;
  readonly count: number;
}

/** `parts` consecutive spans of 0..total whose lengths differ by at most one. */
export function splitEvenly(total: number, parts: number): Span[] {
  const spans: Span[] = [];
  for (let i = 0, start = 0; i < parts; i++) {
    const count = Math.ceil((total - start) / (parts - i));
    spans.push({ start, count });
    start += count;
  }
  return spans;
}

/** One tile: which groups, inputs and outputs (within each group) it holds. */
export interface Tile {
  readonly index: number;
  readonly groups: Span;
  readonly inputs: Span;
  readonly outputs: Span;
}

/** The tiles in order: packs of groups, then row tiles, then column tiles. */
export function* tilesOf(
  shape: Pick<ContractionShape, "rowsK" | "colsN" | "groups">,
  grid: TileGrid,
): Generator<Tile> {
  const rows = splitEvenly(shape.rowsK, grid.rowTiles);
  const columns = splitEvenly(shape.colsN, grid.columnTiles);
  let index = 0;
  for (const groups of splitEvenly(shape.groups, grid.groupTiles)) {
    for (const inputs of rows) {
      for (const outputs of columns) yield { index: index++, groups, inputs, outputs };
    }
  }
}

/** A cell of an array. */
export interface CellPosition {
  readonly row: number;
  readonly column: number;
}

/**
 * The cell that holds one slice of one weight of a tile.
 * @param group index of the group within the tile
 * @param input, output index within the tile's span of that group
 * @param slice 0 is the least significant
 * @param sign 0 the positive cell of a pair (or the only cell), 1 the negative
 */
export function cellPosition(
  tile: Tile,
  layout: CellLayout,
  at: { group: number; input: number; output: number; slice: number; sign: number },
): CellPosition {
  const input = at.group * tile.inputs.count + at.input;
  const output = at.group * tile.outputs.count + at.output;
  const pairRow = layout.rowsPerInput === 2 ? at.sign : 0;
  const pairColumns = layout.columnsPerOutput / layout.slices;
  const pairColumn = pairColumns === 2 ? at.sign : 0;
  return {
    row: input * layout.rowsPerInput + pairRow,
    column: (output * layout.slices + at.slice) * pairColumns + pairColumn,
  };
}
