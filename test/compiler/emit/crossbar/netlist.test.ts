/** A tile's netlist and circuit are of the cells that the configuration places. */
import { describe, expect, it } from "vitest";
import { emitBlocks } from "../../../../compiler/emit/crossbar/emit.ts";
import {
  cellLaw, tileCircuit, tileNetlist,
} from "../../../../compiler/emit/crossbar/netlist.ts";
import { loadDevice, deviceNames } from "../../../../runtime/files/targetFiles.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { cellCurrent } from "../../../../targets/deviceModel.ts";
import type { Siemens } from "../../../../targets/units.ts";
import { hybridTarget, matrixOf, readAll } from "./blocks.ts";

const target = hybridTarget("isaac-rram");
const matrix = matrixOf("conv", 1, 5, 2, Float32Array.from({ length: 10 }, (_, i) => i - 4));
const crossbars = emitBlocks([{ id: "a0", nodes: [], matrix }], target);
const tile = crossbars.config.blocks[0]!.tiles[0]!;
const cells = readAll(crossbars)(tile.conductances);

describe("a tile's netlist", () => {
  const volt = new Float64Array(tile.rows).fill(0.2);
  const text = tileNetlist(crossbars.config, tile, cells, volt);

  it("has every cell as a resistor, and the target's wires", () => {
    expect(text).toContain("* a0.tile0 of isaac-rram");
    const resistors = [...text.matchAll(/^Rx(\d+)_(\d+) \S+ \S+ (\S+)$/gm)];
    expect(resistors).toHaveLength(tile.rows * tile.columns);
    for (const [, row, column, ohm] of resistors) {
      const cell = cells[Number(row) * tile.columns + Number(column)]!;
      expect(1 / Number(ohm)).toBeCloseTo(cell, 12);
    }
    expect(text).toMatch(/^Rr0_1 w0_0 w0_1 1\.04$/m);
    expect(text).toMatch(/^Rc0_1 b0_0 b1_0 3\.13$/m);
  });

  it("wants one voltage per row", () => {
    expect(() => tileNetlist(crossbars.config, tile, cells, [1])).toThrow(/internal: .*5 rows, 1/);
    expect(() => tileNetlist(crossbars.config, tile, [1], volt)).toThrow(/internal: .*1 conduct/);
  });
});

describe("a tile's circuit", () => {
  it("draws from every column less than its ideal current", () => {
    const circuit = tileCircuit(crossbars.config, tile, cells);
    const [solution] = solveArray(circuit, [new Float64Array(tile.rows).fill(0.2)]);
    solution!.outputAmpere.forEach((current, column) => {
      let ideal = 0;
      for (let row = 0; row < tile.rows; row++) ideal += 0.2 * cells[row * tile.columns + column]!;
      expect(current).toBeLessThan(ideal);
      expect(current).toBeGreaterThan(0.97 * ideal);
    });
  });

  it.each(deviceNames())("has the current-voltage law of %s", (name) => {
    const device = loadDevice(name);
    const conductance = Float64Array.of(0.3, 0.7, 1).map((r) => r * device.window.gMax.value);
    const law = cellLaw(device, conductance);
    if (law.kind === "linear") expect(device.currentVoltage.kind).toBe("linear");
    for (const [i, g] of conductance.entries()) {
      for (const v of [-0.4, -0.1, 0.05, 0.3]) {
        const at = (a: number | Float64Array): number => (typeof a === "number" ? a : a[i]!);
        const current = law.kind === "polynomial"
          ? g * v + at(law.quadratic) * v ** 2 + at(law.cubic) * v ** 3 : g * v;
        const { ampere } = cellCurrent(device, g as Siemens, v);
        expect(Math.abs(current - ampere)).toBeLessThanOrEqual(1e-14 * g);
      }
    }
  });
});
