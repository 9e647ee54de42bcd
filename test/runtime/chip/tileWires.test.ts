/** Wire resistance in a block: against solving the circuit of every tile for the inputs at hand. */
import { describe, expect, it } from "vitest";
import { tileCircuit } from "../../../compiler/emit/crossbar/netlist.ts";
import { sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { encodingFrom } from "../../../compiler/emit/crossbar/emit.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { LARGE_LOSS, solveTile } from "../../../runtime/chip/effective.ts";
import { storedWeights } from "../../../runtime/chip/idealBlock.ts";
import { layoutOf } from "../../../runtime/chip/layout.ts";
import { programBlock } from "../../../runtime/chip/programBlock.ts";
import { levelStep } from "../../../runtime/chip/tileMatrix.ts";
import { reduceWithSensitivities } from "../../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../../runtime/chip/wires/solve.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { readSigma } from "../../../targets/deviceModel.ts";
import type { Ohm, Siemens } from "../../../targets/units.ts";
import { generator } from "../../support/randomGraph.ts";
import { compileBlock, product, testTarget, type CompiledBlock } from "./blocks.ts";

const device = new InterpreterDevice();
const [K, OUTPUTS] = [23, 6];
const next = generator(5);
const values = Array.from({ length: K * OUTPUTS }, () => next() - 0.4);
const { graph } = product(K, OUTPUTS, (i, o) => values[i * OUTPUTS + o]!);
const x = Float32Array.from({ length: K }, () => next() - 0.3);

async function onChip({ block, setting }: CompiledBlock, input: Float32Array): Promise<Tensor> {
  const chip = new BlockChip(device, block, setting);
  chip.program(0);
  const fed = new Map([["x", tensor("float32", [1, K], input)]]);
  const out = await chip.run(fed, 0, device.allocate(OUTPUTS));
  return tensor("float32", [OUTPUTS], (await chip.read(out)).slice());
}

/** Currents of every tile by conjugate gradients, a reference column of gMin cells at its right. */
function bySolving({ block, setting }: CompiledBlock, input: Float32Array): number[] {
  const { config } = setting;
  const { encoding, cell } = config;
  const { crossbar } = block;
  const isPair = encoding.scheme !== "offset";
  const scales = setting.read(crossbar.scales);
  const out = new Array<number>(OUTPUTS).fill(0);
  for (const tile of crossbar.tiles) {
    const cells = setting.read(tile.conductances);
    const extra = isPair ? 0 : 1;
    const all = tile.columns + extra;
    const grid = Array.from({ length: tile.rows * all }, (_, i) => i % all < tile.columns
      ? cells[Math.floor(i / all) * tile.columns + (i % all)]! : encoding.referenceSiemens[0]!);
    const circuit = tileCircuit(config, { id: tile.id, rows: tile.rows, columns: all }, grid);
    const perInput = crossbar.layout.rowsPerInput;
    const volt = Float64Array.from({ length: tile.rows }, (_, row) =>
      input[tile.inputs.start + Math.floor(row / perInput)]! * (row % perInput === 1 ? -1 : 1));
    const { outputAmpere } = solveArray(circuit, [volt])[0]!;
    for (let o = 0; o < tile.outputs.count; o++) {
      let sum = 0;
      for (let s = 0; s < encoding.slices; s++) {
        const at = o * encoding.slices + s;
        const current = encoding.scheme === "differential-columns"
          ? outputAmpere[2 * at]! - outputAmpere[2 * at + 1]!
          : outputAmpere[at]! - (isPair ? 0 : outputAmpere[tile.columns]!);
        sum += encoding.significance[s]! * current / (cell.gMaxSiemens - cell.gMinSiemens);
      }
      const inputs = Array.from({ length: tile.inputs.count }, (_, i) =>
        input[tile.inputs.start + i]!).reduce((a, b) => a + b, 0);
      const zero = isPair ? 0 : encoding.zero * inputs;
      out[tile.outputs.start + o]! +=
        scales[tile.outputs.start + o]! * encoding.gain * (sum - zero);
    }
  }
  return out;
}

const arrays = { "array.rows": 16, "array.columns": 8 };
const targets = {
  "pairs of rows": testTarget("neurram-rram", arrays),
  "pairs of columns": testTarget("resistive-trainer-rram", arrays),
  "an offset with its reference column": testTarget("isaac-rram",
    { ...arrays, "array.columns": 24 }),
};

describe.each(Object.entries(targets))("%s", (_, target) => {
  it("loses in the wires what the circuit loses", async () => {
    const compiled = compileBlock(graph, target, ["levels", "wires"]);
    expect(compiled.block.crossbar.tiles.length).toBeGreaterThan(1);
    const { data } = await onChip(compiled, x);
    const expected = bySolving(compiled, x);
    const scale = Math.max(...expected.map(Math.abs));
    expected.forEach((e, o) => expect(Math.abs(data[o]! - e)).toBeLessThan(1e-5 * scale));
    // And that is not nothing.
    const ideal = await onChip(compileBlock(graph, target, ["levels"]), x);
    expect(Math.max(...expected.map((e, o) => Math.abs(e - ideal.data[o]!))))
      .toBeGreaterThan(1e-3 * scale);
  });

  it("is linear: superposition holds", async () => {
    const compiled = compileBlock(graph, target, ["levels", "wires"]);
    const y = Float32Array.from(x, (v, i) => Math.cos(i) - v);
    const sum = await onChip(compiled, x.map((v, i) => v + 2 * y[i]!));
    const [a, b] = [await onChip(compiled, x), await onChip(compiled, y)];
    const scale = Math.max(...Array.from(sum.data, Math.abs), 1);
    for (let i = 0; i < sizeOf(sum.shape); i++) {
      expect(Math.abs(sum.data[i]! - a.data[i]! - 2 * b.data[i]!)).toBeLessThan(1e-5 * scale);
    }
  });
});

describe("noise behind wires", () => {
  it("is passed on by the derivative of each cell where wires cost much, and only there", () => {
    for (const [ohm, isLossy] of [[5000, true], [50, false]] as const) {
      const wires = { "wire.rowSegment": ohm, "wire.columnSegment": ohm };
      const { block, setting } = compileBlock(graph, testTarget("neurram-rram", {
        "array.rows": 64, "array.columns": 16, ...wires,
      }), ["levels", "wires"]);
      const [{ crossbar }, { config }] = [block, setting];
      const tile = crossbar.tiles[0]!;
      const cells = Float64Array.from(setting.read(tile.conductances));
      const rule = { config, encoding: encodingFrom(config), sides: 1 as const };
      const { cells: effective, sensitivity } = solveTile(rule, tile, cells, undefined, true);
      const left = effective.reduce((a, b) => a + b) / cells.reduce((a, b) => a + b);
      expect(left < 1 - LARGE_LOSS).toBe(isLossy);
      expect(sensitivity !== undefined).toBe(isLossy);
      expect(solveTile(rule, tile, cells).sensitivity).toBeUndefined();
      // Central differences: errors of the order of h^2, and of rounding by h.
      sensitivity?.forEach((found, at) => {
        if (at % 7 !== 0) return;
        const h = 1e-4 * config.cell.gMaxSiemens;
        const moved = [h, -h].map((by) =>
          solveTile(rule, tile, cells.with(at, cells[at]! + by)).cells[at]!);
        expect(Math.abs((moved[0]! - moved[1]!) / (2 * h) - found)).toBeLessThan(1e-6);
      });
      // The first output: pairs of rows, on the first column.
      const { variance } = programBlock(
        storedWeights(block), setting, layoutOf(config, crossbar), 0, true);
      const step = levelStep(rule.encoding);
      for (let i = 0; i < tile.inputs.count; i++) {
        const expected = [2 * i, 2 * i + 1].reduce((sum, row) => {
          const at = row * tile.columns;
          const g = cells[at]! as Siemens;
          const sigma = Math.hypot(readSigma(setting.cells, g, setting.time,
            config.cell.gMaxSiemens as Siemens), setting.noise.read * g);
          return sum + (sigma * (sensitivity?.[at] ?? effective[at]! / g) / step) ** 2;
        }, 0);
        expect(variance![i]! / expected).toBeCloseTo(1, 5);
      }
    }
  });

  // What is passed on is Geff / G; the exact first-order sensitivity is `own`.
  it.each([
    [32, 1, 0.01], [64, 1, 0.02], [64, 3.5, 0.07],
  ])("of %d rows and columns at %d ohm is right within %f", (n, resistance, allowed) => {
    const conductance = Float64Array.from({ length: n * n }, () => 1e-6 + 99e-6 * next());
    const reduced = reduceWithSensitivities({
      rows: n, cols: n, conductance,
      rowSegmentOhm: resistance as Ohm, colSegmentOhm: resistance as Ohm,
    });
    const total = (of: Float64Array): number => of.reduce((sum, g) => sum + g, 0);
    const left = total(reduced.conductance) / total(conductance);
    expect(left).toBeGreaterThan(1 - LARGE_LOSS);
    for (let column = 0; column < n; column++) {
      let [exact, used] = [0, 0];
      for (let row = 0; row < n; row++) {
        const at = row * n + column;
        // Noise in proportion to the conductance.
        exact += (reduced.own[at]! * conductance[at]!) ** 2;
        used += reduced.conductance[at]! ** 2;
      }
      expect(Math.abs(Math.sqrt(used / exact) - 1)).toBeLessThan(allowed);
    }
  });
});
