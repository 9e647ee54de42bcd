/** A target file of one's own with converters by successive approximation, through the commands. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { loadTarget } from "../../../runtime/files/targetFiles.ts";
import { crosstie } from "../../support/cli.ts";
import { writeSmallModel } from "../../support/smallModel.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-converters-"));
afterAll(() => rmSync(folder, { recursive: true }));

const figure = (value: number) => ({ value, unit: "1", source: "assumed: for a test" });
const { json } = loadTarget("neurram-rram");
/** NeuRRAM with that record, which has no figures of its own. */
function targetFile(name: string, successiveApproximation: unknown): string {
  const { adc, ...rest } = json as { adc: object };
  const path = join(folder, `${name}.json`);
  writeFileSync(path, JSON.stringify({ ...rest, adc: { ...adc, successiveApproximation } }));
  return path;
}

interface Block {
  readonly snrDb: number;
  readonly saturation: readonly { readonly clipped: number; readonly conversions: number }[];
}

test("compile keeps it in the artifact and simulate converts with it", async () => {
  const { model, data } = await writeSmallModel(folder);
  const blocksOf = async (name: string, target: string): Promise<readonly Block[]> => {
    const out = join(folder, name);
    const made = await crosstie("compile", model, "--target", target, "--analog", "all", "-o", out);
    expect(made.code, made.stderr).toBe(0);
    const { code, stdout, stderr } = await crosstie(
      "simulate", out, "--data", data, "--trials", "4", "--only", "converters", "--json");
    expect(code, stderr).toBe(0);
    return (JSON.parse(stdout) as { blocks: readonly Block[] }).blocks;
  };
  const preset = await blocksOf("preset", "neurram-rram");
  const quantisers = await blocksOf("quantisers", targetFile("quantisers", {}));
  expect(quantisers).toEqual(preset);
  const bad = await blocksOf("bad", targetFile("bad", {
    capacitorSpread: figure(0.2), comparatorOffset: figure(0.02),
  }));
  preset.forEach(({ snrDb }, i) => expect(bad[i]!.snrDb).toBeLessThan(snrDb - 3));
  // Levels divided by 1 + (1 + level / full scale) / 2: a third of the range at the top is lost.
  const flat = await blocksOf("flat", targetFile("flat", { openLoopGain: figure(2) }));
  const clipped = (blocks: readonly Block[]): number =>
    blocks.flatMap((b) => b.saturation).reduce((sum, s) => sum + s.clipped / s.conversions, 0);
  expect(clipped(flat)).toBeGreaterThan(clipped(preset) + 0.01);
});

test("a spread beyond what is normal is refused by its place", async () => {
  const target = targetFile("wild", { capacitorSpread: figure(0.4) });
  const { code, stderr } = await crosstie("compile", "models/mnist-mlp.onnx", "--target", target);
  expect(code).toBe(1);
  expect(stderr).toContain("adc.successiveApproximation.capacitorSpread");
});

test("a learning loop refuses it by name", async () => {
  const { code, stderr } = await crosstie("train", "mnist-dhn", "--chip", "simulated",
    "--target", targetFile("learning", {}), "--data", "mnist:train[0:32]", "--epochs", "1",
    "-o", join(folder, "trained"));
  expect(code).toBe(1);
  expect(stderr).toMatch(/adc\.successiveApproximation: faults of single converters are not part/);
});
