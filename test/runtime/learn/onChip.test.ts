/** Learning with a chip in the loop: what is loaded, what gradients come back, what is learnt. */
import { describe, expect, it } from "vitest";
import { hardSigmoid, smoothSigmoid } from "../../../compiler/energy/units.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { buildFfEbm, startValues } from "../../../models/ffEbm.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import { checkOnChip } from "../../../runtime/learn/chipGradients.ts";
import { learningChip } from "../../../runtime/learn/chipRequest.ts";
import type { CheckRequest } from "../../../runtime/learn/check.ts";
import type { Held } from "../../../runtime/learn/engine.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import {
  OnChip, type LearningChip, type ReadDirections,
} from "../../../runtime/learn/onChip.ts";
import { openEngine } from "../../../runtime/learn/openEngine.ts";
import { placedParameters } from "../../../runtime/learn/placed.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import {
  train, type Samples, type TrainingResult, type TrainingSettings,
} from "../../../runtime/learn/train.ts";
import { testTarget } from "../chip/blocks.ts";
import { densePlan, randomData, randomParameters, toRest } from "./support.ts";

const { model } = buildFfEbm(densePlan(5, [[5, 4], [4, 4, 3]], 3, smoothSigmoid));
const numbers = randomParameters(model, 1);
const target = testTarget("neurram-rram", { "array.rows": 16, "array.columns": 8 });
const chip = (
  only: readonly Imperfection[], options: Partial<LearningChip> = {}, seed = 1,
): LearningChip => ({
  chip: { ...target, imperfections: imperfections(only), seed },
  directions: "same", chips: "every-step", ...options,
});

describe("a model on a chip", () => {
  const engine = referenceEngine("f64");
  const hold = (): Map<string, Held> => new Map(model.parameters.map(({ name, shape }) =>
    [name, engine.hold(tensor("float32", shape, numbers.get(name) as Float64Array))]));
  const errorsOf = async (loaded: ReadonlyMap<string, Held>): Promise<Map<string, number>> => {
    const out = new Map<string, number>();
    for (const [name, held] of loaded) {
      const clean = numbers.get(name.replace(/@.*/, "")) as Float64Array;
      const { data } = await engine.read(held);
      out.set(name, Math.sqrt(clean.reduce((sum, w, i) => sum + (w - data[i]!) ** 2, 0)));
    }
    return out;
  };
  const weights = model.parameters.filter(({ shape }) => shape.length > 1).map(({ name }) => name);

  it("has every weight of a product on arrays, and no bias", () => {
    expect([...placedParameters(model).keys()].sort()).toEqual([...weights].sort());
  });

  it("is itself when nothing is wrong", async () => {
    const onChip = new OnChip(engine, model, chip([]), toRest);
    for (const error of (await errorsOf(await onChip.load(hold(), 0))).values()) {
      expect(error).toBeLessThan(1e-5);
    }
  });

  it("meets another chip at every step, or one; is tested on one that no step met", async () => {
    const errors = async (onChip: OnChip, step: number): Promise<string> =>
      [...(await errorsOf(await onChip.load(hold(), step))).values()].join();
    const many = new OnChip(engine, model, chip(["programming"]), toRest);
    const first = await errors(many, 0);
    expect(await errors(many, 1)).not.toBe(first);
    expect(await errors(many, 0)).toBe(first);
    const unseen = [...(await errorsOf(await many.loadUnseen(hold(), 0))).values()].join();
    expect(unseen).not.toBe(first);
    const one = new OnChip(engine, model, chip(["programming"], { chips: "one" }), toRest);
    expect(await errors(one, 0)).toBe(await errors(one, 7));
  });

  it("writes what is wanted now, whatever was written on the same chip before", async () => {
    let written = 0;
    const one = chip(["levels", "readNoise"], { chips: "one" });
    // Only who writes arrays asks what their cells are.
    const onChip = new OnChip(engine, model, { ...one, chip: {
      ...one.chip,
      get cells() {
        written++;
        return target.cells;
      },
    } }, toRest);
    written = 0;
    const halves = new Map(model.parameters.map(({ name, shape }) => [name, engine.hold(
      tensor("float32", shape, (numbers.get(name) as Float64Array).map((w) => w / 2)))]));
    const numbersOf = async (held: ReadonlyMap<string, Held>, read: number): Promise<number[]> => {
      const loaded = await onChip.load(held, 0, undefined, read);
      const all = await Promise.all(weights.map((name) => engine.read(loaded.get(name) as Held)));
      onChip.release(loaded);
      return all.flatMap(({ data }) => Array.from(data as Float64Array));
    };
    const first = await numbersOf(hold(), 0);
    expect(written).toBe(weights.length);
    const second = await numbersOf(hold(), 1);
    expect(second).not.toEqual(first);
    expect(written).toBe(weights.length);
    const smaller = await numbersOf(halves, 0);
    expect(written).toBe(2 * weights.length);
    smaller.forEach((w, i) => expect(Math.abs(w - first[i]! / 2)).toBeLessThan(0.2));
    expect(await numbersOf(hold(), 0)).toEqual(first);
    expect(await numbersOf(hold(), 1)).toEqual(second);
  });

  it("has an array for each direction where it is asked to", async () => {
    const onChip = new OnChip(
      engine, model, chip(["programming"], { directions: "separate" }), toRest);
    const loaded = await onChip.load(hold(), 0);
    const inner = weights.find((name) => name.startsWith("block0."));
    const names = [...loaded.keys()].filter((name) => name.startsWith(`${inner}@`));
    expect(names).toHaveLength(2);
    const [a, b] = await Promise.all(names.map(async (name) =>
      (await engine.read(loaded.get(name) as Held)).data));
    expect(Array.from(a!)).not.toEqual(Array.from(b!));
    // Each is off by what programming misses, not by more.
    const errors = await errorsOf(loaded);
    for (const name of names) expect(errors.get(name)).toBeGreaterThan(0);
  });
});

