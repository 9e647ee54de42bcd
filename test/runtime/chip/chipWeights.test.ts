/** Weights as a chip holds them, against what the simulated chip computes with them. */
import { describe, expect, it } from "vitest";
import { constantOf, type Value } from "../../../compiler/graph/graph.ts";
import { sizeOf, type Tensor } from "../../../compiler/graph/tensor.ts";
import { splitEvenly } from "../../../compiler/partition/tiling.ts";
import { matrixView } from "../../../compiler/partition/units.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { putOnChip, type HeldWeights, type WeightChip } from "../../../runtime/chip/chipWeights.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import { findHeart } from "../../../runtime/chip/operand.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { hybridNames } from "../../compiler/emit/crossbar/blocks.ts";
import { afterProduct, loopsOf } from "./tileOracle.ts";
import { compileBlock, product, randomCases, testTarget } from "./blocks.ts";

const device = new InterpreterDevice();
const largest = (xs: ArrayLike<number>): number =>
  Math.max(...Array.from(xs, (x) => Math.abs(x)), 0);

describe.each(hybridNames)("%s", (name) => {
  const columns = name.includes("isaac") || name.includes("puma") ? 16 : 6;

  // Arrays that cut layers in pieces, and arrays that hold several groups.
  it.each([1, 4])("multiplies with the weights that it holds; arrays %i times as large", async (
    times,
  ) => {
    const target = testTarget(
      name, { "array.rows": 12 * times, "array.columns": columns * times });
    const alone: Imperfection[][] = [["levels"], ["programming"], ["stuck"], ["wires"]];
    let leaking = 0;
    for (const [i, { graph, inputs, name: what }] of randomCases(31).entries()) {
      const only = i % 2 ? ["levels", "programming", "stuck", "wires"] as const : alone[i % 4]!;
      const compiled = compileBlock(graph, target, only, { seed: 4 });
      const { block, setting } = compiled;
      const { heart, input } = findHeart(block.graph, block.crossbar.weights.name);
      const held = constantOf(heart.inputs[1 - input] as Value) as Tensor;
      const chip: WeightChip = {
        ...target, imperfections: imperfections(only), seed: 4, time: setting.time,
      };
      const shape = held.shape as readonly number[];
      const view = matrixView(heart, (1 - input) as 0 | 1, shape);
      const request = { name: block.crossbar.id, shape, view };
      const data = Float32Array.from(held.data);
      const { weights } = putOnChip(chip, request, data, 2);
      const { weights: arrays } = putOnChip(chip, { ...request, packed: true }, data, 2);
      // The oracle is loops over groups, inputs and outputs.
      const { loops, drive, heart: own } =
        loopsOf(graph, block.crossbar.weights.name, inputs);
      const { strides, groups, rowsK, colsN } = view;
      const sums = new Float64Array(sizeOf(loops.shape));
      const packs = splitEvenly(groups, block.crossbar.grid.groupTiles);
      const each = packs[0]!.count;
      for (const [pack, { start, count }] of packs.entries()) {
        for (let a = 0; a < count; a++) for (let o = 0; o < colsN; o++) {
          for (let b = 0; b < count; b++) for (let k = 0; k < rowsK; k++) {
            // Inputs of a group's neighbours on the array reach its outputs too.
            const w = arrays[(((pack * each + a) * colsN + o) * each + b) * rowsK + k]!;
            const at = (start + a) * strides.group + o * strides.output + k * strides.input;
            if (a === b) expect(w).toBe(weights[at]);
            else if (w !== 0) leaking++;
            for (let p = 0; p < loops.positions; p++) {
              sums[loops.output(start + a, o, p)]! += loops.input(start + b, k, p) * w;
            }
          }
        }
      }
      const expected = afterProduct(graph, own, sums, inputs);
      const real = new BlockChip(device, block, setting);
      real.program(2);
      real.seeInputs(drive.data as Float32Array);
      real.setRanges([]);
      const actual = await real.read(await real.run(inputs, 0, device.allocate(sums.length)));
      const scale = each * rowsK *
        Math.max(1, largest(drive.data)) * Math.max(0.1, largest(weights));
      expected.data.forEach((e, at) =>
        expect(Math.abs(actual[at]! - e), `${what}, ${only.join()}`)
          .toBeLessThanOrEqual(5e-6 * scale));
    }
    if (times > 1) expect(leaking).toBeGreaterThan(0);
  });
});

describe("weights on a chip", () => {
  const target = testTarget("neurram-rram", { "array.rows": 32, "array.columns": 8 });
  const [K, N] = [20, 30];
  const data = Float32Array.from({ length: K * N }, (_, i) => Math.sin(3 * i));
  const { graph } = product(K, N, (i, o) => data[i * N + o]!);
  const [node] = graph.nodes.filter(({ op }) => op === "dot");
  const view = matrixView(node as never, 1, [K, N]);
  const held = (only: readonly Imperfection[], trial: number, seed = 1): HeldWeights =>
    putOnChip({ ...target, imperfections: imperfections(only), seed },
      { name: "w", shape: [K, N], view }, data, trial);

  it("are what was wanted when nothing is wrong", () => {
    held([], 0).weights.forEach((w, i) => expect(Math.abs(w - data[i]!)).toBeLessThan(1e-6));
  });

  it("differ from chip to chip, and are the same on the same one", () => {
    const at = (trial: number, seed?: number): Float32Array =>
      held(["programming"], trial, seed).weights;
    expect(at(3)).toEqual(at(3));
    expect(at(3)).not.toEqual(at(4));
    expect(at(3)).not.toEqual(at(3, 2));
  });

  it("are read with noise of the stated spread, fresh at every read", () => {
    const chip = held(["readNoise"], 0);
    expect(chip.noisy(1)).toEqual(chip.noisy(1));
    expect(chip.noisy(1)).not.toEqual(chip.noisy(2));
    // 1 % of every conductance: at full scale, of gMax and of the other cell's gMin.
    const { gMin, gMax } = target.target.cell;
    let [sum, count] = [0, 0];
    const scales = Array.from({ length: N }, (_, o) =>
      largest(Array.from({ length: K }, (_k, i) => data[i * N + o]!)));
    for (let read = 0; read < 40; read++) {
      chip.noisy(read).forEach((w, i) => {
        const scale = scales[i % N]!;
        const span = gMax.value - gMin.value;
        const g = gMin.value + (Math.abs(data[i]!) / scale) * span;
        const sigma = (0.01 * scale * Math.hypot(g, gMin.value)) / span;
        sum += ((w - data[i]!) / sigma) ** 2;
        count++;
      });
    }
    expect(Math.abs(sum / count - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
  });
});
