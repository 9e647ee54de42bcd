/**
 * The proved-best placement for an additive objective and one analog target: a smallest s-t cut.
 * The source's side is digital, the sink's side analog; a unit's edge to the sink is what it costs
 * to be digital, its edge from the source what it costs to be analog. A value with several
 * consumers gets one auxiliary node per direction, so that it is converted, and paid for, once.
 * (Stone, IEEE Trans. Software Engineering 3, 1977, for two processors; the auxiliary nodes are the
 * usual net model of hypergraph cuts.)
 *
 * Where a unit may be analog in several ways that are all in one place (copies of its arrays), the
 * cheapest way stands for the analog side: what is carried to and from it does not depend on it.
 *
 * Costs are rounded down to whole multiples of a quantum of total/2^50, so the flow is exact and a
 * true lower bound; the gap to the returned placement is below the quantum times the cut edges.
 */
import { InternalError } from "../errors.ts";
import { FlowNetwork, UNCUTTABLE } from "./flow.ts";
import {
  HOST, carry, checkUnitGraph, evaluate, homesOf, waysOf, weigh, withWays,
} from "./unitGraph.ts";
import type {
  Assignment, Placement, Totals, UnitGraph, Way, Ways, Weights,
} from "./unitGraph.ts";

export interface CutResult {
  readonly assignment: Assignment;
  /** Ways of analog units that are not their first: copies, other targets. */
  readonly ways: Ways;
  readonly totals: Totals;
  /** Weighted sum of the totals. */
  readonly objective: number;
  /** No placement is better than this. */
  readonly bound: number;
  /** objective - bound is below the rounding of the capacities. */
  readonly optimal: boolean;
}

/** Finite capacities add up to less than this, so that no sum reaches `UNCUTTABLE`. */
const SCALE = 2 ** 50;

/** Best assignment for non-negative weights; among equals the one with most digital units. */
export function minimumCut(offered: UnitGraph, weights: Weights): CutResult {
  checkUnitGraph(offered);
  const cheapest = cheapestWays(offered, weights);
  const graph = withWays(offered, cheapest);
  const [home = "analog", more] = homesOf(offered);
  if (more !== undefined) throw new InternalError("a cut has two sides, not more");
  const edges = costEdges(graph, weights, home);
  const total = edges.reduce((sum, edge) => sum + edge.cost, 0);
  if (!(total < Infinity) || edges.some((edge) => !(edge.cost >= 0))) {
    throw new InternalError("a cost of the unit graph is negative or not finite");
  }
  const quantum = total === 0 ? 1 : total / SCALE;

  const network = new FlowNetwork();
  const source = network.node();
  const sink = network.node();
  const nodes = new Map<string, number>([[HOST, source]]);
  for (const unit of graph.units) nodes.set(unit.id, network.node());
  const numberOf = (id: string): number => nodes.get(id) as number;

  const end = { source, sink };
  for (const edge of edges) {
    const capacity = Math.floor(edge.cost / quantum);
    if (edge.kind === "unit") {
      const node = numberOf(edge.id);
      if (edge.side === "digital") network.edge(node, end.sink, capacity);
      else network.edge(end.source, node, capacity);
      continue;
    }
    const once = network.node();
    const producer = numberOf(edge.value.from);
    const toAnalog = edge.kind === "toAnalog";
    if (toAnalog) network.edge(producer, once, capacity);
    else network.edge(once, producer, capacity);
    for (const id of edge.value.to) {
      if (toAnalog) network.edge(once, numberOf(id), UNCUTTABLE);
      else network.edge(numberOf(id), once, UNCUTTABLE);
    }
  }
  for (const unit of graph.units) {
    const node = numberOf(unit.id);
    if (unit.analog === undefined || unit.pinned === "digital") {
      network.edge(source, node, UNCUTTABLE);
    } else if (unit.pinned === "analog") network.edge(node, sink, UNCUTTABLE);
  }

  const flow = network.maximise(source, sink);
  if (flow >= SCALE * 2) throw new InternalError("the unit graph has no finite cut");
  const analog = network.reaches(sink);
  const assignment = new Map<string, Placement>(
    graph.units.map((unit) => [
      unit.id,
      analog[numberOf(unit.id)] === true ? "analog" : "digital",
    ]),
  );
  const totals = evaluate(graph, assignment);
  const objective = weigh(totals, weights);
  const bound = Math.min(flow * quantum, objective);
  // Rounding: one quantum per capacity, and a few last places in the sums of floats.
  const slack = edges.length * quantum + objective * edges.length * Number.EPSILON;
  const ways: Ways = new Map([...cheapest].filter(([id]) => assignment.get(id) === "analog"));
  return { assignment, ways, totals, objective, bound, optimal: objective - bound <= slack };
}

/** Of the ways in which each unit may be analog, the cheapest; among equals the first. */
function cheapestWays({ units }: UnitGraph, weights: Weights): Ways {
  const cheapest = new Map<string, Way>();
  for (const unit of units) {
    const [own, ...others] = waysOf(unit);
    if (own === undefined || others.length === 0) continue;
    let best = own;
    for (const way of others) {
      if (weigh(way.cost, weights) < weigh(best.cost, weights)) best = way;
    }
    if (best !== own) cheapest.set(unit.id, best);
  }
  return cheapest;
}

type CostEdge =
  | { readonly kind: "unit"; readonly id: string; readonly side: Placement; readonly cost: number }
  | {
      readonly kind: "toAnalog" | "toDigital";
      readonly value: UnitGraph["values"][number];
      readonly cost: number;
    };

/** Every finite cost of the graph, weighed. Sides that a unit may not take have none. */
function costEdges(graph: UnitGraph, weights: Weights, home: string): CostEdge[] {
  const edges: CostEdge[] = [];
  for (const unit of graph.units) {
    const { id, pinned } = unit;
    if (pinned !== "analog") {
      edges.push({ kind: "unit", id, side: "digital", cost: weigh(unit.digital, weights) });
    }
    if (unit.analog !== undefined && pinned !== "digital") {
      edges.push({ kind: "unit", id, side: "analog", cost: weigh(unit.analog, weights) });
    }
  }
  for (const value of graph.values) {
    const carried = (from: string, to: string): number =>
      carry(value, from, to).reduce((sum, cost) => sum + weigh(cost, weights), 0);
    edges.push({ kind: "toAnalog", value, cost: carried("digital", home) });
    edges.push({ kind: "toDigital", value, cost: carried(home, "digital") });
  }
  return edges;
}
