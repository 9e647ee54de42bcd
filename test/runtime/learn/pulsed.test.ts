/** Updates by pulses: one pulse against its formula, rules against their means, learning. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hardSigmoid } from "../../../compiler/energy/units.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { buildFfEbm, startValues } from "../../../models/ffEbm.ts";
import { keyOf } from "../../../runtime/chip/normal.ts";
import type { Device } from "../../../runtime/device/device.ts";
import type { Engine } from "../../../runtime/learn/engine.ts";
import { openEngine } from "../../../runtime/learn/openEngine.ts";
import { gradientName } from "../../../runtime/learn/optimiser.ts";
import {
  PulsedCells, pulseCounts, pulsedMoments, pulseRules, PulsedStepper, type PulsedUpdates,
} from "../../../runtime/learn/pulsed.ts";
import {
  train, type Samples, type TrainingResult, type TrainingSettings,
} from "../../../runtime/learn/train.ts";
import {
  pulsedDevices, pulsedDeviceNames, type PulsedDevice,
} from "../../../targets/pulsedDevices.ts";
import { densePlan } from "./support.ts";

const noise = keyOf(2, "noise");
const N = 20000;
const steady: PulsedDevice = {
  ...pulsedDevices["rram-soft-bounds"], asymmetry: 0.2, stepSpread: 0, boundSpread: 0,
  asymmetrySpread: 0, cycle: 0,
};

describe("a pulse", () => {
  it("moves a cell by what is left to its end, more up than down when it is asymmetric", () => {
    const scale = 2;
    const cells = new PulsedCells(steady, 1, scale, noise);
    for (const w of [-0.7, -0.2, 0, 0.4, 1.2]) {
      expect(cells.after(0, w * scale, 1, noise) / scale)
        .toBeCloseTo(w + 0.002 * 1.2 * (1 - w / 1.25), 7);
      expect(cells.after(0, w * scale, -1, noise) / scale)
        .toBeCloseTo(w - 0.002 * 0.8 * (1 - w / -0.75), 7);
    }
  });

  it("brings a cell to its end and no further, and back and forth to where both steps are equal",
    () => {
      const cells = new PulsedCells({ ...steady, step: 0.02 }, 1, 1, noise);
      let [up, both] = [0, 0.9];
      for (let i = 0; i < 400; i++) {
        up = cells.after(0, up, 31, noise);
        both = cells.after(0, cells.after(0, both, 1, noise), -1, noise);
      }
      expect(up).toBeCloseTo(1.25, 4);
      // 1.2 (1 - w/1.25) = 0.8 (1 + w/0.75)
      expect(Math.abs(both - 0.4 / (1.2 / 1.25 + 0.8 / 0.75))).toBeLessThan(0.02);
    });

  it.each(pulsedDeviceNames.filter((n) => n !== "ideal-pulses"))(
    "of %s spreads from cell to cell and from pulse to pulse as stated", (name) => {
      const device: PulsedDevice = pulsedDevices[name];
      const moments = (of: PulsedDevice): { mean: number; sigma: number } => {
        const cells = new PulsedCells(of, N, 1, noise);
        const steps = Array.from({ length: N }, (_, i) => cells.after(i, 0, 1, noise) / of.step);
        const mean = steps.reduce((a, b) => a + b, 0) / N;
        return { mean, sigma: Math.sqrt(steps.reduce((a, b) => a + (b - mean) ** 2, 0) / N) };
      };
      // So small a step that no end is in reach.
      const own = { ...device, step: 1e-4, asymmetrySpread: 0, boundSpread: 0 };
      const pulses = moments({ ...own, stepSpread: 0 });
      expect(Math.abs(pulses.mean - 1)).toBeLessThan((4 * device.cycle) / Math.sqrt(N));
      expect(Math.abs(pulses.sigma - device.cycle))
        .toBeLessThan((4 * device.cycle) / Math.sqrt(2 * N));
      // Cells have no negative step: some mass of a wide spread is at 0.
      if (device.stepSpread > 0.35) return;
      const cells = moments({ ...own, cycle: 0 });
      expect(Math.abs(cells.mean - 1)).toBeLessThan((4 * device.stepSpread) / Math.sqrt(N) + 1e-3);
      expect(Math.abs(cells.sigma - device.stepSpread)).toBeLessThan(0.01);
    });
});

describe("rules", () => {
  let engine: Engine;
  let device: Device;
  beforeAll(async () => void ({ engine, device } = await openEngine("wasm")));
  afterAll(() => device.destroy());

  /** Weights after steps along constant gradients. */
  const step = pulsedDevices["ideal-pulses"].step;

  async function moved(
    rule: PulsedUpdates["rule"], gradients: Float32Array, rate: number, steps: number,
  ): Promise<Float32Array> {
    const shape = [gradients.length, 1];
    const parameters = [{ name: "w", shape }];
    const updates: PulsedUpdates = { rule, device: "ideal-pulses" };
    const placed = new Set(["w"]);
    const state = new Map([...parameters, ...pulsedMoments(parameters, placed, updates)].map(
      (p) => [p.name, engine.hold(tensor("float32", p.shape,
        new Float32Array(p.shape.reduce((a, b) => a * b, 1))))] as const));
    const stepper = await PulsedStepper.create(
      engine, parameters, { updates, seed: 1, placed, rateOf: () => 1 }, state);
    const held = engine.hold(tensor("float32", shape, gradients));
    expect(gradientName("w")).toBe("gradient.w");
    for (let t = 1; t <= steps; t++) await stepper.step(new Map([["w", held]]), rate, t);
    const { data } = await engine.read(stepper.state.get("w")!);
    // Equal steps of one sign: as many were counted as the weights have moved by.
    const [counts] = pulseCounts(new Map(await Promise.all([...stepper.state].map(
      async ([name, own]) =>
        [name, { data: Float32Array.from((await engine.read(own)).data) }] as const))));
    data.forEach((w, i) => expect(counts![i]).toBe(Math.round(Math.abs(w / step))));
    return Float32Array.from(data);
  }

  it("stochastic: as many pulses as the step asks for, on average", async () => {
    const out = await moved("stochastic", new Float32Array(N).fill(-0.3), step, 1);
    const mean = out.reduce((a, b) => a + b, 0) / N / step;
    expect(Math.abs(mean - 0.3)).toBeLessThan(4 * Math.sqrt((0.3 * 0.7) / N));
    expect(new Set(out).size).toBe(2);
  });

  it("sign: one pulse against the gradient, none where there is none", async () => {
    const out = await moved("sign", Float32Array.of(7, -1e-6, 0), 0.1, 3);
    [-3, 3, 0].forEach((n, i) => expect(out[i]! / step).toBeCloseTo(n, 4));
  });

  it("mixed precision: steps add up until a pulse is whole, and none is lost", async () => {
    const out = await moved("mixed-precision", Float32Array.of(-0.3, 0.45, -0.02), step, 10);
    [3, -4, 0].forEach((n, i) => expect(out[i]! / step).toBeCloseTo(n, 3));
  });

  it("no rule sends more than a train", async () => {
    for (const rule of ["stochastic", "mixed-precision"] as const) {
      const [w] = await moved(rule, Float32Array.of(-1000), step, 1);
      expect(w! / step).toBeCloseTo(31, 3);
    }
  });
});

