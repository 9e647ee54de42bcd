/**
 * Converters by successive approximation: against rounding where nothing is off, against a search
 * written out in plain numbers where something is, and against the variances of their capacitors.
 */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { ConverterBank } from "../../../runtime/chip/converterBank.ts";
import { codeRange } from "../../../runtime/chip/converters.ts";
import { layoutOf } from "../../../runtime/chip/layout.ts";
import { keyOf, normalAt } from "../../../runtime/chip/normal.ts";
import { observeBlock } from "../../../runtime/chip/observe.ts";
import { inputRange, passesOf } from "../../../runtime/chip/passes.ts";
import { simulatedGraph } from "../../../runtime/chip/simulatedGraph.ts";
import { findHeart } from "../../../runtime/chip/operand.ts";
import { approximated, largestMagnitude } from "../../../runtime/chip/successiveApproximation.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Random } from "../../support/randomGraph.ts";
import {
  compileBlock, product, randomCases, testTarget, type CompiledBlock, type TestTarget,
} from "./blocks.ts";
import { afterProduct, loopsOf, oracleProduct } from "./tileOracle.ts";

/** A converter in plain numbers: C_k from the smallest, C_f, an offset in codes and a gain. */
interface Plain {
  readonly ladder: readonly number[];
  readonly feedback: number;
  readonly offset: number;
  readonly gain: number;
}

/** Level of a code of a converter, in codes of `bits` bits: the sum of what its bits connect. */
function levelOf({ ladder, feedback, gain }: Plain, code: number, bits: number): number {
  const unused = ladder.length - bits;
  let connected = 0;
  for (let k = 0; k < bits; k++) {
    if (Math.floor(code / 2 ** k) % 2 === 1) connected += ladder[unused + k]!;
  }
  // One code more than all: as large as the smallest one should be.
  if (code === 2 ** bits) connected = ladder.slice(unused).reduce((a, c) => a + c, 0) +
    feedback / 2 ** bits;
  const feedbackFactor = feedback / (feedback + connected);
  return (connected / feedback) * 2 ** bits / (1 + 1 / (gain * feedbackFactor));
}

/** The search, bit by bit; `near` where a comparison was closer than that many codes. */
function searched(
  plain: Plain, x: number, bits: number, signed: boolean, closer: number,
): { code: number; clips: boolean; near: boolean } {
  const input = x + plain.offset;
  const magnitude = signed ? Math.abs(input) : input;
  let [code, near] = [0, false];
  for (let k = bits - 1; k >= 0; k--) {
    const border = levelOf(plain, code + 2 ** k, bits) - 0.5;
    if (Math.abs(magnitude - border) < closer) near = true;
    if (magnitude > border) code += 2 ** k;
  }
  const clips = magnitude > levelOf(plain, 2 ** bits, bits) - 0.5 || (!signed && input < -0.5);
  return { code: signed && input < 0 ? -code : code, clips, near };
}

/** The graph's codes of inputs, by a converter. */
function converted(plain: Plain, xs: readonly number[], bits: number, signed: boolean): number[] {
  const b = new Builder("conversion");
  const x = b.input("x", { dtype: "float32", shape: [xs.length] });
  const value = approximated(b, x, {
    capacitors: plain.ladder.slice(-bits).map((c) => b.full(x, c * 2 ** bits / plain.feedback)),
    offset: b.full(x, plain.offset), isSigned: signed,
    openLoopGain: plain.gain === Infinity ? undefined : plain.gain,
  });
  const graph = b.finish([{ name: "code", value }]);
  const given = tensor("float32", [xs.length], Float32Array.from(xs));
  return Array.from(evaluateGraph(graph, new Map([["x", given]]), "f32").get("code")!.data);
}

const ideal = (bits: number): Plain => ({
  ladder: Array.from({ length: bits }, (_, k) => 2 ** k), feedback: 2 ** bits, offset: 0,
  gain: Infinity,
});

/** The next number of float32 above or below. */
function neighbour(x: number, up: boolean): number {
  const bits = new Int32Array(Float32Array.of(x).buffer);
  bits[0]! += x > 0 === up ? 1 : -1;
  return new Float32Array(bits.buffer)[0]!;
}

