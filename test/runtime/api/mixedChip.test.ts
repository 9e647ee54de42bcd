/** Artifacts with blocks on several targets: simulated, shown and printed as on each alone. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CrossbarsFile } from "../../../compiler/emit/crossbar/config.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { openSimulator } from "../../../runtime/api/chip.ts";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { openArtifact } from "../../../runtime/api/executable.ts";
import { netlistOf } from "../../../runtime/api/netlist.ts";
import type { SimulateResult } from "../../../runtime/api/simulate.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import type { ChipBlocks } from "../../../runtime/execute/hybridSession.ts";
import { crosstie } from "../../support/cli.ts";
import { Random } from "../../support/randomGraph.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-mixed-chip-"));
const model = "models/mnist-lenet.onnx";
const [A, B] = ["isaac-rram", "hermes-pcm"] as const;
type Kind = typeof A | typeof B | "mixed" | "digital first";
const at = (kind: Kind): string => join(folder, kind);
const device = await openWasmDevice();

beforeAll(async () => {
  const both = ["/0/Conv", "/3/Conv"];
  const mixed = [`/0/Conv@${B}`, `/3/Conv@${A}`];
  await compileModel({ model, target: A, analog: both, out: at(A) });
  await compileModel({ model, target: B, analog: both, out: at(B) });
  await compileModel({ model, target: `${A},${B}`, analog: mixed, out: at("mixed") });
  await compileModel({
    model, target: `cpu-reference,${A}`, analog: both, out: at("digital first"),
  });
});
afterAll(() => {
  device.destroy();
  rmSync(folder, { recursive: true });
});

/** What every block gives, driven with what the digital program drives it with. */
async function blocksOf(
  kind: Kind, change: (crossbars: CrossbarsFile) => unknown = (c) => c,
): Promise<Map<string, Float32Array>> {
  const { hybrid, artifact } = await openArtifact(at(kind), device);
  const crossbars = change(artifact.crossbars as CrossbarsFile);
  const chip = (await openSimulator({ ...artifact, crossbars }, device, {
    seed: 5, time: 3600, only: ["levels", "programming", "drift", "stuck"],
  }))!;
  chip.reprogram(2);
  const found = new Map<string, Float32Array>();
  const run: ChipBlocks["run"] = async (id, inputs, output, twin) => {
    await chip.run(id, inputs, output, twin);
    found.set(id, new Float32Array(await device.read(output, output.length)));
    await twin();
  };
  const images = new Random(3).tensor([4, 1, 28, 28], 0, 1);
  await hybrid.run(new Map<string, Tensor>([["input", images]]), { run });
  chip.release();
  return found;
}

describe("an artifact of two targets", () => {
  it("has each block as its own target alone has it, bit for bit", async () => {
    const [mixed, onA, onB] = [await blocksOf("mixed"), await blocksOf(A), await blocksOf(B)];
    expect([...mixed.keys()]).toEqual(["a0", "a2"]);
    expect([mixed.get("a0"), mixed.get("a2")]).toEqual([onB.get("a0"), onA.get("a2")]);
    expect(onA.get("a0")).not.toEqual(onB.get("a0"));
    expect(onA.get("a2")).not.toEqual(onB.get("a2"));
    expect(await blocksOf("digital first")).toEqual(onA);
  });

  it("is that of one where both are the same", async () => {
    const split = await blocksOf(A, ({ blocks: [first, ...more], ...config }) =>
      ({ ...config, blocks: more, others: [{ ...config, blocks: [first!] }] }));
    expect(split).toEqual(await blocksOf(A));
  });

  it("is refused where crossbars are of no target of the plan", async () => {
    await expect(blocksOf("mixed", ({ others, ...config }) =>
      ({ ...config, others: [{ ...others![0]!, target: { ...config.target, name: "none" } }] })))
      .rejects.toThrow(/crossbars of none/);
  });

  it("is simulated by the command line, with stuck cells of either target", async () => {
    const faults = join(folder, "faults.json");
    const words = ["simulate", at("mixed"), "--data", "mnist:test[0:8]", "--trials", "1",
      "--only", "stuck", "--device", "wasm", "--faults", faults];
    const write = (tile: string, column: number): void => writeFileSync(faults, JSON.stringify({
      format: "crosstie-faults", version: 1,
      tiles: [{ tile, columns: [{ column, stuck: "high" }] }],
    }));
    const snr = async (tile: string, column: number): Promise<(number | null)[]> => {
      write(tile, column);
      const { code, stdout, stderr } = await crosstie(...words, "--json");
      expect(code, stderr).toBe(0);
      const { blocks } = JSON.parse(stdout) as SimulateResult;
      expect(blocks.map(({ id, target }) => [id, target])).toEqual([["a0", B], ["a2", A]]);
      return blocks.map(({ snrDb }) => snrDb && Math.round(snrDb));
    };
    const [first, second] = [await snr("a0.tile0", 3), await snr("a2.tile0", 3)];
    // Errors in the first block reach the second only through its inputs.
    expect(first[0]).toBeLessThan(second[0]!);
    expect(second[1]).toBeLessThan(first[1]!);
    const { stdout } = await crosstie(...words);
    expect(stdout).toMatch(/a0 +hermes-pcm .*\n *a2 +isaac-rram /);
    // 512 columns on one target, 128 on the other.
    write("a2.tile0", 300);
    expect((await crosstie(...words)).stderr).toMatch(/column 300 of an array that has 128/);
  });

  it("shows and prints tiles of both, each with its own cells", async () => {
    const out = join(folder, "report.html");
    const { code, stderr } = await crosstie("report", at("mixed"), "-o", out, "--only", "stuck");
    expect(code, stderr).toBe(0);
    const tiles = ["a0.tile0", "a2.tile0"];
    const [mixed, onA, onB] = await Promise.all((["mixed", A, B] as const).map((kind) =>
      Promise.all(tiles.map(async (tile) =>
        (await netlistOf({ directory: at(kind), tile })).netlist))));
    expect(mixed).toEqual([onB![0], onA![1]]);
    expect(onA![0]).not.toBe(onB![0]);
  });
});