describe("training by pulses", () => {
  const built = buildFfEbm({ ...densePlan(2, [[24]], 2, hardSigmoid), name: "halves" });
  const at = (i: number): [number, number] => [Math.sin(12.9 * i), Math.cos(7.3 * i)];
  const halves = (count: number): Samples => ({
    count, gather: (indices) => ({
      images: Float32Array.from(Array.from(indices).flatMap(at)),
      labels: Int32Array.from(Array.from(indices), (i) => (at(i)[0] + at(i)[1] > 0.2 ? 1 : 0)),
    }),
  });
  const settings: TrainingSettings = {
    algorithm: "c-ep", beta: 0.2, points: 2,
    solver: { order: "asynchronous", free: { sweeps: 3 }, nudged: { sweeps: 3 } },
    optimiser: { kind: "adam" }, learningRate: 0.3, finalRate: 0.1, decay: 0, rates: {},
    bound: null, batch: 25, epochs: 6, seed: 3,
  };

  // Of the labels 60 % are of one class. Where every weight moves at every step, noise remains.
  const reached = { "stochastic": 0.85, "sign": 0.7, "mixed-precision": 0.85 } as const;
  it.each(pulseRules)("learns with the rule %s, the same every time", async (rule) => {
    const { engine, device } = await openEngine("wasm");
    const run = (): Promise<TrainingResult> => train({
      engine, model: built.model, train: halves(300), test: halves(200),
      start: startValues(built, 1), now: () => 0,
      settings: { ...settings, pulsed: { rule, device: "rram-soft-bounds" } },
    });
    const first = await run();
    expect(first.history.at(-1)!.accuracy).toBeGreaterThan(reached[rule]);
    expect((await run()).history).toEqual(first.history);
    device.destroy();
  });
});
