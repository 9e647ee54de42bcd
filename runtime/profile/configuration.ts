/**
 * One configuration of one target, profiled: priced, cut, and its front. Pure of files and clocks,
 * so it runs in a worker as it does in the main thread, and its result can be kept.
 */
import { UserError } from "../../compiler/errors.ts";
import { fixedArea } from "../../compiler/partition/cost/digital.ts";
import { paretoFront, type FrontPoint } from "../../compiler/partition/front.ts";
import type { MilpSolver } from "../../compiler/partition/milp.ts";
import { place } from "../../compiler/partition/place.ts";
import { joinTargets } from "../../compiler/partition/mixed.ts";
import { priceFacts, type AnalogChoice, type UnitNoise } from "../../compiler/partition/price.ts";
import { snrDb, unitNoises } from "../../compiler/partition/quality/predict.ts";
import {
  evaluate, withWays, type Assignment, type Totals, type Unit, type UnitGraph, type Ways,
} from "../../compiler/partition/unitGraph.ts";
import type { LoadedTarget } from "../files/targetFiles.ts";
import { withFigures, type Figures } from "../files/targetFigures.ts";
import { arraysOfAll, type Capacity } from "../partition/capacity.ts";
import type { ProfiledModel } from "./model.ts";

/** A placement and what it costs. */
export interface Placed {
  readonly energyJ: number;
  readonly latencyS: number;
  /** With the digital side, which is there whatever runs where. */
  readonly areaM2: number;
  /** Of the model's output, over all analog and digital errors; null where there is none. */
  readonly predictedSnrDb: number | null;
  /** Names that `compile --analog-nodes` understands. */
  readonly analogNodes: readonly string[];
  /** Copies of the weights of those that have more than one. */
  readonly replicas: Readonly<Record<string, number>>;
  /** Of all copies. */
  readonly arrays: number;
}

export interface PlacedPoint extends Placed {
  readonly found: FrontPoint["found"];
}

export interface Profile {
  readonly points: readonly PlacedPoint[];
  /** Least energy; and everything that can be analog, and nothing. */
  readonly optimum: Placed;
  readonly allAnalog: Placed;
  readonly allDigital: Placed;
}

export interface ProfileOptions {
  /** Points to look for on the front. */
  readonly points: number;
  /** Arrays that there are; as many chips as it takes unless given. */
  readonly capacity?: Capacity | undefined;
  /** Copies of a unit's weights to try, at most. */
  readonly replicas: number;
  /** Finds points above the hull; needed with a capacity. */
  readonly solve?: MilpSolver | undefined;
}

/**
 * Profiles one target, or several whose arrays share the units and the first of which runs what is
 * digital.
 * @throws UserError when the target cannot hold the model's weights, or lacks a figure
 */
export function profileTarget(
  model: ProfiledModel, targets: readonly [LoadedTarget, ...LoadedTarget[]],
  { points, capacity, replicas, solve }: ProfileOptions,
): Profile {
  const [{ target }] = targets;
  const noises = targets.map((one) => unitNoises(model.quality.units, one.target, one.device));
  const price = (analog: AnalogChoice, most = 1): UnitGraph =>
    joinTargets(targets.map((one, k) => ({
      name: one.target.name,
      graph: priceFacts(model.facts, one.target, {
        analog, noise: noises[k] as ReadonlyMap<string, UnitNoise>, replicas: { most },
      }),
    })));
  const graph = price("auto");
  // Copies trade area for time; the placement of least energy is compared as `compile` finds it.
  const copied = replicas === 1 ? graph : price("auto", replicas);
  const labels = new Map(model.facts.units.map(({ id, label }) => [id, label]));
  const shown = (assignment: Assignment, ways: Ways, totals: Totals): Placed => {
    const { units } = withWays(graph, ways);
    const analog = units.filter((u) => assignment.get(u.id) === "analog");
    const label = ({ id }: { id: string }): string => labels.get(id) ?? id;
    const placed = (unit: Unit): string =>
      (targets.length === 1 ? label(unit) : `${label(unit)}@${unit.home}`);
    return {
      energyJ: totals.energyJ,
      latencyS: totals.latencyS,
      areaM2: totals.areaM2 + fixedArea(target),
      predictedSnrDb: snrDb(totals.noise ?? 0),
      analogNodes: analog.map(placed),
      replicas: Object.fromEntries(analog.flatMap((u) =>
        ((u.replicas ?? 1) > 1 ? [[label(u), u.replicas as number]] : []))),
      arrays: analog.reduce((sum, u) => sum + (u.arrays ?? 0), 0),
    };
  };
  const pinned = (analog: "all" | "none"): Placed => {
    const { units } = price(analog);
    const assignment = new Map(units.map((u) => [u.id, u.pinned ?? "digital"]));
    return shown(assignment, new Map(), evaluate(graph, assignment));
  };
  // A digital target has nothing to be short of.
  const hybrids = targets.map((one) => one.target).filter(({ kind }) => kind === "hybrid");
  const arrays = hybrids.length === 0 ? undefined
    : arraysOfAll(capacity, targets.map((one) => one.target));
  const optimum = place(graph, "energy", { arrays, solve });
  return {
    points: paretoFront(copied, { points, arrays, solve })
      .map(({ assignment, ways, totals, found }) =>
        ({ ...shown(assignment, ways, totals), found })),
    optimum: shown(optimum.assignment, optimum.ways, optimum.totals),
    allAnalog: pinned("all"),
    allDigital: pinned("none"),
  };
}

/** A target with some figures replaced. */
export interface Configuration {
  /** As the person named it. */
  readonly target: string;
  readonly figures: Figures;
}

/** A configuration's profile, or why there is none. */
export type Configured =
  | (Configuration & { readonly profile: Profile })
  | (Configuration & { readonly error: string });

/** Profiles one configuration; what is wrong with it alone is part of the result. */
export function profileConfiguration(
  model: ProfiledModel, loaded: LoadedTarget, configuration: Configuration,
  options: ProfileOptions,
): Configured {
  try {
    const changed = withFigures(loaded, configuration.figures);
    return { ...configuration, profile: profileTarget(model, [changed], options) };
  } catch (error) {
    if (error instanceof UserError) return { ...configuration, error: error.message };
    throw error;
  }
}