describe("gradients on a chip", () => {
  const parameters = new Map<string, Tensor>(model.parameters.map(({ name, shape }) =>
    [name, tensor("float32", shape, numbers.get(name) as Float64Array)]));
  const data = randomData(model, 4);
  const request: CheckRequest = {
    engine: referenceEngine("f64"), model, parameters,
    input: tensor("float32", [4, 5], data.input), target: tensor("float32", [4, 3], data.target),
    method: { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 0.01 }) },
    solver: { order: "asynchronous", free: { sweeps: 80 }, nudged: { sweeps: 60 } },
  };

  it.each<ReadDirections>(["same", "separate"])(
    "with nothing wrong are those without a chip; arrays: %s", async (directions) => {
      const { overall } = await checkOnChip(request, chip([], { directions }));
      expect(overall.cosine).toBeGreaterThan(0.9999);
      // Without an energy there is an error of first order in beta.
      expect(overall.relativeError).toBeLessThan(0.02);
    });

  it("turn away from the truth with each imperfection that the chip has", async () => {
    const only: Imperfection[] = ["levels", "programming", "readNoise"];
    const { alone, boundaries, overall } = await checkOnChip(request, chip(only));
    expect(alone?.map(({ imperfection }) => imperfection)).toEqual(["none", ...only]);
    const [none, ...others] = alone!;
    expect(none!.overall.cosine).toBeGreaterThan(0.9999);
    for (const row of others) {
      expect(row.overall.cosine).toBeLessThan(none!.overall.cosine);
      expect(row.blocks.map(({ name }) => name)).toEqual(boundaries.map(({ name }) => name));
    }
    expect(overall.cosine).toBeLessThan(none!.overall.cosine);
  });

  it("suffer from noise between the phases the more the weaker the nudge is", async () => {
    const errorAt = async (beta: number): Promise<number> => (await checkOnChip({
      ...request, method: { kind: "equilibrium", stencil: stencilOf("p-ep", { beta }) },
    }, chip(["readNoise"]))).overall.relativeError;
    expect(await errorAt(0.001)).toBeGreaterThan(3 * await errorAt(0.1));
  });
});

describe("training on a chip", () => {
  const built = buildFfEbm({
    ...densePlan(2, [[24]], 2, hardSigmoid), name: "halves",
  });
  /** Points of a square, labelled by the side of a line. */
  const halves = (count: number): Samples => {
    const at = (i: number): [number, number] => [Math.sin(12.9 * i), Math.cos(7.3 * i)];
    return {
      count, gather: (indices) => ({
        images: Float32Array.from(Array.from(indices).flatMap(at)),
        labels: Int32Array.from(Array.from(indices), (i) => (at(i)[0] + at(i)[1] > 0.2 ? 1 : 0)),
      }),
    };
  };
  const settings: TrainingSettings = {
    algorithm: "c-ep", beta: 0.2, points: 2,
    solver: { order: "asynchronous", free: { sweeps: 3 }, nudged: { sweeps: 3 } },
    optimiser: { kind: "adam" }, learningRate: 0.03, finalRate: 0.001, decay: 0, rates: {},
    bound: null, batch: 25, epochs: 6, seed: 3,
  };

  it("learns although weights are never quite reached, the same every time", async () => {
    const { engine, device } = await openEngine("wasm");
    const run = (): Promise<TrainingResult> => train({
      engine, model: built.model, settings, train: halves(300), test: halves(200),
      start: startValues(built, 1), now: () => 0,
      chip: chip(["levels", "programming", "stuck"]),
    });
    const first = await run();
    expect(first.history.at(-1)!.accuracy).toBeGreaterThan(0.9);
    const again = await run();
    expect(again.history).toEqual(first.history);
    device.destroy();
  });

  it("learns behind converters of 8 bits, not of 2", async () => {
    const { engine, device } = await openEngine("wasm");
    // What the first layer learns has come through converters.
    const deeper = buildFfEbm({ ...densePlan(2, [[24, 12]], 2, hardSigmoid), name: "halves" });
    const accuracy = async (bits: number): Promise<number> => {
      const { history } = await train({
        engine, model: deeper.model, train: halves(300), test: halves(200),
        settings: {
          ...settings, learningRate: 0.01,
          solver: { order: "asynchronous", free: { sweeps: 8 }, nudged: { sweeps: 8 } },
        },
        start: startValues(deeper, 1), now: () => 0, chip: chip(["converters"], { bits }),
      });
      return history.at(-1)!.accuracy!;
    };
    expect(await accuracy(8)).toBeGreaterThan(0.9);
    expect(await accuracy(2)).toBeLessThan(0.8);
    device.destroy();
  });
});

describe("a request for a chip", () => {
  it("opens the target with what acts in a loop", () => {
    const opened = learningChip({ chip: "simulated", target: "isaac-rram", seed: 5 })!;
    expect(opened.chip.target.name).toBe("isaac-rram");
    expect(opened.chip.imperfections).toEqual(imperfections());
    expect(learningChip({ chip: "none" })).toBeUndefined();
    expect(learningChip({ chip: "ideal" })).toBeUndefined();
  });

  it.each([
    [{ chip: "none" as const, target: "isaac-rram" }, /--target: there is no simulated chip/],
    [{ chip: "simulated" as const, only: ["rust"] }, /"rust" is no imperfection/],
    [{ chip: "simulated" as const, target: "cpu-reference" }, /has no arrays/],
  ])("that means nothing is refused: %j", (request, message) => {
    expect(() => learningChip(request)).toThrow(message);
  });
});
