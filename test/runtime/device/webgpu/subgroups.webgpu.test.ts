/**
 * Reductions with subgroups and without give the same on WebGPU: what the interpreter gives,
 * exactly for whole numbers, and for NaN and infinities.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import type { ReduceKind } from "../../../../compiler/graph/graph.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool, flatten } from "../../../../compiler/kernels/pool.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import type { KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { interpreted, runOnDevice } from "./onDevice.ts";

const kinds: readonly ReduceKind[] = ["sum", "prod", "max", "min"];
const words: readonly Word[] = ["f32", "i32", "u32"];
/** Workgroups of 64 and of 256, with and without a last round that is not full. */
const lengths = [128, 130, 777, 1024, 1500];
const rows = 5;
const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array };

/** y[row] = op over k of x[row, k]. */
function rowReduction(op: ReduceKind, word: Word, length: number, random: Random): KernelCase {
  const pool = new ExprPool();
  const [row, k] = [pool.axis(0, rows), pool.axis(1, length)];
  const kernel: Kernel = {
    name: `${op}_${word}_${length}`, origin: [], symbols: [],
    arguments: [
      { name: "x", storage: word, access: "read", size: rows * length },
      { name: "y", storage: word, access: "write", size: rows },
    ],
    body: {
      kind: "reduce", op,
      axes: [{ name: "row", extent: rows }], reduceAxes: [{ name: "k", extent: length }],
      value: pool.load(0, flatten(pool, [row, k], [rows, length]), word),
      store: { buffer: 1, index: row, value: pool.acc(word) },
    },
  };
  // Factors of mostly one keep products whole; sums of such numbers are exact in any order.
  const draw = (): number => {
    if (op === "prod") return random.next() < 0.01 ? 2 : 1;
    return word === "u32" ? random.int(0, 50) : random.int(-50, 50);
  };
  const x = new arrays[word](rows * length).map(draw);
  const at = (n: number): number => n * length + random.int(0, length - 1);
  if (word === "f32") {
    x[at(1)] = NaN;
    x[at(2)] = Infinity;
    x[at(3)] = -Infinity;
  }
  return { kernel, sizes: [], buffers: [x, new arrays[word](rows)] };
}

describeWebGpu("reductions by subgroups", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  test.for([true, false])("subgroups: %s", async (subgroups, { skip }) => {
    skip(subgroups && !device.profile.features.subgroups, "the adapter has no subgroups");
    const random = new Random(4);
    const cases = kinds.flatMap((op) => words.flatMap((word) =>
      lengths.map((length) => rowReduction(op, word, length, random))));
    const profile = { ...webGpuDefaults, features: { f16: false, subgroups } };
    const wgsl = cases.map(({ kernel }) => emitWgsl(kernel, profile).source);
    for (const text of wgsl) {
      expect(text).toContain("var<workgroup>");
      expect(text.includes("enable subgroups;")).toBe(subgroups);
      expect(text.match(/workgroupBarrier/g)?.length).toBe(subgroups ? 1 : 2);
    }
    const results = await runOnDevice(device, cases, wgsl);
    cases.forEach((one, i) =>
      expect([...results[i] as Float32Array], one.kernel.name).toEqual([...interpreted(one)]));
  });
});