describe("one conversion", () => {
  it.each([1, 2, 5, 8, 11])("of %d bits without faults is rounding on every edge", (bits) => {
    for (const signed of [false, true]) {
      const high = 2 ** bits - 1;
      const low = signed ? -high : 0;
      const edges = Array.from({ length: high - low + 4 }, (_, i) => low - 1.5 + i);
      const xs = edges.flatMap((e) => [neighbour(e, false), e, neighbour(e, true)]);
      const even = (x: number): number => {
        const down = Math.floor(x);
        return x - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(x);
      };
      const expected = xs.map((x) => Math.min(Math.max(even(x), low), high) + 0);
      expect(converted(ideal(bits), xs, bits, signed).map((code) => code + 0)).toEqual(expected);
    }
  });

  it("finds the code that the search finds, however bent the scale", () => {
    const r = new Random(4);
    let [compared, skipped, missing] = [0, 0, 0];
    for (let n = 0; n < 60; n++) {
      const bits = r.int(1, 9);
      const signed = n % 2 === 0;
      const spread = [0.01, 0.25, 1.5][n % 3]!;
      const plain: Plain = {
        ladder: ideal(bits).ladder.map((c) => c * (1 + spread * (r.next() - 0.5))),
        feedback: 2 ** bits * (1 + 0.2 * (r.next() - 0.5)),
        offset: 3 * (r.next() - 0.5), gain: [Infinity, 40, 1][n % 3]!,
      };
      const span = 1.3 * 2 ** bits;
      const xs = Array.from({ length: 400 }, () =>
        Math.fround(signed ? span * (2 * r.next() - 1) : span * r.next() - 2));
      const actual = converted(plain, xs, bits, signed).map((code) => code + 0);
      const seen = new Set(actual.map(Math.abs));
      if (bits < 7 && seen.size < 2 ** bits) missing++;
      const found = xs.map((x) => searched(plain, x, bits, signed, 1e-6 * 2 ** bits));
      const wrong = xs.filter((_, i) => !found[i]!.near && actual[i] !== found[i]!.code + 0);
      expect(wrong, `${bits} bits`).toEqual([]);
      skipped += found.filter(({ near }) => near).length;
      compared += xs.length;
    }
    expect(skipped / compared).toBeLessThan(0.01);
    // Scales so bent that codes are missing were among them.
    expect(missing).toBeGreaterThan(3);
  });

  it("clips where one code more would begin", () => {
    expect(largestMagnitude(ideal(7).ladder, undefined)).toBe(127.5);
    for (const gain of [1, 30, 1e4]) {
      const plain = { ...ideal(6), gain };
      expect(largestMagnitude(plain.ladder, gain)).toBeCloseTo(levelOf(plain, 64, 6) - 0.5, 9);
      expect(largestMagnitude(plain.ladder, gain)).toBeLessThan(63.5);
    }
  });
});

const figureOf = (value: number) => ({ value, unit: "1", source: "assumed: for a test" });
const faults = (spread: number, offset: number, gain?: number): Record<string, unknown> => ({
  "adc.successiveApproximation": {
    capacitorSpread: figureOf(spread), comparatorOffset: figureOf(offset),
    ...(gain === undefined ? {} : { openLoopGain: figureOf(gain) }),
  },
});
const small = { "array.rows": 12, "array.columns": 16, "adc.range": { policy: "calibrated" } };
/** Of ISAAC's inputs and slices, which make every other test of them long enough. */
const few = { "input.bits": 4, "encoding.slices": 2 };

/** The converter of a column of a tile, drawn once more; it has as many bits as `all`. */
function plainOf(
  { setting: { config, seed } }: CompiledBlock, tile: string, column: number, trial: number,
  all: number,
): Omit<Plain, "offset"> & { readonly relativeOffset: number } {
  const { share, successiveApproximation: record } = config.converter;
  const key = keyOf(seed, "converter capacitors", trial, tile);
  const normal = (draw: number): number => normalAt(key, Math.floor(column / share) * 64 + draw);
  const spread = record!.capacitorSpread;
  return {
    ladder: Array.from({ length: all }, (_, k) => 2 ** k + spread * 2 ** (k / 2) * normal(k)),
    feedback: 2 ** all + spread * 2 ** (all / 2) * normal(32),
    relativeOffset: record!.comparatorOffset * normal(33),
    gain: record!.openLoopGain ?? Infinity,
  };
}

