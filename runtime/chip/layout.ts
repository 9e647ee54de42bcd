/**
 * The arrays of one block as one batched matrix product: which chunk of inputs meets which columns,
 * and where each cell of each tile lies in that product. Chunks are the row spans that are read at
 * once; tiles that differ only in their columns share chunks. Spans that differ in length by one
 * are padded with cells of no conductance.
 */
import { InternalError } from "../../compiler/errors.ts";
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import { splitEvenly, type Span } from "../../compiler/partition/tiling.ts";
import { cellsApart } from "./passes.ts";
import type { BlockArrays } from "./replicas.ts";

export interface BlockLayout {
  /** Those of all copies of the layer, the copies outermost. */
  readonly groups: number;
  readonly copies: number;
  readonly rowsK: number;
  readonly colsN: number;
  readonly slices: number;
  /** Converted columns per pair: 2 where its cells are read apart. */
  readonly sides: 1 | 2;
  /** Groups that share tiles, pack by pack; packs of one where no two do. */
  readonly packs: readonly Span[];
  readonly groupsPerPack: number;
  /** Cuts of a group's inputs, and the longest. */
  readonly rowTiles: readonly Span[];
  /** Inputs of the fullest tile, with padding. */
  readonly rowsPerTile: number;
  /** Reads of a tile: more than one where few rows are driven at once. */
  readonly reads: number;
  /** Inputs per read. */
  readonly rows: number;
  /** packs x rowTiles x reads. */
  readonly chunks: number;
  /** groupsPerPack x colsN x slices x sides. */
  readonly columns: number;
}

export function layoutOf(config: CrossbarConfig, block: BlockArrays): BlockLayout {
  const { groups, rowsK, colsN } = block.matrix;
  const { grid, layout, copies = 1 } = block;
  const ofOne = splitEvenly(groups / copies, grid.groupTiles / copies);
  const packs = Array.from({ length: copies }, (_, copy) => (copy * groups) / copies)
    .flatMap((first) => ofOne.map(({ start, count }) => ({ start: first + start, count })));
  const rowTiles = splitEvenly(rowsK, grid.rowTiles);
  const groupsPerPack = Math.max(...packs.map((p) => p.count));
  const longest = Math.max(...rowTiles.map((r) => r.count)) * groupsPerPack;
  const atOnce = Math.max(1, Math.floor(config.array.rowsAtOnce / layout.rowsPerInput));
  const rows = Math.min(longest, atOnce);
  const reads = Math.ceil(longest / rows);
  const sides = cellsApart(config) ? 2 : 1;
  return {
    groups, copies, rowsK, colsN, slices: layout.slices, sides, packs, groupsPerPack, rowTiles,
    rowsPerTile: rows * reads, reads, rows,
    chunks: packs.length * rowTiles.length * reads,
    columns: groupsPerPack * colsN * layout.slices * sides,
  };
}

/** Where a tile lies among the chunks and columns. */
export interface TilePlace {
  /** Chunk of its first read; the others follow. */
  readonly chunk: number;
  /** Column of an output of a group of the tile, counted from the tile's first; slice 0, side 0. */
  column(group: number, output: number): number;
}

export function placeOf(layout: BlockLayout, tile: {
  readonly groups: Span; readonly inputs: Span; readonly outputs: Span;
}): TilePlace {
  const { packs, rowTiles, reads, colsN, slices, sides } = layout;
  const pack = packs.findIndex((p) => p.start === tile.groups.start);
  const rowTile = rowTiles.findIndex((r) => r.start === tile.inputs.start);
  if (pack < 0 || rowTile < 0) throw new InternalError("a tile lies on no chunk");
  return {
    chunk: (pack * rowTiles.length + rowTile) * reads,
    column: (group, output) =>
      (group * colsN + tile.outputs.start + output) * slices * sides,
  };
}

/** Name of the tile behind every column of every chunk, [chunks, columns]. */
export function tilesByColumn(
  layout: BlockLayout, block: BlockArrays,
): (string | undefined)[] {
  const { chunks, columns, reads, slices, sides } = layout;
  const names = new Array<string | undefined>(chunks * columns);
  for (const tile of block.tiles) {
    const place = placeOf(layout, tile);
    for (let g = 0; g < tile.groups.count; g++) {
      const first = place.column(g, 0);
      const count = tile.outputs.count * slices * sides;
      for (let read = 0; read < reads; read++) {
        const from = (place.chunk + read) * columns + first;
        names.fill(tile.id, from, from + count);
      }
    }
  }
  return names;
}
