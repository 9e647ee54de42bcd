/** The assignment against trying every one. */
import { expect, it } from "vitest";
import { assign } from "../../../../runtime/chip/repair/assign.ts";
import { InternalError } from "../../../../compiler/errors.ts";
import { Random } from "../../../support/randomGraph.ts";

function cheapest(cost: readonly (readonly number[])[], columns: number): number {
  const used = new Set<number>();
  const from = (row: number): number => {
    if (row === cost.length) return 0;
    let best = Infinity;
    for (let j = 0; j < columns; j++) {
      if (used.has(j)) continue;
      used.add(j);
      best = Math.min(best, cost[row]![j]! + from(row + 1));
      used.delete(j);
    }
    return best;
  };
  return from(0);
}

it("costs the least there is", () => {
  const r = new Random(4);
  for (let round = 0; round < 200; round++) {
    const [rows, extra] = [r.int(1, 6), r.int(0, 2)];
    const columns = rows + extra;
    // Few different costs: many ties.
    const cost = Array.from({ length: rows }, () =>
      Array.from({ length: columns }, () => (round % 2 ? r.int(0, 3) : r.int(-999, 999) / 7)));
    const found = assign(rows, columns, (i, j) => cost[i]![j]!);
    expect(new Set(found).size).toBe(rows);
    const total = Array.from(found, (j, i) => cost[i]![j]!).reduce((a, b) => a + b, 0);
    expect(total).toBeCloseTo(cheapest(cost, columns), 9);
  }
});

it("refuses more rows than columns", () => {
  expect(() => assign(2, 1, () => 0)).toThrow(InternalError);
});
