/**
 * From units to the graph that is cut: a cost on each side for every unit, and what it costs to
 * carry each value across. Prices only; `minimumCut.ts` decides.
 */
import type { HybridTarget, Target } from "../../targets/schema.ts";
import { UserError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import { analogCost } from "./cost/analog.ts";
import { NO_COST, sumCosts } from "./cost/cost.ts";
import { crossingCost, digitalCost } from "./cost/digital.ts";
import { factsOf, namedUnits, type GraphFacts, type UnitFacts } from "./facts.ts";
import type { Placement, Unit as PricedUnit, UnitGraph, UnitValue, Way } from "./unitGraph.ts";
import type { Unit } from "./units.ts";

/**
 * Which units a person leaves to the optimiser: all of them, or none because every mappable unit is
 * to be analog, or none is, or exactly the named ones (unit ids or ONNX nodes).
 */
export type AnalogChoice = "auto" | "all" | "none" | readonly string[];

/** Error power that a unit adds at the model's output, over the signal's, on each side. */
export interface UnitNoise {
  readonly digital: number;
  readonly analog: number;
}

/** Copies of a unit's weights that share its products. */
export interface Replicas {
  /** The optimiser chooses up to this many, in powers of two; 1 unless given. */
  readonly most?: number | undefined;
  /** Exactly so many, by ONNX node or unit id. */
  readonly exactly?: Readonly<Record<string, number>> | undefined;
}

export interface PriceOptions {
  readonly analog?: AnalogChoice;
  /** Unit id -> its noise on this target; units without an entry add none. */
  readonly noise?: ReadonlyMap<string, UnitNoise>;
  readonly replicas?: Replicas;
}

type Shape = NonNullable<UnitFacts["shape"]>;

interface WayOptions {
  /** Copies of the weights. */
  readonly replicas: number;
  readonly isShared: boolean;
  readonly noise?: UnitNoise | undefined;
}

/** What a unit costs on a target's arrays. */
function wayOn(
  target: HybridTarget, unit: UnitFacts, shape: Shape, { replicas, isShared, noise }: WayOptions,
): Way {
  const { cost, arrays, stageS } = analogCost(shape, target, { replicas, isShared });
  // The epilogue runs at the columns' periphery, on values that are there already.
  const ops = unit.work.ops - 2 * unit.macs;
  const work = { ops, bytesRead: 0, bytesWritten: 0, launches: 0 };
  const epilogue = ops > 0 ? digitalCost(work, target) : NO_COST;
  return {
    cost: { ...sumCosts([cost, epilogue]), noise: noise?.analog },
    arrays, replicas, stageS: stageS + epilogue.latencyS,
  };
}

/** Powers of two above one, and the limit itself; more copies than products have nothing to do. */
function copiesUpTo(most: number, products: number): number[] {
  const limit = Math.min(most, products);
  const powers: number[] = [];
  for (let n = 2; n < limit; n *= 2) powers.push(n);
  return limit > 1 ? [...powers, limit] : [];
}

/**
 * Unit id -> copies that were asked for by name.
 * @throws UserError when a unit has fewer products to share than it is to have copies
 */
function exactCopies(
  facts: GraphFacts, exactly: NonNullable<Replicas["exactly"]>,
): Map<string, number> {
  const products = new Map(facts.units.map(({ id, shape }) => [id, shape?.vectors ?? 0]));
  return new Map(Object.entries(exactly).flatMap(([name, count]) =>
    [...namedUnits(facts, [name], "--replicate")].map((id) => {
      const most = products.get(id) as number;
      if (count <= most) return [id, count] as const;
      throw new UserError(`"${name}" has ${most} products per inference for ${count} copies`, {
        place: "--replicate", remedy: `Give it at most ${most}.`,
      });
    })));
}

/** Every way in which a unit may be analog on a target, or why there is none. */
function waysOn(
  target: Target, unit: UnitFacts, exact: number | undefined, most: number,
  options: Omit<WayOptions, "replicas">,
): readonly [Way, ...Way[]] | string {
  if (target.kind === "digital") return `${target.name} has no analog arrays`;
  const { shape } = unit;
  if (!shape) return unit.reason ?? "not mappable";
  const way = (replicas: number): Way => wayOn(target, unit, shape, { ...options, replicas });
  if (exact !== undefined) return [way(exact)];
  return [way(1), ...copiesUpTo(most, shape.vectors).map(way)];
}

type Pin = (unit: UnitFacts, canBeAnalog: boolean) => Placement | undefined;

const pins: Record<"auto" | "all" | "none", Pin> = {
  auto: () => undefined,
  all: (_, canBeAnalog) => (canBeAnalog ? "analog" : undefined),
  none: () => "digital",
};

function pinOf(facts: GraphFacts, target: Target, choice: AnalogChoice): Pin {
  if (typeof choice === "string") return pins[choice];
  const named = namedUnits(facts, choice);
  if (target.kind === "digital") return pins.none;
  return ({ id }) => (named.has(id) ? "analog" : "digital");
}

/**
 * Prices a graph's facts on a target.
 * @throws UserError when the target's arrays hold no weight at all, or lack a figure, or when a
 * name in `analog` or `replicas` means no unit that can be analog, or not in so many copies
 */
export function priceFacts(
  facts: GraphFacts,
  target: Target,
  { analog = "auto", noise, replicas = {} }: PriceOptions = {},
): UnitGraph {
  const pin = pinOf(facts, target, analog);
  const exact = exactCopies(facts, replicas.exactly ?? {});
  const owners = new Map<string, string>();
  const units = facts.units.map((unit): PricedUnit => {
    const { id, name } = unit;
    const added = noise?.get(id);
    const digital = { ...digitalCost(unit.work, target), noise: added?.digital };
    const pinned = pin(unit, target.kind === "hybrid" && unit.shape !== undefined);
    // Units with the same weights share arrays, unless a person wants them in different places.
    const asked = `${unit.sameWeights} ${pinned ?? ""} ${exact.get(id) ?? ""}`;
    const owner = unit.sameWeights === undefined ? id : owners.get(asked) ?? id;
    owners.set(asked, owner);
    const ways = waysOn(target, unit, exact.get(id), replicas.most ?? 1,
      { isShared: owner !== id, noise: added });
    const base = {
      id, name, digital, ...(pinned === undefined ? {} : { pinned }),
      ...(owner === id ? {} : { tied: owner }),
    };
    if (typeof ways === "string") return { ...base, reason: ways };
    const [{ cost, ...own }, ...others] = ways;
    return { ...base, analog: cost, ...own, ...(others.length === 0 ? {} : { others }) };
  });
  const values = facts.values.map((value): UnitValue => {
    const cost = target.kind === "hybrid" ? crossingCost(value.bytes, target) : NO_COST;
    return { ...value, toAnalog: cost, toDigital: cost };
  });
  return { units, values };
}

/** As `priceFacts`, from the graph itself. */
export const priceUnits = (
  graph: Graph,
  units: readonly Unit[],
  target: Target,
  options: PriceOptions,
): UnitGraph => priceFacts(factsOf(graph, units), target, options);
