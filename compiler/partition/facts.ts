/**
 * What the partitioner needs to know of a graph, as plain data: units with their work and shape,
 * values with their bytes. Pricing reads this and nothing else, so one import of a model serves any
 * number of targets, in this thread or in another; the tensor graph stays behind.
 */
import { UserError } from "../errors.ts";
import { productOf } from "../graph/dim.ts";
import { dtypeFacts } from "../graph/dtype.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { ContractionShape, DigitalWork } from "./cost/cost.ts";
import { HOST } from "./unitGraph.ts";
import { originsOf, sameWeights, unitSize, type Unit } from "./units.ts";

export interface UnitFacts {
  readonly id: string;
  /** ONNX nodes, joined with "+". */
  readonly name: string;
  /** Every ONNX node that has a part in the unit. */
  readonly nodes: readonly string[];
  /** What a person writes to mean this unit alone: its contraction's ONNX node, or the id. */
  readonly label: string;
  readonly work: DigitalWork;
  readonly macs: number;
  /** Present when the unit may be analog; `reason` otherwise. */
  readonly shape?: ContractionShape;
  readonly reason?: string;
  /** The first unit with the same weights, which may be this one; absent without weights. */
  readonly sameWeights?: string;
}

export interface ValueFacts {
  readonly name: string;
  /** Unit ids, or the host. */
  readonly from: string;
  readonly to: readonly string[];
  readonly bytes: number;
}

export interface GraphFacts {
  readonly units: readonly UnitFacts[];
  readonly values: readonly ValueFacts[];
}

const bytes = (v: Value): number =>
  (unitSize(productOf(v.type.shape)) * Math.min(dtypeFacts[v.type.dtype].bits, 32)) / 8;

/** The facts of a graph and its units. */
export function factsOf(graph: Graph, units: readonly Unit[]): GraphFacts {
  const hearts = units.map((u) => (u.analog ? u.cluster.heart?.origin[0] : undefined));
  const first = sameWeights(units);
  const count = new Map<string, number>();
  for (const name of hearts) if (name !== undefined) count.set(name, (count.get(name) ?? 0) + 1);
  const facts = units.map((unit, i): UnitFacts => {
    const { id, cluster, work, macs, analog, reason } = unit;
    const nodes = originsOf(cluster);
    const heart = hearts[i];
    // A label stands in a comma-separated list, and must not mean another unit too.
    const usable = heart !== undefined && count.get(heart) === 1 && /^[^,\s]+$/.test(heart);
    return {
      id,
      name: nodes.join("+") || cluster.root.name,
      nodes,
      label: usable && !/^u\d+$/.test(heart) ? heart : id,
      work,
      macs,
      ...(analog ? { shape: analog.shape, sameWeights: first.get(id) as string }
        : { reason: reason ?? "not mappable" }),
    };
  });
  return { units: facts, values: valuesOf(graph, units) };
}

function valuesOf(graph: Graph, units: readonly Unit[]): ValueFacts[] {
  const producer = new Map(units.map((u) => [u.cluster.root, u.id]));
  const readers = new Map<Value, Set<string>>();
  const read = (v: Value, by: string): void => {
    if (v.node?.op === "constant") return;
    readers.set(v, (readers.get(v) ?? new Set()).add(by));
  };
  for (const unit of units) unit.cluster.reads.forEach((v) => read(v, unit.id));
  for (const { value } of graph.outputs) read(value, HOST);
  return [...readers].map(([v, to]) => ({
    name: v.name,
    from: producer.get(v) ?? HOST,
    to: [...to],
    bytes: bytes(v),
  }));
}

/**
 * The units that a person names, each by its id, its label or an ONNX node in it. A node that
 * several units came from means all of them that can be analog.
 * @throws UserError when a name means no unit, or none that can be analog
 */
export function namedUnits(
  facts: GraphFacts, names: readonly string[], option = "--analog-nodes",
): Set<string> {
  const chosen = new Set<string>();
  for (const name of names) {
    const exact = facts.units.find((u) => u.label === name) ??
      facts.units.find((u) => u.id === name);
    const found = exact ? [exact] : facts.units.filter((u) => u.nodes.includes(name));
    const mappable = found.filter((u) => u.shape !== undefined);
    if (mappable.length > 0) {
      mappable.forEach((u) => chosen.add(u.id));
      continue;
    }
    const [first] = found;
    throw new UserError(
      first === undefined
        ? `no unit is or holds the node "${name}"`
        : `"${name}" cannot be analog: ${first.reason}`,
      {
        place: option,
        remedy: "Name contractions with constant weights; crosstie compile lists every unit.",
      },
    );
  }
  return chosen;
}
