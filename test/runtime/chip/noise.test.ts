/** Read noise of a block: mean and variance against sums over cells, four standard errors. */
import { describe, expect, it } from "vitest";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import type { Imperfection } from "../../../runtime/chip/imperfections.ts";
import { noiseOverRuns } from "../../../runtime/chip/programBlock.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { readSigma } from "../../../targets/deviceModel.ts";
import {
  second, type Hertz, type Ratio, type Second, type Siemens,
} from "../../../targets/units.ts";
import {
  compileBlock, product, testTarget, type CompiledBlock, type TestTarget,
} from "./blocks.ts";
import { pulsesOf } from "./tileOracle.ts";

const device: Device = await openWasmDevice();
const SAMPLES = 4000;
const [K, OUTPUTS] = [9, 4];
const x = Float32Array.from({ length: K }, (_, i) => Math.sin(3 * i + 1));
const { graph } = product(K, OUTPUTS, (i, o) => Math.cos(i * 5 + o * 2));
const LARGEST = Math.max(...x.map(Math.abs));

/** Many samples of one product: the same input at every position. */
async function sample({ block, setting }: CompiledBlock, run = 0): Promise<Float32Array> {
  const chip = new BlockChip(device, block, setting);
  chip.program(0);
  chip.seeInputs(x);
  chip.setRanges([]);
  const inputs = new Map([["x", tensor("float32", [SAMPLES, K],
    Float32Array.from({ length: SAMPLES * K }, (_, i) => x[i % K]!))]]);
  const out = await chip.run(inputs, run, device.allocate(SAMPLES * OUTPUTS));
  const values = (await chip.read(out)).slice();
  chip.release();
  return values;
}

function moments(values: Float32Array, output: number): { mean: number; variance: number } {
  const own = Array.from({ length: SAMPLES }, (_, i) => values[i * OUTPUTS + output]!);
  const mean = own.reduce((a, b) => a + b, 0) / SAMPLES;
  return { mean, variance: own.reduce((a, b) => a + (b - mean) ** 2, 0) / (SAMPLES - 1) };
}

/**
 * Variance of every output: sum over tiles, slices, passes and cells.
 * @param passes digits of an input per pass, in units of `unit` per digit: pulses and their weight
 */
function variances(
  { block, setting }: CompiledBlock,
  passes: (x: number) => { power: number; weight: number; thermal: number }[], unit: number,
): number[] {
  const { config, cells: cellDevice, noise, time } = setting;
  const { crossbar } = block;
  const { encoding, cell } = config;
  const span = encoding.bits === "continuous" ? 1 : 2 ** encoding.bits - 1;
  const step = (cell.gMaxSiemens - cell.gMinSiemens) / span;
  const isPair = encoding.scheme !== "offset";
  const scales = setting.read(crossbar.scales);
  const fourKTB = 4 * 1.380649e-23 * noise.temperature * noise.bandwidth;
  const out = new Array<number>(OUTPUTS).fill(0);
  for (const tile of crossbar.tiles) {
    const cells = setting.read(tile.conductances);
    const sigma = (g: number): number => Math.hypot(noise.read * g,
      readSigma(cellDevice, g as Siemens, time as Second, cell.gMaxSiemens as Siemens));
    for (let o = 0; o < tile.outputs.count; o++) {
      const scale = scales[tile.outputs.start + o]! * encoding.gain * unit;
      for (let s = 0; s < encoding.slices; s++) {
        const weight = (scale * encoding.significance[s]!) / span;
        const column = encoding.scheme === "differential-columns"
          ? 2 * (o * encoding.slices + s) : o * encoding.slices + s;
        const pair = (i: number): number[] => {
          const row = i * crossbar.layout.rowsPerInput;
          const first = cells[row * tile.columns + column]!;
          if (!isPair) return [first];
          return [first, encoding.scheme === "differential-rows"
            ? cells[(row + 1) * tile.columns + column]!
            : cells[row * tile.columns + column + 1]!];
        };
        const all = Array.from({ length: tile.inputs.count }, (_, i) => pair(i));
        const conductance = all.flat().reduce((a, b) => a + b, 0);
        passes(0).forEach((_, pass) => {
          let perCell = 0;
          let one = { power: 0, weight: 0, thermal: 0 };
          all.forEach((cellsOfPair, i) => {
            one = passes(x[tile.inputs.start + i]!)[pass]!;
            for (const g of cellsOfPair) perCell += one.power * (sigma(g) / step) ** 2;
          });
          const thermal = fourKTB * conductance / (config.input.readVolt * step) ** 2;
          out[tile.outputs.start + o]! += (weight * one.weight) ** 2 *
            (perCell + thermal * one.thermal ** 2);
        });
      }
    }
  }
  return out;
}

