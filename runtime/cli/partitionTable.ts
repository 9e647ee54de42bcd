/** The partition as a person reads it: what runs where, at what price, and why. */
import type { Cost } from "../../compiler/partition/cost/cost.ts";
import type { TrainingCost } from "../../compiler/partition/cost/training.ts";
import type { CutResult } from "../../compiler/partition/minimumCut.ts";
import type { Objective } from "../../compiler/partition/place.ts";
import {
  crossings, HOST, type Placement, type Unit, type UnitGraph,
} from "../../compiler/partition/unitGraph.ts";
import { si, table } from "./table.ts";

/** What an objective compares of a unit on its own. */
interface Measure {
  readonly of: (cost: Cost) => number;
  readonly unit: string;
  readonly word: string;
  /** What a side may be worth in spite of it. */
  readonly but: string;
}

const measures: Record<Objective, Measure> = {
  energy: { of: (c) => c.energyJ, unit: "J", word: "energy", but: "saves crossings or arrays" },
  latency: { of: (c) => c.latencyS, unit: "s", word: "time", but: "saves crossings or arrays" },
  edp: {
    of: (c) => c.energyJ * c.latencyS, unit: "J s", word: "energy x time",
    but: "serves the product of the sums",
  },
  throughput: {
    of: (c) => c.latencyS, unit: "s", word: "time", but: "relieves the busiest resource",
  },
};

function why(unit: Unit, placement: string, { of, word, but }: Measure): string {
  if (unit.reason !== undefined) return unit.reason;
  if (unit.pinned !== undefined) return `pinned: asked to be ${unit.pinned}`;
  const [d, a] = [of(unit.digital), unit.analog === undefined ? Infinity : of(unit.analog)];
  const cheaper = a < d ? "analog" : "digital";
  const larger = Math.max(a / d, d / a);
  const ratio = larger < 10 ? larger.toPrecision(2) : String(Math.round(larger));
  if (cheaper === placement) return `${ratio}x less ${word} than the other side`;
  return `costs ${ratio}x the ${word}, but ${but}`;
}

/** "analog", on which target, and in how many copies. */
function placedText({ home, replicas = 1 }: Unit, placement: Placement): string {
  if (placement === "digital") return placement;
  return `${home ?? placement}${replicas > 1 ? ` x ${replicas}` : ""}`;
}

export function partitionTable(graph: UnitGraph, cut: CutResult, objective: Objective): string {
  const measure = measures[objective];
  return table(
    ["unit", "nodes", "runs", "digital", "analog", "why"],
    graph.units.map((u) => {
      const placement = cut.assignment.get(u.id) ?? "digital";
      return [
        u.id,
        shorten(u.name, 44),
        placedText(u, placement),
        si(measure.of(u.digital), measure.unit),
        u.analog ? si(measure.of(u.analog), measure.unit) : "-",
        why(u, placement, measure),
      ];
    }),
  );
}

const shorten = (text: string, most: number): string =>
  text.length <= most ? text : `${text.slice(0, most - 3)}...`;

function costLines(title: string, cost: Cost): string[] {
  const total =
    `${si(cost.energyJ, "J")}, ${si(cost.latencyS, "s")}, ` +
    `${(cost.areaM2 * 1e6).toPrecision(3)} mm2`;
  return [
    `  ${title}: ${total}`,
    ...cost.terms.map((t) => {
      const sums = `[${si(t.energyJ, "J")}, ${si(t.latencyS, "s")}]`;
      return `    ${t.name}: ${t.formula}  ${sums}  (${t.source})`;
    }),
  ];
}

/** Every term of a training step. */
export function trainingLines({ analog, digital, boundary, step }: TrainingCost): string[] {
  const phases = `free phase of ${step.freeSweeps} sweeps, ${step.nudges} nudged phases of ` +
    `${step.nudgedSweeps}`;
  return [
    `one training step on one sample (${phases}; digital units forward and backward)`,
    ...costLines("analog units", analog), ...costLines("digital units", digital),
    ...costLines("boundary", boundary),
  ];
}

/** Every term of every unit on both sides, and of every crossing. */
export function explainPlacement(
  graph: UnitGraph, cut: CutResult, objective: Objective,
): string {
  const measure = measures[objective];
  const units = graph.units.flatMap((u) => {
    const placement = cut.assignment.get(u.id) ?? "digital";
    return [
      `${u.id} ${u.name}: ${placedText(u, placement)} (${why(u, placement, measure)})`,
      ...costLines("digital", u.digital),
      ...(u.analog ? costLines("analog", u.analog) : []),
    ];
  });
  const values = [...crossings(graph, cut.assignment)].flatMap(([v, costs]) => [
    `${v.name}: crosses from ${v.from === HOST ? "host" : v.from} to ${v.to.join(", ")}`,
    ...costs.flatMap((cost) => costLines("link", cost)),
  ]);
  return [...units, ...values].join("\n");
}
