/** Orders and cycles against graphlib's own algorithms, on random lists and on deep ones. */
import { alg } from "@dagrejs/graphlib";
import { expect, it } from "vitest";
import { adjacency, topologicalOrder, type Links } from "../../../compiler/graph/order.ts";
import { Random } from "../../support/randomGraph.ts";

interface Item { readonly name: string; readonly reads: readonly string[] }
const links: Links<Item, string> = {
  reads: (item) => item.reads,
  writes: (item) => [item.name],
};

function randomItems(r: Random): Item[] {
  const count = r.int(1, 9);
  const names = Array.from({ length: count }, (_, i) => `n${i}`);
  return names.map((name) => ({
    name, reads: names.filter(() => r.next() < 0.18).concat(r.next() < 0.3 ? ["outside"] : []),
  }));
}

it("orders what has an order and names a cycle of what has none, as graphlib decides", () => {
  const r = new Random(1);
  let [ordered, cyclic] = [0, 0];
  for (let n = 0; n < 2000; n++) {
    const items = randomItems(r);
    const { order, cycle } = topologicalOrder(items, links);
    expect(order !== undefined).toBe(alg.isAcyclic(adjacency(items, links)));
    if (order) {
      ordered++;
      expect([...order].sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual(items);
      order.forEach((item, i) => item.reads.forEach((name) => {
        if (name !== "outside") expect(order.findIndex((o) => o.name === name)).toBeLessThan(i);
      }));
    } else {
      cyclic++;
      expect(new Set(cycle).size).toBe(cycle.length);
      cycle.forEach((item, i) => {
        expect((cycle[(i + 1) % cycle.length] as Item).reads).toContain(item.name);
      });
      const parts = alg.findCycles(adjacency(items, links)).map((part) => new Set(part));
      const places = cycle.map((item) => String(items.indexOf(item)));
      expect(parts.some((part) => places.every((place) => part.has(place)))).toBe(true);
    }
  }
  expect(Math.min(ordered, cyclic)).toBeGreaterThan(300);
});

it("leaves a list that is in order as it is", () => {
  const items = [["a"], ["b"], ["c", "a"], ["d", "a", "c"], ["e", "b"]]
    .map(([name, ...reads]) => ({ name: name as string, reads }));
  expect(topologicalOrder(items, links).order).toEqual(items);
});

it("takes names that mean something to JavaScript, and an item that reads itself", () => {
  const items = ["constructor", "__proto__", "toString"].map((name) => ({ name, reads: [] }));
  expect(topologicalOrder(items, links).order).toEqual(items);
  const self = { name: "loop", reads: ["loop"] };
  expect(topologicalOrder([self], links).cycle).toEqual([self]);
});

it("orders a chain of 50 000 that is listed backwards", () => {
  const items = Array.from({ length: 50_000 }, (_, i) => ({ name: `${i}`, reads: [`${i + 1}`] }));
  expect(topologicalOrder(items, links).order).toEqual([...items].reverse());
});
