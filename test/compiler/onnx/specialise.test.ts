/** Specialising a model for its inputs: only what a rule needs is fixed, and it is reported. */
import { expect, test } from "vitest";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { specialise } from "../../../compiler/onnx/specialise.ts";
import {
  elements, floats, graph, ints, model, node, number, tensorType, type ModelParts,
} from "../../support/onnxModel.ts";

function specialised(parts: ModelParts, given: Record<string, Tensor>) {
  const inputs = new Map(Object.entries(given));
  const { graph: g, report } = specialise(model(parts), inputs);
  const outputs = Object.fromEntries([...evaluateGraph(g, inputs)]
    .map(([name, t]) => [name, [t.shape, elements(t)]]));
  return { g, report, outputs };
}

test("sizes that a convolution needs become numbers, the batch stays a symbol", () => {
  const { g, report } = specialised({
    nodes: [node("Conv", ["x", "w"], ["y"])], outputs: ["y"],
    inputs: { x: tensorType("float32", ["batch", 1, "height", undefined]) },
    weights: { w: floats([1, 1, 1, 1], 2) },
  }, { x: floats([2, 1, 1, 2], 1, 2, 3, 4) });
  expect(g.inputs[0]?.type.shape.map(String)).toEqual(["batch", "1", "1", "2"]);
  expect(report.sizes).toEqual({ height: 1, x_3: 2 });
  expect(report.notes).toEqual(["specialised for height=1, x_3=2"]);
});

test("nothing is fixed where nothing has to be", () => {
  const { report } = specialised({
    nodes: [node("Relu", ["x"], ["y"])], inputs: { x: tensorType("float32", ["N", "T"]) },
    outputs: ["y"],
  }, { x: floats([1, 2], 1, -1) });
  expect([report.sizes, report.values, report.notes]).toEqual([{}, [], []]);
});

test("a shape that is an input is read from it", () => {
  const { report, outputs } = specialised({
    nodes: [node("Reshape", ["x", "shape"], ["y"], {}, { name: "turn" })], outputs: ["y"],
    inputs: { x: tensorType("float32", [4]), shape: tensorType("int64", [2]) },
  }, { x: floats([4], 1, 2, 3, 4), shape: ints(2, 2) });
  expect(outputs).toEqual({ y: [[2, 2], [1, 2, 3, 4]] });
  expect(report.values).toEqual([
    { value: "shape", node: "turn", operator: "Reshape", elements: [2, 2] },
  ]);
});

test("a result whose size depends on computed data is worked out", () => {
  const { report, outputs } = specialised({
    nodes: [
      node("Relu", ["x"], ["h"]), node("NonZero", ["h"], ["at"]), node("Mul", ["x", "x"], ["y"]),
    ],
    inputs: { x: tensorType("float32", ["N"]) }, outputs: ["at", "y"],
  }, { x: floats([4], -1, 5, 0, 2) });
  expect(outputs).toEqual({ at: [[1, 2], [1, 3]], y: [[4], [1, 25, 0, 4]] });
  expect(report.values.map((v) => v.operator)).toEqual(["NonZero"]);
});

test("a loop runs as often as its data says", () => {
  const body = graph({
    nodes: [node("Add", ["s", "s"], ["next"]), node("Less", ["next", "limit"], ["go"])],
    inputs: {
      i: tensorType("int64", []), c: tensorType("bool", []), s: tensorType("float32", []),
    },
    outputs: ["go", "next"],
  });
  const { outputs } = specialised({
    nodes: [node("Loop", ["", "yes", "x"], ["y"], { body })], outputs: ["y"],
    inputs: { x: tensorType("float32", []) },
    weights: { yes: number(1, "bool"), limit: number(20) },
  }, { x: number(3) });
  expect(outputs).toEqual({ y: [[], [24]] });
});

test("branches of different shapes are decided by the condition", () => {
  const parts: ModelParts = {
    nodes: [node("If", ["c"], ["y"], {
      then_branch: graph({ nodes: [node("Neg", ["x"], ["a"])], outputs: ["a"] }),
      else_branch: graph({
        nodes: [node("Concat", ["x", "x"], ["b"], { axis: 0 })], outputs: ["b"],
      }),
    })],
    inputs: { x: tensorType("float32", [1]), c: tensorType("bool", []) }, outputs: ["y"],
  };
  const x = floats([1], 3);
  expect(specialised(parts, { x, c: number(1, "bool") }).outputs).toEqual({ y: [[1], [-3]] });
  expect(specialised(parts, { x, c: number(0, "bool") }).outputs).toEqual({ y: [[2], [3, 3]] });
});

test("a branch that contradicts the sizes at hand is left to the condition", () => {
  const wide = (width: number) => graph({
    nodes: [node("MatMul", ["x", `w${width}`], ["y_"])], outputs: ["y_"],
  });
  const parts: ModelParts = {
    nodes: [
      node("Equal", ["rate", "two"], ["c"]),
      node("If", ["c"], ["y"], { then_branch: wide(2), else_branch: wide(3) }),
    ],
    inputs: { x: tensorType("float32", ["N", "T"]), rate: tensorType("int64", []) },
    outputs: ["y"],
    weights: {
      two: number(2, "int64"), w2: floats([2, 1], 1, 10), w3: floats([3, 1], 1, 10, 100),
    },
  };
  const two = specialised(parts, { x: floats([1, 2], 3, 4), rate: number(2, "int64") });
  expect(two.outputs).toEqual({ y: [[1, 1], [43]] });
  const three = specialised(parts, { x: floats([1, 3], 3, 4, 5), rate: number(3, "int64") });
  expect(three.outputs).toEqual({ y: [[1, 1], [543]] });
  expect(three.report.values.map((v) => v.operator)).toEqual(["If"]);
  expect(() => importModel(model(parts), { bind: { N: 1, T: 3 } }))
    .toThrow('If depends on the elements of "c", computed from rate');
});

test("an operator that is not supported in a branch never taken stands in nobody's way", () => {
  const parts: ModelParts = {
    nodes: [node("If", ["c"], ["y"], {
      then_branch: graph({ nodes: [node("Neg", ["x"], ["a"])], outputs: ["a"] }),
      else_branch: graph({ nodes: [node("NoSuch", ["x"], ["b"])], outputs: ["b"] }),
    })],
    inputs: { x: tensorType("float32", [1]), c: tensorType("bool", []) }, outputs: ["y"],
  };
  const x = floats([1], 3);
  expect(specialised(parts, { x, c: number(1, "bool") }).outputs).toEqual({ y: [[1], [-3]] });
  expect(() => specialised(parts, { x, c: number(0, "bool") })).toThrow("NoSuch");
});

test("an array of the wrong rank is refused, not bound", () => {
  expect(() => specialised({
    nodes: [node("Conv", ["x", "w"], ["y"])], outputs: ["y"],
    inputs: { x: tensorType("float32", ["N", 1, "H", "W"]) },
    weights: { w: floats([1, 1, 1, 1], 2) },
  }, { x: floats([2, 1], 1, 2) })).toThrow('The input "x" has 4 axes, the array 2');
});
