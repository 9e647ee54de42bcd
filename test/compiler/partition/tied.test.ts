/** Units that share arrays: joined for the search, against every placement that keeps the ties. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { paretoFront } from "../../../compiler/partition/front.ts";
import { place } from "../../../compiler/partition/place.ts";
import {
  feasible, objectiveOf, outcome, problemOf, type Choice,
} from "../../../compiler/partition/placementProblem.ts";
import {
  ENERGY, LATENCY, evaluate, weigh, type UnitGraph,
} from "../../../compiler/partition/unitGraph.ts";
import { highsSolver } from "../../../runtime/partition/highsSolver.ts";
import { cost, unitGraphs, withCopies } from "./randomUnitGraphs.ts";

const solve = await highsSolver();

/** Units of the same kind and number modulo 2 share the arrays of the first of them. */
function withTies(graph: UnitGraph): UnitGraph {
  const first = new Map<string, string>();
  return {
    ...graph,
    units: graph.units.map((unit, i) => {
      if (!unit.analog) return unit;
      const kind = `${i % 2} ${unit.pinned}`;
      const tied = first.get(kind);
      if (tied === undefined) first.set(kind, unit.id);
      return tied === undefined ? unit : { ...unit, tied };
    }),
  };
}

/** Least objective over every choice in which tied units are in the same place, the same way. */
function brute(graph: UnitGraph, weights: typeof ENERGY, arrays?: number): number | undefined {
  const problem = problemOf(graph, { objective: weights, arrays });
  let choices: Choice[] = [new Map()];
  graph.units.forEach(({ id, tied }, u) => {
    const options = problem.units[u]?.options ?? [];
    choices = choices.flatMap((choice) => (tied === undefined ? options.map((_, o) => o)
      : [choice.get(tied) as number]).map((o) => new Map(choice).set(id, o)));
  });
  const fitting = choices.map((choice) => outcome(problem, choice))
    .filter((one) => feasible(problem, one)).map((one) => objectiveOf(problem, one));
  return fitting.length === 0 ? undefined : Math.min(...fitting);
}

const scaleOf = ({ units, values }: UnitGraph, weights: typeof ENERGY): number => [
  ...units.flatMap(({ digital, analog }) => [digital, ...analog ? [analog] : []]),
  ...values.flatMap(({ toAnalog, toDigital }) => [toAnalog, toDigital]),
].reduce((sum, one) => sum + weigh(one, weights), 0);

describe("units that share arrays", () => {
  it("are placed together and best: 200 graphs against every placement", () => {
    let tied = 0;
    fc.assert(fc.property(unitGraphs(7), fc.constantFrom("energy", "latency"), (drawn, name) => {
      const graph = withTies(withCopies(drawn, 4));
      const result = place(graph, name);
      expect(result.optimal).toBe(true);
      const weights = name === "energy" ? ENERGY : LATENCY;
      const best = brute(graph, weights) as number;
      // Sums of doubles in different order.
      const slack = 1e-12 * scaleOf(graph, weights);
      expect(Math.abs(result.objective - best)).toBeLessThanOrEqual(slack);
      const totals = evaluate(graph, result.assignment, result.ways);
      expect(Math.abs(weigh(totals, weights) - best)).toBeLessThanOrEqual(slack);
      for (const { id, tied: owner } of graph.units) {
        if (owner === undefined) continue;
        tied += result.assignment.get(id) === "analog" ? 1 : 0;
        expect(result.assignment.get(id)).toBe(result.assignment.get(owner));
        expect(result.ways.get(id)?.replicas).toBe(result.ways.get(owner)?.replicas);
      }
    }), { numRuns: 200, seed: 4711 });
    expect(tied).toBeGreaterThan(50);
  });

  it("are best within limited arrays: 40 graphs against every placement", () => {
    let limited = 0;
    fc.assert(fc.property(unitGraphs(7), (drawn) => {
      const graph = withTies(drawn);
      const arrays = 5;
      const best = brute(graph, ENERGY, arrays);
      if (best === undefined) {
        expect(() => place(graph, "energy", { arrays, solve })).toThrow(/does not fit/);
        return;
      }
      const result = place(graph, "energy", { arrays, solve });
      expect(Math.abs(result.objective - best)).toBeLessThanOrEqual(1e-6 * best);
      limited += best > (brute(graph, ENERGY) as number) ? 1 : 0;
    }), { numRuns: 40, seed: 4712 });
    expect(limited).toBeGreaterThan(5);
  });

  const two: UnitGraph = {
    units: [0, 1].map((i) => ({
      id: `u${i}`, name: `u${i}`, digital: cost(5, 1), analog: cost(1, 2, i === 0 ? 3 : 0),
      arrays: i === 0 ? 4 : 0, stageS: 2, ...(i === 1 ? { tied: "u0" } : {}),
    })),
    values: [],
  };

  it("are one stage of a pipeline, as long as all of them", () => {
    const pinned = { ...two, units: two.units.map((u) => ({ ...u, pinned: "analog" as const })) };
    expect(place(pinned, "throughput", { solve }).objective).toBeCloseTo(4, 12);
  });

  it("are on the same side of every point of the front", () => {
    const front = paretoFront(two, { solve });
    expect(front.map(({ totals }) => totals.energyJ)).toEqual([2, 10]);
    for (const { assignment } of front) expect(assignment.get("u1")).toBe(assignment.get("u0"));
  });
});
