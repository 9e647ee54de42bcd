/** Random graphs over most primitives, for comparing what compiles with what evaluates. */
import { Builder } from "../../compiler/graph/builder.ts";
import { isStatic } from "../../compiler/graph/dim.ts";
import type { Graph, Value } from "../../compiler/graph/graph.ts";
import { sizeOf, tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { windowCount } from "../../compiler/ops/windows.ts";

/** A small deterministic generator (mulberry32): tests name the seed that failed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export class Random {
  readonly next: () => number;
  constructor(seed: number) {
    this.next = generator(seed);
  }
  int(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }
  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)] as T;
  }
  shape(maxRank: number, maxSize = 4): number[] {
    return Array.from({ length: this.int(0, maxRank) }, () =>
      this.next() < 0.05 ? 0 : this.int(1, maxSize),
    );
  }
  tensor(shape: readonly number[], low = -1, high = 1): Tensor {
    const draw = (): number => low + (high - low) * this.next();
    return tensor("float32", shape, Float32Array.from({ length: sizeOf(shape) }, draw));
  }
}

type Step = (b: Builder, r: Random, pool: readonly Value[]) => Value | undefined;
const shape = (v: Value): readonly number[] => v.type.shape as readonly number[];

function shuffled(r: Random, n: number): number[] {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = r.int(0, i);
    [order[i], order[j]] = [order[j] as number, order[i] as number];
  }
  return order;
}

/** A shape of the same number of elements, by splitting and merging. */
function reshaped(r: Random, from: readonly number[]): number[] {
  let left = sizeOf(from);
  if (left === 0) return [...from];
  const out: number[] = [];
  while (left > 1 && out.length < 5) {
    const divisors = Array.from({ length: left }, (_, i) => i + 1).filter((d) => left % d === 0);
    const d = r.pick(divisors);
    out.push(d);
    left /= d;
  }
  if (left > 1) out.push(left);
  if (r.next() < 0.3) out.splice(r.int(0, out.length), 0, 1);
  return out;
}

const steps: Record<string, Step> = {
  unary: (b, r, pool) => {
    const op = r.pick(["neg", "abs", "tanh", "sin", "floor", "exp"] as const);
    return b.unary(op, r.pick(pool));
  },
  binary: (b, r, pool) => {
    const x = r.pick(pool);
    const y = r.pick(pool.filter((v) => String(v.type.shape) === String(x.type.shape)));
    return b.binary(r.pick(["add", "sub", "mul", "max", "min"] as const), x, y);
  },
  choose: (b, r, pool) => {
    const x = r.pick(pool);
    return b.where(b.binary("lt", x, b.full(x, 0.1)), x, b.full(x, 0.5));
  },
  reshape: (b, r, pool) => {
    const x = r.pick(pool);
    return b.reshape(x, reshaped(r, shape(x)));
  },
  transpose: (b, r, pool) => {
    const x = r.pick(pool);
    return b.transpose(x, shuffled(r, shape(x).length));
  },
  broadcast: (b, r, pool) => {
    const x = r.pick(pool);
    const to = shape(x).map((d) => (d === 1 ? r.int(1, 3) : d));
    return b.broadcast(x, r.next() < 0.4 ? [r.int(1, 3), ...to] : to);
  },
  slice: (b, r, pool) => {
    const x = r.pick(pool);
    const starts: number[] = [];
    const sizes: number[] = [];
    const steps: number[] = [];
    for (const d of shape(x)) {
      const step = r.int(1, 2);
      const start = d === 0 ? 0 : r.int(0, d - 1);
      starts.push(start);
      steps.push(step);
      sizes.push(d === 0 ? 0 : r.int(0, Math.floor((d - 1 - start) / step) + 1));
    }
    return b.slice(x, starts, sizes, steps);
  },
  flip: (b, r, pool) => {
    const x = r.pick(pool);
    return b.flip(
      x,
      shape(x)
        .map((_, i) => i)
        .filter(() => r.next() < 0.5),
    );
  },
  pad: (b, r, pool) => {
    const x = r.pick(pool);
    const low = shape(x).map((d) => r.int(d > 1 ? -1 : 0, 2));
    const high = shape(x).map(() => r.int(0, 2));
    return b.pad(
      x,
      low,
      high,
      0.25,
      shape(x).map(() => (r.next() < 0.2 ? 1 : 0)),
    );
  },
  concat: (b, r, pool) => {
    const x = r.pick(pool);
    if (shape(x).length === 0) return undefined;
    const axis = r.int(0, shape(x).length - 1);
    const fits = pool.filter(
      (v) =>
        shape(v).length === shape(x).length &&
        shape(v).every((d, i) => i === axis || d === shape(x)[i]),
    );
    return b.concat([x, r.pick(fits), r.pick(fits)], axis);
  },
  window: (b, r, pool) => {
    const x = r.pick(pool);
    if (shape(x).length === 0 || shape(x).length > 3) return undefined;
    const size = shape(x).at(-1) as number;
    const kernel = r.int(1, 2);
    const [stride, dilation] = [r.int(1, 2), r.int(1, 2)];
    if (!windowCount(size, kernel, stride, dilation)) return undefined;
    const attrs = { sizes: [kernel], strides: [stride], dilations: [dilation] };
    const w = b.add("window", [x], attrs);
    return r.next() < 0.5 ? w : b.add("unwindow", [w], { ...attrs, shape: shape(x) });
  },
  gather: (b, r, pool) => {
    const x = r.pick(pool);
    if (shape(x).length === 0 || shape(x).includes(0)) return undefined;
    const axis = r.int(0, shape(x).length - 1);
    const count = r.int(0, 3);
    const at = Array.from({ length: count }, () => r.int(0, (shape(x)[axis] as number) - 1));
    return b.gather(x, b.constant(tensor("int32", [count], at), `indices${r.int(0, 1e9)}`), axis);
  },
  reduce: (b, r, pool) => {
    const x = r.pick(pool);
    const axes = shape(x)
      .map((_, i) => i)
      .filter(() => r.next() < 0.5);
    const kind = r.pick(["sum", "max", "min", "prod"] as const);
    if (sizeOf(shape(x)) === 0 && kind !== "sum") return undefined;
    return b.reduce(kind, x, axes, r.next() < 0.5);
  },
  cumulate: (b, r, pool) => {
    const x = r.pick(pool);
    if (shape(x).length === 0) return undefined;
    const kind = r.pick(["sum", "prod"] as const);
    return b.add("cumulate", [x], { kind, axis: r.int(0, shape(x).length - 1) });
  },
  sort: (b, r, pool) => {
    const x = r.pick(pool);
    if (shape(x).length === 0) return undefined;
    const order = b.add("argsort", [x], { descending: r.next() < 0.5 });
    return b.cast(order, "float32");
  },
  scatter: (b, r, pool) => {
    const x = r.pick(pool.filter((v) => shape(v).length === 2));
    if (!x) return undefined;
    const count = r.int(0, 3);
    const last = Math.max(0, (shape(x)[0] as number) - 1);
    const at = Array.from({ length: count }, () => r.int(0, last));
    const updates = b.constant(r.tensor([count, shape(x)[1] as number]), `updates${r.int(0, 1e9)}`);
    const rows = b.constant(tensor("int32", [count], at), `rows${r.int(0, 1e9)}`);
    return b.add("scatter", [x, rows, updates], { kind: r.pick(["none", "add", "max"] as const) });
  },
  dot: (b, r, pool) => {
    const x = r.pick(pool);
    if (shape(x).length === 0) return undefined;
    const batch = r.int(0, shape(x).length - 1);
    const contract = r.int(1, shape(x).length - batch);
    const kept = shape(x).slice(shape(x).length - contract);
    const weights = r.tensor([...shape(x).slice(0, batch), ...kept, r.int(1, 5)]);
    return b.dot(x, b.constant(weights, `w${r.int(0, 1e9)}`), batch, contract);
  },
  conv: (b, r, pool) => {
    const x = r.pick(pool.filter((v) => shape(v).length === 4 && !shape(v).includes(0)));
    if (!x) return undefined;
    const groups = r.next() < 0.3 ? (shape(x)[1] as number) : 1;
    const kernel = [r.int(1, 2), r.int(1, 3)];
    const attrs = {
      strides: [r.int(1, 2), r.int(1, 2)],
      dilations: [1, r.int(1, 2)],
      groups,
      low: [r.int(0, 1), r.int(1, 2)],
      high: [r.int(1, 2), r.int(2, 3)],
    };
    const w = r.tensor([groups * r.int(1, 2), (shape(x)[1] as number) / groups, ...kernel]);
    return b.add("conv", [x, b.constant(w, `k${r.int(0, 1e9)}`)], attrs);
  },
};
export const stepNames = Object.keys(steps);

export interface RandomCase {
  readonly graph: Graph;
  readonly inputs: Map<string, Tensor>;
  /** Which steps the graph holds, so that a test can tell what it covered. */
  readonly used: ReadonlySet<string>;
}

/** A graph of about `length` random steps whose every sink is an output. */
export function randomGraph(seed: number, length: number): RandomCase {
  const r = new Random(seed);
  const b = new Builder(`random${seed}`);
  const inputs = new Map<string, Tensor>();
  const pool: Value[] = [];
  const give = (name: string, dims: readonly number[]): void => {
    pool.push(b.input(name, { dtype: "float32", shape: dims }));
    inputs.set(name, r.tensor(dims));
  };
  give("x", r.shape(5));
  give("image", [r.int(1, 2), r.int(1, 3), r.int(2, 5), r.int(2, 5)]);
  give("matrix", [r.int(1, 5), r.int(1, 5)]);
  const used = new Set<string>();
  for (let i = 0; i < length; i++) {
    const name = r.pick(stepNames);
    const v = (steps[name] as Step)(b, r, pool);
    if (!v || !isStatic(v.type.shape) || sizeOf(v.type.shape) > 2000) continue;
    used.add(name);
    pool.push(v);
  }
  const read = new Set(pool.flatMap((v) => (v.node?.inputs ?? []) as Value[]));
  const sinks = pool.filter((v) => v.node && !read.has(v));
  const outputs = [...new Set(sinks)].map((value, i) => ({ name: `out${i}`, value }));
  return { graph: b.finish(outputs), inputs, used };
}
