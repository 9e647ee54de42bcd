/** `simulate`: the same result for any number of workers, and imperfections switched one by one. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { simulate, type SimulateRequest } from "../../../runtime/api/simulate.ts";
import { imperfectionNames } from "../../../runtime/chip/imperfections.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
// Within the package, whose packages and targets it finds.
const built = join(root, "node_modules", ".cache", `crosstie-trials-${process.pid}`);
const folder = mkdtempSync(join(tmpdir(), "crosstie-simulate-"));
const directory = join(folder, "lenet");

beforeAll(async () => {
  await build({
    absWorkingDir: root, outdir: built, bundle: true, splitting: true, format: "esm",
    entryPoints: {
      crosstie: "runtime/cli/main.ts", "trials.worker": "runtime/api/trials.worker.ts",
    },
    platform: "node", target: "node20", packages: "external", logLevel: "warning",
  });
  await compileModel({
    model: "models/mnist-lenet.onnx", target: "neurram-rram", analog: "all", out: directory,
  });
});
afterAll(() => {
  rmSync(built, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

const request = (more: Partial<SimulateRequest>): SimulateRequest => ({
  directory, data: "mnist:test[0:40]", trials: 3, seed: 4, device: "wasm", ...more,
});

describe("simulate", () => {
  test("gives the same from two threads as from this one", async () => {
    const steps: number[] = [];
    const without = ["wires"];
    const one = await simulate(request({ without }));
    const two = await simulate(request({
      without, workers: 2, workerFile: join(built, "trials.worker.js"),
      onProgress: (stage, done) => void (stage === "chips" && steps.push(done)),
    }));
    expect({ ...two, seconds: 0 }).toEqual({ ...one, seconds: 0 });
    expect(one.accuracy.chip.trials).toHaveLength(3);
    expect(one.blocks.every(({ snrDb }) => snrDb !== null && snrDb > 0)).toBe(true);
    expect(steps).toEqual([40, 80, 120]);
  });

  test("gives the same from two threads with blocks on several targets, and copies", async () => {
    const mixed = join(folder, "mixed");
    await compileModel({
      model: "models/mnist-lenet.onnx", target: "neurram-rram,hermes-pcm",
      analog: ["/0/Conv@hermes-pcm", "/3/Conv@neurram-rram"],
      replicas: { exactly: { "/0/Conv": 4 } }, out: mixed,
    });
    const asked = request({
      directory: mixed, data: "mnist:test[0:16]", trials: 2, time: 3600, without: ["wires"],
    });
    const one = await simulate(asked);
    const two = await simulate({
      ...asked, workers: 2, workerFile: join(built, "trials.worker.js"),
    });
    expect({ ...two, seconds: 0 }).toEqual({ ...one, seconds: 0 });
    expect(one.blocks.map(({ target }) => target)).toEqual(["hermes-pcm", "neurram-rram"]);
    expect(one.blocks[0]!.saturation).toHaveLength(4);
  });

  test("switches imperfections off by name, as it switches them on", async () => {
    const others = imperfectionNames.filter((name) => name !== "programming" && name !== "levels");
    const only = await simulate(request({ only: ["programming", "levels"] }));
    const without = await simulate(request({ without: others }));
    expect({ ...without, seconds: 0 }).toEqual({ ...only, seconds: 0 });
    const fewer = await simulate(request({ only: ["programming", "levels"], without: ["levels"] }));
    expect(fewer.blocks[0]!.snrDb).not.toBe(only.blocks[0]!.snrDb);
    await expect(simulate(request({ without: ["noise"] })))
      .rejects.toThrow(/--without: "noise" is no imperfection.*readNoise/);
  });
});
