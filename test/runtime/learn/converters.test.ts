/** Converters in a loop: products against arithmetic on the host, gradients, the nudge's needs. */
import { describe, expect, it } from "vitest";
import { smoothSigmoid } from "../../../compiler/energy/units.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { buildFfEbm } from "../../../models/ffEbm.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import {
  checkGradients, gradientChecker, type CheckRequest,
} from "../../../runtime/learn/check.ts";
import {
  checkOnChip, neededBits, triedBits, type PrecisionCheck,
} from "../../../runtime/learn/chipGradients.ts";
import {
  converted, loopConverters, observed, rangeName, rangeTensor, type LoopConverters,
} from "../../../runtime/learn/converted.ts";
import type { Held } from "../../../runtime/learn/engine.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import type { LearningChip } from "../../../runtime/learn/onChip.ts";
import { Ranges } from "../../../runtime/learn/ranges.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { Random } from "../../support/randomGraph.ts";
import { testTarget } from "../chip/blocks.ts";
import { densePlan, randomData, randomParameters, toRest } from "./support.ts";

const engine = referenceEngine("f64");
const highest = (bits: number): number => 2 ** (bits - 1) - 1;
const codes = (bits: number, cubic = 0): LoopConverters => {
  const both = { low: -highest(bits), high: highest(bits) };
  return { input: both, output: both, isUnsigned: false, cubic, range: { percentile: 1 } };
};

describe("a product behind converters", () => {
  const r = new Random(4);
  const [N, rows, columns] = [5, 7, 3];
  const x = r.tensor([N, rows], -1.3, 1.3);
  const w = r.tensor([rows, columns], -1, 1);
  const b = new Builder("product");
  const graph = b.finish([{
    name: "y",
    value: b.dot(b.input("x", { dtype: "float32", shape: [N, rows] }),
      b.input("w", { dtype: "float32", shape: [rows, columns] }), 0, 1),
  }]);
  const [{ read } = { read: "" }] = observed(graph, new Set(["w"])).products;

  const run = async (
    converters: LoopConverters, full: { input: number; output: number },
  ): Promise<ArrayLike<number>> => {
    const held = new Map<string, Held>([
      ["x", engine.hold(x)], ["w", engine.hold(w)],
      [rangeName(read), engine.hold(tensor("float32", [4], rangeTensor(converters, full)))],
    ]);
    const prepared = await engine.prepare(
      converted(graph, new Set(["w"]), converters));
    return (await engine.read((await prepared.run(held)).get("y") as Held)).data;
  };
  const each = (of: (n: number, c: number) => number): number[] =>
    Array.from({ length: N * columns }, (_, i) => of(Math.floor(i / columns), i % columns));
  const at = ({ data }: Tensor, i: number): number => data[i] as number;

  it.each([
    [3, 0], [5, 0], [8, 0], [6, -0.25], [6, 0.4],
  ])("rounds, answers and clips as the host does: %i bits, cube %d", async (bits, cubic) => {
    const converters = codes(bits, cubic);
    // Ranges that clip a share of either side.
    const full = { input: 1, output: 1.5 };
    const [inSteps, inUnit, outSteps, outUnit] = rangeTensor(converters, full) as unknown as
      [number, number, number, number];
    const high = highest(bits);
    const clip = (v: number): number => Math.min(Math.max(v, -high), high);
    const expected = each((n, c) => {
      let sum = 0;
      for (let k = 0; k < rows; k++) {
        const code = clip(Math.round(at(x, n * rows + k) * inSteps));
        const answer = code * inUnit * (1 + cubic * (code / high) ** 2);
        sum += answer * at(w, k * columns + c);
      }
      return clip(Math.round(sum * outSteps)) * outUnit;
    });
    const found = await run(converters, full);
    // Ranges are held in float32.
    expected.forEach((y, i) => expect(found[i]).toBeCloseTo(y, 6));
    const edge = high * outUnit;
    expect(expected.some((y) => Math.abs(y) === edge)).toBe(true);
  });

  it.each([6, 10, 14])("is within half a step of each input and half a code, %i bits",
    async (bits) => {
      const converters = codes(bits);
      const full = { input: 1.3, output: 1.3 * rows };
      const [, inUnit, , outUnit] = rangeTensor(converters, full);
      const found = await run(converters, full);
      each((n, c) => {
        let [exact, bound] = [0, (outUnit as number) / 2];
        for (let k = 0; k < rows; k++) {
          exact += at(x, n * rows + k) * at(w, k * columns + c);
          bound += ((inUnit as number) / 2) * Math.abs(at(w, k * columns + c));
        }
        // Ranges are held in float32.
        expect(Math.abs(exact - (found[n * columns + c] as number)))
          .toBeLessThan(bound * (1 + 2 ** -10));
        return 0;
      });
    });
});

