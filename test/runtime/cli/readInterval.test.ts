/** `simulate --read-interval`: samples at times, cells that remember, cells that do not. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { loadDevice, loadTarget } from "../../../runtime/files/targetFiles.ts";
import { crosstie } from "../../support/cli.ts";
import { writeSmallModel, type SmallModel } from "../../support/smallModel.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-interval-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files: SmallModel;
const artifact = (name: string): string => join(folder, name);
const compile = async (target: string, name: string): Promise<void> => {
  const { code, stderr } = await crosstie(
    "compile", files.model, "--target", target, "--analog", "all", "-o", artifact(name));
  expect(code, stderr).toBe(0);
};
/** Two batches of samples, so that there is a time between runs. */
const words = (name: string): string[] => [
  "simulate", artifact(name), "--data", files.data, "--trials", "8",
  "--only", "readNoise", "--time", "1e5", "--json",
];

interface Result {
  readonly accuracy: Record<string, unknown>;
  readonly blocks: readonly { readonly snrDb: number }[];
}
async function simulated(name: string, ...more: readonly string[]): Promise<Result> {
  const { code, stdout, stderr } = await crosstie(...words(name), ...more);
  expect(code, stderr).toBe(0);
  const { accuracy, blocks } = JSON.parse(stdout) as Result;
  return { accuracy, blocks };
}

beforeAll(async () => {
  files = await writeSmallModel(folder);
  await compile("hermes-pcm", "pcm");
});

test("the same seed gives the same noise, as much of it as fresh noise is", async () => {
  const interval = ["--read-interval", "1e-4"];
  const first = await simulated("pcm", ...interval);
  expect(await simulated("pcm", ...interval)).toEqual(first);
  expect(await simulated("pcm", ...interval, "--seed", "2")).not.toEqual(first);
  const fresh = await simulated("pcm");
  expect(first).not.toEqual(fresh);
  first.blocks.forEach(({ snrDb }, i) => {
    // Eight chips of some dozen cells know it to a decibel or two.
    expect(Math.abs(snrDb - fresh.blocks[i]!.snrDb)).toBeLessThan(2);
  });
});

test("samples further apart than any noise lasts have fresh noise", async () => {
  expect(await simulated("pcm", "--read-interval", "1e7")).toEqual(await simulated("pcm"));
});

test.each(["0", "-1e-4", "soon"])("an interval of %s s is refused", async (interval) => {
  const { code, stderr } = await crosstie(...words("pcm"), "--read-interval", interval);
  expect(code).toBe(1);
  expect(stderr).toMatch(/--read-interval: samples cannot be read every (0|-0\.0001|NaN) s/);
});

test("cells whose noise is forgotten from read to read are refused by name", async () => {
  await compile("neurram-rram", "rram");
  const { code, stderr } = await crosstie(...words("rram"), "--read-interval", "1e-4");
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /device: has cells \(rram-wan2022-aihwkit\) with neither 1\/f nor telegraph noise/);
  expect(stderr).toContain("Leave --read-interval out");
});

test("a device file may state telegraph noise, which outlasts a run or not", async () => {
  const source = "assumed: for a test";
  const { json } = loadTarget("hermes-pcm");
  const device = loadDevice("pcm-hermes") as unknown as Record<string, unknown>;
  for (const [name, amplitude] of [["weak", 0.1], ["strong", 0.4]] as const) {
    writeFileSync(join(folder, `${name}.cells.json`), JSON.stringify({
      ...device, name: `${name}-cells`, read: { kind: "none" },
      telegraph: {
        amplitude: { unit: "1", source, pieces: [
          { argument: "g/gMax", form: "polynomial", coefficients: [amplitude] },
        ] },
        share: { value: 0.5, unit: "1", source },
        highTime: { value: 50, unit: "ms", source }, lowTime: { value: 20, unit: "ms", source },
      },
    }));
    const target = json as { cell: Record<string, unknown> };
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(
      { ...target, cell: { ...target.cell, device: `./${name}.cells.json` } }));
    await compile(join(folder, `${name}.json`), name);
  }
  const [weak, strong] = [await simulated("weak"), await simulated("strong")];
  const timed = await simulated("strong", "--read-interval", "1e-4");
  strong.blocks.forEach(({ snrDb }, i) => {
    // Four times the amplitude: 12 dB, with the floor of thermal noise under the weak one.
    const apart = weak.blocks[i]!.snrDb - snrDb;
    expect(apart).toBeGreaterThan(6);
    expect(apart).toBeLessThan(14);
    expect(Math.abs(timed.blocks[i]!.snrDb - snrDb)).toBeLessThan(2);
  });
  expect(timed).not.toEqual(strong);
  expect(await simulated("strong", "--read-interval", "10")).toEqual(strong);
});
