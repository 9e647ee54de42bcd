/**
 * The HTML report of an artifact: one self-contained page, no script and no network. What runs
 * where, at what cost, with which proof, and the command that makes it again.
 */
import * as Plot from "@observablehq/plot";
import type { Plan, PlanCost } from "../../compiler/artifact/plan.ts";
import { parseTarget } from "../../targets/target.ts";
import { compileCommandLine } from "../cli/shell.ts";
import { si } from "../cli/table.ts";
import { chipSection, chipStyle, type ChipPicture } from "./chipSection.ts";
import { chart, escape, htmlTable, page } from "./html.ts";

const colours = { domain: ["digital", "analog"], range: ["#3b6ea8", "#c8702a"], legend: false };

/** Energy of every unit on both sides: the choice that the partitioner had. */
function energyChart(plan: Plan): string {
  const { units } = plan.partition;
  const bars = units
    .flatMap((u) => [
      { unit: u.id, side: "digital", energyJ: u.digital.energyJ },
      ...(u.analog ? [{ unit: u.id, side: "analog", energyJ: u.analog.energyJ }] : []),
    ])
    .filter((b) => b.energyJ > 0);
  return chart({
    width: 860,
    height: 60 + 22 * units.length,
    marginLeft: 60,
    x: { type: "log", label: "energy per inference, J", grid: true, tickFormat: "s" },
    y: { label: null },
    fy: { label: null, domain: units.map((u) => u.id) },
    color: colours,
    marks: [Plot.dot(bars, { x: "energyJ", fy: "unit", fill: "side", r: 5 })],
  });
}

/** Where the chosen placement spends its energy and time. */
function segmentChart(plan: Plan, field: keyof PlanCost, label: string): string {
  return chart({
    width: 860,
    height: 60 + 18 * plan.segments.length,
    marginLeft: 60,
    x: { label, grid: true, tickFormat: "s" },
    y: { label: null, domain: plan.segments.map((s) => s.id) },
    color: colours,
    marks: [
      Plot.barX(plan.segments, {
        x: (s: Plan["segments"][number]) => s.cost[field],
        y: "id",
        fill: "kind",
      }),
    ],
  });
}

/**
 * The whole page.
 * @param chip a simulated chip to show; without it the page says how to have one
 */
export function renderReport(plan: Plan, chip?: ChipPicture): string {
  const target = parseTarget(plan.target, "plan.json: target");
  const { energyJ, latencyS, areaM2 } = plan.cost;
  const units = plan.partition.units.map((u) => [
    escape(u.id),
    escape(u.name),
    `<span class="${u.placement}">${u.placement}</span>`,
    si(u.digital.energyJ, "J"),
    u.analog ? si(u.analog.energyJ, "J") : "",
    escape(u.reason ?? ""),
  ]);
  const segments = plan.segments.map((s) => [
    escape(s.id),
    `<span class="${s.kind}">${s.kind}</span>`,
    escape(s.nodes.join(", ")),
    String(s.macs),
    si(s.cost.energyJ, "J"),
    si(s.cost.latencyS, "s"),
  ]);
  const { optimal, bound } = plan.partition;
  const proof = optimal ? "proved optimal" : `not below ${bound} in any split`;
  const targets = [target, ...(plan.others ?? []).map((other, i) =>
    parseTarget(other.target, `plan.json: others.${i}.target`))];
  const { objective, analog, arrays, replicas, figures } = plan.options;
  const command = compileCommandLine({
    model: `${plan.model.name}.onnx`,
    target: targets.map(({ name }) => name).join(","),
    objective,
    analog,
    capacity: arrays,
    replicas,
    figures,
  });
  const title = `${plan.model.name} on ${targets.map(({ name }) => name).join(" and ")}`;
  return page(title, `<h1>${escape(title)}</h1>
${targets.map(({ summary }) => `<p>${escape(summary)}</p>`).join("\n")}
<p>${plan.model.parameters} parameters, ${plan.tiles} tiles. One inference:
<b>${si(energyJ, "J")}</b>, <b>${si(latencyS, "s")}</b>, on ${(areaM2 * 1e6).toPrecision(3)} mm².
The split minimises ${objective} and is ${proof}.</p>
<p>Made by <code>${escape(command)}</code> (${escape(plan.generator)}).</p>
<h2>Segments in order</h2>
${htmlTable(["segment", "kind", "nodes", "MACs", "energy", "latency"], segments)}
<h2>Energy by segment</h2>
<figure>${segmentChart(plan, "energyJ", "energy per inference, J")}</figure>
<h2>Latency by segment</h2>
<figure>${segmentChart(plan, "latencyS", "latency per inference, s")}</figure>
<h2>Units and the choice they had</h2>
<figure>${energyChart(plan)}</figure>
${htmlTable(["unit", "nodes", "runs", "digital", "analog", "why it cannot be analog"], units)}
${chip ? chipStyle + chipSection(chip) : plan.tiles > 0 ? HOW_TO_SEE : ""}`);
}

const HOW_TO_SEE = `<p>For the conductances and voltages of every tile as a simulated chip has
them: <code>crosstie report FOLDER</code>.</p>`;
