/** Weights outside the model file: read where they should be, refused everywhere else. */
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import onnxProto from "onnx-proto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  hasExternalData, loadExternal, safeLocation,
} from "../../../compiler/onnx/externalData.ts";
import type { Model, TensorSource } from "../../../compiler/onnx/model.ts";
import { readTensor } from "../../../compiler/onnx/readTensor.ts";
import { loadModel, loadModelOutline } from "../../../runtime/files/modelFiles.ts";
import { model, node, tensorType } from "../../support/onnxModel.ts";

const { onnx } = onnxProto;

describe("locations", () => {
  test.each(["weights.bin", "data/weights.bin", "./weights.bin", "a..b"])("%j is fine", (path) => {
    expect(safeLocation(path, "m.onnx")).not.toContain("./");
  });

  test.each([
    "", "../secret", "a/../../b", "/etc/passwd", "..", "C:\\secret", "a\\b", "a\u0000b", "x:stream",
  ])("%j is refused", (path) => {
    expect(() => safeLocation(path, "m.onnx")).toThrow(/^m\.onnx: The external data path/);
  });
});

function withWeight(content: TensorSource["content"]): Model {
  const made = model({
    nodes: [node("Add", ["x", "w"], ["y"])], outputs: ["y"],
    inputs: { x: tensorType("float32", [2]) },
  });
  const weight: TensorSource = { name: "w", elementType: "float32", shape: [2], content };
  return { ...made, graph: { ...made.graph, initializers: [weight] } };
}

describe("a resolver", () => {
  const bytes = new Uint8Array(new Float32Array([1.5, -2]).buffer);

  test("is asked once, for exactly the tensor's bytes", async () => {
    const asked: unknown[] = [];
    const made = withWeight({ kind: "external", location: "w.bin", offset: 4, length: 8 });
    expect(hasExternalData(made.graph)).toBe(true);
    const loaded = await loadExternal(made, (...call) => {
      asked.push(call);
      return bytes;
    });
    expect(asked).toEqual([["w.bin", 4, 8]]);
    expect(hasExternalData(loaded.graph)).toBe(false);
    expect([...readTensor(loaded.graph.initializers[0] as TensorSource, "m").data])
      .toEqual([1.5, -2]);
  });

  test("is not asked for tensors that are larger than wanted", async () => {
    const made = withWeight({ kind: "external", location: "w", offset: 0, length: undefined });
    const loaded = await loadExternal(made, () => {
      throw new Error("asked");
    }, { atMostBytes: 4 });
    expect(hasExternalData(loaded.graph)).toBe(true);
  });

  test.each([
    ["a length that is not the tensor's", 12, bytes, "has 12 bytes instead of 8"],
    ["too few bytes", undefined, bytes.subarray(0, 4), "has 4 bytes instead of 8"],
  ])("%s is an error", async (_, length, given, message) => {
    const made = withWeight({ kind: "external", location: "w", offset: 0, length });
    await expect(loadExternal(made, () => given)).rejects.toThrow(message);
  });
});

describe("files", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "crosstie-external-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const write = async (location: string, offset = 0): Promise<string> => {
    const path = join(folder, "m.onnx");
    const bytes = onnx.ModelProto.encode({
      irVersion: 8, opsetImport: [{ domain: "", version: 17 }],
      graph: {
        name: "g", node: [{ opType: "Identity", input: ["w"], output: ["y"] }],
        output: [{ name: "y" }],
        initializer: [{
          name: "w", dims: [2], dataType: 1, dataLocation: 1,
          externalData: [
            { key: "location", value: location }, { key: "offset", value: String(offset) },
          ],
        }],
      },
    }).finish();
    await writeFile(path, bytes);
    return path;
  };
  const floats = new Uint8Array(new Float32Array([9, 1.5, -2]).buffer);

  test("are read beside the model, from an offset", async () => {
    await writeFile(join(folder, "w.bin"), floats);
    const { graph } = await loadModel(await write("w.bin", 4));
    expect([...readTensor(graph.initializers[0] as TensorSource, "m").data]).toEqual([1.5, -2]);
  });

  test("that are missing, or too short, are named", async () => {
    const path = await write("w.bin", 8);
    await expect(loadModel(path)).rejects.toThrow("w.bin: no such file");
    await writeFile(join(folder, "w.bin"), floats);
    await expect(loadModel(path)).rejects.toThrow("w.bin has 12 bytes, and a weight is said to");
  });

  test("outside of the folder are refused, also through a link", async () => {
    await expect(loadModel(await write("../w.bin"))).rejects.toThrow("leaves its folder");
    const outside = await mkdtemp(join(tmpdir(), "crosstie-outside-"));
    try {
      await writeFile(join(outside, "w.bin"), floats);
      await symlink(join(outside, "w.bin"), join(folder, "link.bin"));
      await expect(loadModel(await write("link.bin"))).rejects.toThrow("a link that leaves");
    } finally {
      await rm(outside, { recursive: true, force: true });
    }
  });

  test("of small tensors are read for an outline", async () => {
    await writeFile(join(folder, "w.bin"), floats);
    expect(hasExternalData((await loadModelOutline(await write("w.bin"))).graph)).toBe(false);
  });
});
