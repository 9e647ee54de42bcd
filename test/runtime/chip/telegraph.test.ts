/**
 * Telegraph noise of cells in products: its variance where every read is drawn anew, its two levels
 * cell by cell where samples have times. Device files with figures of the test's own.
 */
import { describe, expect, it } from "vitest";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { storedWeights } from "../../../runtime/chip/idealBlock.ts";
import { imperfections } from "../../../runtime/chip/imperfections.ts";
import { layoutOf } from "../../../runtime/chip/layout.ts";
import { keyOf, uniformAt } from "../../../runtime/chip/normal.ts";
import {
  lastingTelegraph, programBlock, trialsDiffer,
} from "../../../runtime/chip/programBlock.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import type { Device } from "../../../targets/device.ts";
import { telegraphStep } from "../../../targets/deviceModel.ts";
import { second, siemens, type Hertz, type Ratio } from "../../../targets/units.ts";
import { compileBlock, product, testTarget, type CompiledBlock } from "./blocks.ts";

const device = await openWasmDevice();
const source = "assumed: for a test";

/** Telegraph noise and no other: an amplitude linear in g / gMax, as a share or in microsiemens. */
const telegraph = (
  unit: "1" | "uS", coefficients: readonly number[], share: number, high: number, low: number,
): Device["telegraph"] => ({
  amplitude: {
    unit, source,
    pieces: [{ argument: "g/gMax", form: "polynomial", coefficients: [...coefficients] }],
  },
  share: { value: share as Ratio, unit: "1", source },
  highTime: { value: second(high), unit: "s", source },
  lowTime: { value: second(low), unit: "s", source },
});

type Graph = ReturnType<typeof product>["graph"];

function compiled(
  graph: Graph, own: Device["telegraph"], changes: Record<string, unknown> = {},
  runInterval?: number,
): CompiledBlock {
  const { target, cells } = testTarget("hermes-pcm", changes);
  const noisy = { ...cells, read: { kind: "none" } as const, telegraph: own };
  const { block, setting } =
    compileBlock(graph, { target, cells: noisy }, ["levels", "readNoise"], { seed: 3 });
  const noise = { ...setting.noise, bandwidth: 0 as Hertz, read: 0 as Ratio };
  return { block, setting: { ...setting, noise,
    ...(runInterval === undefined ? {} : { runInterval: second(runInterval) }) } };
}

/** What one chip after the other gives in some runs, [trials][runs][samples, outputs]. */
async function outputs(
  { block, setting }: CompiledBlock, x: readonly number[], count: number,
  trials: number, runs: readonly number[],
): Promise<Float32Array[][]> {
  const chip = new BlockChip(device, block, setting);
  const memory = device.allocate(count * chip.layout.colsN);
  const rows = Float32Array.from({ length: count * x.length }, (_, i) => x[i % x.length]!);
  const inputs = new Map([["x", tensor("float32", [count, x.length], rows)]]);
  const found: Float32Array[][] = [];
  for (let trial = 0; trial < trials; trial++) {
    chip.program(trial);
    chip.seeInputs(Float32Array.from(x));
    chip.setRanges([]);
    const own: Float32Array[] = [];
    for (const run of runs) {
      own.push((await chip.read(await chip.run(inputs, run, memory))).slice());
    }
    found.push(own);
  }
  chip.release();
  return found;
}

/** The same without noise. */
async function silent(one: CompiledBlock, x: readonly number[]): Promise<Float32Array> {
  const quiet = { ...one.setting, imperfections: imperfections(["levels"]) };
  return (await outputs({ ...one, setting: quiet }, x, 1, 1, [0]))[0]![0]!;
}

