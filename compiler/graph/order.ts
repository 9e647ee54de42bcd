/**
 * Adjacency, topological order and cycles of graphs that are given as lists: ONNX nodes with the
 * names that they read and write, units with their values. The tensor graph needs none of this, it
 * is always in order.
 *
 * Adjacency is a graphlib `Graph` whose node names are positions in the list, so that its other
 * algorithms apply. Its own topsort recurses (a chain of ten thousand nodes overflows the stack)
 * and says of a cycle only that there is one; the walk below does neither.
 */
import { Graph } from "@dagrejs/graphlib";

export interface Links<T, K> {
  /** What an item needs; what no item writes comes from outside. */
  reads(item: T): Iterable<K>;
  /** What it makes; of several writers of one thing the first counts. */
  writes(item: T): Iterable<K>;
}

/** Edges go from the writer to the reader; node names are positions in `items`. */
export function adjacency<T, K>(items: readonly T[], links: Links<T, K>): Graph {
  const graph = new Graph();
  const writer = new Map<K, number>();
  items.forEach((item, i) => {
    graph.setNode(String(i));
    for (const key of links.writes(item)) if (!writer.has(key)) writer.set(key, i);
  });
  items.forEach((item, i) => {
    for (const key of links.reads(item)) {
      const from = writer.get(key);
      if (from !== undefined) graph.setEdge(String(from), String(i));
    }
  });
  return graph;
}

/**
 * Items so that each comes after what it reads, or a cycle that makes this impossible: each item of
 * the cycle feeds the next, the last feeds the first. A list that is in order stays as it is.
 */
export type Ordered<T> =
  | { readonly order: readonly T[]; readonly cycle?: undefined }
  | { readonly order?: undefined; readonly cycle: readonly T[] };

export function topologicalOrder<T, K>(items: readonly T[], links: Links<T, K>): Ordered<T> {
  const graph = adjacency(items, links);
  // Last first, so that `pop` takes them in the order of the list.
  const needs = (i: number): number[] =>
    (graph.predecessors(String(i)) ?? []).map(Number).sort((a, b) => b - a);
  const order: T[] = [];
  const state = new Uint8Array(items.length);
  const [onPath, done] = [1, 2];
  for (let start = 0; start < items.length; start++) {
    if (state[start] === done) continue;
    // An explicit stack: each entry waits for the rest of what it needs.
    const path = [{ at: start, rest: needs(start) }];
    state[start] = onPath;
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const next = top.rest.pop();
      if (next === undefined) {
        state[top.at] = done;
        order.push(items[top.at] as T);
        path.pop();
      } else if (state[next] === onPath) {
        const cycle = path.slice(path.findIndex(({ at }) => at === next));
        return { cycle: cycle.reverse().map(({ at }) => items[at] as T) };
      } else if (state[next] !== done) {
        state[next] = onPath;
        path.push({ at: next, rest: needs(next) });
      }
    }
  }
  return { order };
}
