/** What the commands print as JSON, on small real cases. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../../../runtime/data/npy.ts";
import { toTensor } from "../../../runtime/data/tensors.ts";
import { crosstie } from "../../support/cli.ts";
import { relativeToLargest } from "../../support/difference.ts";
import { samplesOf } from "../../support/models.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-commands-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a command with --json and gives its document. */
async function json(...words: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await crosstie(...words, "--json");
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

test("inspect gives sizes, work and what is unsupported", async () => {
  const found = await json("inspect", "models/mnist-lenet.onnx");
  expect(found).toMatchObject({
    opset: 13,
    nodes: 12,
    parameters: 120382,
    macs: 1700520,
    unsupported: [],
    inputs: [{ name: "input", shape: ["N", 1, 28, 28] }],
    outputs: [{ name: "logits", shape: ["N", 10] }],
  });
});

test("targets lists every preset with its process and source", async () => {
  const { targets } = (await json("targets")) as { targets: Record<string, string>[] };
  expect(targets.length).toBeGreaterThan(6);
  for (const target of targets) {
    expect(target).toMatchObject({ process: expect.stringMatching(/ nm$/) as string });
    expect(target.source).not.toBe("");
  }
});

describe("compile, run and simulate", () => {
  const artifact = (): string => join(folder, "lenet");

  test("compile writes the artifact and says what is in it", async () => {
    const report = await json(
      "compile",
      "models/mnist-lenet.onnx",
      "--target",
      "neurram-rram",
      "-o",
      artifact(),
    );
    expect(report).toMatchObject({ target: "neurram-rram", optimal: true, artifact: artifact() });
    const segments = report.segments as { kind: string; macs: number; nodes: string[] }[];
    expect(segments.map((s) => s.kind)).toContain("analog");
    expect(segments.reduce((sum, s) => sum + s.macs, 0)).toBe(1700520);
    expect(report.tiles).toBe(14);
    expect(readdirSync(artifact()).sort()).toEqual([
      "conductances.safetensors",
      "crossbars.json",
      "kernels",
      "kernels.wasm",
      "plan.json",
      "report.html",
      "weights.safetensors",
    ]);
    expect(readFileSync(join(artifact(), "report.html"), "utf8")).toContain("<svg");
  });

  test.each(["none", "ideal"] as const)("run with chip %s gives the logits", async (chip) => {
    const input = "input=test/fixtures/models/mnist-lenet.input.npy";
    const out = join(folder, chip);
    const report = await json("run", artifact(), "--input", input, "--chip", chip, "-o", out);
    expect(report).toMatchObject({ chip, outputs: { logits: { shape: [16, 10] } } });
    expect(report.device).toMatch(/^wasm/);
    const file = join(out, "logits.npy");
    const { logits } = await samplesOf("mnist-lenet", 16);
    expect(relativeToLargest(toTensor(await readNpy(file), file), logits)).toBeLessThan(1e-4);
  });

  test("simulate programs a chip, and the same seed gives the same one", async () => {
    // Without wires: their solution takes most of the time and has tests of its own.
    const only = ["--only", "levels,programming,drift,readNoise,converters"];
    const words = ["simulate", artifact(), "--data", "mnist:test[0:64]", "--trials", "2", ...only];
    const first = await json(...words);
    const again = await json(...words);
    const accuracy = first.accuracy as Record<string, unknown>;
    expect(again.accuracy).toEqual(accuracy);
    expect(accuracy.ideal).toBe(accuracy.digital);
    expect(first.samples).toBe(64);
    const blocks = first.blocks as { id: string; snrDb: number }[];
    expect(blocks).toHaveLength(5);
    for (const { snrDb } of blocks) {
      expect(snrDb).toBeGreaterThan(5);
      expect(snrDb).toBeLessThan(60);
    }
    const other = await json(...words, "--seed", "7");
    expect((other.blocks as { snrDb: number }[])[0]?.snrDb).not.toBe(blocks[0]?.snrDb);
  }, 60_000);
});

test.each(["graph", "units", "hybrid", "kernels", "plan"])("level %s prints", async (level) => {
  const { code, stdout } = await crosstie(
    "compile",
    "models/mnist-mlp.onnx",
    "--target",
    "isaac-rram",
    "--print",
    level,
  );
  expect(code).toBe(0);
  expect(stdout).toContain("Gemm");
});
