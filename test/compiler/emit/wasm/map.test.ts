import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { settledBy } from "../../../../compiler/emit/wasm/guards.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
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

/** A padded, strided or flipped window into an array, along axes long enough to be split. */
function randomBorders(b: CaseBuilder): RandomCase {
  const { pool } = b;
  const extents = [b.integer(1, 3), b.integer(20, 45)];
  const axes = extents.map((_, i) => b.axis(`i${i}`, extents.slice(i, i + 1)));
  const [y, x] = [pool.axis(0, axes[0]?.extent ?? 1), pool.axis(1, axes[1]?.extent ?? 1)];
  const window = (): Expr => {
    const [height, width] = [b.integer(1, 4), b.integer(1, 50)];
    const slope = b.pick([1, 1, 2, -1, -2]);
    const [p, q] = [pool.sub(y, pool.const(b.integer(-1, 2))), pool.add(
      pool.mul(x, pool.const(slope)), pool.const(b.integer(-10, slope < 0 ? 90 : 10)))];
    const buffer = b.buffer("f32", "read", height * width);
    const inside = pool.and(pool.within(p, pool.const(0), pool.const(height)),
      pool.within(q, pool.const(0), pool.const(width)));
    const value = pool.load(buffer, pool.add(pool.mul(p, pool.const(width)), q), "f32");
    return pool.guard(inside, value, pool.const(b.integer(0, 1), "f32"));
  };
  const value = b.integer(0, 1) === 0 ? window() : pool.binary("add", window(), window());
  const { index, size } = b.output();
  const output = b.buffer("f32", "write", size);
  return b.finish({ kind: "map", axes, store: { buffer: output, index, value } });
}

describe("map kernels", () => {
  it("agree at the borders of guarded walks, whose middle has no masks", () => {
    fc.assert(fc.property(fc.gen(), (g) => {
      const b = new CaseBuilder(g);
      const { kernel, buffers, sizes } = randomBorders(b);
      expectLikeOracle(kernel, buffers, sizes, { parts: b.integer(1, 3) });
    }), { numRuns: 200, seed: 1 });
  });

  it("settle conditions of constant slope, unless a loop inside changes them", () => {
    const pool = new ExprPool();
    const [x, tap] = [pool.axis(0, 40), pool.axis(1, 3)];
    const at = pool.sub(pool.add(x, tap), pool.const(1));
    const inside = pool.within(at, pool.const(0), pool.const(40));
    const value = pool.guard(inside, pool.load(0, at, "f32"), pool.const(0, "f32"));
    expect([...settledBy([value], 0, []).values()]).toEqual([false, true]);
    expect(settledBy([value], 0, [1]).size).toBe(0);
    const odd = pool.binary("eq", pool.rem(x, pool.const(2)), pool.const(1));
    expect(settledBy([pool.guard(odd, pool.load(0, x, "f32"), value)], 0, [1]).size).toBe(0);
  });

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
