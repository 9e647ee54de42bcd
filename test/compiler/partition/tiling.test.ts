/** Tiles cover every weight exactly once, fit the array, and the closed-form sums count them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  cellPosition,
  splitEvenly,
  tileGrid,
  tilesOf,
} from "../../../compiler/partition/tiling.ts";
import { loadTarget } from "../../../runtime/files/targetFiles.ts";
import { parseTarget, withFigure } from "../../../targets/target.ts";
import type { HybridTarget } from "../../../targets/schema.ts";

const NAMES = [
  "isaac-rram",
  "neurram-rram",
  "hermes-pcm",
  "ternary-2t2r-rram",
  "resistive-trainer-rram",
];

/** A preset with arrays of another size. */
function sized(name: string, rows: number, columns: number): HybridTarget {
  let json = withFigure(loadTarget(name).json, "array.rows", rows);
  json = withFigure(json, "array.columns", columns);
  return parseTarget(json, name) as HybridTarget;
}

const shapes = fc.record({
  name: fc.constant("c"),
  rowsK: fc.integer({ min: 1, max: 40 }),
  colsN: fc.integer({ min: 1, max: 20 }),
  groups: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 12 })),
});

describe("tiling", () => {
  it("puts every slice of every weight on exactly one cell, inside its array", () => {
    let packed = 0;
    let split = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...NAMES),
        fc.constantFrom(8, 16, 18, 32),
        fc.constantFrom(16, 24, 32),
        shapes,
        (name, rows, columns, shape) => {
          const target = sized(name, rows, columns);
          const grid = tileGrid(shape, target);
          const { layout } = grid;
          const tiles = [...tilesOf(shape, grid)];
          expect(tiles.length).toBe(grid.tiles);
          if (grid.groupsPerTile > 1) packed++;
          if (grid.rowTiles > 1) split++;
          const weights = new Set<string>();
          const cells = new Set<string>();
          let usedRows = 0;
          let usedColumns = 0;
          let idle = 0;
          for (const tile of tiles) {
            const rowSet = new Set<number>();
            const columnSet = new Set<number>();
            let held = 0;
            for (let group = 0; group < tile.groups.count; group++) {
              for (let input = 0; input < tile.inputs.count; input++) {
                for (let output = 0; output < tile.outputs.count; output++) {
                  for (let slice = 0; slice < layout.slices; slice++) {
                    for (let sign = 0; sign < layout.signs; sign++) {
                      const at = { group, input, output, slice, sign };
                      const cell = cellPosition(tile, layout, at);
                      const g = tile.groups.start + group;
                      const k = tile.inputs.start + input;
                      const n = tile.outputs.start + output;
                      weights.add(`${g},${k},${n},${slice},${sign}`);
                      cells.add(`${tile.index}:${cell.row},${cell.column}`);
                      rowSet.add(cell.row);
                      columnSet.add(cell.column);
                      held++;
                    }
                  }
                }
              }
            }
            expect(Math.max(...rowSet)).toBeLessThan(rows);
            expect(Math.max(...columnSet)).toBeLessThan(columns);
            usedRows += rowSet.size;
            usedColumns += columnSet.size;
            idle += rowSet.size * columnSet.size - held;
            expect(columnSet.size).toBeLessThanOrEqual(grid.widestColumns);
          }
          const expected =
            shape.rowsK * shape.colsN * shape.groups * layout.slices * layout.signs;
          expect(weights.size).toBe(expected);
          expect(cells.size).toBe(expected);
          expect(grid.weightCells).toBe(expected);
          expect(grid.usedRows).toBe(usedRows);
          expect(grid.usedColumns).toBe(usedColumns);
          expect(grid.idleCells).toBe(idle);
          expect(grid.utilisation).toBeCloseTo(expected / (grid.tiles * rows * columns), 12);
        },
      ),
      { numRuns: 200, seed: 20262 },
    );
    expect(packed).toBeGreaterThan(10);
    expect(split).toBeGreaterThan(10);
  });

  it("uses no more tiles than the shape needs", () => {
    const isaac = loadTarget("isaac-rram").target as HybridTarget;
    const fc4096 = { name: "fc", rowsK: 25088, colsN: 4096, groups: 1 };
    expect(tileGrid(fc4096, isaac).tiles).toBe(196 * 256);
    const depthwise = { name: "dw", rowsK: 9, colsN: 1, groups: 32 };
    // 14 groups of 9 rows fit 128 rows: three tiles of 11, 11 and 10.
    expect(tileGrid(depthwise, isaac)).toMatchObject({ groupsPerTile: 14, tiles: 3 });
    const neurram = loadTarget("neurram-rram").target as HybridTarget;
    expect(tileGrid({ name: "x", rowsK: 128, colsN: 256, groups: 1 }, neurram)).toMatchObject({
      tiles: 1,
      utilisation: 1,
    });
  });

  it("says what is wrong when a weight does not fit", () => {
    const target = sized("isaac-rram", 8, 7);
    expect(() => tileGrid({ name: "x", rowsK: 4, colsN: 4, groups: 1 }, target)).toThrow(
      /target isaac-rram: array: an array of 8 x 7 cells holds no weight of 1 x 8 cells\. Use/,
    );
  });

  it("splits evenly", () => {
    expect(splitEvenly(10, 3)).toEqual([
      { start: 0, count: 4 },
      { start: 4, count: 3 },
      { start: 7, count: 3 },
    ]);
  });
});
