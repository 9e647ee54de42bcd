import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { blocksOf } from "../../../compiler/energy/ffEbm.ts";
import { buildFfEbm } from "../../../models/ffEbm.ts";
import { recipes } from "../../../models/recipes.ts";
import { trainModel } from "../../../runtime/learn/trainModel.ts";

const lenet = fileURLToPath(new URL("../../../models/mnist-lenet.onnx", import.meta.url));
const mlp = fileURLToPath(new URL("../../../models/mnist-mlp.onnx", import.meta.url));

describe("recipes", () => {
  it.each(Object.keys(recipes))("%s is a model that can be built", (name) => {
    const { plan } = recipes[name as keyof typeof recipes];
    const { model } = buildFfEbm(plan);
    expect(model.input.shape).toEqual(plan.input);
    expect(model.target.shape).toEqual([10]);
  });

  it("cut the same six layers into blocks of 1, 2, 3 and 6", () => {
    const shapes = ([1, 2, 3, 6] as const).map((size) =>
      blocksOf(buildFfEbm(recipes[`mnist-split-${size}`].plan).model)
        .map(({ states }) => states.map(({ shape }) => shape.join("x"))));
    expect(shapes.map((blocks) => blocks.length)).toEqual([6, 3, 2, 1]);
    const flat = shapes.map((blocks) => blocks.flat());
    expect(flat[0]).toEqual(["16x16x16", "32x8x8", "32x8x8", "64x4x4", "64x4x4", "64"]);
    for (const layers of flat) expect(layers).toEqual(flat[0]);
  });
});

describe("training a named model", () => {
  it("trains a recipe on a part of its data set", async () => {
    const report = await trainModel({
      model: "mnist-dhn", data: "mnist:train[0:1280]", test: "mnist:test[0:200]",
      training: { epochs: 1 },
    });
    expect(report).toMatchObject({ model: "mnist-dhn", note: null, parameters: 407050 });
    expect(report.device).toMatch(/^wasm/);
    // Ten classes: chance is 0.1.
    expect(report.accuracy).toBeGreaterThan(0.6);
  });

  it("goes on training an ONNX model as one-layer blocks, which keep its accuracy", async () => {
    const report = await trainModel({
      model: mlp, data: "mnist:train[0:128]", test: "mnist:test[0:300]",
      training: { epochs: 1, learningRate: 1e-6, freeSweeps: 2, nudgedSweeps: 2 },
    });
    expect(report.note).toBeNull();
    expect(report.accuracy).toBeGreaterThan(0.93);
  });

  it("says that merged layers are another model", async () => {
    const report = await trainModel({
      model: lenet, blockSize: 2, data: "mnist:train[0:16]", test: "mnist:test[0:16]",
      training: { epochs: 1, batch: 16, freeSweeps: 4, nudgedSweeps: 2 },
    });
    expect(report.note).toMatch(/merged into blocks: this is another model/);
  });

  it("refuses a name that it does not know, listing those that it does", async () => {
    await expect(trainModel({ model: "mnist-dnh" }))
      .rejects.toThrow(/"mnist-dnh" is neither a recipe nor an ONNX file\. give .*mnist-dhn/);
  });

  it("refuses to resume without a folder", async () => {
    await expect(trainModel({
      model: "mnist-dhn", data: "mnist:train[0:64]", test: "mnist:test[0:64]", resume: true,
    })).rejects.toThrow(/--resume: there is no folder to resume from/);
  });
});
