/** `train` on small pieces of MNIST: what it prints, and what it refuses. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EpochRecord } from "../../../runtime/learn/checkpoint.ts";
import type { TrainReport } from "../../../runtime/learn/trainModel.ts";
import { crosstie } from "../../support/cli.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-train-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const few = ["--data", "mnist:train[0:256]", "--test", "mnist:test[0:50]", "--epochs", "2"];

/** Runs `train --json`; lines of its output as documents. */
async function train(...words: string[]): Promise<{ epochs: EpochRecord[]; report: TrainReport }> {
  const { code, stdout, stderr } = await crosstie("train", ...words, "--json");
  expect(code, stderr).toBe(0);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line) as unknown);
  return { epochs: lines.slice(0, -1) as EpochRecord[], report: lines.at(-1) as TrainReport };
}

async function refusal(...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await crosstie("train", ...words);
  expect(code, stderr).toBe(1);
  expect(stdout).toBe("");
  return stderr;
}

describe("train", () => {
  test("prints a line per epoch and then the document, and leaves both files", async () => {
    const out = join(folder, "dhn");
    const { epochs, report } = await train("mnist-dhn", ...few, "-o", out, "--seed", "3");
    expect(epochs.map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect(report.history).toEqual(epochs);
    expect(report.accuracy).toBe(epochs[1]?.accuracy);
    // Chance is 0.1.
    expect(report.accuracy).toBeGreaterThan(0.4);
    expect(report).toMatchObject({
      data: "mnist:train[0:256]", test: "mnist:test[0:50]", chip: "none",
      settings: { seed: 3, algorithm: "c-ep", epochs: 2 },
    });
    expect(JSON.parse(readFileSync(join(out, "training.json"), "utf8"))).toEqual(report);
    expect(existsSync(join(out, "checkpoint.safetensors"))).toBe(true);
  });

  test("counts the pulses of cells, and warns where they exceed what cells stand", async () => {
    const words = ["mnist-dhn", ...few, "--epochs", "1", "--updates", "stochastic"];
    const { report: { wear } } = await train(...words);
    expect(wear).toMatchObject({ endurance: null, wear: null, isWornOut: false });
    expect(wear!.mostPulses).toBeGreaterThan(wear!.meanPulses);
    const { stdout } = await crosstie("train", ...words, "--endurance", "1");
    expect(stdout).toMatch(/warning: pulses per cell: .* of the 1 that one stands: .* lasted/);
  });

  test("leaves an ONNX file that trains on, is checked, and keeps its accuracy", async () => {
    const out = join(folder, "file");
    const first = await train("mnist-dhn", ...few, "-o", out);
    const file = join(out, "model.onnx");
    // A step too small to change a weight: what is measured is the file.
    const still = ["--learning-rate", "1e-12", "--epochs", "1"];
    const { report } = await train(file, ...few, ...still);
    expect(report.accuracy).toBe(first.report.accuracy);
    expect(report.settings.solver).toEqual(first.report.settings.solver);
    const check = await crosstie("check-gradients", file, "--samples", "4", "--json");
    expect(check.code, check.stderr).toBe(0);
    const { overall } = JSON.parse(check.stdout) as { overall: { cosine: number } };
    expect(overall.cosine).toBeGreaterThan(0.95);
    const inspected = await crosstie("inspect", file, "--json");
    expect(JSON.parse(inspected.stdout)).toMatchObject({ parameters: 407050, unsupported: [] });
    expect(await refusal(file, ...few, "--block-size", "2")).toMatch(/blocks of an ff-EBM file/);
  });

  test("leaves a card where the whole test set was measured: a chip can be, too", async () => {
    const out = join(folder, "card");
    const { report } = await train("mnist-dhn", "--data", "mnist:train[0:256]", "--epochs", "1",
      "-o", out);
    const card = JSON.parse(readFileSync(join(out, "model.json"), "utf8")) as object;
    expect(card).toMatchObject({ dataset: "mnist", measuredAccuracy: report.accuracy });
    const artifact = join(folder, "chip");
    const compiled = await crosstie("compile", join(out, "model.onnx"), "--target", "isaac-rram",
      "-o", artifact, "--json");
    expect(JSON.parse(compiled.stdout)).toMatchObject({ energy: { needsTraining: false } });
    const simulated = await crosstie("simulate", artifact, "--data", "mnist:test[0:50]",
      "--trials", "1", "--only", "levels", "--json");
    expect(simulated.code, simulated.stderr).toBe(0);
    const { accuracy } = JSON.parse(simulated.stdout) as { accuracy: { digital: number } };
    expect(accuracy.digital).toBeGreaterThan(0.4);
    expect(existsSync(join(folder, "file", "model.json"))).toBe(false);
  });

  test("keeps what separate weights for both directions learn, and their correction", async () => {
    const out = join(folder, "untied");
    const { report } = await train("mnist-dhn", ...few, "--untie", "0.1",
      "--asymmetric-correction", "-o", out);
    expect(report.accuracy).toBeGreaterThan(0.3);
    expect(report.settings.isCorrected).toBe(true);
    const { report: again } = await train(join(out, "model.onnx"), ...few, "--epochs", "1",
      "--learning-rate", "1e-12");
    expect(again.parameters).toBe(407050 + 5120);
    expect(again.accuracy).toBe(report.accuracy);
  });

  test("hands every option on", async () => {
    const { report } = await train("mnist-dhn", ...few, "--epochs", "1", "--algorithm", "n-ep",
      "--beta", "0.3", "--free-sweeps", "7", "--nudged-sweeps", "5", "--order", "synchronous",
      "--tolerance", "1e-4", "--batch", "32", "--optimiser", "sgd", "--momentum", "0.9",
      "--learning-rate", "0.01", "--final-rate", "0.001", "--decay", "1e-4",
      "--rate", "block0=0.5", "--rate", "feed0.weight=2e0", "--clip", "0.4", "--chip", "ideal");
    const phase = (sweeps: number) => ({ sweeps, tolerance: 1e-4 });
    expect(report).toMatchObject({ chip: "ideal", settings: {
      algorithm: "n-ep", beta: 0.3, batch: 32, learningRate: 0.01, finalRate: 0.001, decay: 1e-4,
      solver: { order: "synchronous", free: phase(7), nudged: phase(5) },
      optimiser: { kind: "sgd", momentum: 0.9 }, bound: 0.4,
      rates: { "block0.layer2.W": 0.5, "block0.layer2.b": 0.5, "feed0.weight": 2 },
    } });
  });

  test("says on standard error, without --json, how each epoch went", async () => {
    const { code, stdout, stderr } = await crosstie("train", "mnist-dhn", ...few);
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/epoch 2: loss .*, training .* %, test .* %, residual .*, .*samples\/s/);
    expect(stdout).toMatch(/accuracy on mnist:test\[0:50\]: \d+\.\d+ %/);
  });
});

