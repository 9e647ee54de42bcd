/**
 * The HTML report of an artifact: one self-contained page, no script and no network. What runs
 * where, at what cost, with which proof, and the command that makes it again. Charts are SVG, drawn
 * by Observable Plot on a DOM that exists only here.
 */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Plan, PlanCost } from "../../compiler/artifact/plan.ts";
import { parseTarget } from "../../targets/target.ts";
import { compileCommandLine } from "../cli/shell.ts";
import { si } from "../cli/table.ts";

const escapes: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escape = (text: string): string => text.replace(/[&<>"']/g, (c) => escapes[c] as string);

/** Rows of already escaped cells. */
function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((c) => `<${tag}>${c}</${tag}>`).join("")}</tr>`;
  return (
    `<table>\n<thead>${line(head, "th")}</thead>\n<tbody>\n` +
    `${rows.map((r) => line(r, "td")).join("\n")}\n</tbody>\n</table>`
  );
}

/** Draws a chart to an SVG string. */
function chart(options: Plot.PlotOptions): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const figure = Plot.plot({ ...options, document: document as unknown as Document });
  figure.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return figure.outerHTML;
}

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

const style = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; } th, td { text-align: left;
  padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
code { background: #f3f3f3; padding: .1rem .3rem; }
.digital { color: #3b6ea8; } .analog { color: #c8702a; }
figure { margin: 0; overflow-x: auto; }
`;

/** The whole page. */
export function renderReport(plan: Plan): string {
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
  const proof = optimal ? "proved optimal by the minimum cut" : `not below ${bound} in any split`;
  const { objective, analog, arrays, figures } = plan.options;
  const command = compileCommandLine({
    model: `${plan.model.name}.onnx`,
    target: target.name,
    objective,
    analog,
    capacity: arrays,
    figures,
  });
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>${escape(plan.model.name)} on ${escape(target.name)}</title>
<style>${style}</style></head>
<body>
<h1>${escape(plan.model.name)} on ${escape(target.name)}</h1>
<p>${escape(target.summary)}</p>
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
</body>
</html>
`;
}
