/** Writing graphs as ONNX: what is written, read again, computes the same. */
import { readFileSync } from "node:fs";
import onnxProto from "onnx-proto";
import { expect, test } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { DType } from "../../../compiler/graph/dtype.ts";
import type { Value } from "../../../compiler/graph/graph.ts";
import { splat, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import {
  NeedsConcrete, NeedsValue, UnsupportedError,
} from "../../../compiler/onnx/refusal.ts";
import { specialise } from "../../../compiler/onnx/specialise.ts";
import { writeModel } from "../../../compiler/onnx/write.ts";
import { runCase, type RunGraph } from "../../../runtime/verify.ts";
import { readPack } from "../../support/conformancePack.ts";
import { elements, floats } from "../../support/onnxModel.ts";

const { onnx } = onnxProto;

/** Executes what comes back from a file instead of the graph itself. */
const throughFile = (written: string[], refused: string[]): RunGraph => (graph, inputs) => {
  try {
    const read = decodeModel(writeModel(graph), "written.onnx");
    written.push(graph.name);
    let again;
    try {
      again = importModel(read).graph;
    } catch (error) {
      if (!(error instanceof NeedsConcrete || error instanceof NeedsValue)) throw error;
      again = specialise(read, inputs).graph;
    }
    return Promise.resolve(evaluateGraph(again, inputs));
  } catch (error) {
    if (error instanceof UnsupportedError) refused.push(error.sentence);
    throw error;
  }
};

test("every packed conformance graph that can be written computes the same again", async () => {
  const [written, refused]: [string[], string[]] = [[], []];
  const failed: unknown[] = [];
  for (const { name, model, sets } of readPack()) {
    const result = await runCase(name, decodeModel(model, name), sets, {
      runGraph: throughFile(written, refused),
    });
    if (result.status === "failed") failed.push(result);
  }
  expect(failed).toEqual([]);
  expect(written.length).toBeGreaterThan(900);
  expect([...new Set(refused)].sort()).toEqual([
    "A shift of signed integers cannot be written as ONNX",
    "The bits of a number as another type cannot be written as ONNX",
  ].filter((reason) => refused.includes(reason)));
});

test.each(["mnist-mlp", "mnist-lenet", "mnist-vit"])(
  "%s comes back with its batch symbolic and the same logits", (name) => {
    const bytes = readFileSync(new URL(`../../../models/${name}.onnx`, import.meta.url));
    const { graph } = importModel(decodeModel(bytes, name));
    const again = importModel(decodeModel(writeModel(graph), name)).graph;
    expect(again.inputs.map((v) => v.type.shape.map(String)))
      .toEqual(graph.inputs.map((v) => v.type.shape.map(String)));
    const image = splat("float32", [2, 1, 28, 28], 0.25);
    const inputs = new Map([[graph.inputs[0]?.name ?? "", image]]);
    const [before, after] = [graph, again].map((g) =>
      [...evaluateGraph(g, inputs).values()].map(elements));
    expect(after).toEqual(before);
  });

test("sizes that are sums and products of symbols are computed in the file", () => {
  const b = new Builder("sizes");
  const [n, t] = [symbol("N"), symbol("T")];
  const x = b.input("x", { dtype: "float32", shape: [n, t, 2] });
  const graph = b.finish([
    { name: "padded", value: b.pad(x, [0, 1, 0], [0, 1, 0], 9) },
    { name: "numbers", value: b.iota([t, n], 1, "int32") },
  ]);
  const again = importModel(decodeModel(writeModel(graph), "w")).graph;
  const inputs = new Map([["x", floats([1, 2, 2], 1, 2, 3, 4)]]);
  const results = [...evaluateGraph(again, inputs)]
    .map(([name, v]) => [name, v.shape, elements(v)]);
  expect(results).toEqual([
    ["padded", [1, 4, 2], [9, 9, 1, 2, 3, 4, 9, 9]], ["numbers", [2, 1], [0, 0]],
  ]);
});

test("a large repeated weight stays one element, and onnx-proto reads the file", () => {
  const b = new Builder("weights");
  const x = b.input("x", { dtype: "float32", shape: [2, 100_000] });
  const graph = b.finish([{
    name: "y", value: b.addition(x, b.constant(splat("float32", [2, 100_000], 0.5), "w")),
  }]);
  const bytes = writeModel(graph);
  expect(bytes.length).toBeLessThan(2000);
  expect(onnx.ModelProto.decode(bytes).graph?.node?.map((node) => node.opType))
    .toEqual(["ConstantOfShape", "Add", "Identity"]);
});

/** A graph of one value, before and after the file. */
function through(dtype: DType, data: readonly number[], build: (b: Builder, x: Value) => Value) {
  const b = new Builder("one");
  const x = b.input("x", { dtype, shape: [data.length] });
  const graph = b.finish([{ name: "y", value: build(b, x) }]);
  const read = decodeModel(writeModel(graph), "one");
  const inputs = new Map([["x", tensor(dtype, [data.length], data)]]);
  const [before, after] = [graph, importModel(read).graph].map((g) =>
    evaluateGraph(g, inputs).get("y") as Tensor) as [Tensor, Tensor];
  return { before, after, operators: read.graph.nodes.map((n) => n.operator) };
}

test.each([
  ["int8", [100, 27, -128, 127], 126],
  ["uint8", [200, 100, 0, 255], 43],
  ["uint16", [65535, 2, 3, 4], 8],
] as const)("a sum of %s wraps as it did, and is written in a wider type", (dtype, data, sum) => {
  const { before, after, operators } = through(dtype, data, (b, x) => b.reduce("sum", x, [0]));
  expect([before.dtype, elements(before)]).toEqual([dtype, [sum]]);
  expect([after.dtype, elements(after)]).toEqual([dtype, [sum]]);
  expect(operators.filter((o) => o === "Cast" || o === "ReduceSum"))
    .toEqual(["Cast", "ReduceSum", "Cast"]);
});

test("a choice between booleans keeps its condition", () => {
  const { after, operators } = through("bool", [0, 1, 1], (b, x) => b.where(x, b.not(x), x));
  expect(elements(after)).toEqual([0, 0, 0]);
  expect(operators).toContain("Where");
});

test("unsigned numbers are negated by subtraction", () => {
  expect(elements(through("uint8", [1, 0, 255], (b, x) => b.unary("neg", x)).after))
    .toEqual([255, 0, 1]);
});

test("a running product is written as products over a triangle", () => {
  const { after, operators } = through("float32", [2, 3, 0.5, -4], (b, x) =>
    b.add("cumulate", [x], { kind: "prod", axis: 0 }));
  expect(elements(after)).toEqual([2, 6, 3, -12]);
  expect(operators).toContain("ReduceProd");
});
