import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hardSigmoid, linearUnit } from "../../../compiler/energy/units.ts";
import { buildFfEbm, startValues, type BuiltFfEbm } from "../../../models/ffEbm.ts";
import { uniformStream } from "../../../models/init.ts";
import {
  demandSameSettings, readCheckpoint, writeCheckpoint, type Checkpoint,
} from "../../../runtime/learn/checkpoint.ts";
import type { Engine } from "../../../runtime/learn/engine.ts";
import { openEngine } from "../../../runtime/learn/openEngine.ts";
import {
  algorithms, train, type Algorithm, type Samples, type TrainingRun, type TrainingSettings,
} from "../../../runtime/learn/train.ts";

/** Points of a square, labelled by the quarter they lie in: not linear in the coordinates. */
function quarters(count: number, seed: number): Samples {
  const uniform = uniformStream(seed, "quarters");
  const point = (i: number): [number, number] =>
    [2 * uniform(2 * i) - 1, 2 * uniform(2 * i + 1) - 1];
  return {
    count,
    gather: (indices) => ({
      images: Float32Array.from(Array.from(indices).flatMap(point)),
      labels: Int32Array.from(Array.from(indices), (i) => {
        const [x, y] = point(i);
        return x * y > 0 ? 1 : 0;
      }),
    }),
  };
}

const plan = (normalised: boolean): BuiltFfEbm => buildFfEbm({
  name: "quarters", input: [1, 1, 2], cost: "squared-error", readout: [],
  blocks: [{
    feed: [
      { kind: "linear", out: 24 }, ...normalised ? [{ kind: "batchNorm" as const }] : [],
    ],
    layers: [
      { shape: [24], unit: hardSigmoid },
      { shape: [2], unit: linearUnit, couplings: [{ kind: "dense" }] },
    ],
  }],
});

const settings: TrainingSettings = {
  algorithm: "c-ep", beta: 0.2, points: 2,
  solver: { order: "asynchronous", free: { sweeps: 8 }, nudged: { sweeps: 6 } },
  optimiser: { kind: "adam" }, learningRate: 0.02, finalRate: 0.001, decay: 0, rates: {},
  bound: null, batch: 20, epochs: 8, seed: 3,
};

let engine: Engine;
let folder: string;
beforeAll(async () => {
  ({ engine } = await openEngine("wasm"));
  folder = await mkdtemp(join(tmpdir(), "learn-"));
});
afterAll(() => rm(folder, { recursive: true }));

const runOf = (built: BuiltFfEbm, change: Partial<TrainingSettings> = {}): TrainingRun => ({
  engine, model: built.model, settings: { ...settings, ...change },
  train: quarters(300, 1), test: quarters(200, 2), start: startValues(built, 5), now: () => 0,
});

