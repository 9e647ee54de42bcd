/** A profile as comma-separated values: one line per point, or per configuration of a sweep. */
import type { ProfileResult } from "../api/profile.ts";
import type { Placed } from "./configuration.ts";

type Cell = string | number | null | undefined;

/** RFC 4180: quoted where it has to be, quotes doubled. */
function cell(value: Cell): string {
  if (value === null || value === undefined) return "";
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const line = (cells: readonly Cell[]): string => cells.map(cell).join(",");

const PLACED = [
  "energyJ", "latencyS", "areaM2", "predictedSnrDb", "arrays", "analogNodes", "replicas",
];

const placed = (p: Placed): Cell[] =>
  [p.energyJ, p.latencyS, p.areaM2, p.predictedSnrDb, p.arrays, p.analogNodes.join(" "),
    pairs(p.replicas)];

/** `name=4 other=2`. */
const pairs = (numbers: Readonly<Record<string, number>> = {}): string =>
  Object.entries(numbers).map(([name, n]) => `${name}=${n}`).join(" ");

export function profileCsv({ points, sweep }: ProfileResult): string {
  if (sweep === undefined) {
    return [
      line(["target", "figures", ...PLACED, "found", "command"]),
      ...points.map((p) => line([p.target, pairs(p.figures), ...placed(p), p.found, p.command])),
    ].join("\n");
  }
  const names = sweep.axes.map(({ name }) => name);
  return [
    line(["target", ...names, ...PLACED, "command", "error"]),
    ...sweep.configurations.map(({ target, figures, optimum, command, error }) => line([
      target, ...names.map((name) => figures[name]),
      ...(optimum ? placed(optimum) : PLACED.map(() => undefined)), command, error,
    ])),
  ].join("\n");
}
