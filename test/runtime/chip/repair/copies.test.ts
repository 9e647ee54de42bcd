/** Copies of columns: which are in the mean, against a search over all choices; what it wins. */
import { expect, it } from "vitest";
import { evaluateGraph } from "../../../../compiler/graph/evaluate.ts";
import { tensor, type Tensor } from "../../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../../runtime/chip/blockChip.ts";
import type { Imperfection } from "../../../../runtime/chip/imperfections.ts";
import { layoutOf } from "../../../../runtime/chip/layout.ts";
import { programTiles } from "../../../../runtime/chip/programBlock.ts";
import { storedWeights } from "../../../../runtime/chip/idealBlock.ts";
import {
  copiesIn, repeatColumns, sharesOf,
} from "../../../../runtime/chip/repair/copies.ts";
import { InterpreterDevice } from "../../../../runtime/device/interpreter/interpreterDevice.ts";
import { second } from "../../../../targets/units.ts";
import { Random } from "../../../support/randomGraph.ts";
import { compileBlock, product, testTarget } from "../blocks.ts";

it("puts whole copies into an array, eight at most", () => {
  expect([3, 4, 5, 11, 12, 13].map((columns) => copiesIn(columns, 12))).toEqual([4, 3, 2, 1, 1, 1]);
  expect(copiesIn(10, 256)).toBe(8);
  expect([...repeatColumns([1, 2, 3, 4, 5, 6], 2, 3)])
    .toEqual([1, 2, 1, 2, 1, 2, 3, 4, 3, 4, 3, 4, 5, 6, 5, 6, 5, 6]);
});

it("leaves those copies out of the mean that it errs less without", () => {
  const r = new Random(3);
  let leftOut = 0;
  for (let round = 0; round < 300; round++) {
    const [copies, outputs] = [r.int(1, 6), r.int(1, 3)];
    const variance = r.int(0, 2) / 2;
    const errors = Float64Array.from({ length: copies * outputs }, () =>
      (r.int(0, 1) === 0 ? 0 : r.int(1, 40) / 4));
    const shares = sharesOf(errors, outputs, variance);
    for (let o = 0; o < outputs; o++) {
      const erring = (share: (k: number) => number): number =>
        Array.from({ length: copies }, (_, k) =>
          share(k) ** 2 * (errors[k * outputs + o]! + variance)).reduce((a, b) => a + b, 0);
      const own = (k: number): number => shares[k * outputs + o]!;
      const sum = Array.from({ length: copies }, (_, k) => own(k)).reduce((a, b) => a + b, 0);
      expect(sum).toBeCloseTo(1, 12);
      let least = Infinity;
      for (let set = 1; set < 2 ** copies; set++) {
        const size = Array.from({ length: copies }, (_, k) => (set >> k) & 1)
          .reduce((a, b) => a + b, 0);
        least = Math.min(least, erring((k) => ((set >> k) & 1) / size));
      }
      expect(erring(own)).toBeCloseTo(least, 12);
      leftOut += Array.from({ length: copies }, (_, k) => own(k)).filter((s) => s === 0).length;
    }
  }
  expect(leftOut).toBeGreaterThan(50);
});

const [K, OUTPUTS, SAMPLES] = [20, 5, 4];
const r = new Random(8);
const values = Array.from({ length: K * OUTPUTS }, () => r.int(-50, 50) / 50);
const { graph } = product(K, OUTPUTS, (i, o) => values[i * OUTPUTS + o]!);
const x = r.tensor([SAMPLES, K], 0, 1);
const digital = [...evaluateGraph(graph, new Map([["x", x]])).values()][0] as Tensor;
const device = new InterpreterDevice();

/** Root of the mean square of what chips miss by. */
async function missed(
  columns: number, only: readonly Imperfection[], repair: boolean,
): Promise<number> {
  const target = testTarget("neurram-rram", { "array.rows": 64, "array.columns": columns });
  const { block, setting } = compileBlock(graph, target, only);
  const chip = new BlockChip(device, block, { ...setting, repair, time: second(86400, "time") });
  let sum = 0;
  for (let trial = 0; trial < 30; trial++) {
    chip.program(trial);
    chip.seeInputs(x.data as Float32Array);
    chip.setRanges([]);
    const held = await chip.run(
      new Map([["x", tensor("float32", [SAMPLES, K], x.data as Float32Array)]]), trial,
      device.allocate(SAMPLES * OUTPUTS));
    (await chip.read(held)).forEach((y, i) => {
      sum += (y - Number(digital.data[i])) ** 2;
    });
  }
  chip.release();
  return Math.sqrt(sum / (30 * SAMPLES * OUTPUTS));
}

// 600 squares in a sum over 30 chips, those of a chip alike by a few inputs: its root is known to
// some 8 %.
it.each<[number, number]>([[5, 1], [10, 2], [20, 4], [60, 8]])(
  "in an array of %i columns cells err by the root of %i less", async (columns, copies) => {
    const only: Imperfection[] = ["programming", "drift", "readNoise"];
    const alone = await missed(columns, only, false);
    const repaired = await missed(columns, only, true);
    expect(alone / repaired / Math.sqrt(copies)).toBeGreaterThan(0.8);
    expect(alone / repaired / Math.sqrt(copies)).toBeLessThan(1.25);
  });

it("programs what is wanted between levels", async () => {
  expect(await missed(5, ["levels"], false)).toBeGreaterThan(0.01);
  expect(await missed(5, ["levels"], true)).toBeLessThan(1e-5);
});

it("tells the copies' cells one by one", () => {
  const target = testTarget("neurram-rram", { "array.rows": 64, "array.columns": 12 });
  const { block, setting } = compileBlock(graph, target, ["programming"]);
  const layout = layoutOf(setting.config, block.crossbar);
  const [stored] = block.crossbar.tiles;
  const [one] = [...programTiles(storedWeights(block), { ...setting, repair: true }, layout, 0)];
  expect(one?.tile.columns).toBe(2 * stored!.columns);
  expect(one?.cells).toHaveLength(stored!.rows * 2 * stored!.columns);
  expect(new Set(one?.cells).size).toBeGreaterThan(0.9 * (one?.cells.length ?? 0));
});
