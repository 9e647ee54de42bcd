/** Equal tiles are stored once, by content; equal weights of any size are never expanded. */
import { describe, expect, it } from "vitest";
import { decodeBlock } from "../../../../compiler/emit/crossbar/decode.ts";
import { emitBlocks } from "../../../../compiler/emit/crossbar/emit.ts";
import { splat } from "../../../../compiler/graph/tensor.ts";
import type { WeightMatrix } from "../../../../compiler/partition/units.ts";
import { hybridNames, hybridTarget, matrixOf, readAll, smallTargets } from "./blocks.ts";

const target = smallTargets["differential-columns, one-sided, continuous"]!;

describe("dense weights", () => {
  // 22 inputs are two row tiles of 11, 14 outputs two column tiles of 7.
  const inputs = 22;
  const outputs = 14;
  const weight = (i: number, o: number): number => Math.cos((i % 11) * 3 + (o % 7));
  const values = (at: (i: number, o: number) => number): Float32Array =>
    Float32Array.from({ length: inputs * outputs }, (_, flat) =>
      at(flat % inputs, Math.floor(flat / inputs)));
  const tensorsOf = (data: Float32Array): string[] => {
    const matrix = matrixOf("left", 1, inputs, outputs, data);
    const crossbars = emitBlocks([{ id: "a0", nodes: [], matrix }], target);
    const block = crossbars.config.blocks[0]!;
    expect(block.tiles).toHaveLength(4);
    expect(decodeBlock(crossbars.config, block, readAll(crossbars))).toHaveLength(data.length);
    return block.tiles.map((t) => t.conductances);
  };

  it("of four equal tiles are one tensor", () => {
    expect(new Set(tensorsOf(values(weight)))).toEqual(new Set(["a0.tile0"]));
  });

  it("that differ in one weight are two", () => {
    const names = tensorsOf(values((i, o) => (i === 15 && o === 9 ? 0.5 : weight(i, o))));
    expect(names).toEqual(["a0.tile0", "a0.tile0", "a0.tile0", "a0.tile3"]);
  });

  it("of other scales are others, although their weights agree", () => {
    // A larger weight above changes the scale of column 9, and so its conductances below.
    const names = tensorsOf(values((i, o) => (i === 2 && o === 9 ? 5 : weight(i, o))));
    expect(names).toEqual(["a0.tile0", "a0.tile1", "a0.tile0", "a0.tile3"]);
  });

  it("are shared between blocks", () => {
    const matrix = matrixOf("left", 1, inputs, outputs, values(weight));
    const { config } = emitBlocks(
      [{ id: "a0", nodes: [], matrix }, { id: "a1", nodes: [], matrix }], target);
    expect(config.blocks[1]!.tiles[0]!.conductances).toBe("a0.tile0");
    expect(config.blocks[1]!.scales).toBe("a1.scales");
  });
});

describe("100 million equal weights", () => {
  const matrix: WeightMatrix = {
    tensor: splat("float32", [4096, 25088], -0.25), name: "fc6",
    groups: 1, rowsK: 25088, colsN: 4096, strides: { group: 0, input: 1, output: 25088 },
  };

  it.each(hybridNames)("fit into %s as few tensors", (name) => {
    const { config, tensors, tiles } = emitBlocks([{ id: "a0", nodes: [], matrix }],
      hybridTarget(name));
    const block = config.blocks[0]!;
    expect(tiles).toBe(block.tiles.length);
    // Spans differ by one at most: four sizes of tiles, and the scales.
    expect(tensors.length).toBeLessThanOrEqual(5);
    const [held, used] = [0, 1].map((which) => block.tiles.reduce((sum, t) =>
      sum + (which === 0 ? t.inputs.count * t.outputs.count : t.rows * t.columns), 0));
    expect(held).toBe(25088 * 4096);
    expect(used).toBe(25088 * 4096 * block.layout.rowsPerInput * block.layout.columnsPerOutput);
  });
});
