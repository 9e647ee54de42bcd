/**
 * Every distinct kernel of the five trained models: the shader that an artifact would carry is
 * taken by Dawn and, on random inputs, gives what the interpreter gives in float64, within
 * rounding.
 */
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { optimise } from "../../../../compiler/compile.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import { evalDim } from "../../../../compiler/graph/dim.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { buildProgram } from "../../../../compiler/kernels/program.ts";
import { importModel } from "../../../../compiler/onnx/import.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { loadModel } from "../../../../runtime/files/modelFiles.ts";
import type { KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { interpreted, runOnDevice } from "./onDevice.ts";
import { allowedError, unit } from "./sums.ts";

const models = [
  "mnist-mlp", "mnist-lenet", "cifar10-resnet8", "cifar10-mobilenet", "mnist-vit",
];
const batch = 2;

async function kernelsOf(model: string): Promise<readonly Kernel[]> {
  const path = fileURLToPath(new URL(`../../../../models/${model}.onnx`, import.meta.url));
  const { graph } = importModel(await loadModel(path), {});
  return buildProgram(optimise(graph)).kernels;
}

/** A shader without its names: two kernels that differ in nothing else are one. */
const essence = (source: string): string =>
  [...source.replaceAll(/\/\/.*/g, "").matchAll(/\w+|[^\w\s]/g)]
    .map(([word]) => word).join(" ").replaceAll(/\b[A-Z]\w*\b/g, "T");

function caseOf(kernel: Kernel, random: Random): KernelCase {
  const sizes = kernel.symbols.map(() => batch);
  const bindings = Object.fromEntries(kernel.symbols.map((symbol) => [symbol, batch]));
  const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array };
  const buffers = kernel.arguments.map(({ size, storage }) => {
    const numbers = Array.from({ length: evalDim(size, bindings) }, () => random.next());
    return new arrays[storage as Word](storage === "f32" ? numbers.map((x) => x * 2 - 1) : numbers);
  });
  return { kernel, sizes, buffers };
}

describeWebGpu("kernels of the trained models on WebGPU", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());
  const seen = new Set<string>();

  test.each(models)("%s", async (model) => {
    const kernels = await kernelsOf(model);
    const random = new Random(11);
    const distinct = kernels.filter((kernel) => {
      const text = essence(emitWgsl(kernel).source);
      return !seen.has(text) && seen.add(text);
    });
    expect(distinct.length).toBeGreaterThan(0);
    const cases = distinct.map((kernel) => caseOf(kernel, random));
    const results = await runOnDevice(device, cases, distinct.map((k) => emitWgsl(k).source));
    cases.forEach((one, c) => {
      const want = interpreted(one, "f64");
      const got = results[c] as ArrayLike<number>;
      const allowed = allowedError(one);
      let largest = 0;
      for (const value of want) largest = Math.max(largest, Math.abs(value));
      want.forEach((value, i) => {
        // Epilogues here steepen an error by less than 2; functions are within 16 units.
        const bound = 2 * (allowed?.[i] ?? 0) + 32 * unit * largest;
        const error = Math.abs((got[i] as number) - value);
        if (!(error <= bound)) {
          expect.fail(`${one.kernel.name}[${i}]: ${got[i]}, expected ${value} within ${bound}`);
        }
      });
    });
  });
});
