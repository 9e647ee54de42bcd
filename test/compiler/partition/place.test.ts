/** Objectives as a person asks for them, with and without limits, against every placement. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { UserError } from "../../../compiler/errors.ts";
import { dominates, paretoFront } from "../../../compiler/partition/front.ts";
import type { MilpSolver } from "../../../compiler/partition/milp.ts";
import { minimumCut } from "../../../compiler/partition/minimumCut.ts";
import { outcome, problemOf } from "../../../compiler/partition/placementProblem.ts";
import { place } from "../../../compiler/partition/place.ts";
import {
  ENERGY, NOISE, allowed, evaluate, weigh,
  type Assignment, type Totals, type UnitGraph,
} from "../../../compiler/partition/unitGraph.ts";
import { highsSolver } from "../../../runtime/partition/highsSolver.ts";
import { enumerate, ladder, unitGraphs } from "./randomUnitGraphs.ts";

let solve: MilpSolver;
beforeAll(async () => {
  solve = await highsSolver();
});

const arraysOf = (graph: UnitGraph, assignment: Assignment): number =>
  graph.units.reduce(
    (sum, u) => sum + (assignment.get(u.id) === "analog" ? (u.arrays ?? 0) : 0), 0);

/** The same graph with every pin taken out. */
const free = (graph: UnitGraph): UnitGraph => ({
  ...graph, units: graph.units.map(({ pinned: _, ...unit }) => unit),
});

/** Noise on both sides of every unit, which is in no total unless it is counted. */
const noisy = (graph: UnitGraph): UnitGraph => ({
  ...graph,
  units: graph.units.map((unit, i) => ({
    ...unit,
    digital: { ...unit.digital, noise: 1e-9 * (1 + (i % 3)) },
    analog: unit.analog && { ...unit.analog, noise: 1e-3 * (1 + ((7 * i) % 5)) },
  })),
});

describe("within the arrays that there are", () => {
  it("energy, latency and their product equal every placement that fits", () => {
    fc.assert(
      fc.property(unitGraphs(7), fc.integer({ min: 0, max: 20 }), (drawn, arrays) => {
        const graph = free(drawn);
        const all = enumerate(graph)
          .filter(({ assignment }) => arraysOf(graph, assignment) <= arrays)
          .map(({ totals }) => totals);
        const best = (of: (t: Totals) => number): number => Math.min(...all.map(of));
        const near = (value: number, least: number): void => {
          expect(value).toBeLessThanOrEqual(least * (1 + 1e-6));
          expect(value).toBeGreaterThanOrEqual(least * (1 - 1e-12));
        };
        const options = { arrays, solve };
        near(place(graph, "energy", options).objective, best((t) => t.energyJ));
        near(place(graph, "latency", options).objective, best((t) => t.latencyS));
        const product = place(graph, "edp", options);
        near(product.objective, best((t) => t.energyJ * t.latencyS));
        expect(arraysOf(graph, product.assignment)).toBeLessThanOrEqual(arrays);
      }),
      { numRuns: 12, seed: 20268 },
    );
  });

  it("says what is short, by how much, and what fits instead", () => {
    const graph = ladder(12, 3);
    const units = graph.units.map((u, i) => ({
      ...u, arrays: 10 + i, ...(u.analog ? { pinned: "analog" as const } : {}),
    }));
    const needed = units.reduce((sum, u) => sum + (u.analog ? u.arrays : 0), 0);
    const failed = (): unknown => place({ ...graph, units }, "energy", { arrays: 30, solve });
    expect(failed).toThrow(UserError);
    expect(failed).toThrow(`arrays: ${needed} needed, 30 there, ${needed - 30} short`);
    const fitting = enumerate({ ...graph, units: graph.units.map((u, i) => ({
      ...u, arrays: 10 + i,
    })) }).filter(({ assignment }) =>
      arraysOf({ ...graph, units }, assignment) <= 30);
    const best = fitting.reduce((a, b) => (b.totals.energyJ < a.totals.energyJ ? b : a));
    const named = units.filter((u) => best.assignment.get(u.id) === "analog").map((u) => u.id);
    expect(named.length).toBeGreaterThan(0);
    expect(failed).toThrow(
      `Give ${needed} arrays; with --analog auto these fit: ${named.join(", ")}.`);
  });
});

describe("throughput", () => {
  it("has the least time of the busiest resource, and of those the least energy", () => {
    fc.assert(
      fc.property(unitGraphs(7), (graph) => {
        const problem = problemOf(graph, { objective: "bottleneck" });
        const all = enumerate(graph).map(({ assignment, totals }) => {
          const sides = graph.units.map(
            (u) => [u.id, allowed(u).indexOf(assignment.get(u.id) ?? "digital")] as const);
          return { seconds: outcome(problem, new Map(sides)).bottleneckS, totals };
        });
        const least = Math.min(...all.map(({ seconds }) => seconds));
        const fast = all.filter(({ seconds }) => seconds <= least * (1 + 1e-12));
        const cheapest = Math.min(...fast.map(({ totals }) => totals.energyJ));
        const { objective, totals, optimal } = place(graph, "throughput", { solve });
        expect(objective).toBeLessThanOrEqual(least * (1 + 2e-6));
        expect(totals.energyJ).toBeLessThanOrEqual(cheapest * (1 + 1e-6));
        expect(optimal).toBe(true);
      }),
      { numRuns: 25, seed: 20269 },
    );
  });
});

describe("noise as a fourth total", () => {
  it("is counted once per unit, and nothing dominates the front in four totals", () => {
    fc.assert(
      fc.property(unitGraphs(8), (drawn) => {
        const graph = noisy(drawn);
        const all = enumerate(graph).map(({ totals }) => totals);
        const front = paretoFront(graph, { points: 12 });
        for (const { assignment, totals } of front) {
          expect(evaluate(graph, assignment)).toEqual(totals);
          expect(all.find((q) => dominates(q, totals) &&
            (q.noise as number) < (totals.noise as number) * (1 - 1e-4))).toBeUndefined();
        }
        const quiet = minimumCut(graph, NOISE).objective;
        const reached = Math.min(...front.map(({ totals }) => weigh(totals, NOISE)));
        expect(reached).toBeLessThanOrEqual(quiet * (1 + 1e-9));
      }),
      { numRuns: 40, seed: 20270 },
    );
  });

  it("leaves the other optima alone", () => {
    const graph = ladder(40, 9);
    expect(place(noisy(graph), "energy").totals.energyJ).toBe(minimumCut(graph, ENERGY).objective);
  });
});
