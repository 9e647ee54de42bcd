/** `check-gradients`: of models, and against what reference files demand. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recipes } from "../../../models/recipes.ts";
import { crosstie } from "../../support/cli.ts";
import { zooPlans } from "../../support/ffEbmZoo.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-check-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Report {
  device: string;
  equilibriumMaxError: number;
  lossError: number;
  exactGradientRelativeError: number;
  bpEp: Record<string, { cosineToExact: number; relativeErrorToStored: number | null }>;
}

async function check(name: string, device: string): Promise<Report> {
  const file = `test/fixtures/ffebm/${name}.json`;
  const words = ["check-gradients", file, "--reference", "--device", device, "--json"];
  const { code, stdout, stderr } = await crosstie(...words);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Report;
}

const storedCosine = (name: string, beta: string): number => {
  const file = JSON.parse(readFileSync(`test/fixtures/ffebm/${name}.json`, "utf8")) as {
    bp_ep_centered: Record<string, { cosine_to_exact: number }>;
  };
  return file.bp_ep_centered[beta]?.cosine_to_exact as number;
};

test("in float64, equilibrium, exact and BP-EP gradients are those of the file", async () => {
  const report = await check("single-clamp", "interpreter");
  expect(report.device).toContain("float64");
  expect(report.equilibriumMaxError).toBeLessThan(1e-10);
  expect(report.lossError).toBeLessThan(1e-10);
  expect(report.exactGradientRelativeError).toBeLessThan(1e-8);
  expect(report.bpEp["0.2"]?.relativeErrorToStored).toBeLessThan(1e-6);
});

test("in float32 on wasm, the cosine at beta 0.05 is the stored one", async () => {
  const report = await check("layerwise-tanh", "wasm");
  expect(report.device).toContain("wasm");
  const cosine = report.bpEp["0.05"]?.cosineToExact as number;
  expect(cosine).toBeGreaterThan(storedCosine("layerwise-tanh", "0.05") - 1e-4);
});

test("a file that is no reference network is refused", async () => {
  const { code, stderr } = await crosstie("check-gradients", "package.json", "--reference");
  expect(code).toBe(1);
  expect(stderr).toContain("package.json");
});

interface ModelReport {
  device: string;
  data: string;
  note: string | null;
  freePhaseResidual: number;
  parameters: { name: string; cosine: number; relativeError: number }[];
  boundaries: { name: string; cosine: number; relativeError: number }[];
  overall: { cosine: number; relativeError: number };
}

async function checkModel(...words: string[]): Promise<ModelReport> {
  const { code, stdout, stderr } = await crosstie("check-gradients", ...words, "--json");
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as ModelReport;
}

describe("on a model", () => {
  test("a recipe is checked on its data, parameter by parameter and at each boundary", async () => {
    const report = await checkModel("mnist-dhn", "--beta", "0.02");
    expect(report.device).toContain("wasm");
    expect(report.data).toBe("mnist:train, the first 8");
    expect(report.freePhaseResidual).toBeLessThan(1e-6);
    expect(report.parameters.map(({ name }) => name)).toEqual(
      ["block0.layer2.W", "block0.layer2.b", "feed0.weight", "feed0.bias"]);
    expect(report.boundaries.map(({ name }) => name)).toEqual(["block0"]);
    for (const { cosine } of [...report.parameters, ...report.boundaries]) {
      expect(cosine).toBeGreaterThan(0.99);
    }
    expect(report.overall.relativeError).toBeLessThan(0.05);
  });

  test("an imported network's layers as blocks have the gradients of backprop", async () => {
    const report = await checkModel("models/mnist-lenet.onnx", "--samples", "2", "--seed", "3");
    expect(report.note).toBeNull();
    expect(report.boundaries).toHaveLength(4);
    expect(report.overall.cosine).toBeGreaterThan(0.9999);
  });

  const some = ["n-ep", "c-cpl", "cl", "continual", "truncated"];
  test.each(some)("%s points the way that the exact gradient points", async (algorithm) => {
    const heedsBeta = !["cl", "truncated"].includes(algorithm);
    const report = await checkModel("mnist-dhn", "--data", "synthetic", "--samples", "4",
      "--algorithm", algorithm, ...heedsBeta ? ["--beta", "0.1"] : []);
    expect(report.data).toBe("synthetic");
    expect(report.overall.cosine).toBeGreaterThan(0.8);
  });

  test("in float64 the device says so, and the error of baselines is rounding", async () => {
    const report = await checkModel("mnist-dhn", "--data", "synthetic", "--samples", "2",
      "--algorithm", "implicit", "--device", "interpreter");
    expect(report.device).toContain("float64");
    expect(report.overall.relativeError).toBeLessThan(1e-9);
  });

  test("untied weights bias the estimate, and the asymmetric correction removes that", async () => {
    const words = ["--data", "synthetic", "--beta", "1e-3", "--device", "interpreter"];
    const own = join(folder, "own.json");
    const { training } = recipes["mnist-dhn"];
    writeFileSync(own, JSON.stringify({ plan: zooPlans.tanh, training }));
    const plain = await checkModel(own, ...words, "--untie", "0.3");
    const corrected = await checkModel(own, ...words, "--untie", "0.3", "--asymmetric-correction");
    expect(plain.parameters.map(({ name }) => name)).toContain("block0.layer2.W@block0.s1");
    expect(plain.overall.cosine).toBeLessThan(0.9999);
    expect(corrected.overall.cosine).toBeGreaterThan(1 - 1e-8);
    const tied = await checkModel(own, ...words);
    expect(tied.overall.cosine).toBeGreaterThan(1 - 1e-8);
  });

  test("the correction is refused where there is no nudge to correct", async () => {
    const { code, stderr } = await crosstie("check-gradients", "mnist-dhn",
      "--algorithm", "c-cpl", "--asymmetric-correction");
    expect(code).toBe(1);
    expect(stderr).toMatch(/--asymmetric-correction: c-cpl does not heed it.*one of p-ep/);
  });

  test("an unconverged free phase is refused after the numbers, with what to change", async () => {
    const { code, stdout, stderr } = await crosstie("check-gradients", "mnist-dhn",
      "--free-sweeps", "1", "--json");
    expect(code).toBe(1);
    const report = JSON.parse(stdout) as ModelReport & { isCertified: boolean };
    expect(report.isCertified).toBe(false);
    expect(report.freePhaseResidual).toBeGreaterThan(1e-4);
    expect(stderr).toMatch(/not vouched for: .*far from equilibrium.*residual is .*more sweeps/);
  });

  test("what is neither a recipe nor a file is refused", async () => {
    const { code, stderr } = await crosstie("check-gradients", "mnist-dnh");
    expect(code).toBe(1);
    expect(stderr).toMatch(/neither a recipe nor an ONNX file.*mnist-dhn/);
  });
});
