/** The index simplifier against brute force: random expressions, every point of their axes. */
import { describe, expect, it } from "vitest";
import {
  addDims, evalDim, evalShape, mulDims, productOf, symbol, type Dim,
} from "../../../compiler/graph/dim.ts";
import { collect, type Expr } from "../../../compiler/kernels/expr.ts";
import { ExprPool, flatten } from "../../../compiler/kernels/pool.ts";
import { forEachIndex } from "../../../compiler/ops/common.ts";
import { reindex } from "../../../compiler/ops/movement.ts";
import { Unspecified, valueOf, type Point } from "../../support/exprValue.ts";
import { Random } from "../../support/randomGraph.ts";

/** An expression as the pool made it, and what it is without any simplification. */
interface Pair {
  readonly e: Expr;
  value(at: Point): number;
}

const sizesOfN = [1, 3];
const N: Dim = symbol("N");

class Generator {
  readonly pool = new ExprPool();
  readonly r: Random;
  readonly extents: readonly Dim[];
  readonly #leaves: (() => Pair)[];

  constructor(seed: number, withData: boolean) {
    this.r = new Random(seed);
    this.extents = [this.r.int(1, 6), this.r.int(1, 5), this.r.int(1, 4), N];
    const size = this.r.pick([N, mulDims(N, 4), addDims(N, 3)]);
    this.#leaves = [
      ...this.extents.map((extent, axis) => (): Pair =>
        ({ e: this.pool.axis(axis, extent), value: (at) => at.axes[axis] as number })),
      () => this.constant(this.r.int(0, 12)),
      () => this.constant(this.r.int(-9, 40)),
      () => {
        const e = this.pool.size(size);
        return { e, value: (at) => valueOf(e, at) };
      },
    ];
    if (!withData) return;
    const load = (): Pair => {
      const index = this.constant(this.r.int(0, 3));
      const e = this.pool.load(0, index.e, "i32");
      return { e, value: (at) => at.load(0, index.value(at)) };
    };
    // Large numbers only meet loaded ones: index arithmetic does not overflow, by contract.
    const [large, scale] = [[2 ** 31 - 1, -(2 ** 31), 123456789], [65537, 123456789, -7]];
    this.#leaves.push(load, () => {
      const [a, c] = [load(), this.constant(this.r.pick(large))];
      return { e: this.pool.add(a.e, c.e), value: (at) => (a.value(at) + c.value(at)) | 0 };
    }, () => {
      const [a, c] = [load(), this.constant(this.r.pick(scale))];
      return { e: this.pool.mul(a.e, c.e), value: (at) => Math.imul(a.value(at), c.value(at)) };
    });
  }

  constant(c: number): Pair {
    return { e: this.pool.const(c), value: () => c };
  }

  number(depth: number): Pair {
    if (depth === 0 || this.r.next() < 0.1) return this.r.pick(this.#leaves)();
    const a = this.number(depth - 1);
    // Divisors are mostly constants, as in index arithmetic.
    const b = this.r.next() < 0.3 ? this.number(depth - 1) : this.constant(this.r.int(1, 12));
    const c = this.number(depth - 1);
    const steps: (() => Pair)[] = [
      () => ({ e: this.pool.add(a.e, c.e), value: (at) => (a.value(at) + c.value(at)) | 0 }),
      () => ({ e: this.pool.sub(a.e, c.e), value: (at) => (a.value(at) - c.value(at)) | 0 }),
      () => ({ e: this.pool.mul(a.e, b.e), value: (at) => Math.imul(a.value(at), b.value(at)) }),
      () => ({ e: this.pool.div(a.e, b.e), value: (at) => divide(a.value(at), b.value(at)) }),
      () => ({ e: this.pool.rem(a.e, b.e), value: (at) => remainder(a.value(at), b.value(at)) }),
      () => ({
        e: this.pool.binary("max", a.e, c.e), value: (at) => Math.max(a.value(at), c.value(at)),
      }),
      () => ({
        e: this.pool.binary("min", a.e, c.e), value: (at) => Math.min(a.value(at), c.value(at)),
      }),
      () => {
        const cond = this.condition(depth - 1);
        const how = this.r.pick(["select", "guard"] as const);
        return {
          e: this.pool[how](cond.e, a.e, c.e),
          value: (at) => (cond.value(at) ? a.value(at) : c.value(at)),
        };
      },
    ];
    return this.r.pick(steps)();
  }

  condition(depth: number): Pair {
    const [a, b] = [this.number(depth), this.number(depth)];
    const { pool } = this;
    const steps: (() => Pair)[] = [
      () => ({ e: pool.lt(a.e, b.e), value: (at) => Number(a.value(at) < b.value(at)) }),
      () => ({ e: pool.binary("le", a.e, b.e), value: (at) => Number(a.value(at) <= b.value(at)) }),
      () => ({
        e: pool.binary("eq", a.e, b.e), value: (at) => Number(a.value(at) === b.value(at)),
      }),
      () => ({
        e: pool.within(a.e, b.e, pool.const(7)),
        value: (at) => Number(b.value(at) <= a.value(at) && a.value(at) < 7),
      }),
      () => ({ e: pool.not(pool.lt(a.e, b.e)), value: (at) => Number(a.value(at) >= b.value(at)) }),
    ];
    return this.r.pick(steps)();
  }
}

