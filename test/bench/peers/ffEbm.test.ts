/** ff-EBM files in ONNX Runtime: what was trained here computes the same there. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { writeFfEbm } from "../../../compiler/energy/ffEbmFile.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { unrolledModel } from "../../../compiler/energy/unroll.ts";
import { normalStream } from "../../../models/init.ts";
import { untiedModel, zooModel, zooNames, type ZooModel } from "../../support/ffEbmZoo.ts";
import { describeNeeding, type Need } from "../../support/notRun.ts";

const folder = fileURLToPath(new URL("node_modules/onnxruntime-web", import.meta.url));
const runtime: Need<() => Promise<typeof import("./theirs.ts")>> = existsSync(folder)
  ? { value: () => import("./theirs.ts") }
  : { missing: {
      what: "ONNX Runtime", reason: "its package is not installed",
      install: "npm ci --prefix test/bench/peers",
    } };

const sweeps = 8;
const relaxation = { order: "asynchronous", sweeps } as const;
const cases: [string, () => ZooModel][] = [
  ...zooNames.map((name): [string, () => ZooModel] => [name, () => zooModel(name)]),
  ["untied weights", () => untiedModel()],
];

describeNeeding(runtime, "ONNX Runtime", (open) => {
  it.each(cases)("agrees on a file of a model with %s", async (_, make) => {
    const zoo = make();
    const normal = normalStream(9, "sample");
    const shape = [4, ...zoo.model.input.shape];
    const size = shape.reduce((p, d) => p * d, 1);
    const input = tensor("float32", shape,
      Float32Array.from({ length: size }, (_each, i) => normal(i)));
    const given = new Map([[zoo.model.input.name, input]]);
    const ours = evaluateGraph(unrolledModel(zoo.model, zoo.tensors, relaxation), given, "f64")
      .get("logits") as Tensor;
    const { openTheirs } = await open()();
    const session = await openTheirs(writeFfEbm({ ...zoo, relaxation }));
    const theirs = (await session.run(given)).get("logits") as Tensor;
    await session.release();
    expect(theirs.shape).toEqual(ours.shape);
    const scale = Math.max(...Array.from(ours.data, Math.abs));
    const apart = Math.max(...Array.from(ours.data, (x, i) =>
      Math.abs(x - (theirs.data[i] as number))));
    // Float32 against float64: rounding, contracted by the relaxation rather than amplified.
    expect(apart / scale).toBeLessThan(1e-4);
  });
});
