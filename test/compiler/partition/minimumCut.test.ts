/** The minimum cut and the sweeps over it, against every assignment. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { minimumCut } from "../../../compiler/partition/minimumCut.ts";
import { lowerHull, minimumProduct } from "../../../compiler/partition/parametric.ts";
import {
  AREA,
  ENERGY,
  HOST,
  LATENCY,
  evaluate,
  weigh,
} from "../../../compiler/partition/unitGraph.ts";
import type { UnitGraph, Weights } from "../../../compiler/partition/unitGraph.ts";
import { problemOf } from "../../../compiler/partition/placementProblem.ts";
import { bestChoice } from "./bruteForce.ts";
import { cost, enumerate, ladder, unitGraphs, withCopies } from "./randomUnitGraphs.ts";

/** Sums of up to 60 doubles in different order, and capacities rounded to total/2^50. */
const same = (a: number, b: number, scale: number): boolean =>
  Math.abs(a - b) <= 1e-12 * Math.max(scale, Math.abs(b));

function totalCost(graph: UnitGraph, weights: Weights): number {
  const costs = [
    ...graph.units.flatMap((u) => [u.digital, ...(u.analog === undefined ? [] : [u.analog])]),
    ...graph.values.flatMap((v) => [v.toAnalog, v.toDigital]),
  ];
  return costs.reduce((sum, c) => sum + weigh(c, weights), 0);
}

describe("minimum cut", () => {
  it("equals every assignment on 500 random graphs of up to 14 units", () => {
    let analog = 0;
    fc.assert(
      fc.property(
        unitGraphs(14),
        fc.constantFrom(ENERGY, LATENCY, AREA, { energy: 1, latency: 0.3, area: 2 }),
        (graph, weights) => {
          const result = minimumCut(graph, weights);
          let best = Infinity;
          for (const { totals } of enumerate(graph)) best = Math.min(best, weigh(totals, weights));
          const scale = totalCost(graph, weights);
          expect(same(result.objective, best, scale)).toBe(true);
          expect(result.bound).toBeLessThanOrEqual(best * (1 + 1e-12));
          expect(same(result.bound, best, scale)).toBe(true);
          expect(result.optimal).toBe(true);
          for (const unit of graph.units) {
            const side = result.assignment.get(unit.id);
            if (side === "analog") analog++;
            if (unit.pinned !== undefined) expect(side).toBe(unit.pinned);
            if (unit.analog === undefined) expect(side).toBe("digital");
          }
        },
      ),
      { numRuns: 500, seed: 20260 },
    );
    expect(analog).toBeGreaterThan(500);
  });

  it("takes the best number of copies of every unit: 200 graphs against brute force", () => {
    let copied = 0;
    fc.assert(
      fc.property(
        unitGraphs(10),
        fc.constantFrom(ENERGY, LATENCY, { energy: 1, latency: 1, area: 1 }),
        (drawn, weights) => {
          const graph = withCopies(drawn, 8);
          const result = minimumCut(graph, weights);
          const best = bestChoice(problemOf(graph, { objective: weights }));
          expect(same(result.objective, best!.objective, totalCost(graph, weights))).toBe(true);
          expect(evaluate(graph, result.assignment, result.ways)).toEqual(result.totals);
          for (const id of result.ways.keys()) expect(result.assignment.get(id)).toBe("analog");
          copied += result.ways.size;
        },
      ),
      { numRuns: 200, seed: 20272 },
    );
    expect(copied).toBeGreaterThan(50);
  });

  it("pays for a value once, however many consumers it has on the other side", () => {
    const unit = (id: string, digital: number, analog: number) => ({
      id,
      name: id,
      digital: cost(digital),
      analog: cost(analog),
    });
    // Three consumers that each gain 2 by going analog, behind one conversion of 5.
    const graph: UnitGraph = {
      units: [unit("a", 2, 0), unit("b", 2, 0), unit("c", 2, 0)],
      values: [
        {
          name: "x",
          from: HOST,
          to: ["a", "b", "c"],
          bytes: 4,
          toAnalog: cost(5),
          toDigital: cost(5),
        },
      ],
    };
    const result = minimumCut(graph, ENERGY);
    expect([...result.assignment.values()]).toEqual(["analog", "analog", "analog"]);
    expect(result.objective).toBe(5);
  });

  it("prefers digital where both sides cost the same", () => {
    const graph: UnitGraph = {
      units: [{ id: "a", name: "a", digital: cost(1), analog: cost(1) }],
      values: [],
    };
    expect(minimumCut(graph, ENERGY).assignment.get("a")).toBe("digital");
  });

  it("refuses graphs that make no sense", () => {
    const a = { id: "a", name: "a", digital: cost(1) };
    expect(() => minimumCut({ units: [a, a], values: [] }, ENERGY)).toThrow(/internal:.*twice/);
    expect(() =>
      minimumCut({ units: [{ ...a, pinned: "analog" }], values: [] }, ENERGY),
    ).toThrow(/internal:.*pinned/);
    expect(() =>
      minimumCut({ units: [{ ...a, digital: cost(Number.NaN) }], values: [] }, ENERGY),
    ).toThrow(/internal:.*finite/);
  });

  it("places 2,000 units well inside a second, and proves it", () => {
    const times: number[] = [];
    for (const seed of [1, 2, 3]) {
      const graph = ladder(2000, seed);
      const start = performance.now();
      const result = minimumCut(graph, ENERGY);
      times.push(performance.now() - start);
      expect(result.optimal).toBe(true);
      for (const side of ["digital", "analog"] as const) {
        const all = new Map(
          graph.units.map((u) => [u.id, u.analog === undefined ? "digital" : side] as const),
        );
        expect(result.objective).toBeLessThanOrEqual(evaluate(graph, all).energyJ);
      }
    }
    expect(Math.min(...times)).toBeLessThan(1000);
  });
});

