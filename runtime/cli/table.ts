/** Plain text tables for terminals. Numbers align right, text left. */

/** One cell; numbers are printed as they are given. */
export type Cell = string | number;

export function table(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const text = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, i) => Math.max(...text.map((row) => (row[i] ?? "").length)));
  const numeric = head.map((_, i) => rows.every((row) => typeof row[i] === "number"));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) =>
        numeric[i] ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number),
      )
      .join("  ")
      .trimEnd();
  const [first, ...rest] = text as [string[], ...string[][]];
  return [line(first), widths.map((w) => "-".repeat(w)).join("  "), ...rest.map(line)].join("\n");
}

const prefixes = ["f", "p", "n", "u", "m", "", "k", "M", "G", "T"];

/** Three digits with an SI prefix: 1.67 pJ. */
export function si(value: number, unit: string): string {
  if (value === 0 || !Number.isFinite(value)) return `${value} ${unit}`;
  const exponent = Math.floor(Math.log10(Math.abs(value)) / 3);
  const index = Math.min(Math.max(exponent + 5, 0), prefixes.length - 1);
  return `${Number((value / 10 ** ((index - 5) * 3)).toPrecision(3))} ${prefixes[index]}${unit}`;
}

export const percent = (fraction: number): string => `${(100 * fraction).toFixed(2)} %`;
