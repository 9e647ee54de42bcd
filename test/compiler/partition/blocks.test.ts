/** Chains of analog units and their prices, against every split; the cost of a training step. */
import { describe, expect, it } from "vitest";
import { chainPrices, chainsOf } from "../../../compiler/partition/blocks.ts";
import { analogCost } from "../../../compiler/partition/cost/analog.ts";
import { blockCost, trainingStepCost } from "../../../compiler/partition/cost/block.ts";
import type { ContractionShape } from "../../../compiler/partition/cost/cost.ts";
import { crossingCost, digitalCost } from "../../../compiler/partition/cost/digital.ts";
import { trainingCost } from "../../../compiler/partition/cost/training.ts";
import type { GraphFacts, UnitFacts } from "../../../compiler/partition/facts.ts";
import { HOST } from "../../../compiler/partition/unitGraph.ts";
import { loadTarget, targetNames } from "../../../runtime/files/targetFiles.ts";
import type { HybridTarget } from "../../../targets/schema.ts";

const work = { ops: 1e6, bytesRead: 1e4, bytesWritten: 1e3, launches: 1 };
const dense = (name: string, rowsK: number, colsN: number): ContractionShape => ({
  name, rowsK, colsN, groups: 1, vectors: 1, inputBytes: 4 * rowsK, outputBytes: 4 * colsN,
  macs: rowsK * colsN,
});
const unit = (id: string, shape?: ContractionShape): UnitFacts => ({
  id, name: id, nodes: [id], label: id, work, macs: 1e5,
  ...(shape ? { shape } : { reason: "no contraction in it" }),
});
const value = (from: string, ...to: string[]) => ({ name: from, from, to, bytes: 100 });

/** x -> a -> b -> c -> pool -> d -> e -> host, where e is read by the host and f too. */
const facts: GraphFacts = {
  units: [
    unit("a", dense("a", 200, 90)), unit("b", dense("b", 90, 70)), unit("c", dense("c", 70, 30)),
    unit("pool"), unit("d", dense("d", 30, 20)), unit("e", dense("e", 20, 10)),
    unit("f", dense("f", 10, 10)),
  ],
  values: [
    value(HOST, "a"), value("a", "b"), value("b", "c"), value("c", "pool"), value("pool", "d"),
    value("d", "e"), value("e", "f", HOST), value("f", HOST),
  ],
};
const hybrids = targetNames().map((name) => loadTarget(name).target)
  .filter((t): t is HybridTarget => t.kind === "hybrid");
const byName = hybrids.map((t) => [t.name, t] as const);

/** Every way to write n as ordered parts. */
const splits = (n: number): number[][] => (n === 0 ? [[]]
  : Array.from({ length: n }, (_, i) => splits(n - i - 1).map((rest) => [i + 1, ...rest])).flat());

describe("chains", () => {
  it("are units that alone read what the one before made", () => {
    expect(chainsOf(facts).map((chain) => chain.map(({ id }) => id)))
      .toEqual([["a", "b", "c"], ["d", "e"]]);
  });

  it.each(byName)("on %s: least energy of every split", (_, t) => {
    const chains = chainsOf(facts);
    for (const [i, price] of chainPrices(facts, t).entries()) {
      const shapes = chains[i]!.map(({ shape }) => shape);
      const energies = splits(shapes.length).map((sizes) => {
        let at = 0;
        return sizes.reduce((sum, size) => {
          const block = shapes.slice(at, at += size);
          const { cost } = size === 1 ? analogCost(block[0]!, t) : blockCost(block, t);
          return sum + cost.energyJ;
        }, 0);
      });
      expect(price.best.energyJ / Math.min(...energies)).toBeCloseTo(1, 12);
      expect(price.needsTraining).toBe(price.best.sizes.some((n) => n > 1));
      expect(price.apart.energyJ / energies[splits(shapes.length)
        .findIndex((s) => s.length === shapes.length)]!).toBeCloseTo(1, 12);
      expect(price.merged.energyJ / blockCost(shapes, t).cost.energyJ).toBeCloseTo(1, 12);
    }
  });

  it("save conversions where voltages relax by themselves, and spend them elsewhere", () => {
    const prices = Object.fromEntries(hybrids.map((t) => [t.name, chainPrices(facts, t)[0]!]));
    const trainer = prices["resistive-trainer-rram"]!;
    // Two layers' tiles convert inside; merged, only the last layer's 30 columns do, in one tile.
    expect(trainer.merged.conversions).toBe(30);
    expect(trainer.apart.conversions).toBeGreaterThan(90 + 70 + 30);
    const isaac = prices["isaac-rram"]!;
    expect(isaac.merged.sweeps).toBe(15);
    expect(isaac.merged.conversions).toBeGreaterThan(15 * isaac.apart.conversions / 3);
  });
});

describe("a training step of a placed model", () => {
  it.each(byName)("on %s is the sum of its parts", (_, t) => {
    const step = { freeSweeps: 7, nudgedSweeps: 3, nudges: 2 };
    const analog = new Map(["a", "b", "d"].map((id) => [id, t]));
    const cost = trainingCost(facts, t, analog, step);
    const of = (id: string): UnitFacts => facts.units.find((u) => u.id === id)!;
    const phases = [...analog.keys()].reduce((sum, id) =>
      sum + trainingStepCost([of(id).shape!], t, step).energyJ, 0);
    expect(cost.analog.energyJ / phases).toBeCloseTo(1, 12);
    const thrice = digitalCost(
      { ops: 3e6, bytesRead: 3e4, bytesWritten: 3e3, launches: 3 }, t);
    expect(cost.digital.energyJ / (4 * thrice.energyJ)).toBeCloseTo(1, 12);
    expect(cost.digital.latencyS / (4 * thrice.latencyS)).toBeCloseTo(1, 12);
    // Into a, out of b, into and out of d, each in the free and two nudged phases.
    const crossing = 4 * 3 * crossingCost(100, t).energyJ;
    expect(cost.boundary.energyJ / crossing).toBeCloseTo(1, 12);
    const total = cost.analog.energyJ + cost.digital.energyJ + cost.boundary.energyJ;
    expect(cost.total.energyJ / total).toBeCloseTo(1, 12);
    for (const { formula, unit: counted, source } of cost.total.terms) {
      expect([formula, counted, source].every((text) => text.length > 0)).toBe(true);
    }
  });

  it("of a digital target is forward and backward work", () => {
    const { target } = loadTarget("cpu-reference");
    const cost = trainingCost(facts, target, new Map());
    expect(cost.analog.energyJ).toBe(0);
    expect(cost.total.energyJ).toBeGreaterThan(0);
  });
});
