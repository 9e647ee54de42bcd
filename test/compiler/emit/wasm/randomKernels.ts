/**
 * Random kernels with inputs: axes of any rank with small, empty and symbolic extents, loads that
 * broadcast, permute, stride, flip, split and guard, and expressions whose every step is exact in
 * f32, so that results can be compared bit by bit. Not a model of real networks: odd cases first.
 */
import fc from "fast-check";
import {
  evalDim, evalShape, mulDims, productOf, symbol, type Dim,
} from "../../../../compiler/graph/dim.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import { packHalves } from "../../../../compiler/graph/half.ts";
import type {
  Expr, ExprBinary, ExprUnary, ScalarType,
} from "../../../../compiler/kernels/expr.ts";
import type {
  Axis, BufferArgument, Kernel, KernelBody,
} from "../../../../compiler/kernels/kernel.ts";
import { ExprPool, flatten } from "../../../../compiler/kernels/pool.ts";
import type { KernelArray } from "./support.ts";

type Draw = fc.GeneratorValue;
export const SYMBOLS = ["B", "N"] as const;

/** Points of one kernel, so that a run takes no time. */
const MAX_POINTS = 2000;
/** From 20 on, walks with guards are split. */
const EXTENTS = [1, 2, 3, 4, 5, 7, 8, 13, 0, 23, 37];

export interface RandomCase {
  readonly kernel: Kernel;
  readonly buffers: KernelArray[];
  readonly sizes: readonly number[];
}

/** Draws one kernel step by step. */
export class CaseBuilder {
  readonly pool = new ExprPool();
  readonly sizes: readonly number[];
  readonly #arguments: BufferArgument[] = [];
  readonly #data: KernelArray[] = [];
  readonly #g: Draw;
  #axes: { extent: Dim; expr: Expr }[] = [];

  readonly #maxPoints: number;

  constructor(g: Draw, maxPoints = MAX_POINTS) {
    this.#g = g;
    this.#maxPoints = maxPoints;
    this.sizes = [this.integer(0, 6), this.integer(1, 9)];
  }

