/** The cost model's own laws: it adds up, scales as its formulas say, and names its sources. */
import { describe, expect, it } from "vitest";
import { analogCost, meanConductance } from "../../../compiler/partition/cost/analog.ts";
import type { ContractionShape } from "../../../compiler/partition/cost/cost.ts";
import { crossingCost, digitalCost } from "../../../compiler/partition/cost/digital.ts";
import { chipAtFullLoad } from "../../../compiler/partition/cost/rollup.ts";
import { loadTarget, targetNames } from "../../../runtime/files/targetFiles.ts";
import { parseTarget, withFigure } from "../../../targets/target.ts";
import type { HybridTarget } from "../../../targets/schema.ts";

const hybrid = (name: string, figures: Record<string, number> = {}): HybridTarget => {
  let json = loadTarget(name).json;
  for (const [path, value] of Object.entries(figures)) json = withFigure(json, path, value);
  return parseTarget(json, name) as HybridTarget;
};
const HYBRIDS = targetNames().filter((name) => loadTarget(name).target.kind === "hybrid");

const shape = (rowsK: number, colsN: number, vectors = 1, groups = 1): ContractionShape => ({
  name: "layer",
  rowsK,
  colsN,
  groups,
  vectors,
  inputBytes: rowsK * groups * vectors,
  outputBytes: colsN * groups * vectors,
  macs: rowsK * colsN * groups * vectors,
});

const energyOf = (cost: { terms: readonly { name: string; energyJ: number }[] }, name: string) =>
  cost.terms.find((term) => term.name === name)?.energyJ ?? 0;

describe.each(HYBRIDS)("analog cost on %s", (name) => {
  const target = hybrid(name);
  const { cost, grid, arrays } = analogCost(shape(300, 70, 25), target);

  it("is the sum of its terms, each with formula, unit and source", () => {
    const sum = (of: "energyJ" | "latencyS" | "areaM2"): number =>
      cost.terms.reduce((total, term) => total + term[of], 0);
    expect(cost.energyJ).toBe(sum("energyJ"));
    expect(cost.latencyS).toBe(sum("latencyS"));
    expect(cost.areaM2).toBe(sum("areaM2"));
    expect(cost.energyJ).toBeGreaterThan(0);
    expect(cost.latencyS).toBeGreaterThan(0);
    expect(cost.areaM2).toBeGreaterThan(0);
    for (const term of cost.terms) {
      expect(term.formula).not.toBe("");
      expect(term.unit).not.toBe("");
      expect(term.source).toMatch(/^[a-z0-9]+: ./);
    }
    // Whole cores where software starts nothing smaller.
    const atOnce = target.mode === "core" ? target.chip.arraysPerCore.value : 1;
    expect(arrays % atOnce).toBe(0);
    expect(arrays - grid.tiles).toBeGreaterThanOrEqual(0);
    expect(arrays - grid.tiles).toBeLessThan(atOnce);
  });

  it("of one full array is the chip at full load, per product", () => {
    const { layout } = grid;
    const full = analogCost(shape(layout.inputsPerTile, layout.outputsPerTile), target);
    const load = chipAtFullLoad(target);
    // A digital word-line chip senses what is stored; the roll-up stores everywhere too.
    const parts = full.cost.terms.filter((t) => target.components.some((c) => c.name === t.name));
    const energy = parts.reduce((sum, term) => sum + term.energyJ, 0);
    const chip = load.components.reduce((sum, part) => sum + part.energyJ, 0);
    expect(energy).toBeCloseTo(chip, 18);
    const area = parts.reduce((sum, term) => sum + term.areaM2, 0);
    expect(area * load.arrays).toBeCloseTo(load.areaM2, 12);
  });

  it("grows linearly with vectors, apart from programming and filling", () => {
    const of = (vectors: number) => analogCost(shape(64, 16, vectors), target);
    const programming = energyOf(of(1).cost, "programming");
    const perVector = (vectors: number): number => {
      const { cost: c } = of(vectors);
      return (c.energyJ - programming - energyOf(c, "standby")) / vectors;
    };
    expect(perVector(50) / perVector(1)).toBeCloseTo(1, 9);
    const step = of(3).cost.latencyS - of(2).cost.latencyS;
    expect(of(12).cost.latencyS - of(11).cost.latencyS).toBeCloseTo(step, 12);
    expect(step).toBeCloseTo(of(2).stageS / 2, 12);
  });

  it("trades area for time with replicas", () => {
    const one = analogCost(shape(64, 16, 100), target);
    const four = analogCost(shape(64, 16, 100), target, { replicas: 4 });
    expect(four.stageS).toBeCloseTo(one.stageS / 4, 12);
    const idle = (of: typeof one): number => of.arrays - of.grid.tiles * (of === four ? 4 : 1);
    const area = (of: typeof one): number =>
      of.cost.areaM2 - (of.cost.terms.find((t) => t.name === "idle arrays")?.areaM2 ?? 0);
    expect(area(four)).toBeCloseTo(4 * area(one), 15);
    expect(four.arrays - idle(four)).toBe(4 * (one.arrays - idle(one)));
  });
});

