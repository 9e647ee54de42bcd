/**
 * From units to the graph that is cut: a cost on each side for every unit, and what it costs to
 * carry each value across. Prices only; `minimumCut.ts` decides.
 */
import type { Target } from "../../targets/schema.ts";
import { productOf } from "../graph/dim.ts";
import { dtypeFacts } from "../graph/dtype.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { analogCost } from "./cost/analog.ts";
import { NO_COST, sumCosts, type Cost } from "./cost/cost.ts";
import { crossingCost, digitalCost } from "./cost/digital.ts";
import {
  HOST,
  type Placement,
  type Unit as PricedUnit,
  type UnitGraph,
  type UnitValue,
} from "./unitGraph.ts";
import { originsOf, unitSize, type Unit } from "./units.ts";

/** Which units a person leaves to the optimiser. */
export type AnalogChoice = "auto" | "all" | "none";

interface AnalogPrice {
  readonly cost: Cost;
  readonly arrays: number;
}

function analogPrice(unit: Unit, target: Target): AnalogPrice | string {
  if (target.kind === "digital") return `${target.name} has no analog arrays`;
  if (!unit.analog) return unit.reason ?? "not mappable";
  const { cost, arrays } = analogCost(unit.analog.shape, target);
  // The epilogue runs at the columns' periphery, on values that are there already.
  const ops = unit.work.ops - 2 * unit.macs;
  const work = { ops, bytesRead: 0, bytesWritten: 0, launches: 0 };
  const epilogue = ops > 0 ? digitalCost(work, target) : NO_COST;
  return { cost: sumCosts([cost, epilogue]), arrays };
}

const pins: Record<AnalogChoice, (canBeAnalog: boolean) => Placement | undefined> = {
  auto: () => undefined,
  all: (canBeAnalog) => (canBeAnalog ? "analog" : undefined),
  none: () => "digital",
};

const bytes = (v: Value): number =>
  (unitSize(productOf(v.type.shape)) * Math.min(dtypeFacts[v.type.dtype].bits, 32)) / 8;

/** @throws UserError when the target's arrays hold no weight at all, or lack a figure */
export function priceUnits(
  graph: Graph,
  units: readonly Unit[],
  target: Target,
  analog: AnalogChoice,
): UnitGraph {
  const priced = units.map((unit): PricedUnit => {
    const name = originsOf(unit.cluster).join("+") || unit.cluster.root.name;
    const base = { id: unit.id, name, digital: digitalCost(unit.work, target) };
    const price = analogPrice(unit, target);
    const pinned = pins[analog](typeof price !== "string");
    const pin = pinned === undefined ? {} : { pinned };
    return typeof price === "string"
      ? { ...base, reason: price, ...pin }
      : { ...base, analog: price.cost, arrays: price.arrays, ...pin };
  });
  const producer = new Map(units.map((u) => [u.cluster.root, u.id]));
  const readers = new Map<Value, Set<string>>();
  const read = (v: Value, by: string): void => {
    if (v.node?.op === "constant") return;
    readers.set(v, (readers.get(v) ?? new Set()).add(by));
  };
  for (const unit of units) unit.cluster.reads.forEach((v) => read(v, unit.id));
  for (const { value } of graph.outputs) read(value, HOST);
  const values = [...readers].map(([v, to]): UnitValue => {
    const cost = target.kind === "hybrid" ? crossingCost(bytes(v), target) : NO_COST;
    return {
      name: v.name,
      from: producer.get(v) ?? HOST,
      to: [...to],
      bytes: bytes(v),
      toAnalog: cost,
      toDigital: cost,
    };
  });
  return { units: priced, values };
}
