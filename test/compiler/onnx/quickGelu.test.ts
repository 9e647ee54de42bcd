/** QuickGelu of ONNX Runtime's domain: x sigmoid(alpha x). */
import onnxProto from "onnx-proto";
import { expect, test } from "vitest";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";

const { onnx } = onnxProto;

function model(alpha: number | undefined): Uint8Array {
  const value = (name: string): object => ({
    name,
    type: { tensorType: { elemType: 1, shape: { dim: [{ dimParam: "N" }, { dimValue: 3 }] } } },
  });
  const attribute = alpha === undefined ? [] : [{ name: "alpha", f: alpha, type: 1 }];
  const node = {
    opType: "QuickGelu", domain: "com.microsoft", name: "act", attribute,
    input: ["x"], output: ["y"],
  };
  return onnx.ModelProto.encode(onnx.ModelProto.fromObject({
    irVersion: 8,
    opsetImport: [{ domain: "", version: 17 }, { domain: "com.microsoft", version: 1 }],
    graph: { name: "g", node: [node], input: [value("x")], output: [value("y")] },
  })).finish();
}

test.each([undefined, 0.5])("alpha %s", (alpha) => {
  const { graph } = importModel(decodeModel(model(alpha), "quickGelu.onnx"));
  const x = [-3, -0.5, 0, 0.25, 1, 4];
  const inputs = new Map([["x", tensor("float32", [2, 3], x)]]);
  const y = evaluateGraph(graph, inputs, "f64").get("y");
  const a = alpha ?? 1.702;
  x.forEach((v, i) => expect(y?.data[i]).toBeCloseTo(v / (1 + Math.exp(-a * v)), 6));
});
