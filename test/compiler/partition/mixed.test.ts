/** Placements on several targets: what is pinned where, artifacts, and the digital side's share. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { choiceOn, joinTargets } from "../../../compiler/partition/mixed.ts";
import { minimumCut } from "../../../compiler/partition/minimumCut.ts";
import { ENERGY } from "../../../compiler/partition/unitGraph.ts";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { profileModel, type ProfilePoint } from "../../../runtime/api/profile.ts";
import { readArtifact } from "../../../runtime/files/artifactFiles.ts";
import { crosstie } from "../../support/cli.ts";
import { bestChoice } from "./bruteForce.ts";
import { problemOf } from "../../../compiler/partition/placementProblem.ts";
import { ladder, onSecond } from "./randomUnitGraphs.ts";

const folder = mkdtempSync(join(tmpdir(), "crosstie-mixed-"));
afterAll(() => rmSync(folder, { recursive: true }));
const model = "models/mnist-lenet.onnx";

describe("a model on two targets", () => {
  it("costs no more than on either, and each unit says whose arrays hold it", async () => {
    const names = ["isaac-rram", "resistive-trainer-rram"];
    const alone = await Promise.all(names.map((target) => compileModel({ model, target })));
    // Arrays for the largest layer on neither: the work has to be shared.
    const capacity = { "isaac-rram": 40, "resistive-trainer-rram": 6 };
    const { plan, compiled } = await compileModel({ model, target: names.join(","), capacity });
    const homes = new Set(plan.partition.units.flatMap(({ home }) => home ?? []));
    expect([...homes].sort()).toEqual(names);
    expect(plan.partition.optimal).toBe(true);
    for (const name of names as (keyof typeof capacity)[]) {
      const used = compiled.priced.units.filter((u) => u.home === name &&
        compiled.cut.assignment.get(u.id) === "analog");
      expect(used.reduce((sum, u) => sum + (u.arrays ?? 0), 0)).toBeLessThanOrEqual(capacity[name]);
    }
    const free = await compileModel({ model, target: names.join(",") });
    const least = Math.min(...alone.map(({ plan: { cost } }) => cost.energyJ));
    expect(free.plan.cost.energyJ).toBeLessThanOrEqual(least * (1 + 1e-9));
  });

  it("is written with the crossbars of both, and runs digitally", async () => {
    const out = join(folder, "both");
    const { code, stdout } = await crosstie("compile", model,
      "--target", "isaac-rram,hermes-pcm", "--json", "-o", out,
      "--analog-nodes", "/0/Conv@hermes-pcm,/3/Conv@isaac-rram");
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as { target: string; tiles: number };
    expect(report.target).toBe("isaac-rram,hermes-pcm");
    const artifact = await readArtifact(out);
    const { blocks, others } = artifact.crossbars as {
      blocks: object[]; others: { blocks: object[]; target: { name: string } }[];
    };
    expect([blocks.length, others.length, others[0]!.blocks.length]).toEqual([1, 1, 1]);
    expect(others[0]!.target.name).toBe("hermes-pcm");
    expect(artifact.plan.others!.map(({ target }) => target.name)).toEqual(["hermes-pcm"]);
    const run = await crosstie("run", out, "--json", "-o", join(folder, "outputs"),
      "--input", "input=test/fixtures/models/mnist-lenet.input.npy");
    expect(run.code).toBe(0);
  });

  it("is part of the front, and its points compile to what they cost", async () => {
    const { points } = await profileModel({
      model, targets: ["hermes-pcm", "resistive-trainer-rram"], method: "layers", points: 6,
    });
    const mixed = points.filter(({ target }) => target.includes(","));
    expect(mixed.length).toBeGreaterThan(0);
    const [p] = mixed as [ProfilePoint];
    expect(p.analogNodes.every((name) => name.includes("@"))).toBe(true);
    const { plan } = await compileModel({ model, target: p.target, analog: p.analogNodes });
    expect(plan.cost.energyJ / p.energyJ).toBeCloseTo(1, 12);
    expect(plan.cost.latencyS / p.latencyS).toBeCloseTo(1, 12);
    expect(plan.cost.areaM2 / p.areaM2).toBeCloseTo(1, 12);
  });

  it("may take the digital side from one and the arrays from another", async () => {
    const { plan } = await compileModel({ model, target: "cpu-reference,isaac-rram" });
    const analog = plan.partition.units.filter((u) => u.placement === "analog");
    expect(analog.length).toBeGreaterThan(0);
    expect(new Set(analog.map(({ home }) => home))).toEqual(new Set(["isaac-rram"]));
    const cpu = await compileModel({ model, target: "cpu-reference" });
    expect(plan.cost.energyJ).toBeLessThan(cpu.plan.cost.energyJ);
    await expect(compileModel({ model, target: "isaac-rram,cpu-reference" }))
      .rejects.toThrow(/has no arrays/);
    await expect(compileModel({ model, target: "isaac-rram,isaac-rram" }))
      .rejects.toThrow(/twice/);
  });
});

describe("joined graphs", () => {
  it("of one analog target are cut at that target's links", () => {
    for (const seed of [1, 2, 3, 4]) {
      const graph = ladder(9, seed);
      const digital = { ...graph, units: graph.units.map(({ analog: _, ...unit }) => unit) };
      const joined = joinTargets([
        { name: "digital", graph: digital }, { name: "arrays", graph: onSecond(graph) },
      ]);
      const best = bestChoice(problemOf(joined, { objective: ENERGY }));
      expect(minimumCut(joined, ENERGY).objective / best!.objective).toBeCloseTo(1, 12);
    }
  });

  it("keep a name for one target apart from the others", () => {
    const targets = ["a", "b"];
    expect(choiceOn(["x", "y@a", "z@b"], "a", targets)).toEqual(["x", "y"]);
    expect(choiceOn(["x", "y@a", "z@b"], "b", targets)).toEqual(["x", "z"]);
    expect(choiceOn(["y@a"], "a", ["a"])).toEqual(["y@a"]);
    expect(choiceOn("auto", "a", targets)).toBe("auto");
  });
});
