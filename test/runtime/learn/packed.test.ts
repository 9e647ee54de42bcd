/** Grouped products on arrays that groups share, against dense products with the same numbers. */
import { describe, expect, it } from "vitest";
import { ffEbmFromGraph, type Conversion } from "../../../compiler/energy/fromGraph.ts";
import type { FfEbm } from "../../../compiler/energy/ffEbm.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { costRules } from "../../../models/ffEbm.ts";
import { normalStream } from "../../../models/init.ts";
import { imperfections, type Imperfection } from "../../../runtime/chip/imperfections.ts";
import { Chain } from "../../../runtime/learn/chain.ts";
import { checkOnChip } from "../../../runtime/learn/chipGradients.ts";
import type { Held } from "../../../runtime/learn/engine.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import { OnChip, type LearningChip } from "../../../runtime/learn/onChip.ts";
import { packModel, type Packing } from "../../../runtime/learn/packed.ts";
import { placedParameters } from "../../../runtime/learn/placed.ts";
import { readAll } from "../../../runtime/learn/reference.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { testTarget } from "../chip/blocks.ts";
import { implicit, toRest } from "./support.ts";

const engine = referenceEngine("f64");
// 64 inputs of 8 outputs to an array: several groups of every product, packs of unequal length.
const chip = testTarget("neurram-rram", { "array.rows": 128, "array.columns": 8 });

const numbers = (name: string, shape: readonly number[], size: number): Tensor => {
  const stream = normalStream(7, name);
  const length = shape.reduce((p, d) => p * d, 1);
  return tensor("float32", shape, Float64Array.from({ length }, (_, i) => size * stream(i)));
};

const groupsOf: Readonly<Record<string, number>> = { depthwise: 7, grouped: 2, batched: 5 };
const shapes: Readonly<Record<string, readonly number[]>> = {
  depthwise: [14, 1, 3, 3], grouped: [8, 7, 2, 2], batched: [5, 8, 2], last: [10, 3],
};

/**
 * x [B, 7, 5, 5] -> depthwise -> grouped [B, 8, 2, 2] -> batched [5, B, 2] -> logits [B, 3], tanh
 * between; `weights` says whether groups are dense over all groups.
 */
function net(isDense: boolean, weights: ReadonlyMap<string, Tensor>): Graph {
  const b = new Builder("grouped");
  const batch = symbol("B");
  const held = (name: string): Value => b.constant(weights.get(name) as Tensor, name);
  const groups = (name: string): number => (isDense ? 1 : groupsOf[name] as number);
  const plain = { strides: [1, 1], dilations: [1, 1] };
  let v = b.input("x", { dtype: "float32", shape: [batch, 7, 5, 5] });
  v = b.unary("tanh", b.add("conv", [v, held("depthwise")],
    { ...plain, strides: [2, 2], low: [1, 0], high: [1, 0], groups: groups("depthwise") }));
  v = b.unary("tanh", b.add("conv", [v, held("grouped")],
    { ...plain, low: [0, 0], high: [0, 1], groups: groups("grouped") }));
  // The same eight numbers of a sample five times over, each copy for a group.
  const flat = b.reshape(v, [batch, 32]);
  const parts = Array.from({ length: 5 }, (_, g) =>
    b.reshape(b.sliceAxis(flat, 1, 5 * g, 5 * g + 8), [1, batch, 8]));
  const rows = b.concat(parts, 0);
  const given = isDense
    ? b.transpose(b.reshape(b.dot(b.transpose(rows, [1, 0, 2]), held("batched"), 0, 2),
      [batch, 5, 2]), [1, 0, 2])
    : b.dot(rows, held("batched"), 1, 1);
  const last = b.reshape(b.transpose(b.unary("tanh", given), [1, 0, 2]), [batch, 10]);
  return b.finish([{ name: "y", value: b.dot(last, held("last"), 0, 1) }]);
}

const weights = new Map(Object.entries(shapes).map(([name, shape]) =>
  [name, numbers(name, shape, name === "depthwise" ? 0.4 : 0.3)]));
const convert = (graph: Graph): Conversion =>
  ffEbmFromGraph(graph, { blockSize: 1, loss: costRules["cross-entropy"] });
const { model, parameters } = convert(net(false, weights));

/** Arrays with numbers between groups, and nonsense where there is no group. */
function arrayOf({ name, shape, packs, view, places, parameter }: Packing): Float64Array {
  const { data } = numbers(name, shape, 0.1);
  const array = Float64Array.from(data);
  const { rowsK, colsN } = view;
  const each = packs[0]!.count;
  packs.forEach(({ count }, pack) => {
    for (let a = 0; a < each; a++) for (let o = 0; o < colsN; o++) {
      for (let b = 0; b < each; b++) for (let k = 0; k < rowsK; k++) {
        if (a < count && b < count) continue;
        array[(((pack * each + a) * colsN + o) * each + b) * rowsK + k] = 1e3;
      }
    }
  });
  places.forEach((at, i) => {
    array[at] = weights.get(parameter)!.data[i] as number;
  });
  return array;
}

