/** The chip in a network: seeds, devices, calibration, statistics, and more bits being better. */
import { describe, expect, it } from "vitest";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import {
  ChipSimulator, IdealChip, type ChipOptions,
} from "../../../runtime/chip/chipSimulator.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import { Magnitudes } from "../../../runtime/chip/magnitudes.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { hybridNames } from "../../compiler/emit/crossbar/blocks.ts";
import { Random } from "../../support/randomGraph.ts";
import type { Second } from "../../../targets/units.ts";
import { testTarget, type TestTarget } from "./blocks.ts";
import { cancellingNetwork, testNetwork } from "./network.ts";

const wasm = await openWasmDevice();
const interpreter = new InterpreterDevice();

const dataOf = (outputs: ReadonlyMap<string, Tensor>): Float32Array =>
  (outputs.get("logits") as Tensor).data as Float32Array;

const only = (...names: Imperfection[]): ReturnType<typeof imperfections> => imperfections(names);

function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [difference, scale] = [0, 1].map((which) => Math.max(...Array.from(a, (x, i) =>
    Math.abs(which === 0 ? x - b[i]! : x)))) as [number, number];
  return difference / scale;
}

/** Logits of some trials; ranges are set by two other batches unless the same is asked for. */
async function trialsOf(
  target: TestTarget, device: Device, options: ChipOptions, trials: readonly number[],
  sameSamples = false,
): Promise<{ logits: Float32Array[]; chip: ChipSimulator; digital: Float32Array }> {
  const { hybrid, source, samples } = await testNetwork(target, device);
  const chip = new ChipSimulator(device, source, options);
  const inputs = samples(4, 3);
  if (chip.needsCalibration) {
    await chip.calibrate(hybrid, sameSamples ? [inputs] : [samples(6, 1), samples(5, 2)]);
  }
  const logits: Float32Array[] = [];
  for (const trial of trials) {
    chip.reprogram(trial);
    logits.push(dataOf(await hybrid.run(inputs, chip)));
  }
  return { logits, chip, digital: dataOf(await hybrid.run(inputs)) };
}

describe.each(hybridNames)("%s", (name) => {
  const target = testTarget(name);

  it("as an ideal chip gives the digital logits within 1e-4", async () => {
    const { hybrid, source, samples } = await testNetwork(target, wasm);
    const inputs = samples(5, 4);
    const digital = dataOf(await hybrid.run(inputs));
    const ideal = new IdealChip(wasm, source);
    expect(worst(digital, dataOf(await hybrid.run(inputs, ideal)))).toBeLessThan(1e-4);
    expect(worst(digital, dataOf(await hybrid.run(inputs, ideal)))).toBeLessThan(1e-4);
    await ideal.release();
  });

});

const quick = ["neurram-rram", "resistive-trainer-rram", "ternary-2t2r-rram"];

describe.each(quick)("%s", (name) => {
  const target = testTarget(name);

  it("is the same chip for the same seed, and another for every trial and seed", async () => {
    const all = imperfections();
    const once = await trialsOf(target, wasm, { seed: 5, imperfections: all }, [0, 1, 0]);
    const [first, second, again] = once.logits;
    expect(again).toEqual(first);
    expect(second).not.toEqual(first);
    const [repeated] = (await trialsOf(target, wasm, { seed: 5, imperfections: all }, [0])).logits;
    expect(repeated).toEqual(first);
    const [other] = (await trialsOf(target, wasm, { seed: 6, imperfections: all }, [0])).logits;
    expect(other).not.toEqual(first);
  });
});

describe("devices", () => {
  it.each(["neurram-rram", "hermes-pcm", "ternary-2t2r-rram"])(
    "%s: interpreter and wasm run the same chip", async (name) => {
      const target = testTarget(name);
      const [a, b] = [await trialsOf(target, wasm, { seed: 2 }, [3]),
        await trialsOf(target, interpreter, { seed: 2 }, [3])];
      // Sums in another order may move a current over the border between two codes; few do, and
      // one code of 127 is less than 2 % of a block's output.
      const [x, y] = [a.logits[0]!, b.logits[0]!];
      const scale = Math.max(...Array.from(x, Math.abs));
      const apart = Array.from(x, (v, i) => Math.abs(v - y[i]!) / scale);
      expect(Math.max(...apart)).toBeLessThan(0.02);
      expect(apart.filter((d) => d > 1e-5).length).toBeLessThanOrEqual(apart.length / 4);
      // While the chip is far from digital.
      expect(worst(a.digital, x)).toBeGreaterThan(0.02);
    });
});

