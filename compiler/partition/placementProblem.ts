/**
 * Placement in general: every unit takes one of several options (a side, a target, a number of
 * replicas), options use resources of which there is only so much, values that pass between places
 * are carried once per place. The minimum cut is the special case of two places, additive cost and
 * no limits; this is what the mixed-integer program solves and what brute force checks.
 */
import { InternalError } from "../errors.ts";
import type {
  Assignment, Placement, Totals, Unit, UnitGraph, Way, Ways, Weights,
} from "./unitGraph.ts";
import {
  HOST, TOTALS, allowed, carry, placeOf, totalOf, unitCost, waysOf, weigh,
} from "./unitGraph.ts";

/** One way to run a unit. */
export interface PlacementOption {
  /** "digital", a target's name, a target's name with replicas. */
  readonly label: string;
  /** Where its values are: options with the same place exchange values for nothing. */
  readonly place: string;
  readonly cost: Totals;
  /** Resource -> amount, against `capacity`. */
  readonly uses?: Readonly<Record<string, number>> | undefined;
  /** Resource -> seconds it is busy per inference, for pipelined throughput. */
  readonly busy?: Readonly<Record<string, number>> | undefined;
}

export interface PlacementUnit {
  readonly id: string;
  readonly options: readonly PlacementOption[];
}

export interface PlacementValue {
  readonly name: string;
  readonly from: string;
  readonly to: readonly string[];
  /** Cost of carrying the value from one place to another, paid once; undefined when free. */
  readonly carry: (from: string, to: string) => Totals | undefined;
}

export interface PlacementProblem {
  readonly units: readonly PlacementUnit[];
  readonly values: readonly PlacementValue[];
  /** Place of the host, where model inputs and outputs are. */
  readonly hostPlace: string;
  readonly capacity: Readonly<Record<string, number>>;
  /** Upper limits on the totals, and on the seconds of the busiest resource. */
  readonly limits?: Limits | undefined;
  /** A weighted sum, or the seconds of the busiest resource (pipelined throughput). */
  readonly objective: Weights | "bottleneck";
}

export interface Limits extends Partial<Totals> {
  readonly bottleneckS?: number | undefined;
}

/** Unit id -> index of its option. */
export type Choice = ReadonlyMap<string, number>;

export interface Outcome {
  readonly totals: Totals;
  /** Resource -> amount used. */
  readonly uses: ReadonlyMap<string, number>;
  /** Seconds of the busiest resource. */
  readonly bottleneckS: number;
}

/** The seconds that carrying values takes, as a resource of the pipeline. */
export const LINK = "@link";

export function optionOf(unit: PlacementUnit, choice: Choice): PlacementOption {
  const option = unit.options[choice.get(unit.id) ?? 0];
  if (option === undefined) throw new InternalError(`unit ${unit.id} has no option chosen`);
  return option;
}

/** What a choice amounts to. */
export function outcome(problem: PlacementProblem, choice: Choice): Outcome {
  const totals = { energyJ: 0, latencyS: 0, areaM2: 0, noise: 0 };
  const uses = new Map<string, number>();
  const busy = new Map<string, number>();
  const place = new Map<string, string>([[HOST, problem.hostPlace]]);
  const add = (cost: Totals): void => {
    for (const key of TOTALS) totals[key] += totalOf(cost, key);
  };
  const count = (map: Map<string, number>, part: Readonly<Record<string, number>> = {}): void => {
    for (const [key, amount] of Object.entries(part)) map.set(key, (map.get(key) ?? 0) + amount);
  };
  for (const unit of problem.units) {
    const option = optionOf(unit, choice);
    place.set(unit.id, option.place);
    add(option.cost);
    count(uses, option.uses);
    count(busy, option.busy);
  }
  for (const value of problem.values) {
    const from = place.get(value.from) as string;
    for (const to of new Set(value.to.map((id) => place.get(id) as string))) {
      const cost = to === from ? undefined : value.carry(from, to);
      if (cost === undefined) continue;
      add(cost);
      count(busy, { [LINK]: cost.latencyS });
    }
  }
  return { totals, uses, bottleneckS: Math.max(0, ...busy.values()) };
}