/** The array's numbers as a dense weight: zero between arrays. */
function denseOf({ packs, view, parameter }: Packing, array: Float64Array): Tensor {
  const { groups, rowsK, colsN } = view;
  const isConv = parameter !== "batched";
  const taps = isConv ? shapes[parameter]!.slice(2) : [];
  const shape = isConv ? [groups * colsN, groups * shapes[parameter]![1]!, ...taps]
    : [groups, rowsK, groups * colsN];
  const data = new Float64Array(groups * colsN * groups * rowsK);
  const each = packs[0]!.count;
  packs.forEach(({ start, count }, pack) => {
    for (let a = 0; a < count; a++) for (let o = 0; o < colsN; o++) {
      for (let b = 0; b < count; b++) for (let k = 0; k < rowsK; k++) {
        const [row, column] = [(start + a) * colsN + o, (start + b) * rowsK + k];
        const at = isConv ? row * groups * rowsK + column : column * groups * colsN + row;
        data[at] = array[(((pack * each + a) * colsN + o) * each + b) * rowsK + k]!;
      }
    }
  });
  return tensor("float32", shape, data);
}

async function run(
  of: FfEbm, held: ReadonlyMap<string, Held>,
): Promise<{ logits: ArrayLike<number>; gradients: Map<string, Held> }> {
  const chain = new Chain(engine, of, toRest);
  const target = Float64Array.from([1, 0, 0, 0, 0, 1]);
  const [x, y] = [numbers("x", [2, 7, 5, 5], 1), tensor("float32", [2, 3], target)];
  const pass = await chain.forward(held, engine.hold(x), engine.hold(y));
  const { data } = await engine.read(pass.logits);
  const found = await chain.backward(held, pass, { method: implicit });
  return { logits: data, gradients: found.parameters };
}

const hold = (tensors: ReadonlyMap<string, Tensor>): Map<string, Held> =>
  new Map([...tensors].map(([name, t]) => [name, engine.hold(t)]));

describe("a model on shared arrays", () => {
  const { model: packed, packings } = packModel(model, placedParameters(model), chip.target);

  it("has one for every product whose groups share arrays, and nothing twice", () => {
    expect([...packings.values()].map(({ parameter }) => parameter).sort())
      .toEqual(["batched", "depthwise", "grouped"]);
    expect([...packings.values()].map(({ packs }) => packs.map(({ count }) => count)))
      .toEqual(expect.arrayContaining([[4, 3], [2], [3, 2]]));
    expect(packed.parameters.map(({ name }) => name).sort())
      .toEqual(["batched packed", "depthwise packed", "grouped packed", "last"].sort());
  });

  it("computes and learns as with the arrays' numbers as dense weights", async () => {
    const arrays = new Map([...packings].map(([name, packing]) => [name, arrayOf(packing)]));
    const dense = new Map(weights);
    for (const [name, packing] of packings) {
      dense.set(packing.parameter, denseOf(packing, arrays.get(name)!));
    }
    const oracle = convert(net(true, dense));
    const expected = await run(oracle.model, hold(oracle.parameters));
    const actual = await run(packed, hold(new Map([...parameters,
      ...[...packings].map(([name, { shape }]) =>
        [name, tensor("float32", shape, arrays.get(name)!)] as const)])));
    Array.from(actual.logits).forEach((v, i) => expect(v).toBeCloseTo(expected.logits[i]!, 10));
    const gradients = await readAll(engine, expected.gradients);
    for (const [name, packing] of packings) {
      const whole = (await engine.read(actual.gradients.get(name)!)).data;
      // What the dense oracle's gradient has where the parameter's own numbers lie.
      const mark = Float64Array.from({ length: whole.length }, (_, i) => i + 1);
      const at = denseOf(packing, mark).data;
      const own = new Set(packing.places);
      let compared = 0;
      Array.from(at).forEach((place, i) => {
        if (!own.has(place - 1)) return;
        expect(whole[place - 1]).toBeCloseTo(gradients.get(packing.parameter)![i]!, 10);
        compared++;
      });
      expect(compared).toBe(packing.places.length);
    }
  });
});

describe("learning on a chip whose arrays are shared", () => {
  const learning = (
    only: readonly Imperfection[], directions: LearningChip["directions"] = "same",
  ): LearningChip => ({
    chip: { ...chip, imperfections: imperfections(only), seed: 1 },
    directions, chips: "every-step",
  });

  it.each(["same", "separate"] as const)(
    "gives the gradients of the plain model when nothing is wrong; arrays: %s",
    async (directions) => {
      const merged = ffEbmFromGraph(net(false, weights),
        { blockSize: 2, loss: costRules["cross-entropy"] });
      expect(merged.isChanged).toBe(true);
      const { overall } = await checkOnChip({
        engine, model: merged.model, parameters: merged.parameters,
        input: numbers("x", [1, 7, 5, 5], 1), target: tensor("float32", [1, 3], [0, 1, 0]),
        method: { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 0.01 }) },
        solver: { order: "asynchronous", free: { sweeps: 25 }, nudged: { sweeps: 20 } },
      }, learning([], directions));
      expect(overall.cosine).toBeGreaterThan(0.9999);
    });

  it("meets what wires carry from group to group", async () => {
    const onChip = new OnChip(engine, model, learning(["wires"]), toRest);
    const held = hold(parameters);
    const loaded = await onChip.load(held, 3);
    const array = (await engine.read(loaded.get("depthwise packed")!)).data;
    const { places } = [...packModel(model, placedParameters(model), chip.target).packings.values()]
      .find(({ parameter }) => parameter === "depthwise")!;
    const own = new Set(places);
    expect(Array.from(array).filter((w, i) => !own.has(i) && w !== 0).length).toBeGreaterThan(0);
    const { gradients } = await run(onChip.model, loaded);
    const found = await onChip.gradients(gradients);
    expect([...found.keys()].sort()).toEqual([...parameters.keys()].sort());
    for (const [name, { shape }] of found) expect(shape).toEqual(parameters.get(name)!.shape);
  });
});
