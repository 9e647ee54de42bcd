/**
 * The WebGPU device under the limits of a smaller one: dispatches folded into two and three
 * dimensions, weights split to what may be bound, kernels of few buffers. Results stay the same.
 */
import { expect, test } from "vitest";
import { optimise } from "../../../../compiler/compile.ts";
import { dispatchOf, workgroupCounts } from "../../../../compiler/emit/wgsl/dispatch.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { maxBuffers } from "../../../../compiler/emit/wgsl/profile.ts";
import { evalDim, symbol } from "../../../../compiler/graph/dim.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import { evaluateGraph } from "../../../../compiler/graph/evaluate.ts";
import { Builder } from "../../../../compiler/graph/builder.ts";
import type { Tensor } from "../../../../compiler/graph/tensor.ts";
import { buildProgram } from "../../../../compiler/kernels/program.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { openWebGpuDevice } from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import { Session } from "../../../../runtime/execute/session.ts";
import type { KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import {
  convolution, cumulativeSum, maxPool, product, relu, rowMean, scatterAdd, sortRows,
} from "../../../compiler/emit/wgsl/smallKernels.ts";
import { difference } from "../../../support/difference.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { interpreted, runOnDevice } from "./onDevice.ts";

const sizeOfN = 64 * 90;

/** Small whole numbers: exact in any order. */
function caseOf(kernel: Kernel, random: Random): KernelCase {
  const sizes = kernel.symbols.map(() => sizeOfN);
  const bindings = Object.fromEntries(kernel.symbols.map((s) => [s, sizeOfN]));
  const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array };
  const buffers = kernel.arguments.map(({ size, storage }) =>
    new arrays[storage as Word](evalDim(size, bindings)).map(() => random.int(0, 5)));
  return { kernel, sizes, buffers };
}

describeWebGpu("a WebGPU device with lower limits", () => {
  test("folds dispatches of every kind of kernel", async () => {
    const workgroupsPerDimension = 18;
    const device = await openWebGpuDevice({ limits: { workgroupsPerDimension } });
    const random = new Random(3);
    const cases = [
      relu(64 * 100), relu(64 * 400), relu(symbol("N")), rowMean(), convolution(1),
      product(90, 70, 20), maxPool(), cumulativeSum(), scatterAdd(1000, 30, 7),
      sortRows(9, 300), sortRows(30, 20),
    ].map((kernel) => caseOf(kernel, random));
    const used = cases.map(({ kernel, sizes }) => {
      const dispatch = dispatchOf(emitWgsl(kernel, device.profile).source);
      if (!dispatch) throw new Error(`${kernel.name} does not say its workgroups`);
      const bindings = Object.fromEntries(kernel.symbols.map((s, i) => [s, sizes[i] as number]));
      return workgroupCounts(dispatch, bindings, workgroupsPerDimension);
    });
    expect(used.filter(([, y, z]) => y > 1 && z === 1).length).toBeGreaterThan(2);
    expect(used.filter(([, , z]) => z > 1).length).toBeGreaterThan(2);
    const results = await runOnDevice(device, cases);
    cases.forEach((one, i) => {
      const got = results[i] as Float32Array;
      // Only the mean rounds: its factor once.
      interpreted(one, "f64").forEach((want, at) => {
        const error = Math.abs((got[at] as number) - want);
        expect(error, one.kernel.name).toBeLessThanOrEqual(2 ** -22 * Math.abs(want));
      });
    });
    device.destroy();
  });

  test("runs weights beyond a binding in parts, and many operands in several kernels", async () => {
    const device = await openWebGpuDevice({ limits: { bindingBytes: 4096, storageBuffers: 4 } });
    const random = new Random(4);
    const b = new Builder("limits");
    const x = b.input("x", { dtype: "float32", shape: [3, 40] });
    const y = b.dot(x, b.constant(random.tensor([40, 100]), "w"), 0, 1);
    const parts = [1, 2, 3, 4, 5].map((n) => b.constant(random.tensor([3, 100]), `c${n}`));
    const sum = parts.reduce((total, part) => b.mul(b.unary("tanh", total), part), y);
    const graph = b.finish([{ name: "sum", value: sum }]);
    const inputs = new Map([["x", random.tensor([3, 40])]]);
    const program = (limited: boolean): ReturnType<typeof buildProgram> => (limited
      ? buildProgram(optimise(graph, device.profile), { maxBuffers: maxBuffers(device.profile) })
      : buildProgram(optimise(graph)));
    await expect(Session.create(device, program(false))).rejects.toThrow(/the device allows 4/);
    const session = await Session.create(device, program(true));
    const got = (await session.run(inputs)).get("sum") as Tensor;
    // 40 products of numbers below 1, then steps that shrink.
    expect(difference(got, evaluateGraph(graph, inputs).get("sum") as Tensor))
      .toBeLessThan(40 * 40 * 2 ** -24);
    expect(() => device.allocate(1025)).toThrow("holds at most 0.0 MiB in one buffer");
    device.destroy();
  });
});
