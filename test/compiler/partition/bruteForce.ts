/**
 * The obvious oracle of a placement problem: every choice, one unit after the other, left as soon
 * as what is known of it costs more than the best (costs are not negative) or breaks a capacity.
 */
import {
  LINK, objectiveOf, outcome, type Choice, type PlacementProblem, type PlacementValue,
} from "../../../compiler/partition/placementProblem.ts";
import { HOST, weigh, type Totals } from "../../../compiler/partition/unitGraph.ts";

/** The best choice that keeps the capacities; undefined when none does. Limits are ignored. */
export function bestChoice(
  problem: PlacementProblem,
): { choice: Choice; objective: number } | undefined {
  const { units, values, capacity, hostPlace, objective } = problem;
  const index = new Map(units.map(({ id }, u) => [id, u]));
  const at = (id: string): number => (id === HOST ? -1 : (index.get(id) as number));
  // A value is paid for as soon as everyone who makes or reads it has a place.
  const known = new Map<number, PlacementValue[]>();
  for (const value of values) {
    const last = Math.max(...[value.from, ...value.to].map(at));
    known.set(last, [...(known.get(last) ?? []), value]);
  }
  const places: string[] = [];
  const chosen: number[] = [];
  const placeOf = (id: string): string => (id === HOST ? hostPlace : (places[at(id)] as string));
  const carried = (u: number): Totals[] => (known.get(u) ?? []).flatMap((value) => {
    const from = placeOf(value.from);
    return [...new Set(value.to.map(placeOf))].flatMap((to) =>
      (to === from ? [] : [value.carry(from, to) ?? []].flat()));
  });
  const weighed = (costs: readonly Totals[]): number => (objective === "bottleneck" ? 0
    : costs.reduce((total, cost) => total + weigh(cost, objective), 0));
  let best: { choice: Choice; objective: number } | undefined;
  const visit = (
    u: number, cost: number, busy: Readonly<Record<string, number>>,
    uses: Readonly<Record<string, number>>,
  ): void => {
    const so = objective === "bottleneck" ? Math.max(0, ...Object.values(busy)) : cost;
    if (best !== undefined && so > best.objective) return;
    if (Object.entries(capacity).some(([key, most]) => (uses[key] ?? 0) > most)) return;
    if (u === units.length) {
      const choice = new Map(units.map(({ id }, i) => [id, chosen[i] as number]));
      const exact = objectiveOf(problem, outcome(problem, choice));
      if (best === undefined || exact < best.objective) best = { choice, objective: exact };
      return;
    }
    units[u]?.options.forEach((option, o) => {
      places[u] = option.place;
      chosen[u] = o;
      const paid = [option.cost, ...carried(u)];
      const link = carried(u).reduce((sum, c) => sum + c.latencyS, 0);
      visit(u + 1, cost + weighed(paid), sum(sum(busy, option.busy), { [LINK]: link }),
        sum(uses, option.uses));
    });
  };
  visit(0, 0, {}, {});
  return best;
}

function sum(
  a: Readonly<Record<string, number>>, b: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const all: Record<string, number> = { ...a };
  for (const [key, amount] of Object.entries(b)) all[key] = (all[key] ?? 0) + amount;
  return all;
}