/** The number that a problem minimises. */
export function objectiveOf(problem: PlacementProblem, result: Outcome): number {
  if (problem.objective === "bottleneck") return result.bottleneckS;
  return weigh(result.totals, problem.objective);
}

/** True when capacities and limits hold, to a relative slack for sums of floats. */
export function feasible(problem: PlacementProblem, result: Outcome, slack = 1e-9): boolean {
  for (const [resource, capacity] of Object.entries(problem.capacity)) {
    if ((result.uses.get(resource) ?? 0) > capacity * (1 + slack)) return false;
  }
  if (result.bottleneckS > (problem.limits?.bottleneckS ?? Infinity) * (1 + slack)) return false;
  return TOTALS.every((key) => {
    const limit = problem.limits?.[key];
    return limit === undefined || totalOf(result.totals, key) <= limit * (1 + slack);
  });
}

/** Arrays that there are, by analog target; one number where there is only one. */
export type Arrays = number | Readonly<Record<string, number>>;

export interface FromGraph {
  /** No limit unless given. */
  readonly arrays?: Arrays | undefined;
  readonly limits?: Limits | undefined;
  readonly objective: Weights | "bottleneck";
}

/** A unit's sides, the analog one in each of its ways. */
const sidesOf = (unit: Unit): { side: Placement; way?: Way }[] =>
  allowed(unit).flatMap((side): { side: Placement; way?: Way }[] =>
    (side === "digital" ? [{ side }] : waysOf(unit).map((way) => ({ side, way }))));

/** The resource that the arrays of a target are. */
const arraysOf = (home?: string): string => (home === undefined ? "arrays" : `arrays of ${home}`);

/** A unit graph (digital and analog targets) as a placement problem, with its capacity. */
export function problemOf(
  graph: UnitGraph,
  { arrays, limits, objective }: FromGraph,
): PlacementProblem {
  return {
    units: graph.units.map((unit) => ({
      id: unit.id,
      options: sidesOf(unit).map(({ side, way }): PlacementOption => {
        if (way === undefined) {
          const cost = unitCost(unit, side);
          return { label: side, place: side, cost, busy: { digital: cost.latencyS } };
        }
        const { cost, home, replicas, stageS = cost.latencyS } = way;
        const place = placeOf(side, home);
        return {
          label: replicas === 1 ? place : `${place} x ${replicas}`,
          place, cost,
          busy: { [`stage of ${unit.id}`]: stageS },
          uses: { [arraysOf(home)]: way.arrays },
        };
      }),
    })),
    values: graph.values.map((value) => ({
      name: value.name,
      from: value.from,
      to: value.to,
      carry: (from, to) => total(carry(value, from, to)),
    })),
    hostPlace: "digital",
    capacity: arrays === undefined ? {} : typeof arrays === "number" ? { arrays }
      : Object.fromEntries(Object.entries(arrays).map(([home, n]) => [arraysOf(home), n])),
    limits,
    objective,
  };
}

function total(costs: readonly Totals[]): Totals | undefined {
  const [first, ...more] = costs;
  return more.length === 0 ? first : costs.reduce((sum, cost) => ({
    energyJ: sum.energyJ + cost.energyJ,
    latencyS: sum.latencyS + cost.latencyS,
    areaM2: sum.areaM2 + cost.areaM2,
    noise: totalOf(sum, "noise") + totalOf(cost, "noise"),
  }));
}

/** What a choice of `problemOf`'s options means for the graph. */
export function placementOf(
  graph: UnitGraph, choice: Choice,
): { assignment: Assignment; ways: Ways } {
  const assignment = new Map<string, Placement>();
  const ways = new Map<string, Way>();
  for (const unit of graph.units) {
    const chosen = sidesOf(unit)[choice.get(unit.id) ?? 0];
    if (chosen === undefined) throw new InternalError(`unit ${unit.id} has no such option`);
    assignment.set(unit.id, chosen.side);
    if (chosen.way && !isOwn(chosen.way, unit)) ways.set(unit.id, chosen.way);
  }
  return { assignment, ways };
}

const isOwn = ({ replicas, home }: Way, unit: Unit): boolean =>
  replicas === (unit.replicas ?? 1) && home === unit.home;
