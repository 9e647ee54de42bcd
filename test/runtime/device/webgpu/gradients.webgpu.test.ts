/** Gradients of the five trained models' losses on WebGPU, in float32, against float64. */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { compiled, compiledWide, furthest, modelLoss } from "../../../support/modelLoss.ts";
import { modelNames } from "../../../support/models.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";

describeWebGpu("gradients on WebGPU", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  test.each(modelNames)("%s", async (name) => {
    const loss = await modelLoss(name, 1, new Random(22));
    const gradients = await (await compiledWide(loss.gradient))(loss.inputs);
    const inFloat32 = await (await compiled(device, loss.gradient))(loss.inputs);
    const { name: tensor, distance } = furthest(inFloat32, gradients);
    expect(distance, tensor).toBeLessThan(1e-3);
    expect(distance, "float32 leaves a trace").toBeGreaterThan(0);
  });
});
