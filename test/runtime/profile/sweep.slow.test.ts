/**
 * A sweep of 120 configurations in real processes and threads: inside a minute, killed half way and
 * resumed without repeating work, with the results of the undisturbed run.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { profileModel, type ProfileResult } from "../../../runtime/api/profile.ts";
import { parseAxes } from "../../../runtime/profile/axes.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
// Within the package, whose packages and targets it finds.
const built = join(root, "node_modules", ".cache", `crosstie-sweep-${process.pid}`);
const folder = mkdtempSync(join(tmpdir(), "crosstie-sweep-"));

beforeAll(() => build({
  absWorkingDir: root, outdir: built, bundle: true, splitting: true, format: "esm",
  entryPoints: {
    crosstie: "runtime/cli/main.ts", "sweep.worker": "runtime/profile/sweep.worker.ts",
  },
  platform: "node", target: "node20", packages: "external", logLevel: "warning",
}));
afterAll(() => {
  rmSync(built, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

const model = "models/cifar10-resnet8.onnx";
const axes = ["array=64,128,256", "adc=5..9", "cell=1..4", "input=4,8"];
const ALL = 3 * 5 * 4 * 2;

const kept = (cache: string): number => readdirSync(cache, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".json")).length;

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly seconds: number;
}

/** @param killAt configurations in the cache at which the process is killed */
function sweep(cache: string, killAt = Infinity): Promise<Ended> {
  const start = performance.now();
  const child = spawn(process.execPath, [
    join(built, "crosstie.js"), "profile", model, "--target", "isaac-rram", "--sweep", ...axes,
    "--cache", cache, "--jobs", "2", "--json",
  ], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  let stdout = "";
  child.stdout.on("data", (text: Buffer) => (stdout += text.toString()));
  const watch = setInterval(() => {
    if (kept(cache) >= killAt) child.kill("SIGKILL");
  }, 5);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearInterval(watch);
      resolve({ code, signal, stdout, seconds: (performance.now() - start) / 1000 });
    });
  });
}

function resultOf({ code, stdout }: Ended): ProfileResult {
  expect(code).toBe(0);
  return JSON.parse(stdout) as ProfileResult;
}

describe("a sweep of 120 configurations", () => {
  it("is killed and resumed, repeats nothing, and gives what another gives", async () => {
    const [whole, cut] = ["whole", "cut"].map((name) => mkdtempSync(join(folder, name))) as
      [string, string];
    const undisturbed = await sweep(whole);
    console.log(`${ALL} configurations in ${undisturbed.seconds.toFixed(1)} s`);
    expect(undisturbed.seconds).toBeLessThan(60);
    const first = resultOf(undisturbed);
    expect(first.sweep).toMatchObject({ computed: ALL, cached: 0, failed: 0 });

    expect((await sweep(cut, ALL / 3)).signal).toBe("SIGKILL");
    const before = kept(cut);
    expect(before).toBeGreaterThanOrEqual(ALL / 3);
    expect(before).toBeLessThan(ALL);
    const resumed = resultOf(await sweep(cut));
    expect(resumed.sweep).toMatchObject({ computed: ALL - before, cached: before });
    expect(kept(cut)).toBe(ALL);
    const { seconds: _, sweep: again, ...rest } = resumed;
    const { seconds: __, sweep: once, ...wanted } = first;
    expect(rest).toEqual(wanted);
    expect(again?.configurations).toEqual(once?.configurations);
  }, 300_000);

  it("gives the same from threads under a test runner as from this one", async () => {
    const request = {
      model, targets: ["isaac-rram"], method: "layers" as const,
      sweep: parseAxes(["array=64,128", "adc=7,8"]),
    };
    const here = await profileModel({
      ...request, jobs: 1, cache: mkdtempSync(join(folder, "one")),
    });
    const threads = await profileModel({
      ...request, jobs: 2, cache: mkdtempSync(join(folder, "two")),
      workerFile: join(built, "sweep.worker.js"),
    });
    expect(threads.sweep).toMatchObject({ computed: 4, cached: 0 });
    expect(threads.points).toEqual(here.points);
  });
});
