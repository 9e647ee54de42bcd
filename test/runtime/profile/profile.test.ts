/** `profile` as a function: its points compile to what they say, and sweeps resume. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { dominates } from "../../../compiler/partition/front.ts";
import type { Totals } from "../../../compiler/partition/unitGraph.ts";
import { planSchema } from "../../../compiler/artifact/plan.ts";
import { profileModel, type ProfilePoint } from "../../../runtime/api/profile.ts";
import { compileCommand } from "../../../runtime/cli/commands/compile.ts";
import { invoke } from "../../../runtime/cli/program.ts";
import { combinations, parseAxes } from "../../../runtime/profile/axes.ts";
import { profileCsv } from "../../../runtime/profile/csv.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-profile-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const model = "models/mnist-lenet.onnx";
const totals = (p: ProfilePoint): Totals => ({
  energyJ: p.energyJ, latencyS: p.latencyS, areaM2: p.areaM2,
  noise: 10 ** (-(p.predictedSnrDb as number) / 10),
});

describe("profile", () => {
  it("gives a front whose points compile to what they cost", async () => {
    const { points, targets, mappable } = await profileModel({
      model, targets: ["neurram-rram"], method: "layers", points: 12,
    });
    expect(points.length).toBeGreaterThanOrEqual(12);
    expect(mappable).toBe(5);
    for (const p of points) {
      expect(points.some((q) => dominates(totals(q), totals(p)))).toBe(false);
    }
    const [t] = targets;
    expect(t!.optimum.energyJ).toBeLessThanOrEqual(t!.allAnalog.energyJ);
    expect(t!.optimum.energyJ).toBeLessThanOrEqual(t!.allDigital.energyJ);
    // Each point, or every seventh where there are many, by the command that is printed with it.
    expect(points.some((p) => Object.keys(p.replicas).length > 0)).toBe(true);
    expect(points.some((p) => p.figures !== undefined)).toBe(true);
    for (const p of points.filter((_, i) => i % 7 === 0)) {
      const [program, command, ...words] = p.command.split(" ");
      expect([program, command]).toEqual(["crosstie", "compile"]);
      const { print } = await invoke(
        compileCommand, [...words, "--print", "plan"]) as { print: string };
      const plan = planSchema.omit({ digests: true }).parse(JSON.parse(print));
      expect(plan.cost.energyJ / p.energyJ).toBeCloseTo(1, 12);
      expect(plan.cost.latencyS / p.latencyS).toBeCloseTo(1, 12);
      expect(plan.cost.areaM2 / p.areaM2).toBeCloseTo(1, 12);
      expect(plan.tiles).toBe(p.arrays);
      const copies = plan.partition.units.filter((u) => u.replicas !== undefined);
      expect(copies.map((u) => u.replicas)).toEqual(Object.values(p.replicas));
    }
  });

  it("goes on with a stopped sweep without repeating work", async () => {
    const request = {
      model, targets: ["isaac-rram"], method: "layers" as const, jobs: 1, cache: folder,
      sweep: parseAxes(["array=64,128 adc=7..11"]),
    };
    const stop = new Error("stopped");
    await expect(profileModel({
      ...request, onProgress: (done) => {
        if (done === 4) throw stop;
      },
    })).rejects.toThrow(stop);
    expect(readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((f) => f.endsWith(".json")).length).toBe(4);
    const result = await profileModel(request);
    expect(result.sweep).toMatchObject({ cached: 4, computed: 6, failed: 2 });
    expect(result.sweep!.configurations.at(-1)!.error).toContain("converter of 11 bits");
    expect(result.points[0]!.command).toContain("--set adc=");
    const lines = profileCsv(result).split("\n");
    expect(lines.length).toBe(11);
    expect(lines[0]).toMatch(/^target,array,adc,energyJ,/);
  });
});

describe("axes", () => {
  it("are lists and ranges, in all combinations", () => {
    expect(parseAxes(["array=64,128 adc=5..7", "wire.rowSegment=0.1..0.3..0.1"])).toEqual([
      { name: "array", values: [64, 128] },
      { name: "adc", values: [5, 6, 7] },
      { name: "wire.rowSegment", values: [0.1, 0.2, 0.3] },
    ]);
    expect(combinations(parseAxes(["a=1,2", "b=3,4"]))).toEqual([
      { a: 1, b: 3 }, { a: 1, b: 4 }, { a: 2, b: 3 }, { a: 2, b: 4 },
    ]);
    for (const wrong of ["adc", "adc=", "adc=x", "adc=9..5", "adc=1 adc=2"]) {
      expect(() => parseAxes([wrong])).toThrow(/--sweep/);
    }
  });
});
