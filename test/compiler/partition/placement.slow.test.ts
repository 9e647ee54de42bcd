/**
 * 500 random and series-parallel graphs of up to 14 units: what the partitioner returns equals
 * brute force within capacities, on two targets, with copies of busy layers, and for throughput.
 */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { MilpSolver } from "../../../compiler/partition/milp.ts";
import { joinTargets } from "../../../compiler/partition/mixed.ts";
import { minimiser, place } from "../../../compiler/partition/place.ts";
import { problemOf } from "../../../compiler/partition/placementProblem.ts";
import {
  ENERGY, LATENCY, evaluate, type UnitGraph,
} from "../../../compiler/partition/unitGraph.ts";
import { UserError } from "../../../compiler/errors.ts";
import { highsSolver } from "../../../runtime/partition/highsSolver.ts";
import { bestChoice } from "./bruteForce.ts";
import { ladder, onSecond, seriesParallel, unitGraphs, withCopies } from "./randomUnitGraphs.ts";

let solve: MilpSolver;
beforeAll(async () => {
  solve = await highsSolver();
});

/** Random graphs, ladders and series-parallel graphs. */
const graphs = fc.oneof(
  { weight: 3, arbitrary: unitGraphs(14) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.integer({ min: 2, max: 14 }), fc.integer({ min: 1, max: 1e6 }))
      .map(([n, seed]) => (seed % 2 === 0 ? seriesParallel(n, seed) : ladder(n, seed))),
  },
);
const all = ({ units }: UnitGraph): number =>
  units.reduce((sum, u) => sum + (u.analog === undefined ? 0 : (u.arrays ?? 1)), 0);

describe("placements of 500 graphs equal brute force", () => {
  it("within the arrays of two targets, and without limits", () => {
    const seen = { limited: 0, impossible: 0, mixed: 0, copied: 0 };
    fc.assert(
      fc.property(
        graphs,
        fc.double({ min: 0.1, max: 1.2, noNaN: true }),
        fc.constantFrom(ENERGY, LATENCY, { energy: 1, latency: 0.5, area: 0.1 }),
        fc.boolean(),
        (graph, part, objective, isLimited) => {
          const joined = joinTargets([
            { name: "first", graph: withCopies(graph, 2) },
            { name: "second", graph: onSecond(graph) },
          ]);
          const there = Math.floor(all(graph) * part);
          const arrays = isLimited ? { first: there, second: there } : undefined;
          const best = bestChoice(problemOf(joined, { arrays, objective }));
          if (best === undefined) {
            expect(() => minimiser({ arrays, solve })(joined, objective)).toThrow(UserError);
            seen.impossible++;
            return;
          }
          const found = minimiser({ arrays, solve })(joined, objective);
          expect(found.objective).toBeLessThanOrEqual(best.objective * (1 + 1e-6));
          expect(found.objective).toBeGreaterThanOrEqual(best.objective * (1 - 1e-9));
          expect(found.bound).toBeLessThanOrEqual(best.objective * (1 + 1e-9));
          expect(found.optimal).toBe(true);
          expect(evaluate(joined, found.assignment, found.ways)).toEqual(found.totals);
          const ways = [...found.ways.values()];
          seen.limited += Number(isLimited);
          seen.mixed += Number(ways.some(({ home }) => home === "second"));
          seen.copied += Number(ways.some(({ replicas }) => replicas > 1));
        },
      ),
      { numRuns: 500, seed: 20270 },
    );
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(10);
  }, 120_000);

  it("for throughput with copies, where only the busiest resource counts, 100 of them", () => {
    fc.assert(
      fc.property(unitGraphs(10), (drawn) => {
        const graph = withCopies(drawn, 4);
        const best = bestChoice(problemOf(graph, { objective: "bottleneck" }));
        const { objective, optimal } = place(graph, "throughput", { solve });
        expect(objective).toBeLessThanOrEqual(best!.objective * (1 + 1e-6));
        expect(objective).toBeGreaterThanOrEqual(best!.objective * (1 - 1e-9));
        expect(optimal).toBe(true);
      }),
      { numRuns: 100, seed: 20271 },
    );
  }, 60_000);
});
