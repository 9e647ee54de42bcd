/** Repaired tiles: what they gain, and that the chip computes with them what their circuits do. */
import { describe, expect, it } from "vitest";
import { tileCircuit } from "../../../../compiler/emit/crossbar/netlist.ts";
import { encodingFrom } from "../../../../compiler/emit/crossbar/emit.ts";
import { evaluateGraph } from "../../../../compiler/graph/evaluate.ts";
import { tensor, type Tensor } from "../../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../../runtime/chip/blockChip.ts";
import { drawStuck } from "../../../../runtime/chip/faults.ts";
import { continuousTiles, storedWeights } from "../../../../runtime/chip/idealBlock.ts";
import type { Imperfection } from "../../../../runtime/chip/imperfections.ts";
import { layoutOf } from "../../../../runtime/chip/layout.ts";
import { keyOf } from "../../../../runtime/chip/normal.ts";
import { repairTile, stuckOf } from "../../../../runtime/chip/repair/repairTile.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { InterpreterDevice } from "../../../../runtime/device/interpreter/interpreterDevice.ts";
import type { Device } from "../../../../targets/device.ts";
import { generator } from "../../../support/randomGraph.ts";
import {
  compileBlock, product, testTarget, type CompiledBlock, type TestTarget,
} from "../blocks.ts";

const device = new InterpreterDevice();
const [K, OUTPUTS] = [23, 6];
const next = generator(5);
const values = Array.from({ length: K * OUTPUTS }, () => next() - 0.4);
const { graph } = product(K, OUTPUTS, (i, o) => values[i * OUTPUTS + o]!);
const x = Float32Array.from({ length: K }, () => next() - 0.3);
const fed = new Map([["x", tensor("float32", [1, K], x)]]);
const digital = [...evaluateGraph(graph, fed).values()][0] as Tensor;

/** Some cells stuck, and wires that cost a third of the current. */
function faulty(target: TestTarget): TestTarget {
  const figure = (value: number): object => ({ value, unit: "1", source: "assumed: for a test" });
  const stuck = { low: figure(0.02), high: figure(0.02), random: figure(0.01) };
  return { ...target, cells: { ...target.cells, stuck } as Device };
}
const arrays = {
  "array.rows": 16, "array.columns": 12, "wire.rowSegment": 40, "wire.columnSegment": 60,
};
const targets: Readonly<Record<string, TestTarget>> = {
  "pairs of rows": faulty(testTarget("neurram-rram",
    { ...arrays, "wire.rowSegment": 120, "wire.columnSegment": 250 })),
  "pairs of columns": faulty(testTarget("resistive-trainer-rram", arrays)),
  "pairs of columns, converted apart": faulty(testTarget("resistive-trainer-rram",
    { ...arrays, "encoding.subtract": "digital" })),
  "an offset with its reference column": faulty(testTarget("isaac-rram",
    { ...arrays, "array.columns": 32, "wire.rowSegment": 4, "wire.columnSegment": 9 })),
};

function compiled(
  target: TestTarget, only: readonly Imperfection[], repair: boolean,
): CompiledBlock {
  const { block, setting } = compileBlock(graph, target, only);
  return { block, setting: { ...setting, repair } };
}

async function onChip({ block, setting }: CompiledBlock, trial: number): Promise<Float32Array> {
  const chip = new BlockChip(device, block, setting);
  chip.program(trial);
  chip.seeInputs(x);
  chip.setRanges([]);
  return (await chip.read(await chip.run(fed, 0, device.allocate(OUTPUTS)))).slice();
}

const missed = (actual: ArrayLike<number>): number => Math.sqrt(Array.from(digital.data, (e, i) =>
  (e - actual[i]!) ** 2).reduce((a, b) => a + b, 0));

/**
 * The circuits of all repaired tiles solved for the input at hand.
 * @param counted how many copies the tiles have
 */
