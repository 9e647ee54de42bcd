/**
 * Sums of real numbers on the device against float64. A sum of K rounded products is off by at most
 * about K roundings of the sum of magnitudes, and by the square root of that when they fall
 * independently; the test allows 2 sqrt(K) + 4 of them.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import { evalDim, productOf, symbol } from "../../../../compiler/graph/dim.ts";
import type { Axis, Kernel, KernelBody } from "../../../../compiler/kernels/kernel.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import type { KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import { convolution, pool, product, rowMean } from "../../../compiler/emit/wgsl/smallKernels.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { interpreted, runOnDevice } from "./onDevice.ts";

const unit = 2 ** -24;
const images = 3;

function caseOf(kernel: Kernel, random: Random): KernelCase {
  const sizes = kernel.symbols.map(() => images);
  const buffers = kernel.arguments.map(({ size }) =>
    Float32Array.from({ length: evalDim(size, { N: images }) }, () => random.next() * 2 - 1));
  return { kernel, sizes, buffers };
}

/** The same sum over magnitudes, without its epilogue, and its length. */
function magnitudes({ kernel, sizes, buffers }: KernelCase): { one: KernelCase; length: number } {
  const { body } = kernel;
  const abs = (e: Parameters<typeof pool.unary>[1]) => pool.unary("abs", e);
  if (body.kind !== "contract" && body.kind !== "reduce") throw new Error(body.kind);
  const store = { ...body.store, value: pool.acc("f32") };
  const [bare, k]: [KernelBody, readonly Axis[]] = body.kind === "contract"
    ? [{ ...body, a: abs(body.a), b: abs(body.b), store }, body.k]
    : [{ ...body, value: abs(body.value), store }, body.reduceAxes];
  const length = evalDim(productOf(k.map(({ extent }) => extent)), { N: images });
  return { one: { kernel: { ...kernel, body: bare }, sizes, buffers }, length };
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
    const { one: sums, length } = magnitudes(one);
    const scale = interpreted(sums, "f64");
    let worst = 0;
    want.forEach((value, i) => {
      // The epilogue (a bias, a factor, a comparison) rounds its result once or twice more.
      const allowed = unit * ((2 * Math.sqrt(length) + 4) * (scale[i] as number) +
        2 * Math.abs(value));
      worst = Math.max(worst, Math.abs((got?.[i] as number) - value) / allowed);
    });
    expect(worst).toBeLessThan(1);
    expect(got?.length).toBe(want.length);
  });
});