async function check(
  target: TestTarget, only: Imperfection[],
  passes: Parameters<typeof variances>[1], unit: number,
): Promise<void> {
  const compiled = compileBlock(graph, target, only, { seed: 4, time: 100 });
  const expected = variances(compiled, passes, unit);
  const silent = await sample(compileBlock(graph, target,
    only.filter((name) => name !== "readNoise"), { seed: 4, time: 100 }));
  const values = await sample(compiled);
  for (let o = 0; o < OUTPUTS; o++) {
    const { mean, variance } = moments(values, o);
    const sigma = Math.sqrt(expected[o]!);
    expect(sigma).toBeGreaterThan(0);
    expect(Math.abs(mean - silent[o]!)).toBeLessThan(4 * sigma / Math.sqrt(SAMPLES) + 1e-5);
    expect(Math.abs(variance / expected[o]! - 1)).toBeLessThan(4 * Math.sqrt(2 / SAMPLES));
  }
  // Outputs of different columns share no cell.
  const [a, b] = [moments(values, 0), moments(values, 1)];
  let covariance = 0;
  for (let i = 0; i < SAMPLES; i++) {
    covariance += (values[i * OUTPUTS]! - a.mean) * (values[i * OUTPUTS + 1]! - b.mean);
  }
  expect(Math.abs(covariance / SAMPLES / Math.sqrt(a.variance * b.variance)))
    .toBeLessThan(4 / Math.sqrt(SAMPLES));
  // The next run draws other noise, the same run the same.
  expect(await sample(compiled, 1)).not.toEqual(values);
  expect(await sample(compiled, 0)).toEqual(values);
}

/** Small arrays, so that a product has several tiles; noise that is plain to see. */
const arrays = { "array.rows": 8, "array.columns": 8 };
const targets: Record<string, TestTarget> = {
  "neurram-rram": testTarget("neurram-rram", arrays),
  "isaac-rram": testTarget("isaac-rram", { ...arrays, "array.columns": 24 }),
  "hermes-pcm": testTarget("hermes-pcm", arrays),
  "resistive-trainer-rram": testTarget("resistive-trainer-rram", arrays),
  "with noise of the periphery": testTarget("resistive-trainer-rram",
    { ...arrays, "noise.read": 0.03 }),
  "with much thermal noise": testTarget("resistive-trainer-rram",
    { ...arrays, "noise.bandwidth": 2e12 }),
};

describe.each(Object.entries(targets))("%s", (_, target) => {
  it("without converters is one read with the inputs as amplitudes", async () => {
    await check(target, ["levels", "readNoise"],
      (v) => [{ power: v * v, weight: 1, thermal: LARGEST }], 1);
  });
});

describe("with converters fine enough to see no step", () => {
  /** Squares of the pulses of a digit, by coding: what is integrated, or one pulse. */
  const fine = { "adc.bits": 24, "adc.range": { policy: "max" } };
  const codings: Record<string, [string, Record<string, unknown>]> = {
    "bit-serial": ["isaac-rram", { ...arrays, "array.columns": 24, ...fine, "input.bits": 6 }],
    "bit-serial in slices of 2 bits": ["neurram-rram", {
      ...arrays, ...fine, "input.coding": "bit-serial", "input.sliceBits": 2, "input.bits": 5,
    }],
    "bit-serial-integrated": ["neurram-rram", { ...arrays, ...fine }],
    "pulse-width in four phases": ["hermes-pcm", { ...arrays, ...fine }],
    "pulse-width in one phase": ["hermes-pcm", { ...arrays, ...fine, "input.phases": 1 }],
    amplitude: ["resistive-trainer-rram", { ...arrays, ...fine }],
  };

  it.each(Object.entries(codings))("%s has the noise of its reads", async (_, [name, changes]) => {
    const target = testTarget(name, changes);
    const { config } = compileBlock(graph, target, []).setting;
    const { coding, bits } = config.input;
    const high = 2 ** (bits - 1) - 1;
    const unit = LARGEST / high;
    const bitsOf = (n: number): number[] =>
      Array.from({ length: 20 }, (_, k) => Math.floor(Math.abs(n) / 2 ** k) % 2);
    const passes = (v: number): { power: number; weight: number; thermal: number }[] => {
      const whole = Math.round(Math.fround(v) * Math.fround(1 / unit));
      return pulsesOf(config, whole).map(({ digit, weight }, kind) => {
        if (coding === "bit-serial-integrated") {
          // Every bit is one pulse, integrated 2^k times: five magnitude bits as 3 and 2.
          const count = [3, 2][kind]!;
          return {
            power: bitsOf(digit).reduce((sum, b, k) => sum + b * 4 ** k, 0), weight,
            thermal: Math.sqrt(bitsOf(2 ** count - 1).reduce((sum, b, k) => sum + b * 4 ** k, 0)),
          };
        }
        const thermal = coding === "pulse-width" ? 2 ** (bits - 1)
          : coding === "amplitude" ? 2 ** (bits - 1) - 1 : 2 ** config.input.sliceBits - 1;
        return { power: digit * digit, weight, thermal };
      });
    };
    await check(target, ["levels", "converters", "readNoise"], passes, unit);
  });
});

