/** Every weight is on exactly one place of one tile, and comes back within a quantisation step. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { crossbarsSchema, parseCrossbars } from "../../../../compiler/emit/crossbar/config.ts";
import { decodeBlock } from "../../../../compiler/emit/crossbar/decode.ts";
import { emitBlocks, type Crossbars } from "../../../../compiler/emit/crossbar/emit.ts";
import {
  cellWriter, decodingError, encodingOf,
} from "../../../../compiler/emit/crossbar/encoding.ts";
import { shareOf } from "../../../../compiler/emit/crossbar/tileCells.ts";
import { cellPosition, tileGrid, tilesOf } from "../../../../compiler/partition/tiling.ts";
import type { WeightMatrix } from "../../../../compiler/partition/units.ts";
import type { HybridTarget } from "../../../../targets/schema.ts";
import {
  anyMatrix, hybridNames, hybridTarget, matrixOf, readAll, smallTargets,
} from "./blocks.ts";

const emitOne = (matrix: WeightMatrix, target: HybridTarget): Crossbars =>
  emitBlocks([{ id: "a0", nodes: ["conv"], matrix }], target);

/** Compares with the weights, index by index, through the strides of the matrix view. */
function checkRoundTrip(matrix: WeightMatrix, target: HybridTarget): void {
  const crossbars = emitOne(matrix, target);
  const read = readAll(crossbars);
  const { config } = crossbars;
  const block = config.blocks[0]!;
  const decoded = decodeBlock(config, block, read);
  const scales = read(block.scales);
  const relative = decodingError(encodingOf(target));
  const wrong: string[] = [];
  for (let g = 0; g < matrix.groups; g++) {
    for (let o = 0; o < matrix.colsN; o++) {
      const scale = scales[g * matrix.colsN + o]!;
      // The result itself is rounded to float32.
      const allowed = scale * (relative * (1 + 1e-9) + 2 ** -24);
      for (let i = 0; i < matrix.rowsK; i++) {
        const { strides } = matrix;
        const at = g * strides.group + i * strides.input + o * strides.output;
        const weight = matrix.tensor.data[at]!;
        const error = Math.abs(decoded[at]! - weight);
        if (!(error <= allowed)) wrong.push(`[${g}, ${i}, ${o}]: ${weight} is ${decoded[at]}`);
      }
    }
  }
  // Cells stay inside the window, and no tile is larger than the array.
  const [gMin, gMax] = [target.cell.gMin.value, target.cell.gMax.value];
  for (const tile of block.tiles) {
    expect(tile.rows).toBeLessThanOrEqual(target.array.rows.value);
    expect(tile.columns).toBeLessThanOrEqual(target.array.columns.value);
    for (const cell of read(tile.conductances)) {
      const inside = cell >= Math.fround(gMin) && cell <= Math.fround(gMax);
      if (!inside) wrong.push(`a cell of ${tile.id} is ${cell}`);
    }
  }
  expect(wrong).toEqual([]);
}

/** Every weight against the cells that `cellPosition` names, one weight encoded at a time. */
function checkPositions(matrix: WeightMatrix, target: HybridTarget): void {
  const crossbars = emitOne(matrix, target);
  const read = readAll(crossbars);
  const block = crossbars.config.blocks[0]!;
  const scales = read(block.scales);
  const encoding = encodingOf(target);
  const cells = new Float32Array(2 * encoding.slices);
  const write = cellWriter(encoding, { perSlice: 1, toNegative: encoding.slices });
  const wrong: string[] = [];
  for (const tile of tilesOf(matrix, tileGrid(matrix, target))) {
    const stored = block.tiles[tile.index]!;
    const conductances = read(stored.conductances);
    const weightCells = new Set<number>();
    const check = (at: Parameters<typeof cellPosition>[2], expected: number): void => {
      const { row, column } = cellPosition(tile, block.layout, at);
      const cell = row * stored.columns + column;
      weightCells.add(cell);
      const actual = conductances[cell];
      if (actual !== expected) wrong.push(`${tile.index}, ${cell}: ${actual}`);
    };
    for (let group = 0; group < tile.groups.count; group++) {
      for (let output = 0; output < tile.outputs.count; output++) {
        for (let input = 0; input < tile.inputs.count; input++) {
          const [g, o] = [tile.groups.start + group, tile.outputs.start + output];
          const { strides } = matrix;
          const w = matrix.tensor.data[g * strides.group + o * strides.output +
            (tile.inputs.start + input) * strides.input]!;
          write(shareOf(w, scales[g * matrix.colsN + o]!), cells, 0);
          for (let slice = 0; slice < encoding.slices; slice++) {
            const at = { group, input, output, slice };
            check({ ...at, sign: 0 }, cells[slice]!);
            if (encoding.scheme === "offset") continue;
            check({ ...at, sign: 1 }, cells[encoding.slices + slice]!);
          }
        }
      }
    }
    // Whatever is left lies between groups and adds nothing.
    conductances.forEach((g, cell) => {
      if (!weightCells.has(cell) && !encoding.idle.some((idle) => Math.fround(idle) === g)) {
        wrong.push(`${tile.index}: cell ${cell} holds ${g}`);
      }
    });
  }
  expect(wrong).toEqual([]);
}

