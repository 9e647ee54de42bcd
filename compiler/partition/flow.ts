/**
 * Maximum flow by Dinic's algorithm on whole-number capacities. Whole numbers below 2^53 add and
 * subtract exactly in doubles, so flow and cut agree to the last unit and the bound is a proof, not
 * an estimate; scaling real costs to whole numbers is the caller's part.
 * Source: Dinitz 1970; even, with the reverse search from the sink that yields the sink's side.
 */
import { InternalError } from "../errors.ts";

/** Larger than any finite capacity or sum of them; such an edge is never cut. */
export const UNCUTTABLE = 2 ** 52;

export class FlowNetwork {
  readonly #head: number[] = [];
  readonly #next: number[] = [];
  readonly #to: number[] = [];
  readonly #left: number[] = [];

  /** Adds a node and returns its number. */
  node(): number {
    this.#head.push(-1);
    return this.#head.length - 1;
  }

  get nodes(): number {
    return this.#head.length;
  }

  /** An edge with a whole capacity in 0..UNCUTTABLE. */
  edge(from: number, to: number, capacity: number): void {
    if (!Number.isInteger(capacity) || capacity < 0 || capacity > UNCUTTABLE) {
      throw new InternalError(`capacity ${capacity} is not a whole number in 0..2^52`);
    }
    if (capacity === 0 || from === to) return;
    this.#arc(from, to, capacity);
    this.#arc(to, from, 0);
  }

  #arc(from: number, to: number, capacity: number): void {
    this.#next.push(this.#head[from] as number);
    this.#to.push(to);
    this.#left.push(capacity);
    this.#head[from] = this.#to.length - 1;
  }

  /** Largest flow from s to t. Afterwards `reaches` tells the sides of a smallest cut. */
  maximise(s: number, t: number): number {
    const level = new Int32Array(this.nodes);
    const arc = new Int32Array(this.nodes);
    let flow = 0;
    while (this.#levels(s, t, level)) {
      for (let v = 0; v < this.nodes; v++) arc[v] = this.#head[v] as number;
      for (;;) {
        const pushed = this.#augment(s, t, level, arc);
        if (pushed === 0) break;
        flow += pushed;
      }
    }
    return flow;
  }

  /** Breadth-first levels over residual arcs; true when t is reached. */
  #levels(s: number, t: number, level: Int32Array): boolean {
    level.fill(-1);
    level[s] = 0;
    const queue = [s];
    for (let i = 0; i < queue.length; i++) {
      const v = queue[i] as number;
      for (let e = this.#head[v] as number; e >= 0; e = this.#next[e] as number) {
        const w = this.#to[e] as number;
        if ((this.#left[e] as number) > 0 && level[w] === -1) {
          level[w] = (level[v] as number) + 1;
          queue.push(w);
        }
      }
    }
    return level[t] !== -1;
  }

  /** One path of the level graph, found without recursion: graphs may be long chains. */
  #augment(s: number, t: number, level: Int32Array, arc: Int32Array): number {
    const path: number[] = [];
    let v = s;
    while (v !== t) {
      const e = arc[v] as number;
      if (e < 0) {
        if (v === s) return 0;
        // A dead end: step back and never try the arc again.
        const last = path.pop() as number;
        v = this.#to[last ^ 1] as number;
        arc[v] = this.#next[last] as number;
        continue;
      }
      const w = this.#to[e] as number;
      if ((this.#left[e] as number) > 0 && level[w] === (level[v] as number) + 1) {
        path.push(e);
        v = w;
      } else {
        arc[v] = this.#next[e] as number;
      }
    }
    let bottleneck = Infinity;
    for (const e of path) bottleneck = Math.min(bottleneck, this.#left[e] as number);
    for (const e of path) {
      this.#left[e] = (this.#left[e] as number) - bottleneck;
      this.#left[e ^ 1] = (this.#left[e ^ 1] as number) + bottleneck;
    }
    return bottleneck;
  }

  /**
   * After `maximise`: nodes from which t can still be reached. They are the sink's side of the
   * smallest cut with the fewest sink nodes.
   */
  reaches(t: number): boolean[] {
    const side = new Array<boolean>(this.nodes).fill(false);
    side[t] = true;
    const queue = [t];
    for (let i = 0; i < queue.length; i++) {
      const v = queue[i] as number;
      for (let e = this.#head[v] as number; e >= 0; e = this.#next[e] as number) {
        const w = this.#to[e] as number;
        // The arc w -> v is the partner of v -> w.
        if ((this.#left[e ^ 1] as number) > 0 && side[w] !== true) {
          side[w] = true;
          queue.push(w);
        }
      }
    }
    return side;
  }
}