describe("with a time from run to run", () => {
  const CHIPS = 150;
  const RUNS = [0, 1, 5, 40];
  const options = { seed: 4, time: 100 };
  const amplitude = (v: number): { power: number; weight: number; thermal: number }[] =>
    [{ power: v * v, weight: 1, thermal: LARGEST }];

  /** Per chip and run: the mean of every output over a batch, and its variance within the batch. */
  async function batches(
    { block, setting }: CompiledBlock, trials: number, runs: readonly number[],
  ): Promise<{ mean: number[]; variance: number[] }[][]> {
    const chip = new BlockChip(device, block, setting);
    const out: { mean: number[]; variance: number[] }[][] = [];
    const rows = 200;
    const memory = device.allocate(rows * OUTPUTS);
    const inputs = new Map([["x", tensor("float32", [rows, K],
      Float32Array.from({ length: rows * K }, (_, i) => x[i % K]!))]]);
    for (let trial = 0; trial < trials; trial++) {
      chip.program(trial);
      chip.seeInputs(x);
      chip.setRanges([]);
      const ofChip: { mean: number[]; variance: number[] }[] = [];
      for (const run of runs) {
        const values = await chip.read(await chip.run(inputs, run, memory));
        const columns = Array.from({ length: OUTPUTS }, (_, o) =>
          Array.from({ length: rows }, (_, i) => values[i * OUTPUTS + o]!));
        const mean = columns.map((c) => c.reduce((a, b) => a + b, 0) / rows);
        ofChip.push({ mean, variance: columns.map((c, o) =>
          c.reduce((a, b) => a + (b - mean[o]!) ** 2, 0) / (rows - 1)) });
      }
      out.push(ofChip);
    }
    chip.release();
    return out;
  }

  it("noise slower than a run is correlated by its formula, the rest is fresh", async () => {
    const plain = compileBlock(graph, targets["hermes-pcm"]!, ["levels", "readNoise"], options);
    const noise = { ...plain.setting.noise, bandwidth: 0 as Hertz, read: 0 as Ratio };
    const setting = { ...plain.setting, noise, runInterval: second(1e-3) };
    const { lasting, fresh } = noiseOverRuns(setting);
    expect(lasting.length).toBeGreaterThan(3);
    expect(fresh).toBeGreaterThan(0.1);
    const expected = variances({ ...plain, setting }, amplitude, 1);
    const silent = await batches(
      compileBlock(graph, targets["hermes-pcm"]!, ["levels"], options), 1, [0]);
    const all = await batches({ ...plain, setting }, CHIPS, RUNS);
    const count = CHIPS * OUTPUTS;
    /** Deviation of a batch from the silent product, in standard deviations of what lasts. */
    const share = 1 - fresh;
    const apart = (run: number): number[] => all.flatMap((runs) => runs[run]!.mean.map((m, o) =>
      (m - silent[0]![0]!.mean[o]!) / Math.sqrt(share * expected[o]!)));
    const mean = (values: readonly number[]): number =>
      values.reduce((a, b) => a + b, 0) / values.length;
    const rest = fresh / share / 200;
    RUNS.forEach((_, run) => {
      const square = mean(apart(run).map((d) => d * d));
      expect(Math.abs(square - 1 - rest)).toBeLessThan(4 * Math.sqrt(2 / count));
      const within = mean(all.flatMap((runs) =>
        runs[run]!.variance.map((v, o) => v / (fresh * expected[o]!))));
      expect(Math.abs(within - 1)).toBeLessThan(4 * Math.sqrt(2 / 199 / count) + 1e-3);
    });
    const kept = lasting.reduce((sum, part) => sum + part.variance, 0);
    for (const [i, run] of RUNS.entries()) {
      if (i === 0) continue;
      const correlation = lasting.reduce((sum, { rate, variance }) =>
        sum + variance * Math.exp(-rate * run * 1e-3), 0) / kept;
      expect(correlation).toBeGreaterThan(0.2);
      const [a, b] = [apart(0), apart(i)];
      const found = mean(a.map((d, k) => d * b[k]!));
      expect(Math.abs(found - correlation), `run ${run}`)
        .toBeLessThan(4 * Math.sqrt((1 + correlation ** 2) / count));
    }
  });

  it("the same run is the same whatever ran before it", async () => {
    const plain = compileBlock(graph, targets["with noise of the periphery"]!,
      ["levels", "converters", "readNoise"], options);
    const pcm = compileBlock(graph, targets["hermes-pcm"]!,
      ["levels", "converters", "readNoise"], options);
    for (const one of [plain, pcm]) {
      const timed = { ...one, setting: { ...one.setting, runInterval: second(1e-3) } };
      const [forward] = await batches(timed, 1, [0, 1, 2]);
      const [back] = await batches(timed, 1, [2, 1, 0]);
      expect(back!.toReversed()).toEqual(forward);
      expect(forward![0]).not.toEqual(forward![1]);
    }
  });
});