describe.each(Object.entries(smallTargets))("%s", (_, target) => {
  it("decodes to the weights within half a step", () => {
    fc.assert(fc.property(anyMatrix, (matrix) => checkRoundTrip(matrix, target)),
      { seed: 7, numRuns: 25 });
  });

  it("puts each weight's cells where the tiling says", () => {
    fc.assert(fc.property(anyMatrix, (matrix) => checkPositions(matrix, target)),
      { seed: 9, numRuns: 5 });
  });

  it("says what its schema says, through JSON", () => {
    fc.assert(fc.property(anyMatrix, (matrix) => {
      const { config } = emitOne(matrix, target);
      const text = JSON.stringify(config);
      expect(parseCrossbars(JSON.parse(text), "crossbars.json")).toEqual(config);
    }), { seed: 8, numRuns: 5 });
  });
});

describe.each(hybridNames)("preset %s", (name) => {
  it("decodes a layer that spreads over several of its tiles", () => {
    const target = hybridTarget(name);
    const size = 300 * 70;
    const values = Float32Array.from({ length: size }, (_, i) => Math.sin(i * i * 0.37));
    checkRoundTrip(matrixOf("conv", 1, 300, 70, values), target);
    const { config } = emitOne(matrixOf("conv", 1, 300, 70, values), target);
    expect(config.blocks[0]!.tiles.length).toBeGreaterThan(1);
  });
});

describe("the published schema", () => {
  it("compiler/artifact/crossbars.schema.json is in sync", async () => {
    const { crossbarsJsonSchema } = await import("../../../../compiler/emit/crossbar/config.ts");
    const text = `${JSON.stringify(crossbarsJsonSchema(), null, 2)}\n`;
    // Regenerate with: npm run vitest -- test/compiler/emit/crossbar -u
    await expect(text).toMatchFileSnapshot(
      "../../../../compiler/artifact/crossbars.schema.json");
  });

  it("refuses what it does not know", () => {
    const { config } = emitOne(matrixOf("conv", 1, 2, 2, Float32Array.of(1, 2, 3, 4)),
      hybridTarget("isaac-rram"));
    expect(crossbarsSchema.safeParse({ ...config, extra: 1 }).success).toBe(false);
    expect(() => parseCrossbars({ ...config, version: 9 }, "c.json"))
      .toThrow("c.json: the crossbars have version 9, this crosstie reads 1.");
    expect(() => parseCrossbars({ ...config, array: { ...config.array, rows: 0 } }, "c.json"))
      .toThrow(/c\.json: is no crossbar configuration \(array\.rows: /);
  });
});

describe("weights that no conductance stands for", () => {
  it.each([Number.NaN, Infinity, -Infinity])("%d is refused by name", (bad) => {
    const matrix = matrixOf("conv", 1, 2, 2, Float32Array.of(1, bad, 0.5, 4));
    expect(() => emitOne(matrix, hybridTarget("isaac-rram")))
      .toThrow(/weights w: A weight is (NaN|Infinity), which no conductance stands for\./);
  });
});