/** What the higher level of each cell adds to each output, cell by cell: [outputs][cells]. */
function contributions({ block, setting }: CompiledBlock, x: readonly number[], trial: number) {
  const { config, cells: cellDevice, read, seed } = setting;
  const { encoding, cell } = config;
  const scales = read(block.crossbar.scales);
  const found = Array.from({ length: block.crossbar.matrix.colsN }, (): number[] => []);
  for (const tile of block.crossbar.tiles) {
    const g = read(tile.conductances);
    const [a, b] = keyOf(seed, "cells", trial, tile.id);
    const key = keyOf(0, a, b, "telegraph");
    const share = cellDevice.telegraph!.share.value;
    for (let i = 0; i < g.length; i++) {
      if (uniformAt(key, i) >= share) continue;
      const [row, column] = [Math.floor(i / tile.columns), i % tile.columns];
      const output = tile.outputs.start + Math.floor(column / 2);
      const step = telegraphStep(cellDevice, siemens(g[i]!), siemens(cell.gMaxSiemens));
      found[output]!.push((column % 2 ? -1 : 1) * step / (cell.gMaxSiemens - cell.gMinSiemens) *
        scales[output]! * encoding.gain * x[tile.inputs.start + row]!);
    }
  }
  return found;
}

const square = (xs: readonly number[]): number => xs.reduce((sum, v) => sum + v * v, 0);
const mean = (xs: readonly number[]): number => xs.reduce((sum, v) => sum + v, 0) / xs.length;

describe("at every read", () => {
  const x = [0.9, -0.4, 0.7, 0.2, -0.8, 1];
  const { graph } = product(6, 4, (i, o) => Math.cos(3 * i + o));
  const SAMPLES = 4000;

  it.each([
    ["relative, in all cells", telegraph("1", [0.3], 1, 1e-6, 3e-6), {}, undefined],
    ["in siemens, in a third of them", telegraph("uS", [2, 1], 0.3, 1e-3, 1e-4), {}, undefined],
    ["in another window", telegraph("uS", [2], 1, 1, 1),
      { "cell.gMax": { value: 41.4, unit: "uS", source } }, undefined],
    ["faster than a run", telegraph("1", [0.3], 0.5, 1e-6, 1e-6), {}, 1e-3],
  ])("%s: adds the variance of its cells", async (_, own, changes, interval) => {
    const one = compiled(graph, own, changes, interval);
    expect(lastingTelegraph(one.setting)).toBeUndefined();
    const still = await silent(one, x);
    const [[values]] = await outputs(one, x, SAMPLES, 1, [0]) as [[Float32Array]];
    const up = own!.highTime.value / (own!.highTime.value + own!.lowTime.value);
    contributions(one, x, 0).forEach((steps, o) => {
      const expected = square(steps) * up * (1 - up);
      const apart = Array.from({ length: SAMPLES }, (_, i) => values[i * 4 + o]! - still[o]!);
      if (expected === 0) {
        expect(apart.every((d) => Math.abs(d) < 1e-5)).toBe(true);
        return;
      }
      expect(Math.abs(mean(apart))).toBeLessThan(4 * Math.sqrt(expected / SAMPLES));
      // Variances are held in 16 bits of their column's largest.
      expect(Math.abs(square(apart) / SAMPLES / expected - 1))
        .toBeLessThan(4 * Math.sqrt(2 / SAMPLES) + 1e-3);
    });
  });

  it("other cells have it on another chip", () => {
    const one = compiled(graph, telegraph("1", [0.3], 0.5, 1, 1));
    expect(trialsDiffer(one.setting)).toBe(true);
    expect(contributions(one, x, 0)).not.toEqual(contributions(one, x, 1));
  });
});

