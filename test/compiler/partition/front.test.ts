/** The Pareto front: nothing on it is dominated by any placement, and its hull is complete. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { dominates, nonDominated, paretoFront } from "../../../compiler/partition/front.ts";
import type { FrontOptions } from "../../../compiler/partition/front.ts";
import type { MilpSolver } from "../../../compiler/partition/milp.ts";
import { minimumCut } from "../../../compiler/partition/minimumCut.ts";
import { AREA, ENERGY, LATENCY, evaluate, weigh } from "../../../compiler/partition/unitGraph.ts";
import type { Totals, UnitGraph } from "../../../compiler/partition/unitGraph.ts";
import { highsSolver } from "../../../runtime/partition/highsSolver.ts";
import { enumerate, ladder, unitGraphs } from "./randomUnitGraphs.ts";

let solve: MilpSolver;
beforeAll(async () => {
  solve = await highsSolver();
});

/** Clearly better in every coordinate that matters: beyond the tie weight and the accuracy. */
const clearlyDominates = (q: Totals, p: Totals): boolean =>
  dominates(q, p) &&
  (["energyJ", "latencyS", "areaM2"] as const).some((key) => q[key] < p[key] * (1 - 1e-4));

/** Checks a front against every placement; returns how many of its points are off the hull. */
function expectFront(graph: UnitGraph, options: FrontOptions): number {
  const all = enumerate(graph).map(({ totals }) => totals);
  const front = paretoFront(graph, options);
  for (const { assignment, totals } of front) {
    expect(evaluate(graph, assignment)).toEqual(totals);
    expect(all.find((q) => clearlyDominates(q, totals))).toBeUndefined();
  }
  for (const weights of [ENERGY, LATENCY, AREA]) {
    const best = minimumCut(graph, weights).objective;
    const reached = Math.min(...front.map(({ totals }) => weigh(totals, weights)));
    expect(reached).toBeLessThanOrEqual(best * (1 + 1e-9));
  }
  return front.filter(({ found }) => found === "limited").length;
}

describe("Pareto front", () => {
  it("of 60 random graphs has no point that any placement dominates", () => {
    fc.assert(
      fc.property(unitGraphs(9), (graph) => {
        expectFront(graph, { points: 8 });
      }),
      { numRuns: 60, seed: 20267 },
    );
  });

  it("has points above the hull when a solver is given, not dominated either", () => {
    const graph = ladder(16, 3);
    // So many that not every placement is looked at.
    expect(graph.units.filter((u) => u.analog !== undefined).length).toBeGreaterThan(10);
    expect(expectFront(graph, { points: 16, solve })).toBeGreaterThan(3);
  });

  it("is every placement that no other dominates where there are few", () => {
    let offHull = 0;
    for (let seed = 1; seed <= 6; seed++) {
      const graph = ladder(9, seed);
      const arrays = seed % 2 === 0 ? undefined : 3;
      const counted = { ...graph, units: graph.units.map((u) => ({ ...u, arrays: 1 })) };
      const fitting = enumerate(counted).filter(({ assignment }) =>
        arrays === undefined ||
        [...assignment.values()].filter((side) => side === "analog").length <= arrays);
      const front = paretoFront(counted, { points: 1000, arrays, solve });
      expect(front.map(({ totals }) => totals))
        .toEqual(nonDominated(fitting).map(({ totals }) => totals));
      offHull += front.filter(({ found }) => found === "listed").length;
    }
    expect(offHull).toBeGreaterThan(6);
  });

  it("has 24 points on a graph of 150 units, quickly", () => {
    const graph = ladder(150, 5);
    const start = performance.now();
    const front = paretoFront(graph, { points: 24, solve });
    expect(front.length).toBeGreaterThanOrEqual(24);
    expect(performance.now() - start).toBeLessThan(10_000);
    expect(nonDominated(front).length).toBe(front.length);
    const energies = front.map(({ totals }) => totals.energyJ);
    expect([...energies].sort((a, b) => a - b)).toEqual(energies);
  });
});
