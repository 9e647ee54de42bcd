/** Each imperfection alone: what a block computes with it, against loops or its formula. */
import { describe, expect, it } from "vitest";
import { decodeBlock } from "../../../compiler/emit/crossbar/decode.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { ProgrammedCells } from "../../../runtime/chip/cells.ts";
import { drawStuck } from "../../../runtime/chip/faults.ts";
import { idealGraph } from "../../../runtime/chip/idealBlock.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import { keyOf, normalAt } from "../../../runtime/chip/normal.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { siemens } from "../../../targets/units.ts";
import { hybridNames } from "../../compiler/emit/crossbar/blocks.ts";
import {
  compileBlock, product, randomCases, runBlock, testTarget, type CompiledBlock,
} from "./blocks.ts";
import { afterProduct, loopsOf, oracleProduct, type OracleChip } from "./tileOracle.ts";

const device = new InterpreterDevice();

const magnitude = (xs: ArrayLike<number>): number =>
  Math.max(0, ...Array.from(xs, (x) => Math.abs(x)));

function worst(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  return magnitude(Array.from(expected, (e, i) => e - actual[i]!));
}

/** Cells of every tile after programming, found once more from their keys. */
function cellsOf({ block, setting }: CompiledBlock, trial: number): OracleChip["cells"] {
  const { gMinSiemens: gMin, gMaxSiemens: gMax } = setting.config.cell;
  return (id) => {
    const tile = block.crossbar.tiles.find((t) => t.id === id)!;
    const technology =
      { device: setting.cells, gMin: siemens(gMin), gMax: siemens(gMax) };
    const key = keyOf(setting.seed, "cells", trial, id);
    const { array } = setting.config;
    const faults = drawStuck(technology, key, array);
    const stuck = setting.imperfections.stuck
      ? Array.from({ length: tile.rows * tile.columns }, (_, i) =>
        faults[Math.floor(i / tile.columns) * array.columns + (i % tile.columns)]!) : undefined;
    return new ProgrammedCells(technology, setting.read(tile.conductances), key,
      setting.imperfections, stuck).at(setting.time);
  };
}

const oracleOf = (compiled: CompiledBlock, trial: number): OracleChip => ({
  config: compiled.setting.config, crossbar: compiled.block.crossbar,
  scales: compiled.setting.read(compiled.block.crossbar.scales), cells: cellsOf(compiled, trial),
});

/** What sums of products are compared by: every input and weight at its largest. */
function productScale({ block, setting }: CompiledBlock, drive: Tensor): number {
  return block.crossbar.matrix.rowsK * Math.max(1, magnitude(drive.data)) *
    Math.max(0.1, magnitude(setting.read(block.crossbar.scales)));
}

/** Presets on small arrays: every case spreads over several tiles. */
const small = hybridNames.map((name) => [name, testTarget(name,
  { "array.rows": 12, "array.columns": name.includes("isaac") || name.includes("puma") ? 16 : 6 },
)] as const);

describe.each(small)("%s", (_, target) => {
  it("with ideal cells, converters and wires is the digital block", () => {
    for (const { graph, inputs, name } of randomCases(21)) {
      const compiled = compileBlock(graph, target, []);
      const { block, setting } = compiled;
      const [expected] = [...evaluateGraph(block.graph, inputs).values()] as [Tensor];
      const ideal = idealGraph(block, setting.config, setting.read);
      const [actual] = [...evaluateGraph(ideal, inputs).values()] as [Tensor];
      const { drive } = loopsOf(block.graph, block.crossbar.weights.name, inputs);
      // A conductance in float32 is off by 2^-24 of gMax, which is not much more than the window.
      expect(worst(actual.data, expected.data), name)
        .toBeLessThanOrEqual(1e-6 * productScale(compiled, drive));
    }
  });

  it("with no imperfection named simulates the digital block as well", async () => {
    for (const { graph, inputs, name } of randomCases(22)) {
      const compiled = compileBlock(graph, target, []);
      const [expected] = [...evaluateGraph(graph, inputs).values()] as [Tensor];
      const actual = await runBlock(compiled, inputs, expected.data.length);
      const { drive } = loopsOf(graph, compiled.block.crossbar.weights.name, inputs);
      expect(worst(actual, expected.data), name)
        .toBeLessThanOrEqual(3e-6 * productScale(compiled, drive));
    }
  });

  it("with levels alone multiplies with the weights that the artifact's cells hold", async () => {
    for (const { graph, inputs, name } of randomCases(23)) {
      const compiled = compileBlock(graph, target, ["levels"]);
      const { block, setting } = compiled;
      const weights = decodeBlock(setting.config, block.crossbar,
        (n) => setting.read(n));
      const { heart, loops, drive } = loopsOf(graph, block.crossbar.weights.name, inputs);
      const { strides, rowsK, colsN, groups } = block.crossbar.matrix;
      const product = new Float64Array(sizeOf(loops.shape));
      for (let g = 0; g < groups; g++) for (let o = 0; o < colsN; o++) {
        for (let p = 0; p < loops.positions; p++) for (let k = 0; k < rowsK; k++) {
          product[loops.output(g, o, p)]! += loops.input(g, k, p) *
            weights[g * strides.group + o * strides.output + k * strides.input]!;
        }
      }
      const expected = afterProduct(graph, heart, product, inputs);
      const actual = await runBlock(compiled, inputs, product.length);
      expect(worst(actual, expected.data), name)
        .toBeLessThanOrEqual(3e-6 * productScale(compiled, drive));
    }
  });

  it("with cells that miss, age and stick computes with the cells that there are", async () => {
    const kinds: Imperfection[][] = [["programming"], ["drift"], ["stuck"],
      ["programming", "drift", "stuck"]];
    if (target.target.input.coding === "digital") return;
    const cases = randomCases(24);
    for (const [i, { graph, inputs, name }] of cases.entries()) {
      const only = kinds[i % kinds.length]!;
      const compiled = compileBlock(graph, target, ["levels", ...only], { seed: i, time: 5000 });
      const { heart, loops, drive } = loopsOf(
        graph, compiled.block.crossbar.weights.name, inputs);
      const { values } = oracleProduct(loops, oracleOf(compiled, 3));
      const expected = afterProduct(graph, heart, values, inputs);
      const actual = await runBlock(compiled, inputs, values.length, 3);
      expect(worst(actual, expected.data), `${name}, ${only.join()}`)
        .toBeLessThanOrEqual(5e-6 * productScale(compiled, drive));
    }
  });
});

