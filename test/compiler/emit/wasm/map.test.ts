import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CaseBuilder, type RandomCase } from "./randomKernels.ts";
import { expectLikeOracle } from "./support.ts";

function randomMap(b: CaseBuilder): RandomCase {
  const axes = b.axes("i", 6);
  const type = b.pick(["f32", "i32", "u32", "bool"] as const);
  const value = b.expression(type, b.integer(0, 4));
  const { index, size } = b.output();
  const output = b.buffer(type === "bool" ? "i32" : type, "write", size);
  return b.finish({ kind: "map", axes, store: { buffer: output, index, value } });
}

describe("map kernels", () => {
  it("agree bit for bit with the interpreter on random kernels", () => {
    const strategies = new Map<string, number>();
    fc.assert(fc.property(fc.gen(), (g) => {
      const b = new CaseBuilder(g);
      const { kernel, buffers, sizes } = randomMap(b);
      const strategy = expectLikeOracle(kernel, buffers, sizes, { parts: b.integer(1, 3) });
      const kind = strategy.replace(/ along.*/, "");
      strategies.set(kind, (strategies.get(kind) ?? 0) + 1);
    }), { numRuns: 400, seed: 1 });
    expect(strategies.get("map, lanes")).toBeGreaterThan(100);
    expect(strategies.get("map, one element")).toBeGreaterThan(10);
  });
});
