/** Stuck cells: shares as stated at four standard errors, lines that die, maps that are read. */
import { describe, expect, it } from "vitest";
import type { CellTechnology } from "../../../runtime/chip/cells.ts";
import { drawStuck, parseFaultMap } from "../../../runtime/chip/faults.ts";
import { keyOf } from "../../../runtime/chip/normal.ts";
import { deviceNames, loadDevice } from "../../../runtime/files/targetFiles.ts";
import type { Device } from "../../../targets/device.ts";
import { UserError } from "../../../compiler/errors.ts";
import { compileBlock, product, testTarget } from "./blocks.ts";

const size = { rows: 200, columns: 150 };
const N = size.rows * size.columns;
const near = (count: number, p: number, n = N): void =>
  expect(Math.abs(count / n - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / n));

function technology(device: Device): CellTechnology {
  const { gMin, gMax } = device.window;
  return { device, gMin: gMin.value, gMax: gMax.value };
}

function withShares(shares: Readonly<Record<string, number>>): Device {
  const device = loadDevice("ideal");
  const figures = Object.fromEntries(Object.entries(shares).map(([name, value]) =>
    [name, { value, unit: "1", source: "assumed: for a test" }]));
  return { ...device, stuck: { ...device.stuck, ...figures } } as Device;
}

describe("drawn faults", () => {
  it.each(deviceNames())("of %s are as many as its file states", (name) => {
    const device = loadDevice(name);
    const { low, high, random } = device.stuck;
    const { gMin, gMax } = device.window;
    const cells = Array.from(drawStuck(technology(device), keyOf(3, name), size));
    near(cells.filter((x) => x === gMin.value).length, low.value);
    near(cells.filter((x) => x === gMax.value).length, high.value);
    near(cells.filter((x) => x > gMin.value && x < gMax.value).length, random.value);
  });

  it("of three kinds share the cells, and random ones fill the window evenly", () => {
    const tech = technology(withShares({ low: 0.1, high: 0.05, random: 0.2 }));
    const cells = Array.from(drawStuck(tech, keyOf(1, "kinds"), size));
    near(cells.filter((x) => x === tech.gMin).length, 0.1);
    near(cells.filter((x) => x === tech.gMax).length, 0.05);
    const between = cells.filter((x) => x > tech.gMin && x < tech.gMax);
    near(between.length, 0.2);
    const mean = between.reduce((a, b) => a + b, 0) / between.length / tech.gMax;
    expect(Math.abs(mean - 0.5)).toBeLessThan(4 / Math.sqrt(12 * between.length));
  });

  it("come in whole rows and columns as often as stated", () => {
    const tech = technology(withShares({ rows: 0.1, columns: 0.2 }));
    let [rows, columns] = [0, 0];
    const arrays = 20;
    for (let a = 0; a < arrays; a++) {
      const cells = drawStuck(tech, keyOf(2, a), size);
      const dead = (row: number, column: number): boolean =>
        cells[row * size.columns + column] === tech.gMin;
      const deadRows = Array.from({ length: size.rows }, (_, row) =>
        Array.from({ length: size.columns }, (_, c) => dead(row, c)).every(Boolean));
      const deadColumns = Array.from({ length: size.columns }, (_, c) =>
        Array.from({ length: size.rows }, (_, row) => dead(row, c)).every(Boolean));
      rows += deadRows.filter(Boolean).length;
      columns += deadColumns.filter(Boolean).length;
      // And nothing else is stuck.
      expect(cells.every((g, i) => Number.isNaN(g) !==
        (deadRows[Math.floor(i / size.columns)]! || deadColumns[i % size.columns]!))).toBe(true);
    }
    near(rows, 0.1, arrays * size.rows);
    near(columns, 0.2, arrays * size.columns);
  });

  it("are the same for one key, and others for another", () => {
    const tech = technology(withShares({ low: 0.1, rows: 0.05 }));
    const draw = (seed: number): Float64Array => drawStuck(tech, keyOf(seed, "k"), size);
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});

describe("a fault map", () => {
  const { block, setting } = compileBlock(product(5, 3, (i, o) => i - o).graph,
    testTarget("neurram-rram", { "array.rows": 12, "array.columns": 4 }), []);
  const { config } = setting;
  const [tile] = block.crossbar.tiles;
  const tiles = new Map([[tile!.id, config]]);
  const whole = (tiles: unknown): unknown => ({ format: "crosstie-faults", version: 1, tiles });

  it("gives cells, rows and columns what they hold", () => {
    const cells = parseFaultMap(whole([{
      tile: tile!.id, rows: [{ row: 1, stuck: "low" }], columns: [{ column: 3, stuck: "high" }],
      cells: [
        { row: 1, column: 3, stuck: { siemens: 7e-6 } }, { row: 0, column: 0, stuck: "high" },
      ],
    }]), tiles, "map.json").get(tile!.id)!;
    const { gMinSiemens: low, gMaxSiemens: high } = config.cell;
    for (let row = 0; row < 12; row++) {
      for (let column = 0; column < 4; column++) {
        const expected = row === 1 && column === 3 ? 7e-6 : row === 0 && column === 0 ? high
          : column === 3 ? high : row === 1 ? low : Number.NaN;
        expect(cells[row * 4 + column]).toBe(expected);
      }
    }
  });

  it.each([
    ["of another kind", { format: "other" }, /no fault map/],
    ["of an unknown tile", whole([{ tile: "x" }]), /no tile "x"/],
    ["with a row too many",
      whole([{ tile: tile!.id, rows: [{ row: 12, stuck: "low" }] }]), /row 12/],
    ["with a column too many",
      whole([{ tile: tile!.id, cells: [{ row: 0, column: 4, stuck: "low" }] }]), /column 4/],
  ])("%s is refused", (_, json, message) => {
    const read = (): unknown => parseFaultMap(json, tiles, "map.json");
    expect(read).toThrow(UserError);
    expect(read).toThrow(message);
  });
});
