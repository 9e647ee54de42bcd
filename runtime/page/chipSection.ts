/**
 * The part of an artifact's page that shows one simulated chip: a table of its tiles, and behind
 * each tile (a click, without script) its maps of conductances and voltages.
 */
import type { TileMaps } from "../chip/tileMaps.ts";
import { si } from "../cli/table.ts";
import { escape, htmlTable } from "./html.ts";
import { heatmap, rangeOf } from "./heatmap.ts";

/** Tiles with pictures: the page stays a few megabytes. */
const MOST_PICTURED = 120;

export interface ChipPicture {
  /** What the chip was told: seed, trial, time, imperfections. */
  readonly told: string;
  readonly tiles: readonly TileSummary[];
}

/** A tile reduced to what the page shows of it. */
export interface TileSummary {
  readonly tile: string;
  readonly block: string;
  readonly home: string;
  readonly size: string;
  /** Root of the mean square of programmed less target, siemens. */
  readonly error: number;
  /** Mean and largest share of the read voltage that is lost before a cell. */
  readonly meanDrop: number;
  readonly mostDrop: number;
  /** HTML of the maps; empty beyond the first tiles. */
  readonly pictures: string;
}

type MapName = "target" | "programmed" | "error" | "rowVolt" | "columnVolt" | "drop";

const maps: readonly { name: MapName; title: string; unit: string }[] = [
  { name: "target", title: "target", unit: "S" },
  { name: "programmed", title: "programmed", unit: "S" },
  { name: "error", title: "programmed less target", unit: "S" },
  { name: "rowVolt", title: "row side", unit: "V" },
  { name: "columnVolt", title: "column side", unit: "V" },
  { name: "drop", title: "share of the read voltage lost", unit: "" },
];

/** @param index place of the tile among those of the chip */
export function summarise(tile: TileMaps, index: number): TileSummary {
  const { rows, columns, error, drop } = tile;
  const mean = (values: Float64Array, of: (v: number) => number): number =>
    values.reduce((sum, v) => sum + of(v), 0) / Math.max(1, values.length);
  // Both conductance maps share a range, so that they can be compared by eye.
  const [low, high] = rangeOf(tile.target);
  const [from, to] = rangeOf(tile.programmed);
  const conductance = [Math.min(low, from), Math.max(high, to)] as const;
  const picture = ({ name, title, unit }: (typeof maps)[number]): string => {
    const values = tile[name];
    const range = name === "target" || name === "programmed" ? conductance : rangeOf(values);
    const words = range.map((v) => unit === "" ? `${(100 * v).toPrecision(3)} %` : si(v, unit));
    const caption = `${title}: ${words.join(" to ")}`;
    return `<figure class="map"><img alt="${escape(`${tile.tile}, ${caption}`)}" ` +
      `src="${heatmap({ rows, columns, values }, range)}">` +
      `<figcaption>${escape(caption)}</figcaption></figure>`;
  };
  return {
    tile: tile.tile, block: tile.block, home: tile.home, size: `${rows} x ${columns}`,
    error: Math.sqrt(mean(error, (v) => v * v)), meanDrop: mean(drop, (v) => v),
    mostDrop: rangeOf(drop)[1],
    pictures: index < MOST_PICTURED ? maps.map(picture).join("\n") : "",
  };
}

const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** The section; pages with it need `chipStyle`. */
export function chipSection({ told, tiles }: ChipPicture): string {
  const rows = tiles.map((t) => [
    escape(t.tile), escape(t.block), escape(t.home), t.size, si(t.error, "S"), percent(t.meanDrop),
    percent(t.mostDrop),
  ]);
  const pictured = tiles.filter((t) => t.pictures !== "");
  const left = tiles.length - pictured.length;
  const details = pictured.map((t) =>
    `<details><summary>${escape(t.tile)}</summary>\n${t.pictures}\n</details>`);
  return `<h2>A simulated chip</h2>
<p>${escape(told)}. Voltages are those with every row at the read voltage; white is low, black is
high, the drivers are at the left and the converters below.</p>
${htmlTable(["tile", "block", "target", "cells", "error (rms)", "mean drop", "largest drop"], rows)}
<p>Open a tile to see its cells.${left > 0 ? ` ${left} more tiles have no pictures.` : ""}</p>
${details.join("\n")}`;
}

export const chipStyle = `<style>
figure.map { display: inline-block; margin: 0 1rem 1rem 0; width: 17rem; vertical-align: top; }
figure.map img { width: 16rem; image-rendering: pixelated; border: 1px solid #ddd; }
figure.map figcaption { font-size: 12px; }
</style>`;
