/**
 * What a core does at most of one kind of multiply-add, in registers and in WASM: the limit that
 * benchmarks of products are held against. Time is that of the processor; of several rounds the
 * best counts, because other programs disturb and nothing speeds up.
 */
import { FunctionWriter, ModuleWriter } from "../../compiler/emit/wasm/assembler.ts";
import type { PlainOp } from "../../compiler/emit/wasm/opcodes.ts";

const [SUMS, TURNS, ROUNDS] = [12, 3e6, 5];

/** @returns multiply-adds a second, of so many per multiplication and addition of vectors */
export function peakRate(perVector: number, multiply: PlainOp, add: PlainOp): number {
  const module = new ModuleWriter("peak");
  const signature = { parameters: ["i32"], results: ["i32"] } as const;
  const ref = module.declare("peak", signature, { exported: "peak" });
  const w = new FunctionWriter(1);
  const x = w.local("v128");
  const sums = Array.from({ length: SUMS }, () => w.local("v128"));
  w.f32(1e-3);
  w.op("f32x4.splat");
  w.set(x);
  w.loop(() => {
    for (const sum of sums) {
      // Each multiplication needs the sum before it: none can be moved out of the loop.
      w.get(sum);
      w.get(x);
      w.op(multiply);
      w.get(x);
      w.op(add);
      w.set(sum);
    }
    w.get(0);
    w.i32(1);
    w.op("i32.sub");
    w.tee(0);
    w.branchIf(0);
  });
  sums.forEach((sum, i) => {
    w.get(sum);
    if (i > 0) w.op(add);
  });
  w.lane("i32x4.extract_lane", 0);
  module.define(ref, w);
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  const compiled = new WebAssembly.Module(module.finish() as Uint8Array<ArrayBuffer>);
  const run = new WebAssembly.Instance(compiled, { env: { memory } }).exports["peak"] as
    (turns: number) => number;
  const seconds = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage();
    run(TURNS);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  });
  return (perVector * SUMS * TURNS) / Math.min(...seconds);
}
