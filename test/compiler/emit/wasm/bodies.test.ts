import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mulDims, type Dim } from "../../../../compiler/graph/dim.ts";
import type { ReduceKind, ScatterKind } from "../../../../compiler/graph/graph.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type { Axis } from "../../../../compiler/kernels/kernel.ts";
import { CaseBuilder, type RandomCase } from "./randomKernels.ts";
import { expectLikeOracle, runAsWasm } from "./support.ts";

const range = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i);

/** Checks random kernels against the interpreter; counts how they were computed. */
function check(
  make: (b: CaseBuilder) => RandomCase, runs: number, maxPoints?: number,
): (part: string) => number {
  const strategies: string[] = [];
  fc.assert(fc.property(fc.gen(), (g) => {
    const b = new CaseBuilder(g, maxPoints);
    const { kernel, buffers, sizes } = make(b);
    const options = { parts: b.integer(1, 3), zerosAlike: true };
    strategies.push(expectLikeOracle(kernel, buffers, sizes, options));
  }), { numRuns: runs, seed: 1 });
  return (part) => strategies.filter((s) => s.includes(part)).length;
}

/** A store of `acc`, changed a little, at the row-major place over `axes` in their own order. */
function storeOver(b: CaseBuilder, axes: readonly number[], type: "f32" | "i32" | "u32" | "bool") {
  return b.visible(axes, () => {
    const { pool } = b;
    const acc = pool.acc(type);
    const kind = b.integer(0, 3);
    const value = kind === 0 && type === "f32" ? pool.binary("max", acc, pool.const(0, "f32"))
      : kind === 1 && type !== "bool" ? pool.binary("add", acc, b.load(type)) : acc;
    const { index, size } = b.output();
    return { buffer: b.buffer(type === "bool" ? "i32" : type, "write", size), index, value };
  });
}

describe("reduce kernels", () => {
  function randomReduce(b: CaseBuilder): RandomCase {
    const axes = b.axes("i", 3);
    const reduceAxes = b.axes("r", 3);
    const op = b.pick<ReduceKind>(["sum", "sum", "max", "min", "prod"]);
    const types = op === "sum" ? ["f32", "i32", "u32"] as const
      : op === "prod" ? ["i32", "u32"] as const : ["f32", "i32", "u32", "bool"] as const;
    const type = b.pick(types);
    const value = b.expression(type, b.integer(0, 2), op === "sum");
    const store = storeOver(b, range(0, axes.length), type);
    return b.finish({ kind: "reduce", axes, reduceAxes, op, value, store });
  }

  it("agree bit for bit with the interpreter on random kernels", () => {
    const ran = check(randomReduce, 300);
    expect(ran("lanes along")).toBeGreaterThan(50);
    expect(ran("lanes across")).toBeGreaterThan(50);
    expect(ran("written out")).toBeGreaterThan(20);
  });

  it("agree where the reduction is long enough for blocks", () => {
    const ran = check((b) => {
      const axes = [b.axis("i", [1, 2, 5])];
      const reduceAxes = [b.axis("r", [2, 3]), b.axis("s", [300, 1500, 2500])];
      const store = storeOver(b, [0], "f32");
      return b.finish({
        kind: "reduce", axes, reduceAxes, op: "sum", value: b.expression("f32", 1, true), store,
      });
    }, 40, 20000);
    expect(ran("summed in f64")).toBeGreaterThan(5);
    expect(ran("lanes along")).toBeGreaterThan(5);
  });
});