describe("with a time from run to run", () => {
  const INTERVAL = 1e-3;
  const [HIGH, LOW] = [0.02, 0.005];
  const up = HIGH / (HIGH + LOW);
  const rate = 1 / HIGH + 1 / LOW;
  const { graph } = product(1, 4, (_, o) => [1, -0.8, 0.6, 0.9][o]!);
  const x = [0.7];

  it.each([
    ["read apart", {}], ["subtracted", { "input.phases": 1 }],
  ])("a cell of pairs %s is at one of its levels while it dwells there", async (_, changes) => {
    const one = compiled(graph, telegraph("1", [0.2], 0.5, HIGH, LOW), changes, INTERVAL);
    expect(lastingTelegraph(one.setting)).toBeDefined();
    const still = await silent(one, x);
    const [CHIPS, RUNS] = [200, [0, 2, 9, 200]];
    const found = await outputs(one, x, 3, CHIPS, RUNS);
    /** Per fluctuating cell: whether it is up, run by run. */
    const traces: boolean[][] = [];
    found.forEach((runs, trial) => {
      const steps = contributions(one, x, trial);
      steps.forEach((own, o) => {
        // Of a pair one cell is at zero, and a share of nothing is nothing.
        const step = own.reduce((a, s) => a + s, 0);
        const levels = runs.map((values) => {
          const apart = [0, 1, 2].map((i) => values[i * 4 + o]! - still[o]!);
          // A run is one moment: all its samples see the same level.
          expect(apart[1]).toBe(apart[0]);
          expect(apart[2]).toBe(apart[0]);
          return apart[0]!;
        });
        if (step === 0) {
          expect(levels.every((d) => Math.abs(d) < 1e-6)).toBe(true);
          return;
        }
        traces.push(levels.map((d) => {
          const isUp = d / step > 0;
          expect(Math.abs(d / step - (isUp ? 1 - up : -up))).toBeLessThan(1e-4);
          return isUp;
        }));
      });
    });
    // Half of the cells have it.
    const count = traces.length;
    expect(Math.abs(count - CHIPS * 2)).toBeLessThan(4 * Math.sqrt(CHIPS));
    RUNS.forEach((_, run) => {
      const share = mean(traces.map((trace) => (trace[run] ? 1 : 0)));
      expect(Math.abs(share - up)).toBeLessThan(4 * Math.sqrt(up * (1 - up) / count));
    });
    RUNS.slice(1).forEach((run, i) => {
      // Up to up: up + (1 - up) exp(-rate t), the transition matrix of two states.
      const from = traces.filter((trace) => trace[0]);
      const expected = up + (1 - up) * Math.exp(-rate * run * INTERVAL);
      const stayed = mean(from.map((trace) => (trace[i + 1] ? 1 : 0)));
      expect(Math.abs(stayed - expected), `run ${run}`)
        .toBeLessThan(4 * Math.sqrt(expected * (1 - expected) / from.length) + 1e-9);
    });
  });

  it("a run is the same whatever ran before it, with converters and 1/f noise too", async () => {
    const { target, cells } = testTarget("hermes-pcm");
    const noisy = { ...cells, telegraph: telegraph("1", [0.2], 0.5, HIGH, LOW) };
    const { block, setting } = compileBlock(graph, { target, cells: noisy },
      ["levels", "readNoise", "converters"], { seed: 3, time: 1000 });
    const one = { block, setting: { ...setting, runInterval: second(INTERVAL) } };
    const forward = (await outputs(one, x, 2, 1, [0, 5, 50]))[0]!;
    const back = (await outputs(one, x, 2, 1, [50, 5, 0]))[0]!;
    expect(back.toReversed()).toEqual(forward);
    expect(forward[0]).not.toEqual(forward[2]);
  });

  it("steps pass wires and compensation as the conductances of their cells do", () => {
    const own = telegraph("1", [0.2], 1, HIGH, LOW);
    const { graph: wide } = product(40, 6, (i, o) => Math.cos(i + o) + 0.2);
    const { block, setting } = compiled(wide, own, {
      "wire.rowSegment": { value: 40, unit: "ohm", source },
      "wire.columnSegment": { value: 40, unit: "ohm", source },
    }, INTERVAL);
    const layout = layoutOf(setting.config, block.crossbar);
    const of = (more: Partial<typeof setting>) => programBlock(storedWeights(block), {
      ...setting, imperfections: imperfections(["levels", "drift", "wires", "readNoise"]),
      time: second(1e6), ...more,
    }, layout, 0, true);
    const [plain, fixed] = [of({}), of({ compensation: "column" })];
    expect(plain.telegraph.at.length).toBeGreaterThan(200);
    expect(fixed.telegraph.at).toEqual(plain.telegraph.at);
    plain.telegraph.at.forEach((at, i) => {
      // One cell of a pair is at zero: the weight is the other's, of which a fifth is the step.
      expect(plain.telegraph.step[i]! / plain.weights[at]!).toBeCloseTo(0.2, 5);
      expect(fixed.telegraph.step[i]! / fixed.weights[at]!).toBeCloseTo(0.2, 5);
      expect(fixed.weights[at]! / plain.weights[at]!).toBeGreaterThan(1.1);
    });
  });
});
