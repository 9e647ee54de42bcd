/** `crosstie train` killed in the middle of an epoch, for real, and resumed. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readCheckpoint, type Position } from "../../../runtime/learn/checkpoint.ts";
import type { TrainReport } from "../../../runtime/learn/trainModel.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
let folder: string;
let program: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "resume-"));
  // Within the package, whose data sets and packages it finds.
  program = join(root, "node_modules", ".cache", `crosstie-${process.pid}.mjs`);
  await build({
    entryPoints: [join(root, "runtime", "cli", "main.ts")], outfile: program, bundle: true,
    format: "esm", platform: "node", target: "node20", packages: "external", logLevel: "warning",
  });
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(program, { force: true });
});

const training = ["mnist-dhn", "--data", "mnist:train[0:1920]", "--test", "mnist:test[0:100]",
  "--device", "wasm", "--epochs", "3", "--batch", "32", "--checkpoint-every", "7"];

interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string }>;
}

function crosstie(...words: readonly string[]): Run {
  const child = spawn(process.execPath, [program, "train", ...words, "--json"],
    { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
  const ended = new Promise<Awaited<Run["ended"]>>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve({ code, signal, stdout }));
  });
  return { child, ended };
}

const checkpointOf = (out: string): string => join(out, "checkpoint.safetensors");

/** Waits until the folder's checkpoint is from within an epoch other than the first. */
async function withinLaterEpoch(out: string): Promise<Position> {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (!existsSync(checkpointOf(out))) continue;
    const { position } = await readCheckpoint(checkpointOf(out));
    if (position.epoch > 0 && position.step > 0) return position;
  }
}

describe("kill -9 in the middle of an epoch", () => {
  it("and --resume give the weights of the uninterrupted run, bit for bit", async () => {
    const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
    const { code } = await crosstie(...training, "-o", whole).ended;
    expect(code).toBe(0);
    const victim = crosstie(...training, "-o", cut);
    const { epoch } = await withinLaterEpoch(cut);
    victim.child.kill("SIGKILL");
    expect((await victim.ended).signal).toBe("SIGKILL");
    expect(epoch).toBe(1);
    expect(existsSync(join(cut, "training.json"))).toBe(false);
    const resumed = await crosstie(...training, "-o", cut, "--resume").ended;
    expect(resumed.code).toBe(0);
    const report = JSON.parse(resumed.stdout.trim().split("\n").at(-1) as string) as TrainReport;
    expect(report.history).toHaveLength(3);
    const [a, b] = [await readCheckpoint(checkpointOf(whole)),
      await readCheckpoint(checkpointOf(cut))];
    expect([...b.tensors.keys()]).toEqual([...a.tensors.keys()]);
    for (const [name, { data }] of a.tensors) {
      const other = b.tensors.get(name)?.data as Float32Array;
      expect(Buffer.from(other.buffer).equals(Buffer.from(data.buffer)), name).toBe(true);
    }
    expect(existsSync(join(cut, "training.json"))).toBe(true);
  });

  it.each([
    [["--seed", "2"], /was made with seed 1, and now it is 2/],
    [["--data", "mnist:train[0:320]"], /was made with data "mnist:train\[0:1920\]"/],
  ])("is not resumed under %s", async (other, message) => {
    const run = crosstie(...training, ...other, "-o", join(folder, "cut"), "--resume");
    let stderr = "";
    run.child.stderr?.on("data", (text: Buffer) => (stderr += text.toString()));
    expect((await run.ended).code).toBe(1);
    expect(stderr).toMatch(message);
  });
});
