/** The ideal chip is the digital program, for every model on every preset with arrays. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { openArtifact } from "../../../runtime/api/executable.ts";
import { openIdealChip } from "../../../runtime/api/chip.ts";
import { openDevice } from "../../../runtime/device/open.ts";
import { loadTarget, targetNames } from "../../../runtime/files/targetFiles.ts";
import type { ChipBlocks } from "../../../runtime/execute/hybridSession.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { relativeToLargest } from "../../support/difference.ts";
import { modelNames, modelPath, samplesOf } from "../../support/models.ts";

const hybrids = targetNames().filter((name) => loadTarget(name).target.kind === "hybrid");

describe.each(hybrids)("on %s", (target) => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "crosstie-chip-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test.each(modelNames)("%s", async (name) => {
    const out = join(folder, name);
    const { plan } = await compileModel({ model: modelPath(name), target, analog: "all", out });
    const device = await openDevice("wasm");
    const { hybrid, artifact } = await openArtifact(out, device);
    const { input, logits } = await samplesOf(name, 4);
    const feeds = new Map([["input", input]]);
    let blocks = 0;
    const ideal = (await openIdealChip(artifact, device)) as ChipBlocks;
    const counted: ChipBlocks = {
      run: (...given) => {
        blocks++;
        return ideal.run(...given);
      },
    };
    const [digital] = [...(await hybrid.run(feeds)).values()] as [Tensor];
    const [chip] = [...(await hybrid.run(feeds, counted)).values()] as [Tensor];
    device.destroy();
    expect(blocks).toBe(plan.segments.filter((s) => s.kind === "analog").length);
    expect(blocks).toBeGreaterThan(2);
    expect(relativeToLargest(digital, logits)).toBeLessThan(1e-4);
    expect(relativeToLargest(chip, digital)).toBeLessThan(1e-4);
  }, 60_000);
});
