/** Drift compensation: the scale of the outputs comes back, whole arrays or column by column. */
import { describe, expect, it } from "vitest";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import type { Compensation } from "../../../runtime/chip/compensation.ts";
import { storedWeights } from "../../../runtime/chip/idealBlock.ts";
import { layoutOf } from "../../../runtime/chip/layout.ts";
import { programBlock } from "../../../runtime/chip/programBlock.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { driftExponent } from "../../../targets/deviceModel.ts";
import type { Siemens } from "../../../targets/units.ts";
import { generator } from "../../support/randomGraph.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { compileBlock, product, testTarget, type CompiledBlock } from "./blocks.ts";

const MONTH = 30 * 86400;
const [K, OUTPUTS] = [40, 10];
const next = generator(8);
const values = Array.from({ length: K * OUTPUTS }, () => next() - 0.5);
const { graph } = product(K, OUTPUTS, (i, o) => values[i * OUTPUTS + o]!);
const target = testTarget("hermes-pcm", {
  "array.rows": 64, "array.columns": 12, "input.phases": 1,
});

function weightsOf(compensation: Compensation, time: number, trial = 0): Float32Array {
  const { block, setting } = compileBlock(graph, target, ["drift"], { time });
  return programBlock(storedWeights(block), { ...setting, compensation },
    layoutOf(setting.config, block.crossbar), trial, false).weights;
}

const magnitude = (xs: ArrayLike<number>): number =>
  Array.from(xs, Math.abs).reduce((a, b) => a + b, 0);
const column = (w: Float32Array, c: number): Float32Array => w.subarray(c * K, (c + 1) * K);
const young = weightsOf("none", 1);

describe("an array of phase-change cells after a month", () => {
  it("has faded as its drift exponents say", () => {
    const { start, mean } = driftExponent(target.cells, target.cells.window.gMax.value as Siemens)!;
    const left = magnitude(weightsOf("none", MONTH)) / magnitude(young);
    // The exponent of most cells is within a few hundredths of that of a full one.
    expect(left).toBeLessThan(0.9);
    expect(Math.abs(Math.log(left) / Math.log(MONTH / start) + mean)).toBeLessThan(0.05);
  });

  it("has its mean output again with one factor per array", () => {
    const { block, setting } = compileBlock(graph, target, ["drift"], { time: MONTH });
    expect(block.crossbar.tiles.length).toBeGreaterThan(1);
    const back = weightsOf("global", MONTH);
    const faded = weightsOf("none", MONTH);
    const factors = new Set<string>();
    for (const tile of block.crossbar.tiles) {
      const from = tile.outputs.start;
      const of = (w: Float32Array): number => Array.from({ length: tile.outputs.count }, (_, o) =>
        magnitude(column(w, from + o))).reduce((a, b) => a + b, 0);
      expect(of(back) / of(young)).toBeCloseTo(1, 5);
      factors.add((of(back) / of(faded)).toFixed(6));
    }
    expect(factors.size).toBe(block.crossbar.tiles.length);
    expect(setting.imperfections.drift).toBe(true);
  });

  it("has the mean output of every column again with a factor for each", () => {
    const back = weightsOf("column", MONTH);
    for (let c = 0; c < OUTPUTS; c++) {
      expect(magnitude(column(back, c)) / magnitude(column(young, c))).toBeCloseTo(1, 5);
    }
  });

  it("amplifies its read noise with the signal", () => {
    const { block, setting } = compileBlock(graph, target, ["drift", "readNoise"], { time: MONTH });
    const layout = layoutOf(setting.config, block.crossbar);
    const plain = programBlock(storedWeights(block), setting, layout, 0, true);
    const back =
      programBlock(storedWeights(block), { ...setting, compensation: "column" }, layout, 0, true);
    for (let c = 0; c < OUTPUTS; c++) {
      const gain = magnitude(column(back.weights, c)) / magnitude(column(plain.weights, c));
      expect(back.variance![c * K]! / plain.variance![c * K]!).toBeCloseTo(gain ** 2, 4);
      expect(back.thermal![c]! / plain.thermal![c]!).toBeCloseTo(gain ** 2, 4);
    }
  });

  it("is nearer to the digital result with it, over ten chips", async () => {
    const device = new InterpreterDevice();
    const x = Float32Array.from({ length: K }, () => next());
    const fed = new Map([["x", tensor("float32", [1, K], x)]]);
    const expected = Array.from({ length: OUTPUTS }, (_, o) =>
      Array.from(x, (v, i) => v * values[i * OUTPUTS + o]!).reduce((a, b) => a + b, 0));
    const missed = async ({ block, setting }: CompiledBlock): Promise<number> => {
      let sum = 0;
      for (let trial = 0; trial < 10; trial++) {
        const chip = new BlockChip(device, block, setting);
        chip.program(trial);
        chip.seeInputs(x);
        chip.setRanges([]);
        const y = await chip.read(await chip.run(fed, 0, device.allocate(OUTPUTS)));
        expected.forEach((e, o) => void (sum += (e - y[o]!) ** 2));
      }
      return Math.sqrt(sum);
    };
    const { block, setting } = compileBlock(graph, target, ["drift"], { time: MONTH });
    const errors = await Promise.all((["none", "global", "column"] as const).map((compensation) =>
      missed({ block, setting: { ...setting, compensation } })));
    expect(errors[1]).toBeLessThan(0.5 * errors[0]!);
    expect(errors[2]).toBeLessThan(0.5 * errors[0]!);
  });
});
