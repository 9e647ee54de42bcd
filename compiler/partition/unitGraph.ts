/**
 * What is placed: units with a cost on each side, and the values that pass between them. A value is
 * converted once however many consumers read it on the other side. Knows nothing of the tensor
 * graph; block formation makes one of these from it.
 */
import { InternalError } from "../errors.ts";
import type { Cost } from "./cost/cost.ts";

export type Placement = "digital" | "analog";

export interface Unit {
  readonly id: string;
  readonly name: string;
  readonly digital: Cost;
  /** Absent when the unit cannot be analog; `reason` then says why. */
  readonly analog?: Cost | undefined;
  readonly reason?: string | undefined;
  /** Arrays that the analog placement occupies. */
  readonly arrays?: number | undefined;
  /** Copies of the weights among them, which share the products of an inference; 1 unless given. */
  readonly replicas?: number | undefined;
  /** Seconds between two inferences on the arrays alone; the latency unless given. */
  readonly stageS?: number | undefined;
  /** The analog target that the analog placement is on, where there are several. */
  readonly home?: string | undefined;
  /** Other ways to be analog: with more copies, or on another target. */
  readonly others?: readonly Way[] | undefined;
  /** The unit whose arrays hold its weights too; its own ways then count no arrays or area. */
  readonly tied?: string | undefined;
  /** Asked for by the person: no other placement is tried. */
  readonly pinned?: Placement | undefined;
}

/** One way for a unit to be analog. */
export interface Way {
  readonly cost: Cost;
  readonly arrays: number;
  readonly replicas: number;
  readonly stageS?: number | undefined;
  readonly home?: string | undefined;
}

/** Unit id -> the way it is analog, where that is not its first. */
export type Ways = ReadonlyMap<string, Way>;

/** The ways in which a unit may be analog: its own, then the others. */
export function waysOf({ analog, arrays, replicas, stageS, home, others }: Unit): Way[] {
  if (analog === undefined) return [];
  const own: Way = { cost: analog, arrays: arrays ?? 0, replicas: replicas ?? 1, stageS, home };
  return [own, ...(others ?? [])];
}

/** The analog places that units may be in: one, or several analog targets. */
export const homesOf = ({ units }: UnitGraph): Set<string> =>
  new Set(units.flatMap((unit) => waysOf(unit).map(({ home }) => placeOf("analog", home))));

/** The graph with ways decided: each unit has the one that is named, or its first. */
export function withWays(graph: UnitGraph, ways: Ways): UnitGraph {
  return {
    ...graph,
    units: graph.units.map(({ others: _, ...unit }) => {
      const way = ways.get(unit.id);
      if (way === undefined) return unit;
      const { cost, ...rest } = way;
      return { ...unit, analog: cost, ...rest };
    }),
  };
}

/** The host: model inputs come from it, model outputs go to it. It is digital. */
export const HOST = "@host";

/** A value made by one unit (or the host) and read by others. */
export interface UnitValue {
  readonly name: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly bytes: number;
  /** Paid once when the producer is digital and some consumer analog. */
  readonly toAnalog: Cost;
  /** Paid once when the producer is analog and some consumer digital. */
  readonly toDigital: Cost;
  /** The same for each analog target, where there are several. */
  readonly links?: Readonly<Record<string, Pick<UnitValue, "toAnalog" | "toDigital">>> | undefined;
}

export interface UnitGraph {
  readonly units: readonly Unit[];
  readonly values: readonly UnitValue[];
}

/** Weights of an additive objective: per joule, per second, per square metre, per noise. */
export interface Weights {
  readonly energy: number;
  readonly latency: number;
  readonly area: number;
  readonly noise?: number | undefined;
}

export const ENERGY: Weights = { energy: 1, latency: 0, area: 0 };
export const LATENCY: Weights = { energy: 0, latency: 1, area: 0 };
export const AREA: Weights = { energy: 0, latency: 0, area: 1 };
export const NOISE: Weights = { energy: 0, latency: 0, area: 0, noise: 1 };

/**
 * Energy, latency and area of a whole placement, and the error power over the signal power at the
 * model's output (independent errors add). Noise that nobody predicted counts as none.
 */