describe("contract kernels", () => {
  interface Extents { readonly mn: readonly number[]; readonly k: readonly number[] }
  type Make = (b: CaseBuilder) => RandomCase;
  const randomContract = (type: "f32" | "i32", extents: Extents): Make => (b) => {
    const group = (name: string, rank: number, sizes: readonly number[]): Axis[] =>
      Array.from({ length: b.integer(0, rank) }, (_, i) => b.axis(`${name}${i}`, sizes));
    const batch = group("b", 2, [1, 2, 3]);
    const m = group("m", 2, extents.mn);
    const n = group("n", 3, extents.mn);
    const k = group("k", 3, extents.k);
    const m0 = batch.length;
    const n0 = m0 + m.length;
    const k0 = n0 + n.length;
    const end = k0 + k.length;
    const operand = (axes: readonly number[]): Expr => b.visible(axes, () =>
      [() => b.expression(type, 1, true), () => b.load(type), () => b.array(type)][
        b.integer(0, 2)]?.() as Expr);
    const batchOfA = b.integer(0, 1) === 0 ? range(0, m0) : [];
    const a = operand([...batchOfA, ...range(m0, n0), ...range(k0, end)]);
    const right = operand([...range(0, m0), ...range(k0, end), ...range(n0, k0)]);
    const store = storeOver(b, range(0, k0), type);
    return b.finish({ kind: "contract", batch, m, n, k, a, b: right, store });
  };

  it("agree bit for bit with the interpreter on random kernels", () => {
    const ran = check(randomContract("f32", { mn: [1, 2, 3, 5, 8], k: [1, 2, 3, 7] }), 200, 4000);
    expect(ran("direct product: reduce")).toBeGreaterThan(50);
  });

  it("agree on larger products, which are packed", () => {
    const extents = { mn: [4, 7, 12, 30, 70], k: [5, 9, 30, 200] };
    const ran = check(randomContract("f32", extents), 150, 200000);
    expect(ran("packed 4x12")).toBeGreaterThan(40);
    for (const way of ["a in place", "a packed", "b in place", "b packed", "fewer rows"]) {
      expect(ran(way), way).toBeGreaterThan(0);
    }
  });

  it("agree for integers, which wrap", () => {
    const ran = check(randomContract("i32", { mn: [1, 3, 4, 9], k: [2, 5, 30] }), 100, 10000);
    expect(ran("direct product")).toBe(100);
  });

  /** x[B, K] times w[K, N], the plainest product, of any size. */
  function plainProduct(b: CaseBuilder, m: Dim, n: Dim, k: Dim): RandomCase {
    const am = { name: "m", extent: m };
    const an = { name: "n", extent: n };
    const ak = { name: "k", extent: k };
    const { pool } = b;
    const [i, j, l] = [pool.axis(0, m), pool.axis(1, n), pool.axis(2, k)];
    const at = (row: typeof i, stride: Dim, column: typeof i): typeof i =>
      pool.add(pool.mul(row, pool.size(stride)), column);
    const size = (x: Dim, y: Dim): number => b.value(mulDims(x, y));
    const a = pool.load(b.buffer("f32", "read", size(m, k)), at(i, k, l), "f32");
    const w = pool.load(b.buffer("f32", "read", size(k, n)), at(l, n, j), "f32");
    const output = b.buffer("f32", "write", size(m, n));
    const store = { buffer: output, index: at(i, n, j), value: pool.acc("f32") };
    return b.finish({ kind: "contract", batch: [], m: [am], n: [an], k: [ak], a, b: w, store });
  }

  it.each([
    [64, 64, 64], [65, 13, 321], [130, 500, 7], [4, 4, 1000], [300, 49, 700], [5, 1000, 2600],
    [1, 100, 70], [100, 1, 70], [33, 25, 5000], [3, 40, 40], [64, 480, 30],
  ])("agree on a plain product of %d x %d over %d", (m, n, k) => {
    fc.assert(fc.property(fc.gen(), (g) => {
      const { kernel, buffers, sizes } = plainProduct(new CaseBuilder(g), m, n, k);
      expectLikeOracle(kernel, buffers, sizes, { parts: 3, zerosAlike: true });
    }), { numRuns: 1, seed: 7 });
  });
});

describe("cumulate kernels", () => {
  it("agree bit for bit with the interpreter on random kernels", () => {
    const ran = check((b) => {
      const axes = [...b.axes("i", 3), b.axis("last")];
      const op = b.pick(["sum", "prod"] as const);
      const type = b.pick(op === "sum" ? ["f32", "i32", "u32"] as const : ["i32", "u32"] as const);
      const value = b.expression(type, b.integer(0, 2), true);
      const store = storeOver(b, range(0, axes.length), type);
      return b.finish({ kind: "cumulate", axes, op, value, store });
    }, 150);
    expect(ran("cumulate")).toBe(150);
  });
});

describe("scatter kernels", () => {
  it("agree bit for bit with the interpreter on random kernels", () => {
    const ran = check((b) => {
      const [rows, columns] = [b.axis("row"), b.axis("column")];
      const updates = b.axis("update");
      const op = b.pick<ScatterKind>(["none", "add", "mul", "max", "min"]);
      const type = b.pick(op === "mul" ? ["i32"] as const : ["f32", "i32", "u32"] as const);
      const initial = b.visible([0, 1], () => b.expression(type, 1, true));
      const target = b.visible([2], () => b.expression("i32", 1, true));
      const update = b.visible([2, 1], () => b.expression(type, 1, true));
      const size = b.value(rows.extent) * b.value(columns.extent);
      const output = b.buffer(type, "write", size);
      return b.finish({
        kind: "scatter", rows, columns, updates, op, initial, target, update, output,
      });
    }, 200);
    expect(ran("rows filled")).toBeGreaterThan(10);
    expect(ran("columns filled")).toBeGreaterThan(50);
  });
});

describe("sort kernels", () => {
  it("agree with the interpreter on random kernels, ties in order", () => {
    const ran = check((b) => {
      const axes = b.axes("i", 2);
      const sorted = b.axis("s", [1, 2, 5, 16, 17, 100, 0]);
      const type = b.pick(["f32", "i32", "u32", "bool"] as const);
      const value = b.expression(type, b.integer(0, 1));
      const output = b.buffer("i32", "write", b.output().size);
      const descending = b.integer(0, 1) === 1;
      return b.finish({ kind: "sort", axes, sorted, descending, value, output });
    }, 150);
    expect(ran("sort")).toBe(150);
  });

  it("puts NaN last in both directions and keeps equal zeros in order", () => {
    const data = Float32Array.of(0, NaN, -0, Infinity, -1, 0, -Infinity, NaN, 2, -0);
    for (const descending of [false, true]) {
      fc.assert(fc.property(fc.gen(), (g) => {
        const b = new CaseBuilder(g);
        const input = b.buffer("f32", "read", data.length, data);
        const value = b.pool.load(input, b.pool.axis(0, data.length), "f32");
        const { kernel, buffers, sizes } = b.finish({
          kind: "sort", axes: [], sorted: { name: "s", extent: data.length }, descending, value,
          output: b.buffer("i32", "write", data.length),
        });
        const { buffers: [, order] } = runAsWasm(kernel, buffers, sizes);
        expect([...order ?? []]).toEqual(descending
          ? [3, 8, 0, 2, 5, 9, 4, 6, 1, 7] : [6, 4, 0, 2, 5, 9, 8, 3, 1, 7]);
      }), { numRuns: 1 });
    }
  });
});
