/** Copies of a layer on WebGPU: the outputs and the noise that they have on the WASM device. */
import { expect, test } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { BlockChip } from "../../../runtime/chip/blockChip.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { openWebGpuDevice } from "../../../runtime/device/webgpu/webgpuDevice.ts";
import { Random } from "../../support/randomGraph.ts";
import { describeWebGpu } from "../../support/webgpu.ts";
import { compileBlock, testTarget } from "./blocks.ts";

const r = new Random(3);
const input = r.tensor([2, 2, 6, 4]);
const b = new Builder("conv");
const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 2, 6, 4] });
const y = b.add("conv", [x, b.constant(r.tensor([5, 2, 3, 3]), "w")], {
  strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1,
});
const graph = b.finish([{ name: "y", value: y }]);

async function outputsOn(device: Device, copies: number): Promise<Float32Array> {
  const target = testTarget("hermes-pcm", { "array.rows": 32, "array.columns": 32 });
  const only = ["programming", "readNoise"] as const;
  const { block, setting } = compileBlock(graph, target, only, { copies });
  const chip = new BlockChip(device, block, setting);
  chip.program(0);
  chip.seeInputs(input.data as Float32Array);
  chip.setRanges([]);
  const held = await chip.run(new Map([["x", input]]), 0, device.allocate(2 * 5 * 6 * 4));
  const outputs = (await chip.read(held)).slice();
  chip.release();
  return outputs;
}

describeWebGpu("copies of a layer on WebGPU", () => {
  test.each([8, 5])("%i of them", async (copies) => {
    const [webgpu, wasm] = [await openWebGpuDevice(), await openWasmDevice()];
    const [found, expected] = [await outputsOn(webgpu, copies), await outputsOn(wasm, copies)];
    const one = await outputsOn(wasm, 1);
    const scale = Math.max(...Array.from(expected, Math.abs));
    const apart = (of: Float32Array): number =>
      Math.max(...Array.from(of, (v, i) => Math.abs(v - expected[i]!) / scale));
    expect(apart(found)).toBeLessThan(1e-5);
    expect(apart(one)).toBeGreaterThan(1e-3);
    webgpu.destroy();
    wasm.destroy();
  });
});
