/** ff-EBM files: what is written is read back, and a reader that knows no blocks computes it. */
import { describe, expect, it } from "vitest";
import { outputName, type Stage } from "../../../compiler/energy/ffEbm.ts";
import { readFfEbm, writeFfEbm } from "../../../compiler/energy/ffEbmFile.ts";
import { unrolledModel } from "../../../compiler/energy/unroll.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { printGraph } from "../../../compiler/graph/print.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { functionDomain } from "../../../compiler/onnx/write.ts";
import { normalStream } from "../../../models/init.ts";
import { Chain } from "../../../runtime/learn/chain.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { untiedModel, zooModel, zooNames, type ZooModel } from "../../support/ffEbmZoo.ts";

const sweeps = 6;
const relaxation = { order: "asynchronous", sweeps } as const;
const cases: [string, () => ZooModel][] = [
  ...zooNames.map((name): [string, () => ZooModel] => [name, () => zooModel(name)]),
  ["untied weights", () => untiedModel()],
];

function sample({ model }: ZooModel, batch = 3): Tensor {
  const normal = normalStream(4, "sample");
  const shape = [batch, ...model.input.shape];
  const size = shape.reduce((p, d) => p * d, 1);
  return tensor("float32", shape, Float32Array.from({ length: size }, (_, i) => normal(i)));
}

/** Logits after `sweeps` sweeps as the solver computes them, in float64. */
async function solved({ model, tensors }: ZooModel, input: Tensor): Promise<ArrayLike<number>> {
  const engine = referenceEngine("f64");
  const phase = { sweeps };
  const chain = new Chain(engine, model,
    { order: "asynchronous", free: phase, nudged: phase });
  const classes = model.target.shape[0] as number;
  const target = tensor("float32", [3, classes], new Float32Array(3 * classes));
  const held = new Map([...tensors].map(([name, t]) => [name, engine.hold(t)]));
  const pass = await chain.forward(held, engine.hold(input), engine.hold(target), "inference");
  return (await engine.read(pass.logits)).data;
}

/** The largest difference, over the largest magnitude. */
function apart(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const all = Array.from(expected);
  const scale = Math.max(...all.map(Math.abs));
  return Math.max(...all.map((x, i) => Math.abs(x - (actual[i] as number)))) / scale;
}

/** The stage with its graphs as text. */
const asText = (stage: Stage): object => {
  if (stage.kind === "digital") {
    const { graph, inference } = stage;
    return { ...stage, graph: printGraph(graph), inference: inference && printGraph(inference) };
  }
  const { block } = stage;
  const graph = block.kind === "energy" ? block.interaction : block.field;
  return { ...block, interaction: 0, field: 0, text: printGraph(graph) };
};

describe.each(cases)("a file of a model with %s", (_, make) => {
  const zoo = make();
  const bytes = writeFfEbm({ ...zoo, relaxation, training: { for: "nothing" } });
  const file = decodeModel(bytes, "zoo.onnx");

  it("has a function per block, and its parameters as weights under their names", () => {
    const blocks = zoo.model.stages.filter(({ kind }) => kind === "analog");
    expect([...file.functions.values()].map(({ domain, name }) => [domain, name]))
      .toEqual(blocks.map(({ name }) => [functionDomain, name]));
    const names = new Set(file.graph.initializers.map(({ name }) => name));
    for (const name of zoo.tensors.keys()) expect(names).toContain(name);
    for (const stage of zoo.model.stages) {
      if (stage.kind === "digital") continue;
      const call = file.graph.nodes.find(({ operator }) => operator === stage.name);
      expect(call?.outputs).toEqual([outputName(stage.block)]);
    }
  });

  it("computes for any reader what the solver computes", async () => {
    const input = sample(zoo);
    const expected = await solved(zoo, input);
    const { graph } = importModel(file);
    const given = new Map([[zoo.model.input.name, input]]);
    const asRead = evaluateGraph(graph, given, "f64").get("logits") as Tensor;
    const direct = evaluateGraph(unrolledModel(zoo.model, zoo.tensors, relaxation), given, "f64");
    // Float64 rounding of a few hundred operations.
    expect(apart(asRead.data, expected)).toBeLessThan(1e-12);
    expect(apart((direct.get("logits") as Tensor).data, expected)).toBeLessThan(1e-12);
  });

  it("is read back as the same ff-EBM", () => {
    const read = readFfEbm(file);
    expect(read).toMatchObject({ relaxation, training: { for: "nothing" } });
    const { model, tensors } = read as ZooModel;
    expect({ ...model, stages: 0, loss: 0 }).toEqual({ ...zoo.model, stages: 0, loss: 0 });
    expect([...model.stages, model.loss].map(asText))
      .toEqual([...zoo.model.stages, zoo.model.loss].map(asText));
    for (const [name, { data }] of zoo.tensors) expect(tensors.get(name)?.data).toEqual(data);
  });
});

describe("reading", () => {
  const zoo = zooModel("hard clamp");
  const file = decodeModel(writeFfEbm({ ...zoo, relaxation }), "zoo.onnx");

  it("gives nothing for other ONNX models", () => {
    expect(readFfEbm({ ...file, metadata: new Map() })).toBeUndefined();
  });

  it("refuses a description of another version, and one that is no JSON", () => {
    for (const text of ['{"format":"crosstie-ff-ebm","version":2}', "{"]) {
      const metadata = new Map([["crosstie.ff-ebm", text]]);
      expect(() => readFfEbm({ ...file, metadata })).toThrow(/zoo\.onnx: .*energy blocks/);
    }
  });

  it("names a weight that is missing", () => {
    const graph = { ...file.graph, initializers: file.graph.initializers.slice(1) };
    expect(() => readFfEbm({ ...file, graph })).toThrow(/the weight \S+ of shape .* is missing/);
  });
});
