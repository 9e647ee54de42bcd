/** What `inspect` says of a model: counts, work, and everything that is in the way. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { inspectModel } from "../../../compiler/onnx/inspect.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { floats, ints, model, node, tensorType } from "../../support/onnxModel.ts";

const trained = (name: string): ReturnType<typeof inspectModel> => {
  const file = new URL(`../../../models/${name}.onnx`, import.meta.url);
  return inspectModel(decodeModel(readFileSync(file), name));
};

test.each([
  // 784*256 + 256*128 + 128*10 products, and a bias for each output.
  ["mnist-mlp", 235146, 234752],
  // Two 5x5 convolutions and three dense layers.
  ["mnist-lenet", 120382, 1700520],
  ["cifar10-resnet8", 78618, 12501632],
])("%s has the parameters and products that its layers say", (name, parameters, macs) => {
  const found = trained(name);
  expect(found).toMatchObject({ parameters, macs, macsSymbolic: `${macs}*N`, problems: [] });
  expect(found.unsupported).toEqual([]);
  expect(found.outputs).toEqual([{ name: "logits", dtype: "float32", shape: ["N", 10] }]);
});

test("generated weights count, numbers in formulas do not", () => {
  const found = inspectModel(model({
    nodes: [
      node("ConstantOfShape", ["s"], ["w"]), node("MatMul", ["x", "w"], ["h"]),
      node("Mul", ["h", "half"], ["y"]),
    ],
    inputs: { x: tensorType("float32", ["N", 100]) }, outputs: ["y"],
    weights: { s: ints(100, 50), half: floats([1], 0.5) },
  }));
  expect(found).toMatchObject({ parameters: 5001, macs: 5000, nodes: 3 });
});

test("unsupported operators and sizes to bind are all listed at once", () => {
  const found = inspectModel(model({
    nodes: [
      node("Conv", ["x", "w"], ["h"], {}, { name: "conv" }), node("Strange", ["x"], ["a"]),
      node("Stranger", ["h"], ["b"]),
    ],
    inputs: { x: tensorType("float32", ["N", 1, "H", "W"]) }, outputs: ["a", "b"],
    weights: { w: floats([1, 1, 1, 1], 1) },
  }));
  expect(found.unsupported.map((u) => u.operator)).toEqual(["Strange", "Stranger"]);
  expect(found.problems).toEqual([expect.stringContaining("Conv needs H, W to be numbers")]);
  expect([found.macs, found.macsSymbolic]).toEqual([null, null]);
});

test("weights in Constant nodes count while sizes are open, and where they are used", () => {
  const parts = model({
    nodes: [
      node("Constant", [], ["w"], { value: floats([2, 1, 3, 3], ...Array<number>(18).fill(1)) }),
      node("Constant", [], ["unused"], { value: floats([5], 1, 2, 3, 4, 5) }),
      node("Conv", ["x", "w"], ["y"]),
    ],
    inputs: { x: tensorType("float32", ["N", 1, "H", "W"]) }, outputs: ["y"],
  });
  expect(inspectModel(parts)).toMatchObject({ parameters: 23, macs: null });
  expect(inspectModel(parts, { H: 3, W: 3 })).toMatchObject({ parameters: 18, macs: 18 });
});

test("bound sizes give the work", () => {
  const parts = model({
    nodes: [node("Conv", ["x", "w"], ["y"])], outputs: ["y"],
    inputs: { x: tensorType("float32", ["N", 1, "H", "W"]) },
    weights: { w: floats([2, 1, 1, 1], 1, 1) },
  });
  expect(inspectModel(parts, { H: 4, W: 5 })).toMatchObject({ macs: 40, macsSymbolic: "40*N" });
});
