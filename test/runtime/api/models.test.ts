/** The shipped models on the embedded devices, against the reference outputs stored with them. */
import { afterAll, describe, expect, test } from "vitest";
import { openModel } from "../../../runtime/api/executable.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { openDevice } from "../../../runtime/device/open.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { relativeToLargest } from "../../support/difference.ts";
import { modelNames, modelPath, samplesOf } from "../../support/models.ts";

/** Logits of the first samples, by a model compiled for any batch. */
async function logitsOn(device: Device, name: string, input: Tensor): Promise<Tensor> {
  const { hybrid } = await openModel(modelPath(name), new Map([["input", input]]), device);
  const outputs = await hybrid.run(new Map([["input", input]]));
  return [...outputs.values()][0] as Tensor;
}

describe.each([
  ["wasm", 16],
  ["interpreter", 2],
] as const)("on %s", (kind, samples) => {
  const opened = openDevice(kind);
  afterAll(async () => (await opened).destroy());

  test.each(modelNames)("%s gives the stored logits", async (name) => {
    const device = await opened;
    expect(device.info.kind).toBe(kind);
    const { input, logits } = await samplesOf(name, samples);
    const actual = await logitsOn(device, name, input);
    expect(actual.shape).toEqual(logits.shape);
    expect(relativeToLargest(actual, logits)).toBeLessThan(1e-4);
  });
});