describe("calibration", () => {
  it("is asked for exactly when something has a range", async () => {
    const { source } = await testNetwork(testTarget("hermes-pcm"), wasm);
    const needs = (...names: Imperfection[]): boolean => new ChipSimulator(wasm, source,
      { seed: 1, imperfections: only(...names) }).needsCalibration;
    expect(needs("levels", "programming", "drift", "stuck", "wires")).toBe(false);
    expect(needs("converters")).toBe(true);
    expect(needs("readNoise")).toBe(true);
  });

  it("is not forgotten in silence", async () => {
    const { hybrid, source, samples } = await testNetwork(testTarget("hermes-pcm"), wasm);
    const chip = new ChipSimulator(wasm, source, { seed: 1 });
    await expect(hybrid.run(samples(1, 1), chip)).rejects
      .toThrow(/internal: block \w+ runs before it was calibrated/);
  });

  it("refuses negative inputs where inputs have no sign", async () => {
    const target = testTarget("hermes-pcm", { "input.sign": "unsigned", "input.phases": 1 });
    const { hybrid, source, samples } = await testNetwork(target, wasm);
    const chip = new ChipSimulator(wasm, source, { seed: 1 });
    await expect(chip.calibrate(hybrid, [samples(2, 1)])).rejects
      .toThrow(/target hermes-pcm: input\.sign: block a0 has negative inputs/);
  });

  it("finds the percentile of the samples, whatever their number", () => {
    const r = new Random(3);
    const values = Float32Array.from({ length: 5000 }, () => (r.next() - 0.5) * 10 ** r.int(-3, 2));
    const sorted = Array.from(values, Math.abs).sort((a, b) => a - b);
    const seen = new Magnitudes();
    seen.add(values, 0, 2000);
    seen.add(values.subarray(2000));
    for (const p of [0.5, 0.9, 0.999, 1]) {
      const exact = sorted[Math.ceil(p * 5000) - 1]!;
      expect(seen.percentile(p)).toBeGreaterThanOrEqual(exact);
      expect(seen.percentile(p)).toBeLessThanOrEqual(exact * (1 + 2 ** -11));
    }
    expect(new Magnitudes().percentile(0.5)).toBe(0);
    const zeros = new Magnitudes();
    zeros.add(new Float32Array(10));
    expect(zeros.percentile(1)).toBe(0);
  });

  it("refuses times before the cells were programmed", async () => {
    const { source } = await testNetwork(testTarget("hermes-pcm"), wasm);
    expect(() => new ChipSimulator(wasm, source, { seed: 1, time: -1 as Second }))
      .toThrow(/time: cells cannot be read -1 s after programming/);
  });
});

describe("converters", () => {
  it("come closer to the digital logits with every bit, down to float32", async () => {
    const errors: number[] = [];
    for (const bits of [5, 8, 11, 14, 20]) {
      const target = testTarget("resistive-trainer-rram", {
        "adc.bits": bits, "input.bits": bits, "adc.range": { policy: "max" },
      });
      const { logits, digital } = await trialsOf(target, wasm,
        { seed: 1, imperfections: only("converters") }, [0], true);
      errors.push(worst(digital, logits[0]!));
    }
    for (let i = 1; i < errors.length; i++) {
      // Three bits are a factor of eight.
      expect(errors[i]!).toBeLessThan(errors[i - 1]! / 3);
    }
    expect(errors.at(-1)!).toBeLessThan(1e-4);
  });

  it("with bit-serial inputs and bit-sliced weights come down to float32 as well", async () => {
    const target = testTarget("isaac-rram", { "adc.bits": 9 });
    const { logits, digital } = await trialsOf(target, wasm,
      { seed: 1, imperfections: only("levels", "converters") }, [0], true);
    // 16-bit inputs and weights, no conversion that clips or rounds: 128 rows of 2 bits fit 9.
    expect(worst(digital, logits[0]!)).toBeLessThan(5e-4);
  });
});