export interface Totals {
  readonly energyJ: number;
  readonly latencyS: number;
  readonly areaM2: number;
  readonly noise?: number | undefined;
}

/** The names of the totals, for rules that hold for each of them. */
export const TOTALS = ["energyJ", "latencyS", "areaM2", "noise"] as const;

/** One of the totals; noise that was not predicted is 0. */
export const totalOf = (totals: Totals, key: keyof Totals): number => totals[key] ?? 0;

/** The weighted sum that an additive objective minimises. */
export function weigh(cost: Totals, weights: Weights): number {
  return (
    cost.energyJ * weights.energy +
    cost.latencyS * weights.latency +
    cost.areaM2 * weights.area +
    (cost.noise ?? 0) * (weights.noise ?? 0)
  );
}

/** Unit id -> side. */
export type Assignment = ReadonlyMap<string, Placement>;

/** Sides that a unit may take. */
export function allowed(unit: Unit): readonly Placement[] {
  if (unit.pinned !== undefined) return [unit.pinned];
  return unit.analog === undefined ? ["digital"] : ["digital", "analog"];
}

/** Where a unit's values are: units in one place exchange them for nothing. */
export const placeOf = (side: Placement, home?: string): string =>
  side === "digital" ? "digital" : (home ?? "analog");

/** What carrying a value from one place to another costs; between targets it passes the host. */
export function carry(value: UnitValue, from: string, to: string): readonly Cost[] {
  const at = (place: string): Pick<UnitValue, "toAnalog" | "toDigital"> =>
    value.links?.[place] ?? value;
  return [
    ...(from === "digital" ? [] : [at(from).toDigital]),
    ...(to === "digital" ? [] : [at(to).toAnalog]),
  ];
}

/** What a value pays under an assignment: once for every other place that reads it. */
export function crossings(graph: UnitGraph, assignment: Assignment): Map<UnitValue, Cost[]> {
  const homes = new Map(graph.units.map(({ id, home }) => [id, home]));
  const at = (id: string): string =>
    id === HOST ? "digital" : placeOf(assignment.get(id) ?? "digital", homes.get(id));
  const found = new Map<UnitValue, Cost[]>();
  for (const value of graph.values) {
    const from = at(value.from);
    const places = new Set(value.to.map(at));
    places.delete(from);
    if (places.size > 0) found.set(value, [...places].flatMap((to) => carry(value, from, to)));
  }
  return found;
}

/** Totals of an assignment: units on their sides, and every value that crosses, once. */
export function evaluate(graph: UnitGraph, assignment: Assignment, ways?: Ways): Totals {
  const decided = ways === undefined || ways.size === 0 ? graph : withWays(graph, ways);
  let energyJ = 0;
  let latencyS = 0;
  let areaM2 = 0;
  let noise = 0;
  const add = (cost: Totals): void => {
    energyJ += cost.energyJ;
    latencyS += cost.latencyS;
    areaM2 += cost.areaM2;
    noise += cost.noise ?? 0;
  };
  for (const unit of decided.units) add(unitCost(unit, assignment.get(unit.id) ?? "digital"));
  for (const costs of crossings(decided, assignment).values()) costs.forEach(add);
  return { energyJ, latencyS, areaM2, noise };
}

/** A unit's cost on a side. */
export function unitCost(unit: Unit, side: Placement): Cost {
  const cost = side === "digital" ? unit.digital : unit.analog;
  if (cost === undefined) throw new InternalError(`unit ${unit.id} has no analog cost`);
  return cost;
}

/** Throws when an id is used twice, a value names an unknown unit, or a pin cannot be kept. */
export function checkUnitGraph(graph: UnitGraph): void {
  const ids = new Set<string>([HOST]);
  for (const unit of graph.units) {
    if (ids.has(unit.id)) throw new InternalError(`unit id ${unit.id} is used twice`);
    ids.add(unit.id);
    if (unit.pinned === "analog" && unit.analog === undefined) {
      throw new InternalError(`unit ${unit.id} is pinned to analog but has no analog cost`);
    }
  }
  for (const value of graph.values) {
    for (const id of [value.from, ...value.to]) {
      if (!ids.has(id)) throw new InternalError(`value ${value.name} names unknown unit ${id}`);
    }
  }
}