const interpreter = new InterpreterDevice();

const magnitude = (xs: ArrayLike<number>): number =>
  Math.max(0, ...Array.from(xs, (x) => Math.abs(x)));

const every = <T>(step: number, items: readonly T[]): T[] =>
  items.filter((_, i) => i % step === 0);

describe("a block behind such converters", () => {
  const targets: Record<string, TestTarget> = {
    "two kinds of conversions, signed": testTarget("neurram-rram",
      { ...small, "adc.share": 3, ...faults(0.05, 0.02) }),
    "unsigned, slices": testTarget("isaac-rram",
      { ...small, ...few, "adc.share": 5, ...faults(0.1, 0.01) }),
    "pairs apart, a weak amplifier": testTarget("hermes-pcm",
      { ...small, ...faults(0.02, 0, 25) }),
    "gain and offset besides, few rows at once": testTarget("neurram-rram", {
      ...small, "array.rows": 20, "array.rowsAtOnce": 6, mode: "wordline", "adc.share": 2,
      "adc.gainSpread": 0.05, "adc.offsetSpread": 0.02, ...faults(0.1, 0.05, 60),
    }),
  };
  const clipped = { some: 0, all: 0 };
  const outputs = { near: 0, all: 0 };

  it.each(Object.entries(targets))("%s: codes of a plain search", async (_, target) => {
    const wasm = await openWasmDevice();
    for (const { graph, inputs, name } of every(3, randomCases(61))) {
      const compiled = compileBlock(graph, target, ["levels", "converters"], { seed: 6 });
      const { block, setting: { config, read } } = compiled;
      const { heart, loops, drive } = loopsOf(graph, block.crossbar.weights.name, inputs);
      const run = async (device: Device): Promise<{ chip: BlockChip; values: Float32Array }> => {
        const chip = new BlockChip(device, block, compiled.setting);
        expect(chip.folds).toBe(false);
        chip.program(2);
        chip.seeInputs(drive.data as Float32Array);
        const range = 0.8 * Math.sqrt(block.crossbar.matrix.rowsK) * chip.passes.at(-1)!.largest;
        chip.setRanges([range, range].map((r) => new Array<number>(chip.layout.slices).fill(r)));
        const output = device.allocate(loops.shape.reduce((sum, d) => sum * d, 1));
        return { chip, values: (await chip.read(await chip.run(inputs, 0, output))).slice() };
      };
      const { chip, values } = await run(interpreter);
      const top = codeRange(config, chip.passes.at(-1)!).high;
      const bits = Math.log2(top + 1);
      const largest = magnitude(drive.data);
      const oracle = oracleProduct(loops, {
        config, crossbar: block.crossbar, scales: read(block.crossbar.scales),
        cells: (id) => read(block.crossbar.tiles.find((t) => t.id === id)!.conductances),
        converters: {
          lsbs: chip.lsbs!, step: largest > 0 ? largest / inputRange(config.input).high : 1,
          mismatch: (tile, column) => {
            const { gainSpread, offsetSpread, share } = config.converter;
            const draw = (what: string): number =>
              normalAt(keyOf(6, `converter ${what}`, 2, tile), Math.floor(column / share));
            return { gain: 1 + gainSpread * draw("gain"),
              offset: offsetSpread * top * draw("offset") };
          },
          code: (tile, column, x, of) => {
            const used = of.signed ? of.bits - 1 : of.bits;
            const { relativeOffset, ...plain } = plainOf(compiled, tile, column, 2, bits);
            const found = searched(
              { ...plain, offset: relativeOffset * 2 ** used }, x, used, of.signed, 1e-4);
            // On a bent scale neighbours on either side of a level may be codes apart.
            return { ...found, near: found.near ? 8 : 0 };
          },
        },
      });
      const expected = afterProduct(graph, heart, oracle.values, inputs);
      const scale = block.crossbar.matrix.rowsK * Math.max(1, largest) *
        Math.max(0.1, magnitude(read(block.crossbar.scales)));
      const wrong = Array.from(expected.data).filter((y, i) =>
        Math.abs(y - values[i]!) > 3e-6 * scale + oracle.slack[i]!);
      expect(wrong, name).toEqual([]);
      outputs.near += oracle.slack.filter((s) => s > 0).length;
      outputs.all += oracle.slack.length;
      for (const one of await observeBlock(chip, inputs as never)) {
        const found = oracle.clipped.get(one.tile)!;
        expect(one.conversions).toBe(found.conversions);
        // One more or less where a current is on the border.
        expect(Math.abs(one.clipped - found.clipped), name).toBeLessThanOrEqual(1);
        clipped.some += one.clipped;
        clipped.all += one.conversions;
      }
      chip.release();
      const { chip: other, values: again } = await run(wasm);
      other.release();
      const apart = Array.from(values, (v, i) => Math.abs(v - again[i]!));
      expect(magnitude(apart), name).toBeLessThan(1e-5 * magnitude(values) + 1e-6);
    }
  });

  it("clips, as it is counted, but not always", () => {
    expect(clipped.some / clipped.all).toBeGreaterThan(0.001);
    expect(clipped.some / clipped.all).toBeLessThan(0.5);
    expect(outputs.near / outputs.all).toBeLessThan(0.1);
  });

  it("is the quantiser where nothing is off, clipping included", async () => {
    const presets = { "neurram-rram": {}, "isaac-rram": few, "hermes-pcm": {} };
    for (const [preset, changes] of Object.entries(presets)) {
      const plain = testTarget(preset, { ...small, ...changes });
      const approximating = testTarget(preset,
        { ...small, ...changes, "adc.successiveApproximation": {} });
      for (const { graph, inputs, name } of every(3, randomCases(62))) {
        const found = [];
        for (const target of [plain, approximating]) {
          const { block, setting } = compileBlock(graph, target, ["levels", "converters"]);
          const { drive, loops } = loopsOf(graph, block.crossbar.weights.name, inputs);
          const chip = new BlockChip(interpreter, block, setting);
          chip.program(0);
          chip.seeInputs(drive.data as Float32Array);
          const { largest } = chip.passes.at(-1)!;
          const range = 0.3 * Math.sqrt(block.crossbar.matrix.rowsK) * largest;
          chip.setRanges([range, range].map((r) => new Array<number>(chip.layout.slices).fill(r)));
          const output = interpreter.allocate(loops.shape.reduce((a, d) => a * d, 1));
          const values = (await chip.read(await chip.run(inputs, 0, output))).map((v) => v + 0);
          found.push({ values, clipped: await observeBlock(chip, inputs as never) });
          chip.release();
        }
        expect(found[1], `${preset} ${name}`).toEqual(found[0]);
      }
    }
  });

  it("columns share the faults of their converter, and no others", async () => {
    const target = testTarget("neurram-rram", {
      ...small, "adc.range": { policy: "max" }, "adc.share": 4, ...faults(0.2, 0.02),
    });
    const { graph, inputs } = product(8, 12, (i) => Math.sin(i) * 0.9);
    const compiled = compileBlock(graph, target, ["levels", "converters"]);
    const chip = new BlockChip(interpreter, compiled.block, compiled.setting);
    const runs: number[][] = [];
    for (const trial of [0, 1, 0]) {
      chip.program(trial);
      chip.seeInputs(Float32Array.of(1));
      chip.setRanges([]);
      const output = interpreter.allocate(12);
      runs.push(Array.from(await chip.read(await chip.run(inputs, 0, output))));
    }
    const [first, second, again] = runs as [number[], number[], number[]];
    expect(again).toEqual(first);
    expect(second).not.toEqual(first);
    first.forEach((v, i) => expect(v).toBe(first[i - (i % 4)]));
    expect(new Set(first).size).toBe(3);
    chip.release();
  });

  it("adds nothing to the graph of a target whose converters are quantisers", () => {
    const { graph } = product(4, 3, (i, o) => i - o);
    const graphOf = (changes: Record<string, unknown>) => {
      const target = testTarget("resistive-trainer-rram", { ...small, ...changes });
      const { block, setting: { config } } = compileBlock(graph, target, ["converters"]);
      return simulatedGraph(block.graph, findHeart(block.graph, "w"), {
        config, layout: layoutOf(config, block.crossbar), passes: passesOf(config),
        converters: true, noise: false, mismatch: false, sensed: false, powers: [], digitalZero: 0,
      }, false);
    };
    const plain = graphOf({});
    expect(plain.names.capacitors).toEqual([]);
    expect(plain.graph.nodes.map(({ op }) => op).join(" ")).toBe([
      "broadcast mul round constant broadcast max constant broadcast min",
      "transpose reshape constant constant constant dot",
      "reshape broadcast mul broadcast max broadcast min round",
      "constant broadcast mul reshape broadcast mul reshape constant broadcast mul reduce",
      "reshape constant reshape broadcast mul reshape transpose",
    ].join(" "));
    const approximating = graphOf({ "adc.successiveApproximation": {} });
    expect(approximating.graph.nodes.length).toBeGreaterThan(plain.graph.nodes.length);
  });
});

