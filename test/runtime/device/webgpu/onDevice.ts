/** Runs kernels on the WebGPU device and on the interpreter, side by side, for comparison. */
import { interpretKernel } from "../../../../compiler/emit/interpret/interpret.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import type { FloatMode } from "../../../../compiler/graph/tensor.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import type { Command, Device, PreparedKernel } from "../../../../runtime/device/device.ts";
import type { KernelArray, KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";

const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;

/** The tensor that a kernel writes. */
export const outputOf = ({ arguments: all }: Kernel): number =>
  all.findIndex(({ access }) => access === "write");

/** Contents of the written tensor of every case, all run in one batch. */
export async function runOnDevice(
  device: Device, cases: readonly KernelCase[], wgsl?: readonly string[],
): Promise<KernelArray[]> {
  const compiled = cases.map(({ kernel }, i) =>
    (wgsl ? { kernel, wgsl: wgsl[i] as string } : { kernel }));
  const prepared = await device.prepare(compiled);
  const commands = cases.map(({ buffers, sizes }, i): Command => ({
    kernel: prepared[i] as PreparedKernel, sizes,
    buffers: buffers.map((data) => {
      const buffer = device.allocate(data.length);
      device.write(buffer, data);
      return buffer;
    }),
  }));
  await device.run(commands);
  const results: KernelArray[] = [];
  for (const [i, { kernel }] of cases.entries()) {
    const at = outputOf(kernel);
    const buffer = commands[i]?.buffers[at];
    const { storage } = kernel.arguments[at] as Kernel["arguments"][number];
    const bytes = buffer && await device.read(buffer, buffer.length);
    results.push(new arrays[storage as Word](bytes as ArrayBuffer));
  }
  for (const { buffers } of commands) buffers.forEach((buffer) => device.free(buffer));
  return results;
}

/** What the interpreter writes; floats are f32, or float64 throughout. */
export function interpreted(
  { kernel, buffers, sizes }: KernelCase, mode: FloatMode = "f32",
): KernelArray | Float64Array {
  const copies = buffers.map((data) =>
    (mode === "f64" && data instanceof Float32Array ? Float64Array.from(data) : data.slice()));
  interpretKernel(kernel, mode)(copies, sizes);
  return copies[outputOf(kernel)] as KernelArray | Float64Array;
}
