/** `check-gradients --reference` prints what the file's networks demand. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { crosstie } from "../../support/cli.ts";

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
