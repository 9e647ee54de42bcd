/** The mixed-integer program against every choice: capacities, limits, two targets, throughput. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { lpText, solvePlacement } from "../../../compiler/partition/milp.ts";
import type { MilpSolver } from "../../../compiler/partition/milp.ts";
import { minimumCut } from "../../../compiler/partition/minimumCut.ts";
import {
  feasible,
  objectiveOf,
  outcome,
  problemOf,
} from "../../../compiler/partition/placementProblem.ts";
import type { PlacementProblem } from "../../../compiler/partition/placementProblem.ts";
import { joinTargets } from "../../../compiler/partition/mixed.ts";
import { minimiser } from "../../../compiler/partition/place.ts";
import { ENERGY, HOST, LATENCY, evaluate, weigh } from "../../../compiler/partition/unitGraph.ts";
import type { UnitGraph } from "../../../compiler/partition/unitGraph.ts";
import { highsSolver } from "../../../runtime/partition/highsSolver.ts";
import { bestChoice } from "./bruteForce.ts";
import { cost, ladder, onSecond, unitGraphs, withCopies } from "./randomUnitGraphs.ts";

let solve: MilpSolver;
beforeAll(async () => {
  solve = await highsSolver();
});

/** The best feasible objective under limits, by brute force; Infinity when nothing fits. */
function bruteForce(problem: PlacementProblem): number {
  if (problem.limits === undefined) return bestChoice(problem)?.objective ?? Infinity;
  const counts = problem.units.map((unit) => unit.options.length);
  const digits = counts.map(() => 0);
  let best = Infinity;
  for (;;) {
    const choice = new Map(problem.units.map((unit, u) => [unit.id, digits[u] as number]));
    const result = outcome(problem, choice);
    if (feasible(problem, result)) best = Math.min(best, objectiveOf(problem, result));
    let u = 0;
    while (u < digits.length && digits[u] === (counts[u] as number) - 1) digits[u++] = 0;
    if (u === digits.length) return best;
    digits[u] = (digits[u] as number) + 1;
  }
}

function expectSolved(problem: PlacementProblem): "feasible" | "infeasible" {
  const best = bruteForce(problem);
  const result = solvePlacement(problem, solve);
  expect(result.feasible).toBe(best < Infinity);
  if (result.feasible) {
    expect(result.objective).toBeLessThanOrEqual(best * (1 + 1e-6));
    expect(result.objective).toBeGreaterThanOrEqual(best * (1 - 1e-12));
    expect(result.bound).toBeLessThanOrEqual(best);
    expect(result.optimal).toBe(true);
    return "feasible";
  }
  expect(result.shortages.length).toBeGreaterThan(0);
  for (const { needed, available } of result.shortages) expect(needed).toBeGreaterThan(available);
  return "infeasible";
}

const arraysOf = (graph: UnitGraph): number =>
  graph.units.reduce((sum, u) => sum + (u.analog === undefined ? 0 : (u.arrays ?? 0)), 0);

const share = fc.double({ min: 0.1, max: 1, noNaN: true });