const divide = (a: number, b: number): number => {
  if (b === 0) throw new Unspecified();
  return Math.trunc(a / b) | 0;
};
const remainder = (a: number, b: number): number => (a - Math.imul(divide(a, b), b)) | 0;

const memory = [0, 5, -3, 2 ** 31 - 1, -(2 ** 31), 2 ** 30];
function points(extents: readonly Dim[]): Point[] {
  return sizesOfN.flatMap((n) => {
    const all: Point[] = [];
    forEachIndex(evalShape(extents, { N: n }), (axes, flat) => {
      const load = (_: number, i: number): number => memory[(i + flat) % memory.length] as number;
      all.push({ axes: [...axes], sizes: { N: n }, load });
    });
    return all;
  });
}

describe.each([false, true])("with loaded data: %s", (withData) => {
  it("keeps the value of every expression at every point, and inside its range", () => {
    let [compared, shorter] = [0, 0];
    for (let seed = 1; seed <= 700; seed++) {
      const g = new Generator(seed, withData);
      const { e, value } = g.number(g.r.int(1, 4));
      const nodes = collect([e]);
      if (nodes.length === 1) shorter++;
      for (const at of points(g.extents)) {
        let expected: number;
        try {
          expected = value(at);
        } catch (error) {
          if (error instanceof Unspecified) continue;
          throw error;
        }
        const memo = new Map<Expr, number>();
        const actual = valueOf(e, at, memo);
        if (actual !== expected) expect(actual, `seed ${seed} at ${at.axes}`).toBe(expected);
        for (const [node, v] of memo) {
          if (node.type === "bool" || (v >= node.min && v <= node.max)) continue;
          expect.fail(`seed ${seed}: ${v} outside [${node.min}, ${node.max}]`);
        }
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(30_000);
    expect(shorter).toBeGreaterThan(50);
  });
});

const isDivision = (e: Expr): boolean => e.kind === "binary" && (e.op === "div" || e.op === "rem");

/** A list whose product is `total` times N where `symbolic`, with some ones in between. */
function randomShape(r: Random, total: number, symbolic: boolean): Dim[] {
  const shape: Dim[] = [];
  for (let left = total; left > 1;) {
    const d = r.pick([2, 3, 4, 6, 12, 24].filter((n) => left % n === 0));
    shape.push(d);
    left /= d;
  }
  if (symbolic) {
    const at = r.int(0, shape.length);
    if (shape.length > 0 && r.next() < 0.4) shape[0] = mulDims(shape[0] as Dim, N);
    else shape.splice(at, 0, N);
  }
  if (r.next() < 0.5) shape.splice(r.int(0, shape.length), 0, 1);
  return shape;
}

describe("reshaped indices", () => {
  it("reach the element of the same number, at every point", () => {
    for (let seed = 1; seed <= 400; seed++) {
      const r = new Random(seed);
      const total = r.pick([1, 2, 6, 12, 24]);
      const symbolic = r.next() < 0.4;
      const [from, to] = [randomShape(r, total, symbolic), randomShape(r, total, symbolic)];
      const pool = new ExprPool();
      const axes = from.map((extent, i) => pool.axis(i, extent));
      const there = reindex(pool, axes, from, to);
      expect(there.length).toBe(to.length);
      const [before, after] = [flatten(pool, axes, from), flatten(pool, there, to)];
      for (const at of points(from)) {
        const values = there.map((e) => valueOf(e, at));
        const bounds = evalShape(to, at.sizes);
        if (values.some((v, i) => v < 0 || v >= (bounds[i] as number))) {
          expect.fail(`seed ${seed}: [${values}] outside [${bounds}]`);
        }
        expect(valueOf(after, at), `seed ${seed}: [${from}] to [${to}]`).toBe(valueOf(before, at));
      }
    }
  });

  it("are the same axes again after going there and back", () => {
    const shapes: [Dim[], Dim[]][] = [
      [[N, 3, 8, 8], [N, 192]], [[N, 4, 6], [N, 2, 2, 6]], [[6, 35], [2, 3, 5, 7]],
      [[N, 12], [mulDims(N, 12)]],
    ];
    for (const [from, to] of shapes) {
      const pool = new ExprPool();
      const axes = from.map((extent, i) => pool.axis(i, extent));
      const back = reindex(pool, reindex(pool, axes, from, to), to, from);
      back.forEach((e, i) => expect(e).toBe(axes[i]));
    }
  });

  it("divide only where axes really split", () => {
    const divisions = (from: Dim[], to: Dim[]): number => {
      const pool = new ExprPool();
      const there = reindex(pool, from.map((extent, i) => pool.axis(i, extent)), from, to);
      return collect(there).filter(isDivision).length;
    };
    expect(divisions([N, 3, 8, 8], [N, 192])).toBe(0);
    expect(divisions([N, 1, 5, 1, 7], [1, N, 5, 7])).toBe(0);
    expect(divisions([N, 6, 35], [N, 2, 3, 35])).toBe(2);
  });
});

it("flattens what it has split into the index that was split", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const r = new Random(seed);
    const shape = randomShape(r, r.pick([6, 12, 24, 48]), r.next() < 0.3).filter((d) => d !== 1);
    const pool = new ExprPool();
    const flat = pool.axis(0, productOf(shape));
    let rest = flat;
    const parts: Expr[] = [];
    for (const size of [...shape].reverse().slice(0, -1)) {
      parts.unshift(pool.rem(rest, pool.size(size)));
      rest = pool.div(rest, pool.size(size));
    }
    // Division by a symbolic size is left alone; every other split is undone.
    if (shape.slice(1).every((d) => typeof d === "number")) {
      expect(flatten(pool, [rest, ...parts], shape), `seed ${seed}`).toBe(flat);
    }
    for (const n of sizesOfN) {
      const total = evalDim(productOf(shape), { N: n });
      for (let i = 0; i < total; i++) {
        const at: Point = { axes: [i], sizes: { N: n }, load: () => 0 };
        expect(valueOf(flatten(pool, [rest, ...parts], shape), at)).toBe(i);
      }
    }
  }
});

