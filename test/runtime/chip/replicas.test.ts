/**
 * Layers with several copies: what each copy holds and makes, against the same layer with one copy
 * whose tiles have the names of that copy's.
 */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { mulDims, symbol } from "../../../compiler/graph/dim.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { sizeOf, type Tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import { ChipSimulator, type ChipOptions } from "../../../runtime/chip/chipSimulator.ts";
import { dealOf, productsOf } from "../../../runtime/chip/deal.ts";
import { imperfectionNames, imperfections } from "../../../runtime/chip/imperfections.ts";
import { tileOfCopy } from "../../../runtime/chip/replicas.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { second } from "../../../targets/units.ts";
import { Random } from "../../support/randomGraph.ts";
import { compileBlock, testTarget, type CompiledBlock } from "./blocks.ts";
import { testNetwork } from "./network.ts";
import { loopsOf } from "./tileOracle.ts";

const wasm = await openWasmDevice();
const interpreter = new InterpreterDevice();
const N = symbol("N");

interface Layer {
  readonly name: string;
  readonly graph: Graph;
  readonly input: Tensor;
  /** Products of one inference. */
  readonly products: number;
}

/** Every part of a tensor, of so many, larger than the one before: noise follows its inputs. */
function growing(t: Tensor, parts: number): Tensor {
  const each = t.data.length / parts;
  return { ...t, data: Float32Array.from(t.data, (v, i) => v * (1 + Math.floor(i / each))) };
}

/** Nothing follows the product: an output says which copy made it. */
function conv(channels: number, outputs: number, size: readonly number[], groups = 1): Layer {
  const r = new Random(40 + groups);
  const b = new Builder("conv");
  const x = b.input("x", { dtype: "float32", shape: [N, channels, ...size] });
  const taps = size.map(() => 3);
  const w = b.constant(r.tensor([outputs, channels / groups, ...taps]), "w");
  const ones = size.map(() => 1);
  const y = b.add("conv", [x, w], {
    strides: ones, dilations: ones, low: ones, high: ones, groups,
  });
  return {
    name: `conv [${size}] of ${groups}`, graph: b.finish([{ name: "y", value: y }]),
    input: growing(r.tensor([2, channels, ...size], -0.5, 1), 2), products: sizeOf(size),
  };
}

/** Rows of a matrix; of several inferences on one axis where `together`. */
function rows(count: number, together: boolean): Layer {
  const r = new Random(9);
  const b = new Builder("rows");
  const x = b.input("x", { dtype: "float32", shape: [N, count, 20] });
  const driven = together ? b.reshape(x, [mulDims(N, count), 20]) : x;
  const y = b.dot(driven, b.constant(r.tensor([20, 5]), "w"), 0, 1);
  return {
    name: `${count} rows${together ? " on one axis" : ""}`,
    graph: b.finish([{ name: "y", value: y }]),
    input: growing(r.tensor([3, count, 20], -0.5, 1), 3 * count), products: count,
  };
}


const layers = [
  conv(3, 4, [4, 6]), conv(2, 5, [12]), conv(6, 6, [3, 4], 3), conv(7, 7, [5], 7),
  rows(6, false), rows(8, true),
];

/** The block as its copy number `copy` would be, alone. */
function alone({ block, setting }: CompiledBlock, copy: number): CompiledBlock {
  const tiles = block.crossbar.tiles.map((tile) => ({ ...tile, id: tileOfCopy(tile.id, copy) }));
  return { block: { ...block, crossbar: { ...block.crossbar, tiles } }, setting };
}

/** What a block gives in run number 0, 1, .. of chip 1. */
async function* runs(
  { block, setting }: CompiledBlock, { graph, input }: Layer, device: Device,
): AsyncGenerator<Float32Array> {
  const inputs = new Map([["x", input]]);
  const { loops, drive } = loopsOf(graph, block.crossbar.weights.name, inputs);
  const chip = new BlockChip(device, block, setting);
  chip.program(1);
  chip.seeInputs(drive.data as Float32Array);
  chip.setRanges([[3, 3, 3, 3], [3, 3, 3, 3]]);
  const output = device.allocate(sizeOf(loops.shape));
  try {
    for (let run = 0; ; run++) yield (await chip.read(await chip.run(inputs, run, output))).slice();
  } finally {
    chip.release();
  }
}

async function once(
  compiled: CompiledBlock, layer: Layer, device: Device = interpreter,
): Promise<Float32Array> {
  for await (const result of runs(compiled, layer, device)) return result;
  throw new Error("no run");
}