describe("train refuses", () => {
  test.each([
    [["--algorithm", "implicit", "--beta", "0.1"], /implicit does not heed it.*one of p-ep/],
    [["--points", "6"], /--points: c-ep does not heed it.*one of h-ep/],
    [["--momentum", "0.5"], /--momentum: Adam has moments of its own.*--optimiser sgd/],
    [["--algorithm", "continual", "--optimiser", "adam"], /--optimiser: Continual updates/],
    [["--rate", "block7=2"], /"block7"\. give one of .*block0\.layer2\.W/],
    [["--rate", "block0=fast"], /--rate: "block0=fast" gives no layer a factor/],
    [["--beta", "0"], /--beta: "0" is not a number above 0/],
    [["--block-size", "2"], /--block-size: The blocks of mnist-dhn are what its recipe says/],
    [["--chip", "simulated", "--only", "rust"], /--only: "rust" is no imperfection/],
    [["--endurance", "1e6"], /--endurance: no cell is written twice. add --updates or --chips one/],
    [["--target", "isaac-rram"], /--target: there is no simulated chip to heed it/],
    [["--algorithm", "h-ep"], /clamp units of .* are not holomorphic.*sigmoid, tanh or linear/],
    [["--augment", "flip"], /--augment: Inputs of shape \[784\] are no images/],
    [["--augment", "turn"], /--augment: "turn" is no variation.*write flip, shift=PIXELS/],
    [["--resume"], /--resume: there is no folder to resume from/],
  ])("%s, naming the option and the remedy", async (words, message) => {
    expect(await refusal("mnist-dhn", ...few, ...words)).toMatch(message);
  });

  test("to go on when the loss is no number, saying what to change", async () => {
    const message = await refusal("mnist-dhn", ...few, "--optimiser", "sgd",
      "--learning-rate", "1e30");
    expect(message).toMatch(/block0: The relaxation diverged.*lower learning rate/);
  });
});
