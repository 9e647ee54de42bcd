/** Energy blocks: what settling costs, and what merging layers saves and spends. */
import { describe, expect, it } from "vitest";
import { analogCost } from "../../../compiler/partition/cost/analog.ts";
import { blockCost, trainingStepCost } from "../../../compiler/partition/cost/block.ts";
import type { ContractionShape, Cost } from "../../../compiler/partition/cost/cost.ts";
import { loadTarget } from "../../../runtime/files/targetFiles.ts";
import type { HybridTarget } from "../../../targets/schema.ts";

const target = (name: string) => loadTarget(name).target as HybridTarget;
const dense = (rowsK: number, colsN: number): ContractionShape => ({
  name: `${rowsK}x${colsN}`,
  rowsK,
  colsN,
  groups: 1,
  vectors: 1,
  inputBytes: rowsK,
  outputBytes: colsN,
  macs: rowsK * colsN,
});
const layers = [dense(100, 60), dense(60, 40), dense(40, 10)];
const named = (cost: Cost, name: string, of: "energyJ" | "value" = "energyJ"): number =>
  cost.terms.filter((t) => t.name === name).reduce((sum, t) => sum + t[of], 0);

describe("a block that settles by itself", () => {
  const trainer = target("resistive-trainer-rram");
  const { cost, arrays } = blockCost(layers, trainer);
  const apart = layers.map((layer) => analogCost(layer, trainer));

  it("converts only at its boundary", () => {
    expect(named(cost, "boundary ADC", "value")).toBe(10);
    expect(named(cost, "row DAC 8 bit", "value")).toBe(100);
    const separate = apart.reduce((sum, { cost: c }) => sum + named(c, "boundary ADC", "value"), 0);
    expect(separate).toBe(60 + 40 + 10);
  });

  it("conducts in all layers for the whole settling time", () => {
    const once = apart.reduce((sum, { cost: c }) => sum + named(c, "cells"), 0);
    const longer = trainer.settle.time.value / trainer.input.readTime.value;
    expect(named(cost, "cells") / once).toBeCloseTo(longer, 9);
  });

  it("occupies the arrays and the area of its layers", () => {
    expect(arrays).toBe(apart.reduce((sum, a) => sum + a.arrays, 0));
    const area = apart.reduce((sum, a) => sum + a.cost.areaM2, 0);
    expect(cost.areaM2).toBeCloseTo(area, 15);
  });

  it("needs an array per window of a convolution", () => {
    const windows = blockCost([{ ...dense(27, 8), vectors: 50 }, dense(60, 10)], trainer);
    expect(windows.arrays).toBe(50 + 1);
  });
});

describe("a block that settles through converters", () => {
  const isaac = target("isaac-rram");

  it("reads every array but the first both ways in every sweep", () => {
    const neurram = target("neurram-rram");
    const samples = (sweeps: number): number =>
      named(blockCost(layers, neurram, sweeps).cost, "sampler", "value");
    // First layer once; the others forward (columns) and back (rows) per sweep, 5 samples each.
    expect(samples(1)).toBe(5 * (60 + (40 + 2 * 60) + (10 + 2 * 40)));
    expect(samples(3) - samples(2)).toBe(5 * (40 + 2 * 60 + 10 + 2 * 40));
  });

  it("takes sweeps times two products per inner array, after the first product", () => {
    const at = (sweeps: number): number => blockCost(layers, isaac, sweeps).cost.latencyS;
    const step = at(8) - at(7);
    expect(step).toBeCloseTo(2 * 2 * 1.6e-6 + 3 * 100e-9, 12);
    expect(at(1)).toBeCloseTo(2.2e-6 + step, 12);
  });

  it("counts powered parts for the time they are busy", () => {
    const { cost } = blockCost(layers, isaac, 15);
    const tiles = [4, 3, 1];
    const busy = tiles.map((n, k) => n * (k === 0 ? 1 : 2 * 15) * 1.6e-6);
    const adcs = busy.reduce((a, b) => a + b, 0) * 1.67e-12 * 1.2e9;
    expect(named(cost, "ADC")).toBeCloseTo(adcs, 15);
  });
});

describe("a training step", () => {
  it.each(["isaac-rram", "resistive-trainer-rram"])("on %s adds up", (name) => {
    const t = target(name);
    const step = trainingStepCost(layers, t, { freeSweeps: 20, nudgedSweeps: 5, nudges: 2 });
    const free = blockCost(layers, t, 20).cost;
    const nudged = blockCost(layers, t, 5).cost;
    const update = step.terms.find((s) => s.name === "weight update");
    expect(update?.value).toBeGreaterThan(0);
    expect(update?.energyJ).toBeGreaterThan(0);
    const phases = free.energyJ + 2 * nudged.energyJ + (update?.energyJ ?? 0);
    expect(step.energyJ / phases).toBeCloseTo(1, 12);
    const time = free.latencyS + 2 * nudged.latencyS + (update?.latencyS ?? 0);
    expect(step.latencyS / time).toBeCloseTo(1, 12);
    expect(step.areaM2).toBeCloseTo(free.areaM2, 15);
  });
});
