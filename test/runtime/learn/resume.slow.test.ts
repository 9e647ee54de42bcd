/** A training process killed in the middle of an epoch, for real, and resumed. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCheckpoint } from "../../../runtime/learn/checkpoint.ts";
import { trainModel, type TrainRequest } from "../../../runtime/learn/trainModel.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
let folder: string;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resume-"));
  // Beside the packages that the bundle leaves outside.
  program = join(root, "node_modules", ".cache", "resume", `train-${process.pid}.mjs`);
  const entry = join(folder, "entry.ts");
  const module = JSON.stringify(join(root, "runtime", "learn", "trainModel.ts"));
  await writeFile(entry, `import { trainModel } from ${module};
    await trainModel({ ...JSON.parse(process.argv[2]),
      onStep: ({ epoch, step }) => process.stdout.write(\`\${epoch} \${step}\\n\`) });`);
  await build({
    entryPoints: [entry], outfile: program, bundle: true, format: "esm", platform: "node",
    target: "node20", packages: "external", logLevel: "warning",
  });
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(program, { force: true });
});

const request = (out: string): TrainRequest => ({
  model: "mnist-dhn", data: "mnist:train[0:640]", test: "mnist:test[0:100]", device: "wasm",
  training: { epochs: 3, batch: 32 }, checkpointEvery: 7, out,
});

/** Runs training in a process of its own; kills it at once when it has done step `at`. */
const killedAt = (asked: TrainRequest, at: string): Promise<NodeJS.Signals | null> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, JSON.stringify(asked)],
      { stdio: ["ignore", "pipe", "inherit"] });
    let seen = "";
    child.stdout.on("data", (text: Buffer) => {
      seen += text.toString();
      if (seen.includes(`${at}\n`)) child.kill("SIGKILL");
    });
    child.on("error", reject);
    child.on("exit", (_code, signal) => resolve(signal));
  });

describe("kill -9 in the middle of an epoch", () => {
  it("and --resume give the weights of the uninterrupted run, bit for bit", async () => {
    const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
    await trainModel(request(whole));
    expect(await killedAt(request(cut), "2 12")).toBe("SIGKILL");
    const left = await readCheckpoint(join(cut, "checkpoint.safetensors"));
    // Of 20 steps an epoch: the checkpoint is from within the second one.
    expect(left.position.epoch).toBe(1);
    expect(left.position.step).toBeGreaterThan(0);
    expect(existsSync(join(cut, "training.json"))).toBe(false);
    const report = await trainModel({ ...request(cut), resume: true });
    expect(report.history).toHaveLength(3);
    const [a, b] = [await readCheckpoint(join(whole, "checkpoint.safetensors")),
      await readCheckpoint(join(cut, "checkpoint.safetensors"))];
    expect([...b.tensors.keys()]).toEqual([...a.tensors.keys()]);
    for (const [name, { data }] of a.tensors) {
      const other = b.tensors.get(name)?.data as Float32Array;
      expect(Buffer.from(other.buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
    }
    expect(existsSync(join(cut, "training.json"))).toBe(true);
  });

  it("is not resumed under other settings", async () => {
    const cut = join(folder, "cut");
    await expect(trainModel({ ...request(cut), seed: 2, resume: true }))
      .rejects.toThrow(/was made with seed 1, and now it is 2/);
    await expect(trainModel({ ...request(cut), data: "mnist:train[0:320]", resume: true }))
      .rejects.toThrow(/was made with data "mnist:train\[0:640\]"/);
  });
});
