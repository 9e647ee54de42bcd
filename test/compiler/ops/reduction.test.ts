/** Reductions and running reductions against loops that gather each group of elements first. */
import { describe, expect, it } from "vitest";
import { integerRange, type DType } from "../../../compiler/graph/dtype.ts";
import type { ReduceKind } from "../../../compiler/graph/graph.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { identityOf } from "../../../compiler/ops/reduction.ts";
import { at, expectThreeWays, tensorOf } from "../../support/threeWays.ts";
import { Random } from "../../support/randomGraph.ts";

const kinds = ["sum", "max", "min", "prod"] as const;
const combined: Record<ReduceKind, (xs: readonly number[]) => number> = {
  sum: (xs) => xs.reduce((a, b) => a + b, 0),
  prod: (xs) => xs.reduce((a, b) => a * b, 1),
  max: (xs) => Math.max(...xs),
  min: (xs) => Math.min(...xs),
};

/** All elements of `shape` at the places `kept` fixes. */
function group(
  shape: readonly number[], axes: readonly number[], kept: readonly number[],
): number[][] {
  let places: number[][] = [[]];
  let next = 0;
  shape.forEach((d, i) => {
    const here = axes.includes(i) ? [...new Array<number>(d).keys()] : [kept[next++] as number];
    places = places.flatMap((p) => here.map((x) => [...p, x]));
  });
  return places;
}

describe("reduce", () => {
  it.each(kinds)("%s over any axes, none of them and empty ones included", async (kind) => {
    for (let seed = 1; seed <= 30; seed++) {
      const r = new Random(seed);
      const shape = Array.from({ length: r.int(0, 4) }, () => (r.next() < 0.1 ? 0 : r.int(1, 4)));
      const axes = [...shape.keys()].filter(() => r.next() < 0.5);
      const x = tensorOf("float32", shape, () => 4 * r.next() - 2);
      const kept = shape.filter((_, i) => !axes.includes(i));
      const expected = tensorOf("float32", kept, (o) =>
        combined[kind](group(shape, axes, o).map((p) => at(x, ...p) as number)));
      await expectThreeWays([x], (g, v) => g.add("reduce", [v], { kind, axes }), expected, 1e-13,
        `seed ${seed}`);
    }
  });

  it("gives NaN for a maximum or minimum over NaN", async () => {
    const x = tensorOf("float32", [2, 3], ([i, j]) => (i === 1 && j === 1 ? NaN : 5));
    for (const kind of kinds) {
      const expected = tensorOf("float32", [2], ([i]) =>
        (i === 1 ? NaN : combined[kind]([5, 5, 5])));
      await expectThreeWays([x], (g, v) => g.reduce(kind, v, [1]), expected);
    }
  });

  it("wraps integers, and starts from their own limits", async () => {
    const r = new Random(2);
    for (const dtype of ["int8", "uint8", "int16", "uint16", "int32", "uint32"] as const) {
      const { min, max } = integerRange(dtype);
      const bits = Math.log2(max - min + 1);
      const wrap = min < 0 ? BigInt.asIntN : BigInt.asUintN;
      const x = tensorOf(dtype, [4, 9], () => min + Math.floor(r.next() * (max - min + 1)));
      const row = (i: number): bigint[] =>
        [...new Array<number>(9).keys()].map((j) => BigInt(at(x, i, j) as number));
      const exact: Record<ReduceKind, (xs: readonly bigint[]) => bigint> = {
        sum: (xs) => xs.reduce((a, b) => a + b, 0n),
        prod: (xs) => xs.reduce((a, b) => a * b, 1n),
        max: (xs) => xs.reduce((a, b) => (a > b ? a : b)),
        min: (xs) => xs.reduce((a, b) => (a < b ? a : b)),
      };
      for (const kind of kinds) {
        const whole = tensorOf(dtype, [4], ([i]) =>
          Number(wrap(bits, exact[kind](row(i as number)))));
        await expectThreeWays([x], (g, v) => g.reduce(kind, v, [1]), whole, 0, `${dtype} ${kind}`);
        const nothing = tensorOf(dtype, [0, 2], () => 0);
        const start = tensorOf(dtype, [2], () => identityOf(kind, dtype));
        await expectThreeWays([nothing], (g, v) => g.reduce(kind, v, [0]), start, 0, dtype);
        if (kind !== "sum" && kind !== "prod") continue;
        const other = kind === "sum" ? "sum" : "prod";
        const running = tensorOf(dtype, [4, 9], ([i, j]) =>
          Number(wrap(bits, exact[other](row(i as number).slice(0, (j as number) + 1)))));
        await expectThreeWays([x], (g, v) => g.add("cumulate", [v], { kind, axis: 1 }), running, 0,
          `${dtype} running ${kind}`);
      }
    }
  });

  it("has an any and an all of flags, but no sum", async () => {
    const x = tensorOf("bool", [2, 2], ([i, j]) => Number(i === 1 && j === 0));
    for (const [kind, rows] of [["max", [0, 1]], ["min", [0, 0]]] as const) {
      const expected = tensorOf("bool", [2], ([i]) => rows[i as 0 | 1]);
      await expectThreeWays([x], (g, v) => g.reduce(kind, v, [1]), expected);
    }
    const b = new Builder();
    const flags = b.input("x", { dtype: "bool" as DType, shape: [3] });
    expect(() => b.reduce("sum", flags, [0]))
      .toThrow("internal: reduce expects a type that has a sum, got bool");
  });
});

describe("cumulate", () => {
  it.each(["sum", "prod"] as const)("running %s along any axis, itself included", async (kind) => {
    for (let seed = 1; seed <= 25; seed++) {
      const r = new Random(seed);
      const shape = Array.from({ length: r.int(1, 4) }, () => (r.next() < 0.06 ? 0 : r.int(1, 5)));
      const axis = r.int(0, shape.length - 1);
      const x = tensorOf("float32", shape, () => 4 * r.next() - 2);
      const expected = tensorOf("float32", shape, (o) => combined[kind](
        Array.from({ length: (o[axis] as number) + 1 }, (_, n) =>
          at(x, ...o.map((v, i) => (i === axis ? n : v))) as number)));
      await expectThreeWays([x], (g, v) => g.add("cumulate", [v], { kind, axis }), expected, 1e-13,
        `seed ${seed}`);
    }
  });
});
