/** gather, scatter and argsort against loops; indices outside, duplicates and NaN included. */
import { expect, it } from "vitest";
import type { ScatterKind } from "../../../compiler/graph/graph.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { at, elements, expectThreeWays, tensorOf } from "../../support/threeWays.ts";
import { Random } from "../../support/randomGraph.ts";

const random = (r: Random, shape: readonly number[]): Tensor =>
  tensorOf("float32", shape, () => 4 * r.next() - 2);

it("gather replaces an axis by the axes of its indices; outside is the nearest", async () => {
  for (let seed = 1; seed <= 50; seed++) {
    const r = new Random(seed);
    const data = random(r, Array.from({ length: r.int(1, 3) }, () => r.int(1, 4)));
    const axis = r.int(0, data.shape.length - 1);
    const extent = data.shape[axis] as number;
    const dtype = r.pick(["int32", "int64", "uint8"] as const);
    const low = dtype === "uint8" ? 0 : -2;
    const indices = tensorOf(dtype, Array.from({ length: r.int(0, 2) }, () => r.int(0, 3)),
      () => r.int(low, extent + 1));
    const shape = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
    const expected = tensorOf("float32", shape, (o) => {
      const k = indices.shape.length;
      const index = at(indices, ...o.slice(axis, axis + k)) as number;
      const row = index < 0 ? 0 : index >= extent ? extent - 1 : index;
      return at(data, ...o.slice(0, axis), row, ...o.slice(axis + k)) as number;
    });
    await expectThreeWays([data, indices], (g, x, i) => g.gather(x, i, axis), expected, 0,
      `seed ${seed}`);
  }
});

const combine: Record<ScatterKind, (old: number, update: number) => number> = {
  none: (_, update) => update,
  add: (old, update) => old + update,
  mul: (old, update) => old * update,
  max: (old, update) => (old > update ? old : update),
  min: (old, update) => (old < update ? old : update),
};

it.each(Object.keys(combine) as ScatterKind[])(
  "scatter %s applies updates in order; rows outside are left out", async (kind) => {
    for (let seed = 1; seed <= 25; seed++) {
      const r = new Random(seed);
      const [rows, columns, count] = [r.int(1, 4), r.int(1, 3), r.int(0, 6)];
      const [data, updates] = [random(r, [rows, columns]), random(r, [count, columns])];
      const indices = tensorOf("int32", [count], () => r.int(-1, rows));
      const table = Array.from({ length: rows }, (_, i) =>
        Array.from({ length: columns }, (_, j) => at(data, i, j) as number));
      for (let u = 0; u < count; u++) {
        const row = table[at(indices, u) as number];
        row?.forEach((old, j) => { row[j] = combine[kind](old, at(updates, u, j) as number); });
      }
      const expected = tensorOf("float32", [rows, columns], ([i, j]) =>
        (table[i as number] as number[])[j as number] as number);
      await expectThreeWays([data, indices, updates], (g, x, i, u) =>
        g.add("scatter", [x, i, u], { kind }), expected, 0, `seed ${seed}`);
    }
  });

it("scatter of integers wraps", async () => {
  const data = tensorOf("int32", [2, 1], () => 2 ** 31 - 1);
  const updates = tensorOf("int32", [3, 1], ([u]) => [1, 65537, 65539][u as number] as number);
  const indices = tensorOf("int32", [3], ([u]) => [0, 1, 1][u as number] as number);
  const product = (2n ** 31n - 1n) * 65537n * 65539n;
  const sums = [2n ** 31n, 2n ** 31n - 1n + 65537n + 65539n];
  const products = [2n ** 31n - 1n, product];
  for (const [kind, exact] of [["add", sums], ["mul", products]] as const) {
    const expected = tensorOf("int32", [2, 1], ([i]) =>
      Number(BigInt.asIntN(32, exact[i as number] as bigint)));
    await expectThreeWays([data, indices, updates], (g, x, i, u) =>
      g.add("scatter", [x, i, u], { kind }), expected, 0, kind);
  }
});

it.each([false, true])("argsort (descending: %s) is stable, NaN last", async (descending) => {
  for (let seed = 1; seed <= 30; seed++) {
    const r = new Random(seed);
    const x = tensorOf("float32", [...(r.next() < 0.5 ? [r.int(1, 3)] : []), r.int(0, 7)], () =>
      r.pick([NaN, -0, 0, 1, 1, -1, Infinity, -Infinity, r.next()]));
    const length = x.shape.at(-1) as number;
    const all = elements(x);
    const expected: number[] = [];
    for (let row = 0; row < all.length; row += length) {
      // Insertion sort: an element moves left only past what must come after it.
      const order: number[] = [];
      for (let i = 0; i < length; i++) {
        const mine = all[row + i] as number;
        let place = order.length;
        while (place > 0) {
          const other = all[row + (order[place - 1] as number)] as number;
          const isAfter = Number.isNaN(other) ? !Number.isNaN(mine)
            : descending ? other < mine : other > mine;
          if (!isAfter) break;
          place--;
        }
        order.splice(place, 0, i);
      }
      expected.push(...order);
    }
    let next = 0;
    await expectThreeWays([x], (g, v) => g.add("argsort", [v], { descending }),
      tensorOf("int32", x.shape, () => expected[next++] as number), 0, `seed ${seed}`);
  }
});

it("argsort orders unsigned integers as such", async () => {
  const x = tensorOf("uint32", [4], ([i]) => [2 ** 32 - 1, 0, 2 ** 31, 5][i as number] as number);
  const expected = tensorOf("int32", [4], ([i]) => [1, 3, 2, 0][i as number] as number);
  await expectThreeWays([x], (g, v) => g.add("argsort", [v], { descending: false }), expected);
  expect(elements(expected)).toEqual([1, 3, 2, 0]);
});
