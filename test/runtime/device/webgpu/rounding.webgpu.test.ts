/** Sums of real numbers, in every way they are computed on the device, against float64. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import { evalDim, symbol } from "../../../../compiler/graph/dim.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import type { KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import { convolution, product, rowMean } from "../../../compiler/emit/wgsl/smallKernels.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { interpreted, runOnDevice } from "./onDevice.ts";
import { allowedError, unit } from "./sums.ts";

const images = 3;

function caseOf(kernel: Kernel, random: Random): KernelCase {
  const sizes = kernel.symbols.map(() => images);
  const buffers = kernel.arguments.map(({ size }) =>
    Float32Array.from({ length: evalDim(size, { N: images }) }, () => random.next() * 2 - 1));
  return { kernel, sizes, buffers };
}

const kernels: readonly [string, RegExp, Kernel][] = [
  ["tiles that come out even", /tiles of 32 x 32/, product(64, 96, 128)],
  ["tiles with rests on every side", /tiles of/, product(45, 77, 131)],
  ["transposed weights", /tiles of/, product(40, 50, 60, true)],
  ["few columns", /tiles of 64 x 16/, product(16_400, 10, 20)],
  ["few rows", /tiles of 16 x 64/, product(10, 16_400, 20)],
  ["a convolution with images joined to its pixels", /tiles of/, convolution(symbol("N"), 5, 12)],
  ["large tiles", /tiles of 64 x 64/, product(1024, 1024, 20)],
  ["a vector times a matrix", /of 16 outputs/, product(1, 200, 1000)],
  ["a vector times rows", /of 1 outputs x 256/, product(1, 100, 2000, true)],
  ["a small product", /one invocation per output/, product(4, 5, 6)],
  ["row means", /of 1 outputs x 64/, rowMean()],
];

describeWebGpu("sums of real numbers on WebGPU", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  test.each(kernels)("%s", async (_name, way, kernel) => {
    const { source } = emitWgsl(kernel, webGpuDefaults);
    expect(source).toMatch(way);
    const one = caseOf(kernel, new Random(3));
    const [got] = await runOnDevice(device, [one], [source]);
    const want = interpreted(one, "f64");
    const allowed = allowedError(one);
    let worst = 0;
    want.forEach((value, i) => {
      // The epilogue (a bias, a factor, a comparison) rounds its result once or twice more.
      const bound = (allowed?.[i] as number) + 2 * unit * Math.abs(value);
      worst = Math.max(worst, Math.abs((got?.[i] as number) - value) / bound);
    });
    expect(worst).toBeLessThan(1);
    expect(got?.length).toBe(want.length);
  });
});
