/**
 * Gradients through imported ONNX operators whose forward rules make them hard: normalising by the
 * batch itself, cross-entropy with weights and targets that do not count, slices that start at a
 * symbolic place. Against finite differences in float64, and on the WASM device against float64.
 */
import { describe, expect, test } from "vitest";
import { isFloat } from "../../../compiler/graph/dtype.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { evalDim, subDims, symbol, type Dim } from "../../../compiler/graph/dim.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { inlineGraph } from "../../../compiler/energy/inline.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import {
  compiled, compiledWide, differentiate, directionsFor, furthest, slopeError,
} from "../../support/modelLoss.ts";
import { model, node, tensorType, type GraphParts } from "../../support/onnxModel.ts";
import { Random } from "../../support/randomGraph.ts";
import { elements } from "../../support/threeWays.ts";

/** The gradient by every float input is the slope, and float32 on WASM has the same. */
async function expectGradient(
  loss: Graph, inputs: ReadonlyMap<string, Tensor>, seed = 1,
): Promise<Map<string, Tensor>> {
  const problem = differentiate(loss, inputs);
  expect(problem.wrt).toEqual([...inputs].filter(([, t]) => isFloat(t.dtype)).map(([n]) => n));
  const gradients = await (await compiledWide(problem.gradient))(inputs);
  for (const direction of Object.values(directionsFor(new Random(seed)))) {
    expect(await slopeError(problem, gradients, direction)).toBeLessThan(1e-5);
  }
  const device = await openWasmDevice();
  const inFloat32 = await (await compiled(device, problem.gradient))(inputs);
  expect(furthest(inFloat32, gradients).distance).toBeLessThan(1e-3);
  device.destroy();
  return gradients;
}