describe("the converters of a target", () => {
  it("have its bits and its policy", () => {
    const of = (
      name: string, bits?: number, only: readonly Imperfection[] = ["converters"],
    ): LoopConverters | undefined => loopConverters(
      { ...testTarget(name), imperfections: imperfections(only), seed: 1 }, bits);
    expect(of("neurram-rram")).toEqual({
      input: { low: -31, high: 31 }, output: { low: -127, high: 127 }, isUnsigned: false,
      cubic: 0, range: { percentile: 0.999 },
    });
    expect(of("neurram-rram", 8, ["levels", "nonlinearity"])).toBeUndefined();
    // A code per level loses nothing; sensed words are never converted.
    expect(of("isaac-rram")!.output).toBeUndefined();
    expect(of("ternary-2t2r-rram")!.output).toBeUndefined();
    expect(of("hermes-pcm")!.output).toEqual({ low: -255, high: 255 });
    expect(of("isaac-rram", 5)!.output).toEqual({ low: -15, high: 15 });
  });

  it("refuse faults of single converters, which a loop does not have", () => {
    const of = (changes: Record<string, unknown>, only: readonly Imperfection[]) =>
      loopConverters({ ...testTarget("neurram-rram", changes), imperfections: imperfections(only),
        seed: 1 });
    for (const changes of [
      { "adc.successiveApproximation": {} }, { "adc.gainSpread": 0.1 }, { "adc.offsetSpread": 0.1 },
    ]) {
      expect(() => of(changes, ["converters"])).toThrow(
        `target neurram-rram: ${Object.keys(changes)[0]}: faults of single converters`);
      expect(of(changes, ["programming"])).toBeUndefined();
    }
  });
});

const { model } = buildFfEbm(densePlan(5, [[5, 4], [4, 4, 3]], 3, smoothSigmoid));
const numbers = randomParameters(model, 1);
const parameters = new Map<string, Tensor>(model.parameters.map(({ name, shape }) =>
  [name, tensor("float32", shape, numbers.get(name) as Float64Array)]));
const data = randomData(model, 4);
const input = tensor("float32", [4, 5], data.input);
const target = tensor("float32", [4, 3], data.target);
const chip = (
  bits?: number, only: Parameters<typeof imperfections>[0] = ["converters"],
  changes: Readonly<Record<string, unknown>> = {},
): LearningChip => ({
  chip: { ...testTarget("neurram-rram", changes), imperfections: imperfections(only), seed: 1 },
  directions: "same", chips: "every-step", bits,
});
const request = (beta: number): CheckRequest => ({
  engine, model, parameters, input, target,
  method: { kind: "equilibrium", stencil: stencilOf("c-ep", { beta }) },
  solver: { order: "asynchronous", free: { sweeps: 60 }, nudged: { sweeps: 40 } },
});