describe("converters that differ", () => {
  it.each([
    ["one per column", { "adc.share": 1 }], ["one for five columns", { "adc.share": 5 }],
    ["reads of few rows", { "adc.share": 3, "array.rowsAtOnce": 5, mode: "wordline" }],
  ])("%s: have the gain and offset that was drawn for them", async (_, changes) => {
    const target = testTarget("neurram-rram", {
      "array.rows": 20, "array.columns": 10, "adc.gainSpread": 0.05, "adc.offsetSpread": 0.02,
      "adc.range": { policy: "max" }, "encoding.scheme": "differential-columns", ...changes,
    });
    for (const { graph, inputs, name } of randomCases(25)) {
      const compiled = compileBlock(graph, target, ["levels", "converters"], { seed: 5 });
      const { block, setting } = compiled;
      const { heart, loops, drive } = loopsOf(graph, block.crossbar.weights.name, inputs);
      const chip = new BlockChip(device, block, setting);
      chip.program(2);
      chip.seeInputs(drive.data as Float32Array);
      chip.setRanges([]);
      const { share } = setting.config.converter;
      const { values, slack } = oracleProduct(loops, { ...oracleOf(compiled, 2), converters: {
        lsbs: chip.lsbs!, step: magnitude(drive.data) / 31,
        mismatch: (tile, column) => {
          const draw = (what: string): number =>
            normalAt(keyOf(5, what, 2, tile), Math.floor(column / share));
          // Offsets are relative to the 127 codes of full scale.
          return { gain: 1 + 0.05 * draw("converter gain"),
            offset: 0.02 * 127 * draw("converter offset") };
        },
      } });
      const expected = afterProduct(graph, heart, values, inputs);
      const actual = await chip.read(await chip.run(inputs, 0, device.allocate(values.length)));
      const wrong = Array.from(expected.data).filter((e, i) =>
        Math.abs(e - actual[i]!) > 3e-6 * productScale(compiled, drive) + slack[i]!);
      expect(wrong, name).toEqual([]);
    }
  });
});

describe("sense amplifiers", () => {
  const rates = testTarget("ternary-2t2r-rram").cells.sensing!.errors;
  const n = 50;
  const stored = (i: number): number => (i % 3) - 1;
  const { graph } = product(n * n, 1, (i) => stored(i));

  /** What every weight is read as: one-hot inputs, one position each. */
  async function digits(only: Imperfection[]): Promise<Float32Array> {
    const compiled = compileBlock(graph, testTarget("ternary-2t2r-rram"), only);
    const chip = new BlockChip(device, compiled.block, compiled.setting);
    chip.program(0);
    const weights: number[] = [];
    for (let first = 0; first < n * n; first += n) {
      const hot = tensor("float32", [n, n * n], new Float32Array(n * n * n));
      for (let i = 0; i < n; i++) hot.data[i * n * n + first + i] = 1;
      const out = await chip.run(new Map([["x", hot]]), 0, device.allocate(n));
      weights.push(...(await chip.read(out)));
    }
    return Float32Array.from(weights);
  }

  it("misread ternary digits as often as measured, four standard errors", async () => {
    const read = await digits(["levels", "programming"]);
    for (const was of [-1, 0, 1]) {
      const own = Array.from(read).filter((_, i) => stored(i) === was);
      rates[was + 1]!.forEach((p, index) => {
        const count = own.filter((x) => x === index - 1).length;
        const error = 4 * Math.sqrt(p * (1 - p) / own.length);
        expect(Math.abs(count / own.length - p)).toBeLessThanOrEqual(error);
      });
    }
  });

  it("read what is stored when programming is perfect", async () => {
    expect(Array.from(await digits(["levels"]))).toEqual(
      Array.from({ length: n * n }, (_, i) => stored(i)));
  });
});

describe("the switches", () => {
  it("turn on what is named and nothing else", () => {
    expect(imperfections(["wires", "levels"])).toEqual({
      levels: true, programming: false, drift: false, stuck: false, readNoise: false,
      converters: false, nonlinearity: false, wires: true,
    });
    expect(Object.values(imperfections()).every(Boolean)).toBe(true);
  });

  it("leave every trial alike when nothing is drawn, and tell trials apart when something is",
    async () => {
      const target = testTarget("neurram-rram");
      const { graph } = randomCases(1)[4]!;
      const outputs = async (only: Imperfection[], trial: number): Promise<Float32Array> => {
        const { inputs } = randomCases(1)[4]!;
        const compiled = compileBlock(graph, target, only);
        const [y] = [...evaluateGraph(graph, inputs).values()] as [Tensor];
        return runBlock(compiled, inputs, y.data.length, trial);
      };
      expect(await outputs(["levels", "wires"], 0)).toEqual(await outputs(["levels", "wires"], 7));
      expect(await outputs(["programming"], 0)).not.toEqual(await outputs(["programming"], 7));
    });
});
