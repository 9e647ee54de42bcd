/** The simulated product against loops over tiles, bits and slices, for every coding and preset. */
import { describe, expect, it } from "vitest";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { compileBlock, randomCases, testTarget, type TestTarget } from "./blocks.ts";
import { afterProduct, loopsOf, oracleProduct, type OracleChip } from "./tileOracle.ts";

/** Every preset on arrays so small that all cases spread over several, and what they leave out. */
const targets: Readonly<Record<string, TestTarget>> = {
  "isaac-rram": testTarget("isaac-rram", { "array.rows": 10, "array.columns": 24 }),
  "puma-rram": testTarget("puma-rram", { "array.rows": 7, "array.columns": 16 }),
  "neurram-rram": testTarget("neurram-rram", { "array.rows": 14, "array.columns": 4 }),
  "hermes-pcm": testTarget("hermes-pcm", { "array.rows": 9, "array.columns": 6 }),
  "resistive-trainer-rram":
    testTarget("resistive-trainer-rram", { "array.rows": 9, "array.columns": 6 }),
  "ternary-2t2r-rram":
    testTarget("ternary-2t2r-rram", { "array.rows": 9, "array.columns": 6 }),
  "bit-serial, sign-magnitude, slices of 3 bits": testTarget("neurram-rram", {
    "array.rows": 14, "array.columns": 8, "input.coding": "bit-serial", "input.sliceBits": 3,
    "input.bits": 6, "adc.range": { policy: "granular" },
  }),
  "bit-serial, unsigned, two-sided pairs": testTarget("hermes-pcm", {
    "array.rows": 9, "array.columns": 6, "input.coding": "bit-serial", "input.sliceBits": 2,
    "input.sign": "unsigned", "input.phases": 1, "encoding.sides": "two",
    "adc.range": { policy: "max" },
  }),
  "integrated, two's complement, offset in the analog domain": testTarget("isaac-rram", {
    "array.rows": 10, "array.columns": 24, "input.coding": "bit-serial-integrated",
    "input.bits": 7, "encoding.subtract": "analog", "adc.range": { policy: "max" },
  }),
  "integrated, few converter bits": testTarget("neurram-rram", {
    "array.rows": 14, "array.columns": 4, "adc.bits": 4, "adc.range": { policy: "max" },
  }),
  "pulse width, two phases": testTarget("hermes-pcm", {
    "array.rows": 9, "array.columns": 6, "input.phases": 2, "adc.range": { policy: "max" },
  }),
  "columns converted apart, few rows at once": testTarget("isaac-rram", {
    "array.rows": 12, "array.columns": 24, "encoding.scheme": "differential-columns",
    "encoding.slices": 3, "array.rowsAtOnce": 5, mode: "wordline",
    "adc.range": { policy: "calibrated" },
  }),
  "rows of pairs, few at once": testTarget("neurram-rram", {
    "array.rows": 20, "array.columns": 6, "array.rowsAtOnce": 6, mode: "wordline",
    "adc.range": { policy: "max" },
  }),
};
const device = new InterpreterDevice();

const largestOf = ({ data }: Tensor): number =>
  Math.max(0, ...Array.from(data, (x) => Math.abs(x)));

/** float32 rounds each of the sums, products and constants behind a result. */
const FLOAT32 = 3e-6;

/** Cases whose product was one contraction. */
const folded = new Set<string>();

async function compare(target: TestTarget, converters: boolean, seed: number): Promise<void> {
  for (const { name, graph, inputs } of randomCases(seed)) {
    const given = target.target.input.sign === "unsigned"
      ? new Map([...inputs].map(([n, t]) =>
        [n, { ...t, data: Float32Array.from(t.data, Math.abs) }])) : inputs;
    const { block, setting } = compileBlock(graph, target,
      converters ? ["levels", "converters"] : ["levels"]);
    const { crossbar } = block;
    const { loops, heart, drive } = loopsOf(block.graph, crossbar.weights.name, given);
    const chip = new BlockChip(device, block, setting);
    chip.program(0);
    const { input } = setting.config;
    const whole = chip.layout.groupsPerPack === 1;
    if (whole && (!converters || input.coding === "digital")) {
      expect(chip.folds || chip.layout.colsN === 1, name).toBe(true);
    }
    if (chip.folds) folded.add(name);
    chip.seeInputs(drive.data as Float32Array);
    // Ranges that clip a little, where samples decide.
    const kinds = Math.max(...chip.passes.map((p) => p.kind)) + 1;
    const range = 0.4 * Math.sqrt(crossbar.matrix.rowsK) * (chip.passes.at(-1)?.largest ?? 1);
    chip.setRanges(Array.from({ length: kinds }, () =>
      new Array<number>(chip.layout.slices).fill(range)));
    const high = highest(target);
    const oracle: OracleChip = {
      config: setting.config, crossbar, scales: setting.read(crossbar.scales),
      cells: (id) => setting.read(crossbar.tiles.find((t) => t.id === id)!.conductances),
      ...(converters ? { converters: {
        lsbs: chip.lsbs!, step: largestOf(drive) > 0 ? largestOf(drive) / high : 1,
      } } : {}),
    };
    const product = oracleProduct(loops, oracle);
    const expected = afterProduct(block.graph, heart, product.values, given);
    const out = await chip.run(given, 0, device.allocate(expected.data.length));
    expect(out.shape, name).toEqual(expected.shape);
    const actual = await chip.read(out);
    // Sums are bounded by what every input and weight at its largest would give.
    const scale = crossbar.matrix.rowsK * Math.max(largestOf(drive), 1) *
      Math.max(...Array.from(setting.read(crossbar.scales)), 0.1);
    const near = product.slack.filter((s) => s > 0).length / product.slack.length;
    expect(near, `${name}: outputs near a border`).toBeLessThan(0.5);
    // The epilogues of the cases keep every output in its place and have a slope of 1 at most.
    const wrong = Array.from(expected.data).flatMap((e, i) => {
      const allowed = FLOAT32 * scale + product.slack[i]!;
      return Math.abs(e - actual[i]!) <= allowed ? [] : [`${i}: ${actual[i]}, not ${e}`];
    });
    expect(wrong, name).toEqual([]);
    chip.release();
  }
}

const highest = ({ target }: TestTarget): number => {
  const { sign, bits } = target.input;
  return sign === "unsigned" ? 2 ** bits.value - 1 : 2 ** Math.max(1, bits.value - 1) - 1;
};

describe.each(Object.entries(targets))("%s", (_, target) => {
  it("multiplies like loops over its tiles", async () => {
    await compare(target, false, 11);
    expect(folded.size).toBeGreaterThan(3);
  });
  it("converts like loops over bits, slices and rows", async () => {
    await compare(target, true, 12);
  });
});
