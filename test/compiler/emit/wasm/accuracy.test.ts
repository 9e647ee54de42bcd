import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { symbol, type Dim } from "../../../../compiler/graph/dim.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
import { runAsWasm } from "./support.ts";

const EPS = 2 ** -24;

/** Numbers of very different sizes and both signs, so that roundings show. */
function numbers(seed: number, count: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const x = state / 2 ** 32 - 0.4;
    return x * 2 ** ((state >>> 5) % 7);
  });
}

function check(
  { strategy, buffers }: ReturnType<typeof runAsWasm>, terms: (output: number) => number[],
  roundings: number,
): string {
  const got = buffers.at(-1) as Float32Array;
  got.forEach((y, i) => {
    const products = terms(i);
    const exact = products.reduce((sum, t) => sum + t, 0);
    const bound = roundings * EPS * products.reduce((sum, t) => sum + Math.abs(t), 0);
    expect(Math.abs(y - exact), `${strategy}: output ${i}`).toBeLessThanOrEqual(bound);
  });
  return strategy;
}

describe("sums of f32 stay within (roundings) * eps * (sum of magnitudes)", () => {
  const product = (m: number, n: number, k: Dim): Kernel => {
    const pool = new ExprPool();
    const [i, j, l] = [pool.axis(0, m), pool.axis(1, n), pool.axis(2, k)];
    const at = (row: Expr, stride: Dim, column: Expr): Expr =>
      pool.add(pool.mul(row, pool.size(stride)), column);
    const argument = (name: string, access: "read" | "write") =>
      ({ name, storage: "f32" as const, access, size: 0 });
    return {
      name: "product", origin: [], symbols: typeof k === "number" ? [] : ["K"],
      arguments: [argument("x", "read"), argument("w", "read"), argument("y", "write")],
      body: {
        kind: "contract", batch: [], m: [{ name: "i", extent: m }], n: [{ name: "j", extent: n }],
        k: [{ name: "k", extent: k }], a: pool.load(0, at(i, k, l), "f32"),
        b: pool.load(1, at(l, n, j), "f32"),
        store: { buffer: 2, index: at(i, n, j), value: pool.acc("f32") },
      },
    };
  };

  it("in products: a block of at most 320 terms, then the blocks", () => {
    fc.assert(fc.property(
      fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 900 }), fc.boolean(), fc.integer({ min: 1 }),
      (m, n, k, isOpen, seed) => {
        const [x, w] = [numbers(seed, m * k), numbers(seed + 1, k * n)];
        const buffers = [x, w, new Float32Array(m * n)];
        const ran = runAsWasm(product(m, n, isOpen ? symbol("K") : k), buffers, isOpen ? [k] : []);
        const depth = ran.strategy.startsWith("packed") ? Math.min(k, 320) + k / 256 : k;
        check(ran, (output) => Array.from({ length: k }, (_, l) =>
          (x[Math.floor(output / n) * k + l] as number) * (w[l * n + (output % n)] as number)),
        depth + 2);
      }), { numRuns: 60, seed: 1 });
  });

  const sum = (rows: number, length: number, along: boolean): Kernel => {
    const pool = new ExprPool();
    const [i, r] = [pool.axis(0, rows), pool.axis(1, length)];
    const index = along ? pool.add(pool.mul(r, pool.const(rows)), i)
      : pool.add(pool.mul(i, pool.const(length)), r);
    const argument = (name: string, access: "read" | "write") =>
      ({ name, storage: "f32" as const, access, size: 0 });
    return {
      name: "sum", origin: [], symbols: [],
      arguments: [argument("x", "read"), argument("y", "write")],
      body: {
        kind: "reduce", axes: [{ name: "i", extent: rows }],
        reduceAxes: [{ name: "r", extent: length }], op: "sum", value: pool.load(0, index, "f32"),
        store: { buffer: 1, index: i, value: pool.acc("f32") },
      },
    };
  };

  it.each([
    ["across", 5, 100_000, 256 + 4], ["across", 3, 700, 700 / 4 + 4],
    ["along", 6, 30_000, 256 + 30_000 / 256 + 2], ["along", 9, 500, 500],
  ] as const)("in sums %s: %d rows of %d", (way, rows, length, roundings) => {
    const isAlong = way === "along";
    const x = numbers(rows, rows * length);
    const ran = runAsWasm(sum(rows, length, isAlong), [x, new Float32Array(rows)], []);
    const strategy = check(ran, (i) => Array.from({ length }, (_, r) =>
      x[isAlong ? r * rows + i : i * length + r] as number), roundings);
    expect(strategy).toContain(way);
  });
});