/** Places in the result, by the product that they belong to. */
function placesOf({ graph, input }: Layer, { block }: CompiledBlock): number[][] {
  const { loops } = loopsOf(graph, block.crossbar.weights.name, new Map([["x", input]]));
  const { groups, colsN } = block.crossbar.matrix;
  return Array.from({ length: loops.positions }, (_, p) =>
    Array.from({ length: groups * colsN }, (_, i) =>
      loops.output(Math.floor(i / colsN), i % colsN, p)));
}

const largest = (xs: ArrayLike<number>): number =>
  Math.max(...Array.from(xs, (x) => Math.abs(x)), 0);

/** Sums of float32 products in another order, of 40 terms at most. */
const slackOf = (all: readonly Float32Array[]): number =>
  40 * 2 ** -23 * Math.max(1, ...all.map(largest));

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** The copy that makes each product, told by what it makes. */
async function ownersOf(layer: Layer, copies: number): Promise<number[]> {
  const target = testTarget("neurram-rram", { "array.rows": 12, "array.columns": 6 });
  const only = ["levels", "programming", "drift", "stuck"] as const;
  const one = compileBlock(layer.graph, target, only);
  const each: Float32Array[] = [];
  for (const copy of range(copies)) each.push(await once(alone(one, copy), layer));
  const found = await once(compileBlock(layer.graph, target, only, { copies }), layer);
  const slack = slackOf(each);
  return placesOf(layer, one).map((places, p) => {
    const able = range(copies).filter((copy) =>
      places.every((at) => Math.abs(found[at]! - each[copy]![at]!) <= slack));
    expect(able, `${layer.name}, product ${p}`).toHaveLength(1);
    return able[0]!;
  });
}

describe("copies of a layer", () => {
  it("have cells of their own, and make near equal shares of every inference", async () => {
    for (const [i, layer] of layers.entries()) {
      for (const copies of [2 + (i % 2), 4 + (i % 2)]) {
        const owners = await ownersOf(layer, copies);
        const { products } = layer;
        owners.forEach((owner, p) => expect(owner).toBe(owners[p % products]));
        const shares = range(copies).map((copy) =>
          owners.slice(0, products).filter((owner) => owner === copy).length);
        expect(Math.max(...shares)).toBe(Math.ceil(products / copies));
        expect(Math.min(...shares)).toBe(Math.floor(products / copies));
      }
    }
  });
});

const kinds = ["neurram-rram", "isaac-rram", "hermes-pcm", "ternary-2t2r-rram"];

describe.each(kinds)("copies on %s", (name) => {
  const target = testTarget(name,
    { "array.rows": 12, "array.columns": name.includes("isaac") ? 16 : 6 });
  const own = kinds.indexOf(name);

  it("have wires, faults and converters of their own", async () => {
    const only = imperfectionNames.filter((one) => one !== "readNoise");
    const cases = [[layers[own + 1]!, 4], [layers[(own + 4) % 6]!, 3]] as const;
    // Sixteen passes with eight slices are slow on the interpreter.
    for (const [layer, copies] of name === "isaac-rram" ? cases.slice(1) : cases) {
      const owners = await ownersOf(layer, copies);
      const one = compileBlock(layer.graph, target, only, { time: 3600 });
      const found = await once(
        compileBlock(layer.graph, target, only, { time: 3600, copies }), layer);
      const each: Float32Array[] = [];
      for (const copy of range(copies)) each.push(await once(alone(one, copy), layer));
      const slack = slackOf(each);
      placesOf(layer, one).forEach((places, p) => places.forEach((at) =>
        expect(Math.abs(found[at]! - each[owners[p]!]![at]!)).toBeLessThanOrEqual(slack)));
      // Sensing words is right but for a few cells.
      if (name !== "ternary-2t2r-rram") expect(each[1]).not.toEqual(each[0]);
    }
  });
});

describe("copies on a chip that is repaired and compensated", () => {
  it("are repaired and compensated each by itself", async () => {
    const target = testTarget("hermes-pcm", { "array.rows": 24, "array.columns": 24 });
    const [layer] = layers as [Layer];
    const owners = await ownersOf(layer, 3);
    const compile = (copies: number): CompiledBlock => {
      const { block, setting } = compileBlock(layer.graph, target,
        ["programming", "drift", "stuck", "wires"], { copies, time: 3600 });
      return { block, setting: { ...setting, repair: true, compensation: "column" } };
    };
    const [one, found] = [compile(1), await once(compile(3), layer)];
    const each: Float32Array[] = [];
    for (const copy of range(3)) each.push(await once(alone(one, copy), layer));
    const slack = slackOf(each);
    expect(each[1]).not.toEqual(each[0]);
    placesOf(layer, one).forEach((places, p) => places.forEach((at) =>
      expect(Math.abs(found[at]! - each[owners[p]!]![at]!)).toBeLessThanOrEqual(slack)));
  });
});