describe("lower convex hull and energy-delay product", () => {
  it("finds the smallest product of 300 random graphs, and every hull vertex", () => {
    let several = 0;
    fc.assert(
      fc.property(unitGraphs(11), (graph) => {
        const all = enumerate(graph);
        const best = Math.min(...all.map(({ totals }) => totals.energyJ * totals.latencyS));
        const result = minimumProduct(graph);
        const scale = totalCost(graph, ENERGY) * totalCost(graph, LATENCY);
        expect(same(result.objective, best, scale)).toBe(true);
        expect(result.bound).toBeLessThanOrEqual(best * (1 + 1e-9));
        const hull = lowerHull(graph, ENERGY, LATENCY);
        if (hull.points.length > 2) several++;
        expect(hull.complete).toBe(true);
        // No assignment lies below any supporting line.
        for (const { edge } of hull.points) {
          if (edge === undefined) continue;
          const level = (t: { energyJ: number; latencyS: number }): number =>
            edge.wx * t.energyJ + edge.wy * t.latencyS;
          const line = totalCost(graph, ENERGY) * edge.wx + totalCost(graph, LATENCY) * edge.wy;
          for (const { totals } of all) {
            expect(level(totals)).toBeGreaterThanOrEqual(edge.bound - 1e-12 * line);
          }
        }
      }),
      { numRuns: 300, seed: 20261 },
    );
    expect(several).toBeGreaterThan(20);
  });

  it("proves the product on graphs whose costs are all positive, without the whole hull", () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const graph = ladder(150, seed);
      const result = minimumProduct(graph);
      const hull = lowerHull(graph, ENERGY, LATENCY).points.map(({ x, y }) => x * y);
      expect(result.objective / Math.min(...hull)).toBeCloseTo(1, 10);
      expect(result.optimal).toBe(true);
      expect(result.vertices).toBeLessThan(hull.length / 2);
    }
  });
});