describe("capacitors of many converters", () => {
  const [SPREAD, OFFSET, TRIALS] = [0.01, 0.003, 200];
  const target = testTarget("neurram-rram", {
    "array.columns": 64, "adc.bits": 8, "adc.share": 1, ...faults(SPREAD, OFFSET),
  });
  const { graph } = product(4, 64, () => 1);
  const { block, setting: { config } } = compileBlock(graph, target, ["converters"]);
  const layout = layoutOf(config, block.crossbar);
  const passes = passesOf(config);
  const { kind } = passes.at(-1)!;
  const bits = 7;
  const rows = Array.from({ length: TRIALS }, (_, trial) => {
    const table = new ConverterBank(config, block.crossbar, layout, passes, 9, trial)
      .capacitors[kind]!;
    return Array.from({ length: 64 }, (_, at) =>
      Array.from({ length: bits + 1 }, (_, k) => table[k * 64 + at]!));
  }).flat();
  /** Level of a code of a converter, in codes. */
  const level = (row: readonly number[], code: number): number =>
    row.slice(0, bits).reduce((sum, c, k) => sum + (Math.floor(code / 2 ** k) % 2) * c, 0);
  /** That a variance is the expected one, to four standard errors of so many normal draws. */
  const hasVariance = (values: readonly number[], expected: number, what: string): void => {
    const mean = values.reduce((a, v) => a + v, 0) / values.length;
    const found = values.reduce((a, v) => a + (v - mean) ** 2, 0) / (values.length - 1);
    // The quotient by C_f is linear to a part in a thousand.
    expect(Math.abs(found / expected - 1), what)
      .toBeLessThan(4 * Math.sqrt(2 / rows.length) + 1e-3);
    expect(Math.abs(mean), what)
      .toBeLessThan(4 * Math.sqrt(expected / values.length) + 1e-3 * Math.sqrt(expected));
  };

  it("the step at the major transition varies by SPREAD^2 (2^bits - 1 + 2^-bits)", () => {
    const half = 2 ** (bits - 1);
    const steps = rows.map((row) => level(row, half) - level(row, half - 1) - 1);
    hasVariance(steps, SPREAD ** 2 * (2 ** bits - 1 + 2 ** -bits), "step");
  });

  it("every level m varies by SPREAD^2 (m + m^2 / 2^bits)", () => {
    for (let m = 1; m < 2 ** bits; m++) {
      hasVariance(rows.map((row) => level(row, m) - m), SPREAD ** 2 * (m + m * m / 2 ** bits),
        `level ${m}`);
    }
  });

  it("offsets vary by their share of the reference", () => {
    hasVariance(rows.map((row) => row[bits]!), (OFFSET * 2 ** bits) ** 2, "offset");
  });

  it("are independent from converter to converter and from chip to chip", () => {
    const error = rows.map((row) => level(row, 64) - 64);
    const variance = SPREAD ** 2 * (64 + 64 * 64 / 128);
    for (const lag of [1, 64]) {
      const products = error.slice(lag).map((e, i) => e * error[i]! / variance);
      const mean = products.reduce((a, p) => a + p, 0) / products.length;
      expect(Math.abs(mean), `lag ${lag}`).toBeLessThan(4 / Math.sqrt(products.length));
    }
  });
});