describe("training", () => {
  it("learns what no linear model can, and its records say so", async () => {
    const seen: number[] = [];
    const result = await train({ ...runOf(plan(false)), onEpoch: ({ epoch }) => seen.push(epoch) });
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(result.history).toHaveLength(8);
    const [first, last] = [result.history[0], result.history.at(-1)];
    expect(last?.accuracy).toBeGreaterThan(0.93);
    expect(last?.loss).toBeLessThan((first?.loss ?? 0) / 2);
    expect(last?.samples).toBe(300);
    expect(last?.learningRate).toBeCloseTo(0.001, 12);
    expect(last?.freeResidual).toBeLessThan(0.1);
  });

  it("moves running statistics, and evaluates with them", async () => {
    const built = plan(true);
    const { tensors, history } = await train(runOf(built));
    expect(tensors.get("feed0.1.running_mean")?.data.some((x) => Math.abs(x) > 1e-3)).toBe(true);
    expect(history.at(-1)?.accuracy).toBeGreaterThan(0.9);
  });

  it.each(algorithms.filter((name) => name !== "c-ep"))("%s lowers the loss", async (name) => {
    const positive = name === "p-ep" || name === "p-cpl" || name === "cl";
    const { history } = await train(runOf(plan(false), {
      algorithm: name as Algorithm, epochs: 3,
      ...name === "continual"
        ? { optimiser: { kind: "sgd", momentum: 0 }, learningRate: 0.05 } : {},
      ...positive ? { beta: 0.1 } : {},
    }));
    expect(history.at(-1)?.loss).toBeLessThan(0.9 * (history[0]?.loss ?? 0));
  });

  it("keeps physical weights within their bound", async () => {
    const { tensors } = await train(runOf(plan(false), { bound: 0.1, epochs: 2 }));
    const weights = tensors.get("block0.layer2.W")?.data ?? [];
    expect(Math.max(...weights)).toBeLessThanOrEqual(Math.fround(0.1));
    expect(Math.max(...weights.map(Math.abs))).toBeCloseTo(0.1, 6);
    expect(Math.max(...tensors.get("feed0.weight")?.data ?? [])).toBeGreaterThan(0.1);
  });

  it("stops when the loss is no number, and says what to change", async () => {
    const wild = runOf(plan(false),
      { optimiser: { kind: "sgd", momentum: 0.9 }, learningRate: 1e30 });
    await expect(train(wild)).rejects.toThrow(
      /^(epoch 1, step \d+: The loss is no number|block0: The relaxation dive).*learning rate/s);
  });
});

/** Ends a run as a kill would: nothing of ours runs afterwards. */
class Killed extends Error {}

describe("an interrupted run", () => {
  const path = (): string => join(folder, "checkpoint.safetensors");
  const bits = (x: ArrayLike<number>): Uint32Array =>
    new Uint32Array(Float32Array.from(x as number[]).buffer);

  it.each<Partial<TrainingSettings>>([
    { algorithm: "c-ep" }, { algorithm: "random-ep" }, { augmentation: { flip: true } },
  ])("of %j goes on to the same bits", async (change) => {
    const built = plan(true);
    const whole = await train(runOf(built, { ...change, epochs: 3 }));
    let steps = 0;
    const killed = train({
      ...runOf(built, { ...change, epochs: 3 }),
      save: (checkpoint) => writeCheckpoint(path(), checkpoint), checkpointEvery: 4,
      // In the middle of the second epoch, two steps after a checkpoint.
      onStep: () => {
        if (++steps === 15 + 6) throw new Killed();
      },
    });
    await expect(killed).rejects.toThrow(Killed);
    const start: Checkpoint = await readCheckpoint(path());
    expect(start.position).toMatchObject({ epoch: 1, step: 4 });
    const resumed = await train({ ...runOf(built, { ...change, epochs: 3 }), start });
    expect([...resumed.tensors.keys()]).toEqual([...whole.tensors.keys()]);
    for (const [name, { data }] of whole.tensors) {
      expect(bits(resumed.tensors.get(name)?.data ?? []), name).toEqual(bits(data));
    }
    const facts = (h: typeof whole.history): unknown[] => h.map((r) =>
      [r.epoch, r.loss, r.trainAccuracy, r.accuracy, r.samples, r.freeResidual]);
    expect(facts(resumed.history)).toEqual(facts(whole.history));
  });

  it("is only resumed under the same settings", () => {
    const stored = { ...settings };
    expect(() => demandSameSettings(stored, { ...settings }, "c")).not.toThrow();
    expect(() => demandSameSettings(stored, { ...settings, beta: 0.5 }, "c"))
      .toThrow(/c: The checkpoint was made with beta 0\.2, and now it is 0\.5/);
  });

  it("is not resumed from another kind of file", async () => {
    const other = join(folder, "other.safetensors");
    const { writeSafetensors } = await import("../../../runtime/data/safetensors.ts");
    await writeSafetensors(other, []);
    await expect(readCheckpoint(other)).rejects.toThrow(/not a checkpoint of this version/);
  });
});