  integer(min: number, max: number): number {
    return this.#g(fc.integer, { min, max });
  }
  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)] as T;
  }
  get bindings(): Record<string, number> {
    return { B: this.sizes[0] as number, N: this.sizes[1] as number };
  }
  value(d: Dim): number {
    return evalDim(d, this.bindings);
  }

  /** Up to `rank` new axes, numbered on from those there are. */
  axes(prefix: string, rank: number, extents: readonly number[] = EXTENTS): Axis[] {
    const count = this.integer(0, rank);
    return Array.from({ length: count }, (_, i) => this.axis(`${prefix}${i}`, extents));
  }
  axis(name: string, extents: readonly number[] = EXTENTS): Axis {
    const kind = this.integer(0, 9);
    const drawn: Dim = kind === 0 ? symbol("B") : kind === 1 ? symbol("N")
      : kind === 2 ? mulDims(symbol("N"), 3) : this.pick(extents);
    const before = this.#axes.reduce((p, a) => p * Math.max(this.value(a.extent), 1), 1);
    const extent = before * this.value(drawn) > this.#maxPoints ? 1 : drawn;
    this.#axes.push({ extent, expr: this.pool.axis(this.#axes.length, extent) });
    return { name, extent };
  }
  /** Builds with these axes alone, for expressions that must not use the others. */
  visible<T>(axes: readonly number[], make: () => T): T {
    const all = this.#axes;
    this.#axes = axes.map((i) => all[i] as (typeof all)[number]);
    const made = make();
    this.#axes = all;
    return made;
  }

  buffer(
    word: Word, access: "read" | "write", size: number, data?: KernelArray,
  ): number {
    const made = data ?? this.#random(word, size);
    const isHalf = word === "f32" && access === "read" && this.integer(0, 3) === 0;
    const storage = isHalf ? "f16" : word;
    this.#arguments.push({ name: `v${this.#arguments.length}`, storage, access, size });
    this.#data.push(isHalf ? packHalves(made) : made);
    return this.#arguments.length - 1;
  }
  #random(storage: Word, size: number): KernelArray {
    const seed = this.integer(1, 2 ** 31 - 1);
    let state = seed;
    const next = (): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return state >>> 8;
    };
    // Small whole and half numbers: sums and products of a few stay exact.
    if (storage === "f32") return Float32Array.from({ length: size }, () => (next() % 33) / 2 - 8);
    if (storage === "i32") return Int32Array.from({ length: size }, () => (next() % 41) - 20);
    return Uint32Array.from({ length: size }, () => next() % 41);
  }

  /** A non-negative index over the visible axes with its largest value. */
  #affine(): { index: Expr; max: number } {
    const { pool } = this;
    let index = pool.const(0);
    let max = 0;
    let stride: Dim = 1;
    const order = this.integer(0, 2) === 0 ? [...this.#axes] : [...this.#axes].reverse();
    for (const { extent, expr } of order) {
      const size = this.value(extent);
      const kind = this.integer(0, 9);
      if (kind <= 1) continue; // broadcast
      const step = kind === 2 ? this.integer(1, 3) : 1;
      const walked = kind === 3 ? pool.sub(pool.sub(pool.size(extent), pool.const(1)), expr) : expr;
      index = pool.add(index, pool.mul(pool.mul(walked, pool.const(step)), pool.size(stride)));
      max += Math.max(size - 1, 0) * step * this.value(stride);
      stride = mulDims(stride, mulDims(extent, step));
    }
    const offset = this.integer(0, 3) === 0 ? this.integer(0, 9) : 0;
    return { index: pool.add(index, pool.const(offset)), max: max + offset };
  }

  /** The flat position over the visible axes, split again at another place. */
  #split(): { index: Expr; max: number } {
    const { pool } = this;
    const shape = this.#axes.map((a) => a.extent);
    const flat = flatten(pool, this.#axes.map((a) => a.expr), shape);
    const total = evalShape(shape, this.bindings).reduce((p, d) => p * d, 1);
    const by = pool.const(this.pick([2, 3, 4, 6]));
    const index = this.integer(0, 1) === 0 ? pool.div(flat, by) : pool.rem(flat, by);
    return { index, max: Math.max(total, 6) };
  }

  load(type: ScalarType): Expr {
    const { pool } = this;
    const storage = type === "bool" ? "i32" : type;
    const kind = this.integer(0, 7);
    const { index, max } = kind === 0 ? this.#split() : this.#affine();
    if (kind === 1 && this.#axes.length > 0) return this.#padded(type);
    if (kind === 2) {
      const table = this.buffer("i32", "read", max + 1,
        Int32Array.from({ length: max + 1 }, (_, i) => (i * 7) % 11));
      return pool.load(this.buffer(storage, "read", 11), pool.load(table, index, "i32"), type);
    }
    return pool.load(this.buffer(storage, "read", max + 1), index, type);
  }

  /** The plainest load: a row-major array over the visible axes. */
  array(type: Word): Expr {
    const { index, size } = this.output();
    return this.pool.load(this.buffer(type, "read", size), index, type);
  }

  /** A load that is only inside its buffer where the guard holds. */
  #padded(type: ScalarType): Expr {
    const { pool } = this;
    const { expr } = this.pick(this.#axes);
    const size = this.pick([1, 2, 3, 5, 20, 30]);
    const scaled = pool.mul(expr, pool.const(this.integer(1, 2)));
    const at = pool.sub(scaled, pool.const(this.integer(0, 4)));
    const other = this.pick(this.#axes);
    const count = this.value(other.extent);
    const index = pool.add(pool.mul(other.expr, pool.const(size)), at);
    const buffer = this.buffer(type === "bool" ? "i32" : type, "read", Math.max(count, 1) * size);
    const inside = pool.within(at, pool.const(0), pool.const(size));
    return pool.guard(inside, pool.load(buffer, index, type), this.constant(type));
  }

  constant(type: ScalarType): Expr {
    return this.pool.const(type === "f32" ? this.integer(-4, 4) / 2 : this.integer(0, 3), type);
  }

  /**
   * An expression whose value is the same whatever the order and width of its evaluation; if
   * `small`, one whose f32 values are multiples of 1/16 below 2^12, so that sums are exact.
   */
  expression(type: ScalarType, depth: number, small = false): Expr {
    const { pool } = this;
    const sub = (t: ScalarType = type): Expr => this.expression(t, depth - 1, small);
    const ops = small ? smallOps : exactOps;
    if (depth <= 0) {
      const kind = this.integer(0, 5);
      if (kind === 0) return this.constant(type);
      if (kind === 1 && this.#axes.length > 0) return pool.cast(this.pick(this.#axes).expr, type);
      if (kind === 2) return pool.cast(pool.size(symbol("N")), type);
      return this.load(type);
    }
    switch (this.integer(0, 6)) {
      case 0: return pool.unary(this.pick(ops.unary[type]), sub());
      case 1: case 2: {
        const op = this.pick(ops.binary[type]);
        if (op !== "shl" && op !== "shr") return pool.binary(op, sub(), sub());
        // Shift counts are not negative.
        return pool.binary(op, sub(), pool.binary("and", sub("u32"), pool.const(63, "u32")));
      }
      case 3: return pool.select(sub("bool"), sub(), sub());
      case 4: return pool.guard(sub("bool"), sub(), sub());
      case 5: return pool.cast(sub(this.pick(["f32", "i32", "u32", "bool"] as const)), type);
      default: {
        if (type !== "bool") return sub();
        const of = this.pick(["f32", "i32", "u32", "bool"] as const);
        return pool.binary(this.pick(["eq", "lt", "le"] as const), sub(of), sub(of));
      }
    }
  }

  /** Row-major index of the visible axes, and the number of elements. */
  output(): { index: Expr; size: number } {
    const shape = this.#axes.map((a) => a.extent);
    return {
      index: flatten(this.pool, this.#axes.map((a) => a.expr), shape),
      size: this.value(productOf(shape)),
    };
  }

  finish(body: KernelBody): RandomCase {
    const kernel = {
      name: "random", origin: [], symbols: [...SYMBOLS], arguments: this.#arguments, body,
    };
    return { kernel, buffers: this.#data, sizes: this.sizes };
  }
}

interface Ops {
  readonly unary: Record<ScalarType, readonly ExprUnary[]>;
  readonly binary: Record<ScalarType, readonly ExprBinary[]>;
}

const exactOps: Ops = {
  unary: {
    f32: ["neg", "abs", "sign", "floor", "ceil", "round", "trunc", "sqrt"],
    i32: ["neg", "abs", "sign", "bitnot"],
    u32: ["abs", "sign", "bitnot"],
    bool: ["not"],
  },
  binary: {
    f32: ["add", "sub", "mul", "div", "max", "min", "rem"],
    i32: ["add", "sub", "mul", "max", "min", "and", "or", "xor", "shl", "shr"],
    u32: ["add", "sub", "mul", "max", "min", "and", "or", "xor", "shl", "shr"],
    bool: ["and", "or", "eq", "lt", "le"],
  },
};

const smallOps: Ops = {
  unary: {
    f32: ["neg", "abs", "sign", "floor"], i32: ["neg", "abs"], u32: ["sign"], bool: ["not"],
  },
  binary: {
    f32: ["add", "sub", "max", "min"], i32: ["add", "sub", "max", "min"],
    u32: ["max", "min", "and"], bool: exactOps.binary.bool,
  },
};
