/** Float16 data on WebGPU, with the feature shader-f16 and without: the same numbers. */
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import { buildProgram } from "../../../../compiler/kernels/program.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { Session } from "../../../../runtime/execute/session.ts";
import { everyHalf, longSums, type HalfCase } from "../../../support/halfCases.ts";
import { elements } from "../../../support/threeWays.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";

describeWebGpu("float16 on WebGPU", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  /** What the device gives, by shaders with 16-bit floats or without. */
  async function run({ graph, inputs }: HalfCase, f16: boolean): Promise<number[]> {
    const program = buildProgram(graph);
    const profile = { ...webGpuDefaults, features: { ...webGpuDefaults.features, f16 } };
    const wgsl = program.kernels.map((kernel) => emitWgsl(kernel, profile).source);
    const hasHalves = wgsl.filter((text) => text.includes(f16 ? "enable f16;" : "unpack2x16float"));
    expect(hasHalves.length).toBeGreaterThan(0);
    const session = await Session.create(device, program, { wgsl });
    return elements((await session.run(inputs)).get("y") as never);
  }

  test.for([true, false])("every half reads as its number; f16: %s", async (f16, { skip }) => {
    skip(f16 && !device.profile.features.f16, "the adapter has no shader-f16");
    const allocated = vi.spyOn(device, "allocate");
    const one = everyHalf();
    const numbers = await run(one, f16);
    // WGSL may take subnormal numbers for zero.
    one.expected.forEach((want, i) => {
      const isTiny = Math.abs(want) < 2 ** -14;
      const got = numbers[i] as number;
      const fits = Object.is(got, want) || (isTiny && got === 0);
      if (!fits) expect.fail(`half ${i}: ${got} instead of ${want}`);
    });
    const sizes = allocated.mock.calls.map(([words]) => words).sort((a, b) => b - a);
    expect(sizes.slice(0, 2)).toEqual([2 ** 16, 2 ** 15]);
    allocated.mockRestore();
  });

  test.for([true, false])("sums add up in float32; f16: %s", async (f16, { skip }) => {
    skip(f16 && !device.profile.features.f16, "the adapter has no shader-f16");
    const one = longSums();
    expect(await run(one, f16)).toEqual(one.expected);
  });
});