describe("ranges", () => {
  const hold = (): Map<string, Held> =>
    new Map([...parameters].map(([name, value]) => [name, engine.hold(value)]));
  const names = new Set([...parameters.keys()].filter((name) => /\.W$|weight$/.test(name)));

  it("are those of every read in either direction, nudges included", async () => {
    const ranges = new Ranges(engine, model, toRest, codes(8), names);
    const unitsAt = async (beta: number): Promise<number[]> => {
      const found = await ranges.find(hold(), { input, target, method: request(beta).method });
      for (const name of names) {
        const reads = [...found.keys()].filter((key) => key.startsWith(rangeName(`${name} by`)));
        expect(reads).toHaveLength(name.endsWith(".W") ? 2 : 1);
      }
      return Promise.all([...found.values()].map(async (held) =>
        (await engine.read(held)).data[1] as number));
    };
    const [weak, strong] = [await unitsAt(0.01), await unitsAt(2)];
    weak.forEach((unit, i) => expect(strong[i]).toBeGreaterThan(0.99 * unit));
    expect(strong.some((unit, i) => unit > 1.05 * (weak[i] as number))).toBe(true);
  });

  it("are refused where inputs of both signs meet unsigned rows", async () => {
    await expect(checkGradients({ ...request(0.1), chip: chip(undefined, undefined, {
      "input.sign": "unsigned",
    }) })).rejects.toThrow(/have both signs, the target's are unsigned/);
  });
});

describe("gradients behind converters", () => {
  it("come to those without as bits are added", async () => {
    const check = await gradientChecker(request(0.05));
    const { overall: plain } = await check();
    const errors: number[] = [];
    for (const bits of [12, 16, 20]) {
      const { overall } = await check(chip(bits));
      errors.push(Math.abs(overall.relativeError - plain.relativeError));
    }
    // Four bits are a factor of 16; what rounding comes to is partly chance.
    expect(errors[1]).toBeLessThan(errors[0]! / 4);
    expect(errors[2]).toBeLessThan(errors[0]! / 32);
    expect(errors[2]).toBeLessThan(1e-3);
  });

  it("are the worse the weaker the nudge is, and are told how many bits it needs", async () => {
    const one = buildFfEbm(densePlan(5, [[5, 4]], 3, smoothSigmoid)).model;
    const random = randomParameters(one, 1);
    const of = (beta: number): CheckRequest => ({
      ...request(beta), model: one,
      parameters: new Map(one.parameters.map(({ name, shape }) =>
        [name, tensor("float32", shape, random.get(name) as Float64Array)])),
    });
    const { alone, precision, neededBits: bits } = await checkOnChip(of(0.05), chip());
    expect(alone?.map(({ imperfection }) => imperfection)).toEqual(["none", "converters"]);
    expect(precision?.map((row) => row.bits)).toEqual([...triedBits]);
    expect(neededBits(precision!, alone![0]!)).toBe(bits);
    expect(bits).toBeGreaterThan(4);
    const weak = await checkGradients({ ...of(0.0005), chip: chip(6) });
    const strong = precision!.find((row) => row.bits === 6)!;
    expect(weak.boundaries[0]!.cosine).toBeLessThan(strong.blocks[0]!.cosine - 0.1);
    // Nine relaxations to rest in float64: seconds, minutes on a machine that has other work.
  }, 120_000);

  it.each<[number | null, number[]]>([
    [4, [0.95, 0.96, 0.97]], [6, [0.9, 0.99, 0.96]], [null, [0.96, 0.96, 0.9]],
  ])("need %s bits where cosines go as %j", (bits, cosines) => {
    const row = (cosine: number): Pick<PrecisionCheck, "overall" | "blocks"> => ({
      overall: { cosine: 1, relativeError: 0 }, blocks: [{ name: "b", cosine, relativeError: 0 }],
    });
    const precision = cosines.map((cosine, i) => ({ bits: 4 + 2 * i, ...row(cosine) }));
    expect(neededBits(precision, row(0.955))).toBe(bits);
  });

  it("are refused of states that are no voltages", async () => {
    const stencil = stencilOf("h-ep", { beta: 0.1, points: 4 });
    const method = { kind: "equilibrium" as const, stencil };
    await expect(checkGradients({ ...request(0.1), method, chip: chip() }))
      .rejects.toThrow(/converters take states, no complex states/);
    expect((await checkGradients({ ...request(0.1), method, chip: chip(undefined, []) })).overall
      .cosine).toBeGreaterThan(0.999);
  });
});
