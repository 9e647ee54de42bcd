/**
 * The HTML report of a profile: the front as charts and as a table with the command of every point,
 * and for a sweep what each figure does to the best placement.
 */
import * as Plot from "@observablehq/plot";
import { si } from "../cli/table.ts";
import type { ProfilePoint, ProfileResult, SweepSummary } from "../api/profile.ts";
import { chart, escape, htmlTable, page } from "./html.ts";

const mm2 = (areaM2: number): string => `${(areaM2 * 1e6).toPrecision(3)} mm²`;
const decibels = (snr: number | null): string => (snr === null ? "exact" : `${snr.toFixed(1)} dB`);

/** Two coordinates of the front, coloured by how much of the model is analog. */
function frontChart(
  points: readonly ProfilePoint[],
  x: { readonly field: "energyJ"; readonly label: string },
  y: { readonly field: "latencyS" | "areaM2" | "predictedSnrDb"; readonly label: string },
): string {
  const shown = points.filter((p) => p[y.field] !== null);
  const targets = [...new Set(points.map((p) => p.target))];
  return chart({
    width: 860,
    height: 360,
    marginLeft: 70,
    x: { type: "log", label: x.label, grid: true, tickFormat: "s" },
    y: y.field === "predictedSnrDb" ? { label: y.label, grid: true }
      : { type: "log", label: y.label, grid: true, tickFormat: "s" },
    color: { scheme: "YlOrRd", label: "units that are analog", legend: false },
    symbol: { domain: targets },
    marks: [
      Plot.dot(shown, {
        x: x.field, y: y.field, symbol: "target",
        fill: (p: ProfilePoint) => p.analogNodes.length, stroke: "#555", r: 5,
        title: (p: ProfilePoint) => `${p.target}: ${si(p.energyJ, "J")}, ` +
          `${si(p.latencyS, "s")}, ${mm2(p.areaM2)}, ${decibels(p.predictedSnrDb)}`,
      }),
    ],
  });
}

/** The best placement of every configuration over one axis; lines join what differs in it alone. */
function axisChart(sweep: SweepSummary, name: string): string {
  const rows = sweep.configurations.flatMap(({ target, figures, optimum }) => {
    if (!optimum) return [];
    const { [name]: value, ...rest } = figures;
    return [{ value, energyJ: optimum.energyJ, snr: optimum.predictedSnrDb,
      series: `${target} ${JSON.stringify(rest)}` }];
  });
  return chart({
    width: 860,
    height: 320,
    marginLeft: 70,
    x: { label: name, grid: true },
    y: { type: "log", label: "least energy per inference, J", grid: true, tickFormat: "s" },
    color: { scheme: "RdYlBu", label: "predicted signal over noise, dB" },
    marks: [
      Plot.line(rows, { x: "value", y: "energyJ", z: "series", stroke: "#bbb", sort: "value" }),
      Plot.dot(rows, { x: "value", y: "energyJ", fill: "snr", stroke: "#555", r: 4 }),
    ],
  });
}

function sweepSection(sweep: SweepSummary): string {
  const names = sweep.axes.map((axis) => axis.name);
  const rows = sweep.configurations.map(({ target, figures, optimum, error }) => [
    escape(target),
    ...names.map((name) => String(figures[name])),
    ...(optimum
      ? [si(optimum.energyJ, "J"), si(optimum.latencyS, "s"), mm2(optimum.areaM2),
        decibels(optimum.predictedSnrDb), String(optimum.arrays)]
      : ["", "", "", "", ""]),
    escape(error ?? ""),
  ]);
  const head = ["target", ...names, "energy", "latency", "area", "quality", "arrays", "why not"];
  return `<h2>Configurations: the placement of least energy</h2>
<p>${sweep.configurations.length} configurations, ${sweep.failed} of them cannot be built.</p>
${names.map((name) => `<figure>${axisChart(sweep, name)}</figure>`).join("\n")}
${htmlTable(head, rows)}`;
}

/** The whole page. */
export function renderProfile(result: ProfileResult): string {
  const { model, points, quality, sweep } = result;
  const energy = { field: "energyJ", label: "energy per inference, J" } as const;
  const rows = points.map((p) => [
    escape([p.target, ...Object.entries(p.figures ?? {}).map(([n, v]) => `${n}=${v}`)].join(" ")),
    si(p.energyJ, "J"), si(p.latencyS, "s"), mm2(p.areaM2), decibels(p.predictedSnrDb),
    String(p.analogNodes.length), `<code>${escape(p.command)}</code>`,
  ]);
  const title = `Profile of ${model}`;
  const charts = points.length < 2 ? "" : [
    frontChart(points, energy, { field: "latencyS", label: "latency per inference, s" }),
    frontChart(points, energy, { field: "areaM2", label: "area, m²" }),
    frontChart(points, energy, {
      field: "predictedSnrDb", label: "predicted signal over noise, dB",
    }),
  ].map((svg) => `<figure>${svg}</figure>`).join("\n");
  return page(title, `<h1>${escape(title)}</h1>
<p>${result.units} units, ${result.mappable} of which arrays can hold. ${points.length} placements
that no other one dominates in energy, latency, area and predicted quality.</p>
<p>Quality: ${escape(quality.basis)}. Not predicted: wire resistance, ageing, mismatch of
converters.</p>
<h2>The front</h2>
${charts}
${htmlTable(["target", "energy", "latency", "area", "quality", "analog units", "command"], rows)}
${sweep ? sweepSection(sweep) : ""}`);
}