/** The sum of the graph's only output, each element times one of the further input "weights". */
function weightedSum(graph: Graph): Graph {
  const b = new Builder(graph.name);
  const values = new Map(graph.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  const [out] = [...inlineGraph(b, graph, values).values()] as [Value];
  const each = b.mul(out, b.input("weights", out.type));
  const value = b.reduce("sum", each, each.type.shape.map((_, i) => i));
  return b.finish([{ name: "loss", value }]);
}

const typesOf = (inputs: ReadonlyMap<string, Tensor>): GraphParts["inputs"] =>
  Object.fromEntries([...inputs].map(([name, t]) => [name, tensorType(t.dtype, t.shape)]));

test("batch normalisation in training mode mixes the samples, in its gradient too", async () => {
  const r = new Random(5);
  const inputs = new Map([
    ["x", r.tensor([4, 3, 2, 3], -2, 3)], ["gamma", r.tensor([3], 0.5, 2)],
    ["beta", r.tensor([3])], ["mean", r.tensor([3])], ["variance", r.tensor([3], 0.5, 2)],
  ]);
  const { graph } = importModel(model({
    nodes: [node("BatchNormalization", [...inputs.keys()], ["y", "newMean", "newVariance"],
      { training_mode: 1, epsilon: { float: 1e-3 } })],
    inputs: typesOf(inputs), outputs: ["y"],
  }));
  const weights = r.tensor([4, 3, 2, 3], 0.5, 2);
  const gradients = await expectGradient(weightedSum(graph), inputs.set("weights", weights));
  // The old statistics have no influence on a training step's output.
  expect(elements(gradients.get("mean") as Tensor)).toEqual([0, 0, 0]);
  // Adding the same to every sample of a channel changes nothing: its slopes sum to zero.
  const slopes = elements(gradients.get("x") as Tensor);
  for (const channel of [0, 1, 2]) {
    const own = slopes.filter((_, i) => Math.floor(i / 6) % 3 === channel);
    const sum = own.reduce((a, g) => a + g, 0);
    expect(Math.abs(sum)).toBeLessThan(1e-12 * own.reduce((a, g) => a + Math.abs(g), 1));
    expect(Math.max(...own.map(Math.abs))).toBeGreaterThan(0.01);
  }
});

describe("cross-entropy", () => {
  const r = new Random(6);
  const [samples, classes, places] = [3, 5, 4];
  const target = tensor("int64", [samples, places],
    [0, 4, 2, 2, -1, 3, 3, 1, 0, -1, 4, 4]);

  test.each([
    ["mean", true, { ignore_index: -1, reduction: "mean" }],
    ["sum", true, { ignore_index: -1, reduction: "sum" }],
    ["mean", false, { ignore_index: 2, reduction: "mean" }],
  ] as const)("%s, weights: %s", async (_, isWeighted, attributes) => {
    const free = tensor("int64", target.shape, elements(target).map((t) => Math.max(t, 0)));
    const inputs = new Map([
      ["scores", r.tensor([samples, classes, places], -3, 3)],
      ["target", attributes.ignore_index === -1 ? target : free],
      ...(isWeighted ? [["weight", r.tensor([classes], 0.2, 2)] as const] : []),
    ]);
    const { graph } = importModel(model({
      nodes: [node("SoftmaxCrossEntropyLoss", [...inputs.keys()], ["loss"], attributes)],
      inputs: typesOf(inputs), outputs: ["loss"],
    }));
    const gradients = await expectGradient(graph, inputs);
    const slopes = elements(gradients.get("scores") as Tensor);
    elements(inputs.get("target") as Tensor).forEach((t, i) => {
      const [n, place] = [Math.floor(i / places), i % places];
      const own = Array.from({ length: classes }, (_, c) =>
        slopes[(n * classes + c) * places + place] as number);
      // Where the target does not count nothing flows; elsewhere softmax minus one-hot sums to 0.
      if (t === attributes.ignore_index) expect(own.every((g) => g === 0)).toBe(true);
      else expect(own[t]).toBeLessThan(0);
      expect(Math.abs(own.reduce((a, g) => a + g, 0))).toBeLessThan(1e-12);
    });
  });
});

describe("a slice by symbolic sizes", () => {
  const n = symbol("N");
  const less = (k: number): Dim => subDims(n, k);
  const cases: readonly (readonly [string, number, Dim, Dim, number, number])[] = [
    ["the last three", 5, less(3), 3, 1, 3],
    ["the last three of three", 3, less(3), 3, 1, 3],
    ["all but the first and the last", 6, 1, less(2), 1, 4],
    ["the first two", 4, 0, 2, 1, 2],
    ["two with a gap, from the fourth last on", 7, less(4), 2, 3, 2],
    ["nothing", 3, 1, less(3), 2, 0],
  ];

  test.each(cases)("%s", async (_, size, start, count, step, taken) => {
    const r = new Random(7);
    const b = new Builder("slice");
    const x = b.input("x", { dtype: "float32", shape: [2, n, 3] });
    const part = b.slice(x, [0, start, 0], [2, count, 3], [1, step, 1]);
    const loss = weightedSum(b.finish([{ name: "y", value: b.mul(part, part) }]));
    const inputs = new Map([
      ["x", r.tensor([2, size, 3], 0.5, 2)], ["weights", r.tensor([2, taken, 3], 0.5, 2)],
    ]);
    const problem = differentiate(loss, inputs);
    const gradients = await (await compiledWide(problem.gradient))(inputs);
    const evaluated = evaluateGraph(problem.gradient, inputs, "f64");
    expect(furthest(gradients, evaluated).distance).toBeLessThan(1e-12);
    const first = typeof start === "number" ? start : evalDim(start, { N: size });
    const at = (values: readonly number[], i: number, count: number): readonly number[] =>
      [0, 1].flatMap((row) => values.slice((row * count + i) * 3, (row * count + i + 1) * 3));
    const [slopes, given, weights] = [gradients.get("x"), inputs.get("x"), inputs.get("weights")]
      .map((t) => elements(t as Tensor)) as [number[], number[], number[]];
    for (let i = 0; i < size; i++) {
      const from = (i - first) / step;
      const isTaken = Number.isInteger(from) && from >= 0 && from < taken;
      const w = isTaken ? at(weights, from, taken) : undefined;
      const want = at(given, i, size).map((v, k) => (w ? 2 * v * (w[k] as number) : 0));
      at(slopes, i, size).forEach((g, k) => expect(g).toBeCloseTo(want[k] as number, 12));
    }
    if (taken > 0) await expectGradient(loss, inputs);
  });
});