describe("read noise of copies", () => {
  const noisy = [[conv(2, 3, [4, 4]), 4], [conv(4, 4, [3, 4], 4), 5], [rows(6, false), 4]] as const;
  it.each(noisy.map(([layer, copies]) => [layer.name, copies, layer] as const))(
    "of %s, %i of them, has the mean and the variance of each alone", async (_, copies, layer) => {
      const times = 100;
      const target = testTarget("hermes-pcm", { "array.rows": 24, "array.columns": 12 });
      const owners = await ownersOf(layer, copies);
      const only = ["programming", "readNoise"] as const;
      const one = compileBlock(layer.graph, target, only);
      const places = placesOf(layer, one);
      const moments = async (compiled: CompiledBlock): Promise<Float64Array[]> => {
        const [sum, squares] = [new Float64Array(places.flat().length),
          new Float64Array(places.flat().length)];
        let done = 0;
        for await (const y of runs(compiled, layer, wasm)) {
          y.forEach((v, i) => {
            sum[i]! += v / times;
            squares[i]! += v ** 2 / times;
          });
          if (++done === times) break;
        }
        return [sum, squares.map((s, i) => (s - sum[i]! ** 2) * (times / (times - 1)))];
      };
      const [mean, variance] = await moments(compileBlock(layer.graph, target, only, { copies }));
      for (const copy of range(copies)) {
        const [expected, spread] = await moments(alone(one, copy));
        const own = places.flatMap((at, p) => owners[p] === copy ? at : []);
        let [ratio, worst] = [0, 0];
        for (const at of own) {
          ratio += variance![at]! / spread![at]! / own.length;
          const error = Math.sqrt((variance![at]! + spread![at]!) / times);
          worst = Math.max(worst, Math.abs(mean![at]! - expected![at]!) / error);
        }
        // The ratio of two sample variances has a variance of about 4 / times.
        expect(Math.abs(ratio - 1)).toBeLessThan(5 * Math.sqrt(4 / times / own.length) + 4 / times);
        expect(worst).toBeLessThan(5);
      }
    });
});