describe("value-dependent energy of the cells", () => {
  const target = hybrid("resistive-trainer-rram");
  const base = shape(100, 40, 10);

  it("is E[V^2] sum(G) t, from the inputs' mean square and the weights' mean", () => {
    const known: ContractionShape = {
      ...base,
      weightStats: { meanAbs: 0.2 },
      inputStats: { meanSquare: 0.05 },
    };
    const { cost, grid } = analogCost(known, target);
    const { gMin, gMax } = target.cell;
    const mean = gMin.value + (0.2 * (gMax.value - gMin.value)) / 2;
    expect(meanConductance(known, target)).toBeCloseTo(mean, 15);
    const volts = target.input.readVoltage.value;
    const expected = 10 * 0.05 * volts ** 2 * grid.weightCells * mean * 20e-9;
    expect(energyOf(cost, "cells")).toBeCloseTo(expected, 20);
  });

  it("falls with quieter inputs and smaller weights", () => {
    const loud = energyOf(analogCost(base, target).cost, "cells");
    const quiet = { ...base, inputStats: { meanSquare: 0.01 } };
    expect(energyOf(analogCost(quiet, target).cost, "cells")).toBeLessThan(0.1 * loud);
  });
});

describe("sweeps of converter bits", () => {
  it("change the converter's energy by its published table", () => {
    const at = (bits: number) =>
      energyOf(analogCost(shape(128, 16), hybrid("isaac-rram", { "adc.bits": bits })).cost, "ADC");
    expect(at(4) / at(8)).toBeCloseTo(0.79 / 1.67, 9);
    expect(at(10) / at(8)).toBeCloseTo(2.379 / 1.67, 9);
  });
  it("stop where no figure is known", () => {
    expect(() => analogCost(shape(8, 8), hybrid("isaac-rram", { "adc.bits": 3 }))).toThrow(
      /component "ADC": no figures for a converter of 3 bits\. Use 4, 5, 6, 7, 8, 9, 10 bits/,
    );
  });
});

describe("digital cost", () => {
  const target = loadTarget("digital-reference").target;
  const { peak, bandwidth, launchTime } = target.digital;

  it("is a roofline: compute-bound, memory-bound, launch-bound", () => {
    const work = { ops: 1e12, bytesRead: 100, bytesWritten: 0, launches: 1 };
    expect(digitalCost(work, target).latencyS).toBeCloseTo(1e12 / peak.value + launchTime.value);
    const copy = { ops: 1, bytesRead: 6e8, bytesWritten: 4e8, launches: 0 };
    expect(digitalCost(copy, target).latencyS).toBeCloseTo(1e9 / bandwidth.value, 9);
    const nothing = { ops: 0, bytesRead: 0, bytesWritten: 0, launches: 3 };
    expect(digitalCost(nothing, target).latencyS).toBeCloseTo(3 * launchTime.value, 12);
  });

  it("at full load draws the measured 40 W", () => {
    const second = { ops: 92e12, bytesRead: 34e9, bytesWritten: 0, launches: 0 };
    const { energyJ, latencyS } = digitalCost(second, target);
    expect(latencyS).toBeCloseTo(1, 9);
    expect(Math.abs(energyJ - 40)).toBeLessThan(0.1);
  });
});

describe("crossing", () => {
  it("costs link energy per byte and a latency", () => {
    const target = hybrid("isaac-rram");
    const cost = crossingCost(1000, target);
    expect(cost.energyJ).toBeCloseTo(1000 * 1.285e-12, 20);
    expect(cost.latencyS).toBeCloseTo(100e-9 + 1000 / 32e9, 15);
  });
});
