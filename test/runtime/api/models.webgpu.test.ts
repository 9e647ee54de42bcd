/**
 * The shipped models on WebGPU: their logits, and each distinct kernel that they emit, executed
 * with random operands and compared with the interpreter.
 */
import { expect, test } from "vitest";
import { optimise } from "../../../compiler/compile.ts";
import { interpretKernel } from "../../../compiler/emit/interpret/interpret.ts";
import { evalDim, productOf } from "../../../compiler/graph/dim.ts";
import type { Kernel } from "../../../compiler/kernels/kernel.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { openModel } from "../../../runtime/api/executable.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { openWebGpuDevice } from "../../../runtime/device/webgpu/webgpuDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { loadModel } from "../../../runtime/files/modelFiles.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { relativeToLargest } from "../../support/difference.ts";
import { modelNames, modelPath, samplesOf } from "../../support/models.ts";
import { Random } from "../../support/randomGraph.ts";
import { describeWebGpu } from "../../support/webgpu.ts";

/** Kernels that differ in more than their names. */
async function distinctKernels(name: string): Promise<Kernel[]> {
  const { graph } = importModel(await loadModel(modelPath(name)));
  const distinct = new Map<string, Kernel>();
  for (const kernel of buildProgram(optimise(graph)).kernels) {
    const { body, arguments: declared } = kernel;
    const shape = declared.map(({ storage, access, size }) => [storage, access, String(size)]);
    const key = JSON.stringify([body, shape], (_, v: unknown) =>
      v && typeof v === "object" && "terms" in v ? String(v) : v,
    );
    if (!distinct.has(key)) distinct.set(key, kernel);
  }
  return [...distinct.values()];
}

type Wide = Float64Array;

/** Per output element: the largest change over relative changes of size 1 of the operands. */
function sensitivity(
  kernel: Kernel,
  hosts: readonly Float32Array[],
  sizes: readonly number[],
  out: number,
  base: Wide,
  r: Random,
): number[] {
  const delta = 1e-7;
  const run = interpretKernel(kernel, "f64");
  const worst = new Array<number>(base.length).fill(0);
  for (let draw = 0; draw < 8; draw++) {
    const moved = hosts.map((h) =>
      Float64Array.from(h, (x) => x * (1 + (r.next() < 0.5 ? delta : -delta))),
    );
    run(moved, sizes);
    (moved[out] as Wide).forEach((y, i) => {
      worst[i] = Math.max(worst[i] as number, Math.abs(y - (base[i] as number)) / delta);
    });
  }
  return worst;
}

/** Largest error over the bound below; at most 1 is right. */
async function errorOverBound(device: Device, kernel: Kernel, seed: number): Promise<number> {
  const r = new Random(seed);
  const sizes = kernel.symbols.map(() => 2);
  const bindings = Object.fromEntries(kernel.symbols.map((s) => [s, 2]));
  const count = (size: Kernel["arguments"][number]["size"]): number => evalDim(size, bindings);
  const hosts = kernel.arguments.map(({ size, storage }) => {
    expect(storage).toBe("f32");
    return Float32Array.from({ length: count(size) }, () => 2 * r.next() - 1);
  });
  const wide = hosts.map((h) => Float64Array.from(h));
  interpretKernel(kernel, "f64")(wide, sizes);
  const buffers = hosts.map((h) => device.allocate(h.length));
  buffers.forEach((b, i) => device.write(b, hosts[i] as Float32Array));
  const [prepared] = await device.prepare([{ kernel }]);
  await device.run([{ kernel: prepared as NonNullable<typeof prepared>, buffers, sizes }]);
  const out = kernel.arguments.findIndex((a) => a.access === "write");
  const length = (hosts[out] as Float32Array).length;
  const actual = new Float32Array(await device.read(buffers[out] as (typeof buffers)[0], length));
  buffers.forEach((b) => device.free(b));
  // Operands lie in [-1, 1]: sum |a||b| <= k, so a product is off by at most c eps k with
  // c = 2 sqrt(k) + 8, the 8 for what the epilogue adds (functions of 4 ULP, a few operations).
  // Elementwise kernels may cancel or divide by little: what relative errors of 32 eps in the
  // operands do to the result is measured and added.
  const { body } = kernel;
  const inner = body.kind === "contract" ? body.k : body.kind === "reduce" ? body.reduceAxes : [];
  const k = evalDim(productOf(inner.map((a) => a.extent)), bindings);
  const eps = 2 ** -24;
  const condition =
    body.kind === "contract" ? [] : sensitivity(kernel, hosts, sizes, out, wide[out] as Wide, r);
  let worst = 0;
  actual.forEach((a, i) => {
    const e = (wide[out] as Float64Array)[i] as number;
    const bound =
      (2 * Math.sqrt(k) + 8) * eps * Math.max(k, Math.abs(e)) + 32 * eps * (condition[i] ?? 0);
    if (!Number.isFinite(e)) expect(a).toEqual(Math.fround(e));
    else worst = Math.max(worst, Math.abs(a - e) / bound);
  });
  return worst;
}

describeWebGpu("the shipped models", () => {
  const opened = openWebGpuDevice();

  test.each(modelNames)(
    "%s gives the stored logits",
    async (name) => {
      const device = await opened;
      const { input, logits } = await samplesOf(name, 2);
      const { hybrid } = await openModel(modelPath(name), new Map([["input", input]]), device);
      const outputs = await hybrid.run(new Map([["input", input]]));
      expect(device.info.kind).toBe("webgpu");
      expect(relativeToLargest([...outputs.values()][0] as Tensor, logits)).toBeLessThan(1e-4);
    },
    240_000,
  );

  test.each(modelNames)(
    "every distinct kernel of %s agrees with the interpreter",
    async (name) => {
      const device = await opened;
      const wasm = await openWasmDevice();
      const kernels = await distinctKernels(name);
      for (const [i, kernel] of kernels.entries()) {
        expect(
          await errorOverBound(device, kernel, i + 1),
          `${kernel.name} on webgpu`,
        ).toBeLessThan(1);
        expect(await errorOverBound(wasm, kernel, i + 1), `${kernel.name} on wasm`).toBeLessThan(1);
      }
      expect(kernels.length).toBeGreaterThan(2);
      wasm.destroy();
    },
    240_000,
  );
});
