/** A simulated block on WebGPU: the same outputs as on the WASM device, within float32. */
import { expect, test } from "vitest";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import type { Imperfection } from "../../../runtime/chip/imperfections.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { openWebGpuDevice } from "../../../runtime/device/webgpu/webgpuDevice.ts";
import { describeWebGpu } from "../../support/webgpu.ts";
import { compileBlock, product, testTarget } from "./blocks.ts";

const [SAMPLES, INPUTS, OUTPUTS] = [16, 23, 6];
const { graph } = product(INPUTS, OUTPUTS, (i, o) => Math.cos(5 * i + 2 * o));
const x = Float32Array.from({ length: SAMPLES * INPUTS }, (_, i) => Math.sin(3 * i + 1));

const figure = (value: number) => ({ value, unit: "1", source: "assumed: for a test" });
const approximating = { "adc.successiveApproximation": {
  capacitorSpread: figure(0.1), comparatorOffset: figure(0.01), openLoopGain: figure(50),
} };

async function outputsOn(
  device: Device, only: readonly Imperfection[], changes: Record<string, unknown>,
): Promise<Float32Array> {
  const target = testTarget("resistive-trainer-rram",
    { "array.rows": 16, "array.columns": 8, ...changes });
  const { block, setting } = compileBlock(graph, target, only, { seed: 3, time: 100 });
  const chip = new BlockChip(device, block, setting);
  chip.program(2);
  chip.seeInputs(x);
  chip.setRanges([[1]]);
  const held = await chip.run(
    new Map([["x", tensor("float32", [SAMPLES, INPUTS], x)]]), 0,
    device.allocate(SAMPLES * OUTPUTS));
  const outputs = (await chip.read(held)).slice();
  chip.release();
  return outputs;
}

describeWebGpu("a simulated block on WebGPU", () => {
  test.each([
    ["noise and wires", ["levels", "programming", "drift", "readNoise", "wires"], {}],
    ["quantisers and wires", ["levels", "programming", "converters", "wires"], {}],
    ["successive approximation", ["converters"], approximating],
  ] as [string, Imperfection[], Record<string, unknown>][])("%s", async (_, only, changes) => {
    const webgpu = await openWebGpuDevice();
    const wasm = await openWasmDevice();
    const [a, b] = [
      await outputsOn(webgpu, only, changes), await outputsOn(wasm, only, changes),
    ];
    const ideal = await outputsOn(wasm, [], {});
    const scale = Math.max(...Array.from(b, Math.abs));
    const apart = Array.from(a, (v, i) => Math.abs(v - b[i]!) / scale);
    // A sum in another order may move a current over the border between two codes; few do.
    expect(Math.max(...apart)).toBeLessThan(only.includes("converters") ? 0.02 : 1e-5);
    expect(apart.filter((d) => d > 1e-5).length).toBeLessThanOrEqual(apart.length / 10);
    // While the chip is far from ideal.
    expect(Math.max(...Array.from(b, (v, i) => Math.abs(v - ideal[i]!) / scale)))
      .toBeGreaterThan(0.02);
    webgpu.destroy();
    wasm.destroy();
  });
});