describe("mixed-integer placement equals brute force", () => {
  it("with a chip that is too small and copies of layers, 60 graphs of up to 12 units", () => {
    fc.assert(
      fc.property(unitGraphs(12), share, fc.constantFrom(ENERGY, LATENCY), (graph, part, of) => {
        const arrays = Math.floor(arraysOf(graph) * part);
        expectSolved(problemOf(withCopies(graph, 8), { arrays, objective: of }));
      }),
      { numRuns: 60, seed: 20263 },
    );
  });

  it("with two targets, their capacities and copies of layers, 60 graphs of up to 9 units", () => {
    let [mixed, copied] = [0, 0];
    fc.assert(
      fc.property(
        unitGraphs(9),
        share,
        fc.constantFrom(ENERGY, LATENCY, { energy: 1, latency: 0.5, area: 0 }),
        (graph, part, objective) => {
          const there = Math.floor(arraysOf(graph) * part);
          const joined = joinTargets([
            { name: "first", graph: withCopies(graph, 4) },
            { name: "second", graph: onSecond(graph) },
          ]);
          const arrays = { first: there, second: there };
          const problem = problemOf(joined, { arrays, objective });
          if (expectSolved(problem) === "infeasible") return;
          const { assignment, ways, totals, objective: reached } =
            minimiser({ arrays, solve })(joined, objective);
          expect(evaluate(joined, assignment, ways)).toEqual(totals);
          expect(weigh(totals, objective) / (reached || 1)).toBeCloseTo(reached === 0 ? 0 : 1, 9);
          const homes = new Set([...ways.values()].map(({ home }) => home));
          if (homes.has("second")) mixed++;
          if ([...ways.values()].some(({ replicas }) => replicas > 1)) copied++;
        },
      ),
      { numRuns: 60, seed: 20264 },
    );
    expect(Math.min(mixed, copied)).toBeGreaterThan(2);
  });

  it("for pipelined throughput, 60 graphs", () => {
    fc.assert(
      fc.property(unitGraphs(8), (graph) => {
        expectSolved(problemOf(graph, { objective: "bottleneck" }));
      }),
      { numRuns: 60, seed: 20265 },
    );
  });

  it("under a latency limit, and names what is short when nothing fits", () => {
    let infeasible = 0;
    fc.assert(
      fc.property(unitGraphs(8), fc.double({ min: 0.3, max: 1.5, noNaN: true }), (graph, part) => {
        const fastest = minimumCut(graph, LATENCY).totals.latencyS;
        fc.pre(fastest > 1e-9);
        const limits = { latencyS: fastest * part };
        // Within the solver's accuracy of the limit either answer is right.
        fc.pre(Math.abs(part - 1) > 1e-3);
        if (expectSolved(problemOf(graph, { limits, objective: ENERGY })) === "infeasible") {
          infeasible++;
        }
      }),
      { numRuns: 100, seed: 20266 },
    );
    expect(infeasible).toBeGreaterThan(10);
  });

  it("agrees with the minimum cut where there is no limit", () => {
    for (const seed of [1, 2, 3]) {
      const graph = ladder(60, seed);
      const cut = minimumCut(graph, ENERGY);
      const result = solvePlacement(problemOf(graph, { objective: ENERGY }), solve);
      expect(result.feasible && result.objective / cut.objective).toBeCloseTo(1, 6);
    }
  });
});

describe("infeasible", () => {
  it("says which resource is short, by how much, and what would fit", () => {
    const graph: UnitGraph = {
      units: [
        { id: "a", name: "a", digital: cost(1), analog: cost(1), arrays: 7, pinned: "analog" },
        { id: "b", name: "b", digital: cost(1), analog: cost(1), arrays: 5, pinned: "analog" },
      ],
      values: [
        { name: "v", from: "a", to: ["b", HOST], bytes: 1, toAnalog: cost(1), toDigital: cost(1) },
      ],
    };
    const result = solvePlacement(problemOf(graph, { arrays: 10, objective: ENERGY }), solve);
    expect(result).toEqual({
      feasible: false,
      shortages: [{ resource: "arrays", available: 10, needed: 12 }],
    });
  });
});

describe("the LP text", () => {
  it("keeps lines short and has one binary per unit and option", () => {
    const graph = ladder(200, 7);
    const text = lpText(problemOf(graph, { arrays: 5, objective: ENERGY }));
    for (const line of text.split("\n")) expect(line.length).toBeLessThan(255);
    const binaries = text.slice(text.indexOf("Binary")).match(/x\d+_\d+/g) ?? [];
    const options = graph.units.reduce((sum, u) => sum + (u.analog === undefined ? 1 : 2), 0);
    expect(binaries.length).toBe(options);
  });
});
