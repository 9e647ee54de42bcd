/** The trained models of models/: import keeps the batch symbolic, the graph computes them. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { sizeOf, type Tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { decodeNpy } from "../../../runtime/data/npy.ts";
import { toTensor } from "../../../runtime/data/tensors.ts";

const models = new URL("../../../models/", import.meta.url);
const fixtures = new URL("../../fixtures/models/", import.meta.url);

function samples(file: string, count: number): Tensor {
  const all = toTensor(decodeNpy(readFileSync(new URL(file, fixtures)), file), file);
  const shape = [count, ...all.shape.slice(1)];
  return { ...all, shape, data: all.data.slice(0, sizeOf(shape)) };
}

test.each([
  ["mnist-mlp", 2], ["mnist-lenet", 2], ["cifar10-resnet8", 1], ["cifar10-mobilenet", 1],
  ["mnist-vit", 2],
])("%s gives the stored logits for its first samples", (name, count) => {
  const file = `${name}.onnx`;
  const { graph, report } = importModel(decodeModel(readFileSync(new URL(file, models)), file));
  expect(graph.inputs.map((v) => String(v.type.shape[0]))).toEqual(["N"]);
  expect(report.symbols.map((s) => s.symbol)).toEqual(["N"]);

  const input = samples(`${name}.input.npy`, count);
  const outputs = evaluateGraph(graph, new Map([[graph.inputs[0]?.name ?? "", input]]));
  const actual = outputs.get(graph.outputs[0]?.name ?? "") as Tensor;
  const expected = samples(`${name}.logits.npy`, count);

  expect(actual.shape).toEqual(expected.shape);
  const largest = Math.max(...Array.from(expected.data, Math.abs));
  const error = Math.max(...Array.from(actual.data, (x, i) =>
    Math.abs(x - (expected.data[i] as number))));
  expect(error).toBeLessThan(1e-4 * largest);
});