describe("a chip with copies", () => {
  const target = testTarget("hermes-pcm", { "array.rows": 64, "array.columns": 64 });

  /** Logits of two trials, and what the chip counted, for a number of copies. */
  async function chipWith(copies: number, options: ChipOptions, device: Device = wasm) {
    const { hybrid, source, samples } = await testNetwork(target, device, undefined, copies);
    const chip = new ChipSimulator(device, source, options);
    if (chip.needsCalibration) await chip.calibrate(hybrid, [samples(6, 1)]);
    const logits: Float32Array[] = [];
    for (const trial of [0, 1, 0]) {
      chip.reprogram(trial);
      logits.push((await hybrid.run(samples(4, 3), chip)).get("logits")!.data as Float32Array);
    }
    const [first] = chip.takeScores();
    return { chip, logits, first: first!, source };
  }

  it("is the chip without where cells are as wanted, ranges and conversions too", async () => {
    const options = { seed: 2, imperfections: imperfections(["levels", "converters"]) };
    const one = await chipWith(1, options);
    for (const copies of [3, 4]) {
      const more = await chipWith(copies, options);
      expect(more.logits).toEqual(one.logits);
      expect(more.chip.tileCount).toBe(one.chip.tileCount + 2 * (copies - 1));
      const total = (counts: typeof one): number[] => ["clipped", "conversions"].map((what) =>
        counts.first.saturation.reduce((sum, s) => sum + s[what as "clipped" | "conversions"], 0));
      expect(total(more)).toEqual(total(one));
      expect(total(more)[0]).toBeGreaterThan(0);
      // 64 windows: 22, 21 and 21, or 16 each.
      const counts = more.first.saturation.map(({ conversions }) => conversions);
      expect(counts[0]! / counts[1]!).toBe(copies === 3 ? 22 / 21 : 1);
    }
  });

  it("has a device of its own for every cell, by seed and trial", async () => {
    const all = { seed: 2, imperfections: imperfections() };
    const { chip, logits: [first, second, again], source } = await chipWith(4, all);
    expect(again).toEqual(first);
    expect(second).not.toEqual(first);
    expect((await chipWith(4, { ...all, seed: 3 })).logits[0]).not.toEqual(first);
    const maps = [...chip.maps(0)].filter(({ block }) => block === source.blocks[0]!.crossbar.id);
    expect(maps.map(({ tile }) => tile)).toEqual(range(4).map((copy) =>
      tileOfCopy(source.blocks[0]!.crossbar.tiles[0]!.id, copy)));
    expect(new Set(maps.map(({ programmed }) => programmed.join())).size).toBe(4);
    expect(new Set(maps.map(({ target: wanted }) => wanted.join())).size).toBe(1);
  });

  it("remembers the noise of every cell from run to run", async () => {
    const options = {
      seed: 2, imperfections: imperfections(["readNoise"]), runInterval: second(1e-3, "interval"),
    };
    const [first, , again] = (await chipWith(3, options)).logits;
    expect(again).toEqual(first);
    const [drawn] = (await chipWith(3, { ...options, runInterval: undefined })).logits;
    expect(first).not.toEqual(drawn);
  });

  it("has one set of copies for layers with the same weights", async () => {
    // conv(x) + conv(-x) is nothing where both have the same devices.
    const b = new Builder("cancelling");
    const x = b.input("x", { dtype: "float32", shape: [N, 2, 8, 8] });
    const w = b.constant(new Random(5).tensor([3, 2, 3, 3]), "w");
    const [there, back] = [x, b.unary("neg", x)].map((v) => b.add("conv", [v, w], {
      strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1,
    }));
    const graph = b.finish([{ name: "logits", value: b.addition(there!, back!) }]);
    const { hybrid, source, samples } = await testNetwork(target, wasm, graph, 4);
    const chip = new ChipSimulator(wasm, source,
      { seed: 1, imperfections: imperfections(["programming"]) });
    const sum = (await hybrid.run(samples(2, 3), chip)).get("logits")!.data as Float32Array;
    expect(largest(sum)).toBeLessThan(1e-5);
    expect(chip.statistics().map(({ snrDb }) => snrDb! < 60)).toEqual([true, true]);
    expect(chip.tileCount).toBe(4 * source.blocks[0]!.crossbar.tiles.length);
    chip.release();
  });

  it("takes measured faults of one copy, which reach its windows alone", async () => {
    const { source } = await testNetwork(target, wasm, undefined, 4);
    const [block] = source.blocks;
    const { rows: height, columns } = block!.home.config.array;
    const faults = new Map([[tileOfCopy(block!.crossbar.tiles[0]!.id, 2),
      new Float64Array(height * columns).fill(block!.home.config.cell.gMaxSiemens)]]);
    const { hybrid, samples } = await testNetwork(target, wasm, undefined, 4);
    const outputs: Float32Array[] = [];
    for (const map of [new Map(), faults]) {
      const chip = new ChipSimulator(wasm, source,
        { seed: 1, imperfections: imperfections(["stuck"]), faults: map });
      await hybrid.run(samples(1, 3), {
        async run(id, inputs, output, twin) {
          await chip.run(id, inputs, output, twin);
          if (id === block!.crossbar.id) outputs.push(new Float32Array(
            await wasm.read(output, 6 * 64)));
        },
      });
      chip.release();
    }
    // 8 x 8 windows over 4 copies: two rows each.
    const changed = range(6 * 64).filter((i) => outputs[0]![i] !== outputs[1]![i]);
    expect(changed.length).toBeGreaterThan(0);
    expect(new Set(changed.map((i) => Math.floor((i % 64) / 16)))).toEqual(new Set([2]));
  });
});

describe("the deal of products", () => {
  it("gives every product to one copy, and no copy two more than another", () => {
    for (const [positions, copies] of [
      [[N, 7, 4], 5], [[N, 7, 4], 28], [[N, 6, 4], 8], [[mulDims(N, 9)], 4], [[10], 10],
    ] as const) {
      const deal = dealOf(positions, copies, "layer");
      const most = deal.shares[0]!;
      const made = range(copies).map((copy) =>
        [...productsOf(deal, copy, most)].reduce((sum, [from, to]) => sum + to - from, 0));
      expect(made).toEqual(deal.shares);
      expect(most - Math.min(...made)).toBeLessThanOrEqual(1);
    }
    expect(() => dealOf([N, 3], 4, "layer")).toThrow(/layer: has 3 products .* for 4 copies/);
  });
});
