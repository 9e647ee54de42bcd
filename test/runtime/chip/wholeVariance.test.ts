/** Variances in small integers: what they add up to, against exact sums, within what is stated. */
import { describe, expect, it } from "vitest";
import { emitWasm } from "../../../compiler/emit/wasm/emit.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { foldedGraph } from "../../../runtime/chip/foldedProduct.ts";
import { layoutOf } from "../../../runtime/chip/layout.ts";
import { findHeart } from "../../../runtime/chip/operand.ts";
import { passesOf } from "../../../runtime/chip/passes.ts";
import { simulatedGraph, type ProductPlan } from "../../../runtime/chip/simulatedGraph.ts";
import { powerSteps, SQUARE_STEPS, wholeVariances } from "../../../runtime/chip/wholeVariance.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Random } from "../../support/randomGraph.ts";
import { compileBlock, product, testTarget } from "./blocks.ts";

const random = new Random(5);
const uniform = (): number => random.int(0, 2 ** 20) / 2 ** 20;

describe("whole variances", () => {
  it.each([[9, SQUARE_STEPS], [128, SQUARE_STEPS], [4608, SQUARE_STEPS], [256, 2 ** 14]])(
    "of %i rows with %i steps keep to their bound, and to 32 bits", (rows, steps) => {
      for (const shape of [(): number => 1, uniform, (): number => uniform() ** 8]) {
        const variance = Float64Array.from({ length: 2 * rows }, (_, i) =>
          i < rows ? 1e-9 * shape() : 0);
        const columnOf = variance.map((_, i) => Math.floor(i / rows));
        const { whole, units } = wholeVariances(variance, columnOf, 2, steps);
        // All rows at the largest input is the most there can be.
        const most = whole.reduce((sum, w) => sum + w * steps, 0);
        expect(most).toBeLessThan(2 ** 31);
        expect(Math.min(...whole)).toBeGreaterThanOrEqual(0);
        const x = Float64Array.from({ length: rows }, () => uniform() ** 3);
        const peak = Math.max(...x);
        let [exact, sum, all, squares] = [0, 0, 0, 0];
        x.forEach((v, i) => {
          exact += variance[i]! * v * v;
          sum += whole[i]! * Math.round((v / peak) ** 2 * steps);
          all += variance[i]!;
          squares += v * v;
        });
        const computed = sum * units[0]! * peak ** 2 / steps;
        const bound = peak ** 2 / (2 * steps) * all * (1 + 1e-6) + units[0]! / 2 * squares * 1.01;
        expect(Math.abs(computed - exact)).toBeLessThanOrEqual(bound);
        // The unit is as fine as 16 bits or the sum allow.
        const finest = Math.max(...variance) / 32767;
        expect(units[0]! <= finest * 1.001 || most > 0.99 * 2 ** 31 - rows * steps).toBe(true);
      }
    });

  it("keep the squares of 8-bit inputs as they are", () => {
    for (const name of ["hermes-pcm", "neurram-rram", "isaac-rram", "resistive-trainer-rram"]) {
      const { config } = compileBlock(product(4, 3, () => 1).graph, testTarget(name), []).setting;
      for (const pass of passesOf(config)) {
        const largest = Math.max(pass.largest ** 2, Math.round(pass.thermal ** 2));
        if (largest <= 2 ** 14) expect(powerSteps(pass)).toBe(largest);
      }
    }
  });
});

it.each([[false], [true]])("are products of pairs (converters %s)", (converters) => {
  const { graph } = product(128, 96, (i, o) => Math.cos(5 * i + 2 * o));
  const { block, setting: { config } } = compileBlock(graph, testTarget("hermes-pcm"), []);
  const plan: ProductPlan = {
    config, layout: layoutOf(config, block.crossbar), passes: passesOf(config), converters,
    noise: true, mismatch: false, sensed: false, powers: [], digitalZero: 0,
  };
  const place = findHeart(block.graph, block.crossbar.weights.name);
  const made = converters ? simulatedGraph(block.graph, place, plan, false)
    : foldedGraph(block.graph, place, plan);
  const { kernels } = buildProgram(made.graph, { boundaries: made.boundaries });
  const { strategies } = emitWasm(kernels);
  const pairs = strategies.filter((s) => s.startsWith("packed pairs")).length;
  const floats = strategies.filter((s) => s.startsWith("packed 4x12")).length;
  expect(pairs).toBe(converters ? plan.passes.length : 1);
  expect(floats).toBe(pairs);
});

it.each([[1, 5], [3, 3], [2, 4]])("of %i channels and %i taps are the same on WASM", async (
  channels, taps,
) => {
  const b = new Builder("conv");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), channels, 8, 8] });
  const w = b.constant(random.tensor([6, channels, taps, taps]), "w");
  const edge = taps - 1;
  const y = b.add("conv", [x, w], {
    strides: [1, 1], dilations: [1, 1], low: [edge, edge], high: [0, 0], groups: 1,
  });
  const { block, setting } = compileBlock(b.finish([{ name: "y", value: y }]),
    testTarget("neurram-rram"), ["readNoise", "converters"]);
  const images = random.tensor([4, channels, 8, 8], -0.5, 1);
  const count = 4 * 6 * 8 * 8;
  const found: Float32Array[] = [];
  for (const device of [new InterpreterDevice(), await openWasmDevice()]) {
    const chip = new BlockChip(device, block, setting);
    chip.program(0);
    chip.seeInputs(images.data as Float32Array);
    chip.setRanges(passesOf(setting.config).map(() => [30]));
    const out = await chip.run(new Map([["x", images]]), 0, device.allocate(count));
    found.push((await chip.read(out)).slice());
    chip.release();
  }
  const [interpreted, wasm] = found as [Float32Array, Float32Array];
  const step = Math.max(...interpreted.map(Math.abs)) / 2 ** 8;
  // Floats differ in their last places, so that a code may fall on either side of a step.
  const others = interpreted.filter((v, i) => !(Math.abs(v - (wasm[i] as number)) < step / 100));
  expect(others.length).toBeLessThan(count / 200);
});
