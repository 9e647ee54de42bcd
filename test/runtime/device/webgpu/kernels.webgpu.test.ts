/**
 * Random kernels of every kind, executed on the device, against the interpreter. Inputs are small
 * integers, so that results are exact in any order of summation: where the interpreter agrees with
 * itself in float64, nothing was rounded and the device must give the same bits.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import type { KernelKind } from "../../../../compiler/kernels/kernel.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import {
  kernelKinds, randomKernels, type KernelCase,
} from "../../../compiler/emit/wgsl/randomKernels.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { interpreted, runOnDevice } from "./onDevice.ts";

interface Wanted {
  readonly count: number;
  /** Elements that are compared, at least: many random kernels have few or none. */
  readonly elements: number;
  /** Ways of computing such kernels that must be among them. */
  readonly ways: readonly RegExp[];
}

const wanted: Record<KernelKind, Wanted> = {
  map: { count: 60, elements: 500, ways: [/map: one invocation/] },
  reduce: {
    count: 60, elements: 300,
    ways: [/one invocation per output/, /of 1 outputs x/, /of (2|4|8|16) outputs x/],
  },
  contract: {
    count: 30, elements: 2000, ways: [/one invocation per output/, /outputs x/, /tiles of/],
  },
  cumulate: { count: 60, elements: 500, ways: [/running sum/, /running prod/] },
  scatter: {
    count: 30, elements: 1000,
    ways: [/one invocation per element/, /one invocation per (?!element)/],
  },
  sort: { count: 25, elements: 2000, ways: [/counts its place/, /one workgroup/] },
};

interface Verdict {
  readonly compared: number;
  readonly rounded: number;
}

async function compareAll(device: WebGpuDevice, cases: readonly KernelCase[]): Promise<Verdict> {
  const shaders = cases.map(({ kernel }) => emitWgsl(kernel, webGpuDefaults).source);
  const actual = await runOnDevice(device, cases, shaders);
  let [compared, rounded] = [0, 0];
  cases.forEach((one, c) => {
    const expected = interpreted(one);
    const wide = interpreted(one, "f64");
    const got = actual[c] as ArrayLike<number>;
    expect(got.length).toBe(expected.length);
    expected.forEach((value, i) => {
      if (wide[i] !== value) {
        rounded += 1;
        return;
      }
      compared += 1;
      // +0 and -0 are one number here.
      if (got[i] !== value) {
        expect.fail(`case ${c}, element ${i}: ${got[i]}, expected ${value}\n${shaders[c]}`);
      }
    });
  });
  return { compared, rounded };
}

describeWebGpu("kernels on WebGPU do what the interpreter does", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  test.each(kernelKinds)("%s", async (kind) => {
    const { count, elements, ways } = wanted[kind];
    const cases = randomKernels(kind, 7, count);
    // Every way of computing such a kernel is among them.
    const schedules = cases.map(({ kernel }) => emitWgsl(kernel).source.split("\n")[1]).join("\n");
    for (const way of ways) expect(schedules).toMatch(way);
    const { compared, rounded } = await compareAll(device, cases);
    expect(compared).toBeGreaterThan(elements);
    expect(rounded).toBeLessThan(0.1 * compared);
  });
});