function bySolving(
  { block, setting }: CompiledBlock, trial: number, counted: Set<number>,
): number[] {
  const { config, cells: cellDevice } = setting;
  const { crossbar } = block;
  const encoding = encodingFrom(config);
  const layout = layoutOf(config, crossbar);
  const scales = setting.read(crossbar.scales);
  const [isPair, { sides, slices }] = [encoding.scheme !== "offset", layout];
  const out = new Array<number>(OUTPUTS).fill(0);
  const wanted = continuousTiles(storedWeights(block), config, Float32Array.from(scales));
  for (const [index, stored] of crossbar.tiles.entries()) {
    const technology = { device: cellDevice, gMin: encoding.gMin, gMax: encoding.gMax };
    const key = keyOf(setting.seed, "cells", trial, stored.id);
    const stuck = drawStuck(technology, key, config.array);
    const { tile, copies, shares, target, places, trims } = repairTile({
      config, encoding, layout, tile: stored, target: wanted(index), stuck, wires: true, spread: 0,
    });
    counted.add(copies);
    const held = stuckOf(stuck, tile, places, config.array.columns)!;
    const used = Math.max(...places) + 1;
    const extra = !isPair || sides === 2 ? 1 : 0;
    const grid = new Float64Array(tile.rows * (used + extra));
    for (let row = 0; row < tile.rows; row++) {
      if (extra) grid[row * (used + 1) + used] = encoding.reference[0]!;
      places.forEach((place, column) => {
        const at = row * tile.columns + column;
        grid[row * (used + extra) + place] = Number.isNaN(held[at]!) ? target[at]! : held[at]!;
      });
    }
    const perInput = crossbar.layout.rowsPerInput;
    // Rows of a pair are driven oppositely.
    const volt = Float64Array.from({ length: tile.rows }, (_, row) =>
      x[tile.inputs.start + Math.floor(row / perInput)]! * (row % perInput === 1 ? -1 : 1));
    const circuit = tileCircuit(config, { id: "t", rows: tile.rows, columns: used + extra }, grid);
    const { outputAmpere } = solveArray(circuit, [volt])[0]!;
    const perSlice = stored.columns / tile.outputs.count / slices;
    for (let copy = 0; copy < copies * tile.outputs.count; copy++) {
      const o = copy % tile.outputs.count;
      for (let s = 0; s < slices; s++) {
        let sum = 0;
        const first = (copy * slices + s) * perSlice;
        for (let side = 0; side < sides; side++) {
          const k = (copy * slices + s) * sides + side;
          const own = outputAmpere[places[first + side]!]!;
          const other = isPair && sides === 1 ? (perSlice === 2
            ? outputAmpere[places[first + 1]!]! : 0) : trims.reference[k]! * outputAmpere[used]!;
          const current = own - other;
          sum += (side === 0 ? 1 : -1) * current / trims.gain[k]!;
        }
        out[tile.outputs.start + o]! += shares[copy]! * encoding.gain *
          encoding.significance[s]! * scales[tile.outputs.start + o]! * sum /
          (encoding.gMax - encoding.gMin);
      }
      if (isPair || copy >= tile.outputs.count) continue;
      for (let i = 0; i < tile.inputs.count; i++) {
        out[tile.outputs.start + o]! -= encoding.gain * encoding.zero *
          scales[tile.outputs.start + o]! * x[tile.inputs.start + i]!;
      }
    }
  }
  return out;
}

/** The same in arrays with room for copies. */
const roomy: Readonly<Record<string, TestTarget>> = {
  ...targets,
  "pairs of columns, copied": faulty(testTarget("resistive-trainer-rram",
    { ...arrays, "array.columns": 26 })),
  "pairs of columns, converted apart and copied": faulty(testTarget("resistive-trainer-rram",
    { ...arrays, "array.columns": 26, "encoding.subtract": "digital" })),
  "an offset, copied": faulty(testTarget("isaac-rram",
    { ...arrays, "array.columns": 100, "wire.rowSegment": 1, "wire.columnSegment": 3 })),
};
const copiesOf = (name: string): number => (name === "pairs of rows" || name.includes("copied") ? 2
  : 1);

it.each(Object.entries(roomy))("%s: computes what the repaired circuits do", async (name, t) => {
  const block = compiled(t, ["levels", "stuck", "wires"], true);
  const counted = new Set<number>();
  for (const trial of [0, 1]) {
    const actual = await onChip(block, trial);
    const expected = bySolving(block, trial, counted);
    const scale = Math.max(...expected.map(Math.abs));
    expected.forEach((e, o) => expect(Math.abs(actual[o]! - e)).toBeLessThan(1e-5 * scale));
  }
  expect([...counted]).toEqual([copiesOf(name)]);
});

describe.each(Object.entries(targets))("%s", (_, target) => {
  it.each<[string, Imperfection[]]>([
    ["stuck cells", ["levels", "stuck"]], ["wires", ["levels", "wires"]],
    ["both", ["levels", "stuck", "wires"]],
    ["both, and cells that miss", ["levels", "stuck", "wires", "programming"]],
  ])("recovers more than half of what %s cost, over ten chips", async (_name, only) => {
    let [plain, repaired, floor] = [0, 0, 0];
    const floorOf = only.filter((name) => name !== "stuck" && name !== "wires");
    for (let trial = 0; trial < 10; trial++) {
      plain += missed(await onChip(compiled(target, only, false), trial)) ** 2;
      repaired += missed(await onChip(compiled(target, only, true), trial)) ** 2;
      floor += missed(await onChip(compiled(target, floorOf, false), trial)) ** 2;
    }
    // What there is without stuck cells and wires is not theirs to repair.
    expect(Math.sqrt(plain)).toBeGreaterThan(1.5 * Math.sqrt(floor));
    expect(Math.sqrt(repaired) - Math.sqrt(floor))
      .toBeLessThan(0.5 * (Math.sqrt(plain) - Math.sqrt(floor)));
  });

  it("changes nothing where nothing is wrong", async () => {
    const repaired = await onChip(compiled(target, [], true), 2);
    // 16 bits of weight, clipped at the window by one of them at most, or float32's rounding.
    const bound = K * 2 ** -15 * Math.max(...x.map(Math.abs));
    (await onChip(compiled(target, [], false), 2)).forEach((y, o) =>
      expect(Math.abs(y - repaired[o]!)).toBeLessThan(bound));
  });
});
