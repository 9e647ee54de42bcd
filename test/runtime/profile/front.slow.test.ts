/**
 * Full-size graphs and the vision transformer on every preset with arrays, and one without: at
 * least twenty points on the front where there are arrays and one with its reason where there are
 * none, in time; the placement of least energy is proved and no worse than all or nothing; none of
 * the points is dominated.
 */
import { describe, expect, test } from "vitest";
import { dominates } from "../../../compiler/partition/front.ts";
import type { Totals } from "../../../compiler/partition/unitGraph.ts";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { profileModel, type ProfilePoint } from "../../../runtime/api/profile.ts";
import { loadTarget, targetNames } from "../../../runtime/files/targetFiles.ts";

const models = [
  "models/mnist-vit.onnx",
  ...["resnet50", "vgg19", "densenet121"].map((n) => `test/fixtures/onnx-light/light_${n}.onnx`),
];

// A digital target has one placement, whichever it is.
const digital = (name: string): boolean => loadTarget(name).target.kind === "digital";
const targets = [...targetNames().filter((name) => !digital(name)), "cpu-reference"];

const totals = (p: ProfilePoint): Totals => ({
  energyJ: p.energyJ, latencyS: p.latencyS, areaM2: p.areaM2,
  noise: p.predictedSnrDb === null ? 0 : 10 ** (-p.predictedSnrDb / 10),
});

/** Processor seconds of this process: others may be busy on the same machine. */
async function processor<T>(run: () => Promise<T>): Promise<{ result: T; seconds: number }> {
  const before = process.cpuUsage();
  const result = await run();
  const { user, system } = process.cpuUsage(before);
  return { result, seconds: (user + system) / 1e6 };
}

describe.each(models)("%s", (model) => {
  test.each(targets)("on %s", async (target) => {
    const compiled = await processor(() => compileModel({ model, target }));
    expect(compiled.result.plan.partition.optimal).toBe(true);
    expect(compiled.seconds).toBeLessThan(3);
    const { cost } = compiled.result.plan;

    const profiled = await processor(() => profileModel({ model, targets: [target] }));
    expect(profiled.seconds).toBeLessThan(10);
    const { points, targets: [summary] } = profiled.result;
    expect(summary!.optimum.energyJ / cost.energyJ).toBeCloseTo(1, 12);
    expect(cost.energyJ).toBeLessThanOrEqual(summary!.allAnalog.energyJ * (1 + 1e-12));
    expect(cost.energyJ).toBeLessThanOrEqual(summary!.allDigital.energyJ * (1 + 1e-12));
    for (const p of points) {
      expect(points.some((q) => dominates(totals(q), totals(p)))).toBe(false);
    }
    if (digital(target)) {
      expect([points.length, summary!.onlyPoint]).toEqual([
        1, `${target} has no analog arrays: one placement`,
      ]);
    } else {
      expect(points.length).toBeGreaterThanOrEqual(20);
    }
  }, 120_000);
});
