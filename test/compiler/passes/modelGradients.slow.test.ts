/**
 * Gradients of the five trained models' losses, by every weight and the image: in float64 against
 * the slope of the loss, and on the WASM device, in float32, against float64.
 */
import { describe, expect, test } from "vitest";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import {
  compiled, compiledWide, directionsFor, furthest, modelLoss, slopeError,
} from "../../support/modelLoss.ts";
import { modelNames } from "../../support/models.ts";
import { Random } from "../../support/randomGraph.ts";

describe.each(modelNames)("the loss of %s", (name) => {
  test("has the gradient that finite differences say, also in float32", async () => {
    const random = new Random(21);
    const loss = await modelLoss(name, 1, random);
    expect(loss.wrt.length).toBeGreaterThan(5);
    const gradients = await (await compiledWide(loss.gradient))(loss.inputs);
    const { uphill, any } = directionsFor(random);
    expect(await slopeError(loss, gradients, uphill)).toBeLessThan(1e-5);
    expect(await slopeError(loss, gradients, any)).toBeLessThan(1e-5);

    const device = await openWasmDevice();
    const inFloat32 = await (await compiled(device, loss.gradient))(loss.inputs);
    device.destroy();
    expect(inFloat32.get("loss")?.data).toBeInstanceOf(Float32Array);
    expect(furthest(inFloat32, gradients).distance).toBeLessThan(1e-3);
  });
});
