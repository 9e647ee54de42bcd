/** The partition as a person reads it: what runs where, at what price, and why. */
import type { Cost } from "../../compiler/partition/cost/cost.ts";
import type { CutResult } from "../../compiler/partition/minimumCut.ts";
import { crossing, HOST, type Unit, type UnitGraph } from "../../compiler/partition/unitGraph.ts";
import { si, table } from "./table.ts";

function why(unit: Unit, placement: string): string {
  if (unit.reason !== undefined) return unit.reason;
  if (unit.pinned !== undefined) return `pinned: asked to be ${unit.pinned}`;
  const [d, a] = [unit.digital.energyJ, unit.analog?.energyJ ?? Infinity];
  const cheaper = a < d ? "analog" : "digital";
  const larger = Math.max(a / d, d / a);
  const ratio = larger < 10 ? larger.toPrecision(2) : String(Math.round(larger));
  if (cheaper === placement) return `${ratio}x less energy than the other side`;
  return `costs ${ratio}x the energy, but saves crossings or latency`;
}

export function partitionTable(graph: UnitGraph, cut: CutResult): string {
  return table(
    ["unit", "nodes", "runs", "digital", "analog", "why"],
    graph.units.map((u) => {
      const placement = cut.assignment.get(u.id) ?? "digital";
      return [
        u.id,
        shorten(u.name, 44),
        placement,
        si(u.digital.energyJ, "J"),
        u.analog ? si(u.analog.energyJ, "J") : "-",
        why(u, placement),
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

/** Every term of every unit on both sides, and of every crossing. */
export function explainPlacement(graph: UnitGraph, cut: CutResult): string {
  const units = graph.units.flatMap((u) => {
    const placement = cut.assignment.get(u.id) ?? "digital";
    return [
      `${u.id} ${u.name}: ${placement} (${why(u, placement)})`,
      ...costLines("digital", u.digital),
      ...(u.analog ? costLines("analog", u.analog) : []),
    ];
  });
  const values = graph.values.flatMap((v) => {
    const cost = crossing(v, cut.assignment);
    const from = v.from === HOST ? "host" : v.from;
    return cost
      ? [`${v.name}: crosses from ${from} to ${v.to.join(", ")}`, ...costLines("link", cost)]
      : [];
  });
  return [...units, ...values].join("\n");
}