describe("statistics", () => {
  it("say how far each block is from its digital twin", async () => {
    const target = testTarget("neurram-rram");
    const { chip } = await trialsOf(target, wasm,
      { seed: 1, imperfections: only("levels", "programming") }, [0, 1]);
    const all = chip.statistics();
    expect(all.map((s) => s.id)).toEqual(["a0", "a2", "a3"]);
    for (const { snrDb, saturation } of all) {
      expect(snrDb).toBeGreaterThan(5);
      expect(snrDb).toBeLessThan(40);
      expect(saturation).toEqual([]);
    }
    const levels = await trialsOf(target, wasm, { seed: 1, imperfections: only("levels") }, [0]);
    levels.chip.statistics().forEach((s, i) => expect(s.snrDb).toBeGreaterThan(all[i]!.snrDb!));
  });

  it("count the conversions that clip, tile by tile", async () => {
    const clipped = async (percentile: number): Promise<number> => {
      const target = testTarget("hermes-pcm", {
        "array.rows": 16,
        "adc.range": { policy: "calibrated",
          percentile: { value: percentile, unit: "1", source: "assumed: for a test" } },
      });
      const { chip } = await trialsOf(target, wasm,
        { seed: 1, imperfections: only("converters") }, [0]);
      const all = chip.statistics();
      // 18, 54 and 20 inputs on tiles of 16.
      expect(all.map((s) => s.saturation.length)).toEqual([2, 4, 2]);
      const first = all[0]!.saturation;
      // Four images of 64 positions, six pairs of columns, four phases.
      for (const { conversions } of first) expect(conversions).toBe(4 * 64 * 12 * 2);
      return first.reduce((sum, s) => sum + s.clipped / s.conversions / first.length, 0);
    };
    const [tight, wide] = [await clipped(0.8), await clipped(1)];
    // A fifth is outside by construction, as far as other samples are alike.
    expect(tight).toBeGreaterThan(0.15);
    expect(tight).toBeLessThan(0.25);
    expect(wide).toBeLessThan(0.001);
  });
});

describe("products with the same weights", () => {
  const target = testTarget("neurram-rram");

  it("are on the same devices, programmed and counted once", async () => {
    const { hybrid, source, samples } = await testNetwork(target, wasm, cancellingNetwork());
    const { blocks } = source.blocks[0]!.home.config;
    expect(blocks.map(({ sharedWith }) => sharedWith)).toEqual([undefined, blocks[0]?.id]);
    expect(blocks[1]?.tiles).toEqual(blocks[0]?.tiles);
    const chip = new ChipSimulator(wasm, source,
      { seed: 1, imperfections: only("programming", "stuck"), pulseBudget: 20 });
    expect(chip.tileCount).toBe(blocks[0]?.tiles.length);
    const inputs = samples(4, 3);
    for (const trial of [0, 1]) {
      chip.reprogram(trial);
      // Two products and a sum in float32.
      dataOf(await hybrid.run(inputs, chip)).forEach((y) => expect(Math.abs(y)).toBeLessThan(1e-4));
    }
    const cells = blocks[0]?.tiles.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    expect(chip.writes?.cells).toBe(cells);
    expect([...chip.maps(0)].map(({ tile }) => tile)).toEqual(blocks[0]?.tiles.map(({ id }) => id));
    // The same products on devices of their own do not cancel.
    const apart = { ...source, blocks: source.blocks.map(({ graph, crossbar, home }) => ({
      graph, home, crossbar: {
        ...crossbar, sharedWith: undefined,
        tiles: crossbar.tiles.map((tile) => ({ ...tile, id: `${crossbar.id} ${tile.id}` })),
      },
    })) };
    const other = new ChipSimulator(wasm, apart,
      { seed: 1, imperfections: only("programming") });
    other.reprogram(0);
    const worstOf = Math.max(...dataOf(await hybrid.run(inputs, other)).map(Math.abs));
    expect(worstOf).toBeGreaterThan(0.01);
  });
});
