/**
 * Which cells of an array cannot be programmed, and what they hold instead: drawn from the shares
 * that a device file states, or read from a fault map that was measured. Positions are those of the
 * array itself, rows counted from the converters' side as everywhere, spare columns included; what
 * a mapper makes of them is in `repair/`.
 *
 * Kinds: low (gMin), high (gMax) and random (anything between), as in MNSIM, MemTorch and aihwkit
 * (crossbar reference, section 4.6); dead rows and columns are faults that come together.
 */
import { z } from "zod";
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import { UserError } from "../../compiler/errors.ts";
import type { CellTechnology } from "./cells.ts";
import { keyOf, uniformAt, type Key } from "./normal.ts";

/** [rows, columns] of an array, siemens; NaN where a cell works. */
export type StuckCells = Float64Array;

interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** Draws the faults of one array from the shares of its device. */
export function drawStuck(
  { device, gMin, gMax }: CellTechnology, key: Key, { rows, columns }: Size,
): StuckCells {
  const out = new Float64Array(rows * columns).fill(Number.NaN);
  const { low, high, random, rows: deadRows, columns: deadColumns } = device.stuck;
  const [p, q, r] = [low.value, low.value + high.value, low.value + high.value + random.value];
  if (r > 0) {
    const kind = keyOf(0, key[0], key[1], "stuck");
    const level = keyOf(0, key[0], key[1], "stuck level");
    for (let i = 0; i < out.length; i++) {
      const u = uniformAt(kind, i);
      if (u >= r) continue;
      out[i] = u < p ? gMin : u < q ? gMax : gMin + (gMax - gMin) * uniformAt(level, i);
    }
  }
  const dead = (name: string, share: number, count: number, kill: (line: number) => void): void => {
    const line = keyOf(0, key[0], key[1], name);
    for (let i = 0; share > 0 && i < count; i++) if (uniformAt(line, i) < share) kill(i);
  };
  dead("dead row", deadRows?.value ?? 0, rows, (row) => killRow(out, columns, row, gMin));
  dead("dead column", deadColumns?.value ?? 0, columns,
    (column) => killColumn(out, columns, column, gMin));
  return out;
}

const killRow = (cells: StuckCells, columns: number, row: number, g: number): void =>
  void cells.fill(g, row * columns, (row + 1) * columns);

function killColumn(cells: StuckCells, columns: number, column: number, g: number): void {
  for (let i = column; i < cells.length; i += columns) cells[i] = g;
}

const index = z.number().int().min(0);
const stuckAt = z.union([z.enum(["low", "high"]), z.strictObject({ siemens: z.number().min(0) })]);
const faultMapSchema = z.strictObject({
  format: z.literal("crosstie-faults"),
  version: z.literal(1),
  tiles: z.array(z.strictObject({
    /** Name of a tile in `crossbars.json`. */
    tile: z.string(),
    cells: z.array(z.strictObject({ row: index, column: index, stuck: stuckAt })).default([]),
    /** Lines of which every cell is stuck. */
    rows: z.array(z.strictObject({ row: index, stuck: stuckAt })).default([]),
    columns: z.array(z.strictObject({ column: index, stuck: stuckAt })).default([]),
  })),
});

/** Faults by tile; a tile that the map leaves out has none. */
export type FaultMap = ReadonlyMap<string, StuckCells>;

/**
 * Reads a fault map: which cells of which tile are stuck, at what.
 * @param json parsed contents of the file
 * @param tiles names of the chip's tiles, and the configurations of their arrays
 * @param place the file, for messages
 * @throws UserError when it is no fault map, or names a tile or a cell that the chip has not
 */
export function parseFaultMap(
  json: unknown, tiles: ReadonlyMap<string, CrossbarConfig>, place: string,
): FaultMap {
  const parsed = faultMapSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`is no fault map (${issue?.path.join(".")}: ${issue?.message})`, {
      place,
      remedy: 'Write {"format": "crosstie-faults", "version": 1, "tiles": [{"tile": "a0.tile0", ' +
        '"cells": [{"row": 0, "column": 0, "stuck": "low"}]}]}.',
    });
  }
  const map = new Map<string, StuckCells>();
  const inside = (what: string, at: number, count: number, where: string): void => {
    if (at < count) return;
    throw new UserError(`${what} ${at} of an array that has ${count}`, {
      place: `${place}: ${where}`, remedy: `Count from 0 to ${count - 1}.`,
    });
  };
  parsed.data.tiles.forEach(({ tile, ...faults }, i) => {
    const home = tiles.get(tile);
    if (home === undefined) {
      throw new UserError(`the chip has no tile "${tile}"`, {
        place: `${place}: tiles.${i}.tile`,
        remedy: "Use the names of tiles in crossbars.json; those of copies end in .copy1, .copy2.",
      });
    }
    const { array: { rows, columns }, cell: { gMinSiemens, gMaxSiemens } } = home;
    const valueOf = (stuck: z.output<typeof stuckAt>): number =>
      stuck === "low" ? gMinSiemens : stuck === "high" ? gMaxSiemens : stuck.siemens;
    const held = map.get(tile) ?? new Float64Array(rows * columns).fill(Number.NaN);
    map.set(tile, held);
    for (const { row, stuck } of faults.rows) {
      inside("row", row, rows, `tiles.${i}.rows`);
      killRow(held, columns, row, valueOf(stuck));
    }
    for (const { column, stuck } of faults.columns) {
      inside("column", column, columns, `tiles.${i}.columns`);
      killColumn(held, columns, column, valueOf(stuck));
    }
    for (const { row, column, stuck } of faults.cells) {
      inside("row", row, rows, `tiles.${i}.cells`);
      inside("column", column, columns, `tiles.${i}.cells`);
      held[row * columns + column] = valueOf(stuck);
    }
  });
  return map;
}
