/** `export`: what is written computes what was read, and says what was asked for. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import onnxProto from "onnx-proto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { constantOf, type Value } from "../../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { exportModel } from "../../../runtime/api/exportModel.ts";
import { readNpy } from "../../../runtime/data/npy.ts";
import { writeTensors } from "../../../runtime/data/tensorStore.ts";
import { toTensor } from "../../../runtime/data/tensors.ts";
import { loadModel } from "../../../runtime/files/modelFiles.ts";
import { crosstie } from "../../support/cli.ts";
import { relativeToLargest } from "../../support/difference.ts";

const lenet = "models/mnist-lenet.onnx";
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-export-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const imported = async (path: string) => importModel(await loadModel(path)).graph;

async function logits(path: string): Promise<Tensor> {
  const file = "test/fixtures/models/mnist-lenet.input.npy";
  const all = toTensor(await readNpy(file), file);
  const [few, pixels] = [2, 28 * 28];
  const images = tensor("float32", [few, 1, 28, 28], all.data.slice(0, few * pixels));
  return evaluateGraph(await imported(path), new Map([["input", images]])).get("logits") as Tensor;
}

const decoded = (path: string) => onnxProto.onnx.ModelProto.decode(readFileSync(path));

test("the folded model gives the same logits, its batch still symbolic", async () => {
  const out = join(folder, "folded.onnx");
  const result = await exportModel({ model: lenet, out });
  expect(result).toMatchObject({ model: out, data: null, target: null, replaced: 0 });
  expect((await imported(out)).inputs[0]?.type.shape.map(String)).toEqual(["N", "1", "28", "28"]);
  // Folding regroups sums: a few roundings of float32 over products of 400 terms.
  expect(relativeToLargest(await logits(out), await logits(lenet))).toBeLessThan(400 * 2 ** -23);
});

test("with a target every node says where it runs, and the file lists the segments", async () => {
  const out = join(folder, "split.onnx");
  await exportModel({ model: lenet, out, target: "neurram-rram" });
  const { graph, metadataProps } = decoded(out);
  const partition = JSON.parse(metadataProps[0]?.value ?? "") as
    { target: string; segments: { id: string; kind: string; units: string[] }[] };
  expect(partition.target).toBe("neurram-rram");
  expect(new Set(partition.segments.map((s) => s.kind))).toEqual(new Set(["analog", "digital"]));
  const said = (operator: string): (string | null | undefined)[] =>
    (graph?.node ?? []).filter((n) => n.opType === operator).map((n) => n.docString);
  expect(said("Conv")).toHaveLength(2);
  for (const words of said("Conv")) {
    const [, unit, block] = /^unit (\w+) of the analog block (\w+)$/.exec(words ?? "") ?? [];
    expect(partition.segments.find((s) => s.id === block)).toMatchObject({
      kind: "analog", units: [unit],
    });
  }
  expect(relativeToLargest(await logits(out), await logits(lenet))).toBeLessThan(400 * 2 ** -23);
});

test("weights given by name replace the model's", async () => {
  const graph = await imported(lenet);
  const last = graph.nodes.map((node) => node.outputs[0] as Value)
    .filter((v) => constantOf(v)?.shape.join() === "10").at(-1) as Value;
  const bias = constantOf(last) as Tensor;
  const moved = tensor("float32", [10], Float32Array.from(bias.data, (x, i) => x + i));
  const [file, out] = [join(folder, "w.safetensors"), join(folder, "trained.onnx")];
  await writeTensors(file, new Map([[last.name, moved], ["momentum", moved]]));
  expect(await exportModel({ model: lenet, out, weights: file })).toMatchObject({ replaced: 1 });
  const [before, after] = [await logits(lenet), await logits(out)];
  const expected = tensor("float32", before.shape,
    Float32Array.from(before.data, (x, i) => x + i % 10));
  expect(relativeToLargest(after, expected)).toBeLessThan(400 * 2 ** -23);

  await writeTensors(file, new Map([[last.name, tensor("float32", [1], [0])]]));
  await expect(exportModel({ model: lenet, out: join(folder, "no.onnx"), weights: file }))
    .rejects.toThrow(`The weight "${last.name}" is float32[1] there, and float32[10] in the model`);
  await writeTensors(file, new Map([["momentum", moved]]));
  await expect(exportModel({ model: lenet, out: join(folder, "no.onnx"), weights: file }))
    .rejects.toThrow("holds no tensor with the name of a weight");
  expect(existsSync(join(folder, "no.onnx"))).toBe(false);
});

test("weights in a file beside the model are read from there, and never overwritten", async () => {
  const out = join(folder, "apart.onnx");
  const request = { model: lenet, out, externalData: true };
  const { data } = await exportModel(request);
  expect(data).toBe(`${out}.data`);
  expect(statSync(out).size).toBeLessThan(20_000);
  expect(statSync(`${out}.data`).size).toBeGreaterThan(400_000);
  expect(relativeToLargest(await logits(out), await logits(lenet))).toBeLessThan(400 * 2 ** -23);
  await expect(exportModel(request)).rejects.toThrow("a model may be reading it");
});

test("the command says what it wrote, and that an artifact has no graph", async () => {
  const out = join(folder, "cli.onnx");
  const { code, stdout } = await crosstie("export", lenet, "-o", out, "--json");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ model: out, data: null });
  const refused = await crosstie("export", folder, "-o", out);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("Export the model that it was compiled from");
});