describe("float constants", () => {
  const pool = new ExprPool();
  const f = (value: number): Expr => pool.const(value, "f32");

  it("fold where float32 holds the result as it is, or not at all", () => {
    expect(pool.binary("mul", f(0.5), f(3))).toBe(f(1.5));
    expect(pool.unary("sqrt", f(4))).toBe(f(2));
    expect(pool.unary("neg", f(0))).toBe(f(-0));
    expect(pool.unary("log", f(0))).toBe(f(-Infinity));
    expect(pool.binary("div", f(0), f(0))).toBe(f(NaN));
    expect(pool.unary("exp", f(1000))).toBe(f(Infinity));
    expect(pool.cast(pool.const(7), "f32")).toBe(f(7));
  });

  it("stay where rounding would show in a float64 reader", () => {
    expect(pool.binary("div", f(1), f(3)).kind).toBe("binary");
    expect(pool.unary("exp", f(1)).kind).toBe("unary");
    expect(pool.cast(pool.const(2 ** 24 + 1), "f32").kind).toBe("cast");
  });

  it("drop out as factors of one only", () => {
    const x = pool.load(0, pool.const(0), "f32");
    expect(pool.binary("mul", x, f(1))).toBe(x);
    expect(pool.binary("mul", f(1), x)).toBe(x);
    expect(pool.binary("div", x, f(1))).toBe(x);
    expect(pool.binary("mul", x, f(0)).kind).toBe("binary");
    expect(pool.binary("add", x, f(0)).kind).toBe("binary");
  });
});

it("refuses nodes of another pool, whose ids mean other nodes here", () => {
  const [pool, other] = [new ExprPool(), new ExprPool()];
  const mine = pool.axis(0, 4);
  const foreign = other.axis(1, 4);
  expect(foreign.id).toBe(mine.id);
  expect(() => pool.add(mine, foreign)).toThrow(/two pools/);
  expect(() => pool.load(0, foreign, "f32")).toThrow(/two pools/);
});
