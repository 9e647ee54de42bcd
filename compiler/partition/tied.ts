/**
 * Units that read the same arrays (the sweeps of a relaxation, a layer applied twice) are placed
 * together: one decision for all of them, in which arrays, programming and area count once. For the
 * search they are one unit; the result says again where each of them is. Exact, since what passes
 * between units in one place is free.
 */
import type { Cost } from "./cost/cost.ts";
import {
  TOTALS, totalOf, waysOf, type Assignment, type Unit, type UnitGraph, type Way, type Ways,
} from "./unitGraph.ts";

interface Placed {
  readonly assignment: Assignment;
  readonly ways: Ways;
}

export interface JoinedUnits {
  /** Every group as one unit, under the name of its first. */
  readonly graph: UnitGraph;
  /** A placement of the groups as a placement of units. */
  readonly split: <P extends Placed>(placed: P) => P;
}

const leaderOf = ({ id, tied }: Unit): string => tied ?? id;

/** @returns the graph itself where no units are tied */
export function joinTied(graph: UnitGraph): JoinedUnits {
  if (graph.units.every(({ tied }) => tied === undefined)) {
    return { graph, split: (placed) => placed };
  }
  const groups = new Map<string, Unit[]>();
  for (const unit of graph.units) {
    const group = groups.get(leaderOf(unit));
    if (group) group.push(unit);
    else groups.set(leaderOf(unit), [unit]);
  }
  const leaders = new Map(graph.units.map((unit) => [unit.id, leaderOf(unit)]));
  const named = (id: string): string => leaders.get(id) ?? id;
  const values = graph.values.flatMap((value) => {
    const from = named(value.from);
    const to = [...new Set(value.to.map(named))];
    return to.length === 1 && to[0] === from ? [] : [{ ...value, from, to }];
  });
  return {
    graph: { units: [...groups.values()].map(joined), values },
    split: (placed) => ({
      ...placed,
      assignment: new Map(graph.units.flatMap((unit) => {
        const side = placed.assignment.get(leaderOf(unit));
        return side === undefined ? [] : [[unit.id, side] as const];
      })),
      ways: new Map(graph.units.flatMap((unit) => {
        const way = placed.ways.get(leaderOf(unit));
        const own = way && waysOf(unit).find((one) => isAlike(one, way));
        return own === undefined ? [] : [[unit.id, own] as const];
      })),
    }),
  };
}

const isAlike = (a: Way, b: Way): boolean => a.replicas === b.replicas && a.home === b.home;

function joined(units: readonly Unit[]): Unit {
  const [first] = units as [Unit];
  if (units.length === 1) return first;
  const ways = waysOf(first).map((_, k) =>
    joinedWay(units.map((unit) => waysOf(unit)[k] as Way)));
  const digital = sum(units.map((unit) => unit.digital));
  const [own, ...others] = ways;
  if (own === undefined) return { ...first, digital };
  const { cost, ...rest } = own;
  return { ...first, digital, analog: cost, ...rest, others };
}

/** One after the other on the same arrays. */
function joinedWay(ways: readonly Way[]): Way {
  const [first] = ways as [Way];
  return {
    ...first, cost: sum(ways.map(({ cost }) => cost)),
    arrays: ways.reduce((all, { arrays }) => all + arrays, 0),
    stageS: ways.reduce((all, { stageS, cost }) => all + (stageS ?? cost.latencyS), 0),
  };
}

/** Totals alone: the search reads no terms. */
function sum(costs: readonly Cost[]): Cost {
  const all = { energyJ: 0, latencyS: 0, areaM2: 0, noise: 0 };
  for (const cost of costs) for (const key of TOTALS) all[key] += totalOf(cost, key);
  return { ...all, terms: [] };
}
