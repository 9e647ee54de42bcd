/** `compile --block-size`: the plan says which layers settle together, and that none is trained. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PlanEnergy } from "../../../compiler/artifact/plan.ts";
import { denseData } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { importedFfEbm, importedTraining } from "../../../models/imported.ts";
import { readNpy } from "../../../runtime/data/npy.ts";
import { toTensor } from "../../../runtime/data/tensors.ts";
import { loadModel } from "../../../runtime/files/modelFiles.ts";
import { Chain } from "../../../runtime/learn/chain.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { oneHot } from "../../../runtime/learn/reference.ts";
import { crosstie } from "../../support/cli.ts";
import { relativeToLargest } from "../../support/difference.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-blocks-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const model = "models/mnist-mlp.onnx";
const samples = "test/fixtures/models/mnist-mlp.input.npy";

const compile = (...words: string[]) =>
  crosstie("compile", ...words, "--target", "neurram-rram", "--json");
const energyOf = (json: string): PlanEnergy | null =>
  (JSON.parse(json) as { energy: PlanEnergy | null }).energy;

describe("merging", () => {
  test("is in the plan, with what it demands", async () => {
    const out = join(folder, "merged");
    const { code, stdout, stderr } = await compile(model, "--block-size", "2", "-o", out);
    expect(code, stderr).toBe(0);
    const energy = energyOf(stdout) as PlanEnergy;
    expect(energy).toMatchObject({ needsTraining: true, sweeps: importedTraining.freeSweeps });
    expect(energy.blocks.map(({ layers }) => layers.length)).toEqual([2]);
    const plan = JSON.parse(readFileSync(join(out, "plan.json"), "utf8")) as {
      energy: PlanEnergy; options: { blockSize: number };
    };
    expect(plan.energy).toEqual(energy);
    expect(plan.options.blockSize).toBe(2);
  });

  test("compiles the relaxation: the artifact computes what the solver computes", async () => {
    const ran = await crosstie("run", join(folder, "merged"), "--input", `input=${samples}`,
      "-o", folder, "--json");
    expect(ran.code, ran.stderr).toBe(0);
    const actual = toTensor(await readNpy(join(folder, "logits.npy")), "logits");
    const file = await loadModel(model);
    const merged = importedFfEbm(file, importModel(file).graph, 2);
    const engine = referenceEngine("f64");
    const phase = { sweeps: importedTraining.freeSweeps };
    const chain = new Chain(engine, merged.model,
      { order: "asynchronous", free: phase, nudged: phase });
    const input = toTensor(await readNpy(samples), "input");
    const labels = Array.from({ length: input.shape[0] as number }, () => 0);
    const pass = await chain.forward(merged.parameters, input, oneHot(labels, 10), "inference");
    const expected = await engine.read(pass.logits);
    // Float32 on the device against float64.
    const truth = { ...expected, data: denseData(expected) };
    expect(relativeToLargest(actual, truth)).toBeLessThan(1e-4);
  });

  test("is nothing that one layer per block does", async () => {
    const { stdout } = await compile(model, "-o", join(folder, "plain"));
    expect(energyOf(stdout)).toBeNull();
  });

  test("says so on the terminal", async () => {
    const { stdout } = await crosstie("compile", model, "--target", "neurram-rram",
      "--block-size", "2", "-o", join(folder, "text"));
    expect(stdout).toMatch(/merged layers are another model than the file's, and need training/);
  });

  test("is refused where no two layers can be one block", async () => {
    const { code, stderr } = await compile("models/cifar10-resnet8.onnx", "--block-size", "2",
      "-o", join(folder, "none"));
    expect(code).toBe(1);
    expect(stderr).toMatch(/--block-size: No two consecutive layers.*--block-size 1/);
  });
});
