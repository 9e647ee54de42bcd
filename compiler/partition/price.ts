/**
 * From units to the graph that is cut: a cost on each side for every unit, and what it costs to
 * carry each value across. Prices only; `minimumCut.ts` decides.
 */
import type { Target } from "../../targets/schema.ts";
import type { Graph } from "../graph/graph.ts";
import { analogCost } from "./cost/analog.ts";
import { NO_COST, sumCosts, type Cost } from "./cost/cost.ts";
import { crossingCost, digitalCost } from "./cost/digital.ts";
import { factsOf, namedUnits, type GraphFacts, type UnitFacts } from "./facts.ts";
import type { Placement, Unit as PricedUnit, UnitGraph, UnitValue } from "./unitGraph.ts";
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

export interface PriceOptions {
  readonly analog?: AnalogChoice;
  /** Unit id -> its noise on this target; units without an entry add none. */
  readonly noise?: ReadonlyMap<string, UnitNoise>;
}

interface AnalogPrice {
  readonly cost: Cost;
  readonly arrays: number;
}

function analogPrice(unit: UnitFacts, target: Target): AnalogPrice | string {
  if (target.kind === "digital") return `${target.name} has no analog arrays`;
  if (!unit.shape) return unit.reason ?? "not mappable";
  const { cost, arrays } = analogCost(unit.shape, target);
  // The epilogue runs at the columns' periphery, on values that are there already.
  const ops = unit.work.ops - 2 * unit.macs;
  const work = { ops, bytesRead: 0, bytesWritten: 0, launches: 0 };
  const epilogue = ops > 0 ? digitalCost(work, target) : NO_COST;
  return { cost: sumCosts([cost, epilogue]), arrays };
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
 * name in `analog` means no unit that can be analog
 */
export function priceFacts(
  facts: GraphFacts,
  target: Target,
  { analog = "auto", noise }: PriceOptions = {},
): UnitGraph {
  const pin = pinOf(facts, target, analog);
  const units = facts.units.map((unit): PricedUnit => {
    const { id, name } = unit;
    const added = noise?.get(id);
    const digital = { ...digitalCost(unit.work, target), noise: added?.digital };
    const price = analogPrice(unit, target);
    const pinned = pin(unit, typeof price !== "string");
    const base = { id, name, digital, ...(pinned === undefined ? {} : { pinned }) };
    if (typeof price === "string") return { ...base, reason: price };
    return { ...base, analog: { ...price.cost, noise: added?.analog }, arrays: price.arrays };
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
  analog: AnalogChoice,
): UnitGraph => priceFacts(factsOf(graph, units), target, { analog });
