/** Repair on a real network: arrays that lose most of their current in their wires. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { simulate } from "../../../runtime/api/simulate.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-repair-"));
const directory = join(folder, "lenet");
beforeAll(async () => {
  await compileModel({
    model: "models/mnist-lenet.onnx", target: "isaac-rram", analog: "all", out: directory,
  });
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

// 50 to 225 uS, 128 x 128 cells, 1 and 3 ohm per segment: far cells keep a tenth of their current.
test("LeNet on ISAAC: wires alone leave chance, repair wins nine tenths back", async () => {
  const { accuracy } = await simulate({
    directory, data: "mnist:test[0:40]", trials: 1, seed: 1, device: "wasm", only: ["wires"],
    repair: true,
  });
  expect(accuracy.digital).toBeGreaterThan(0.95);
  expect(accuracy.chip.mean).toBeLessThan(0.4);
  expect(accuracy.repaired?.recovered).toBeGreaterThan(0.9);
}, 400_000);
