/** The reference networks on WebGPU in float32: BP-EP at beta 0.05 points where the stored does. */
import { readFileSync } from "node:fs";
import { afterAll, expect, it } from "vitest";
import type { ReferenceFile } from "../../../models/referenceNet.ts";
import { openEngine, type OpenEngine } from "../../../runtime/learn/openEngine.ts";
import { checkReference } from "../../../runtime/learn/reference.ts";
import { describeWebGpu } from "../../support/webgpu.ts";

// One of each kind: compiling shaders takes a software adapter most of a minute per network.
const names = ["single-clamp.json", "layerwise-tanh.json", "cnn2-sigmoid.json"];
const folder = new URL("../../fixtures/ffebm/", import.meta.url);

describeWebGpu("reference networks on webgpu", () => {
  let opened: Promise<OpenEngine> | undefined;
  const open = (): Promise<OpenEngine> => (opened ??= openEngine("webgpu"));
  afterAll(async () => (await opened)?.device.destroy());

  it.each(names)("%s", async (name) => {
    const file = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as ReferenceFile;
    const { engine } = await open();
    const report = await checkReference(file, name, engine, ["0.05"]);
    expect(report.device).toMatch(/webgpu/i);
    // Float32: rounding of states of order 1, a few units in the last place.
    expect(report.equilibriumMaxError).toBeLessThan(1e-5);
    expect(report.exactGradientRelativeError).toBeLessThan(1e-4);
    const stored = file.bp_ep_centered["0.05"]?.cosine_to_exact as number;
    expect(report.bpEp["0.05"]?.cosineToExact).toBeGreaterThan(stored - 1e-4);
  });
});
