/**
 * Random kernels with their inputs, drawn through fast-check: any rank from 0 to 6, extents 0 and 1
 * included, symbolic extents, permuted, broadcast, reversed, strided, shifted, padded and reshaped
 * loads, all scalar types. Floats are small integers and only operators that keep them so are used,
 * so that every order of summation gives the same result and readers must agree exactly.
 */
import fc from "fast-check";
import { evalDim, productOf, symbol, type Dim } from "../../../../compiler/graph/dim.ts";
import type { ReduceKind, ScatterKind } from "../../../../compiler/graph/graph.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import { packHalves } from "../../../../compiler/graph/half.ts";
import type { Expr, ExprBinary, ExprUnary, ScalarType } from "../../../../compiler/kernels/expr.ts";
import type {
  Axis, BufferArgument, Kernel, KernelBody, KernelKind, Store,
} from "../../../../compiler/kernels/kernel.ts";
import { ExprPool, flatten } from "../../../../compiler/kernels/pool.ts";

export type KernelArray = Float32Array | Int32Array | Uint32Array;

export interface KernelCase {
  readonly kernel: Kernel;
  /** Values of the kernel's symbols, in order. */
  readonly sizes: readonly number[];
  /** One per argument; the written one is filled with a value that no kernel computes. */
  readonly buffers: readonly KernelArray[];
}

/** Draws a value; the form of fast-check's `gen()`. */
type Draw = fc.GeneratorValue;

const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array } as const;
export const untouched = 12345;

/** An axis of the nest: its expression, and where it stands. */
interface Index {
  readonly e: Expr;
  readonly extent: Dim;
}

class Build {
  readonly pool = new ExprPool();
  readonly arguments: BufferArgument[] = [];
  readonly data: (KernelArray | undefined)[] = [];
  readonly #draw: Draw;
  readonly bindings: Readonly<Record<string, number>>;

  constructor(draw: Draw) {
    this.#draw = draw;
    this.bindings = { N: this.chance(5) ? 0 : this.int(1, 5) };
  }

  int(min: number, max: number): number {
    return this.#draw(fc.integer, { min, max });
  }
  chance(percent: number): boolean {
    return this.int(0, 99) < percent;
  }
  pick<T>(items: readonly T[]): T {
    return items[this.int(0, items.length - 1)] as T;
  }
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(0, i);
      [out[i], out[j]] = [out[j] as T, out[i] as T];
    }
    return out;
  }

  /** Axes numbered from `first`; the names invite collisions with everything else. */
  axes(
    first: number, rank: number, largest: number, smallest = 1,
  ): { axes: Axis[]; indices: Index[] } {
    const axes: Axis[] = [];
    const indices: Index[] = [];
    for (let i = 0; i < rank; i++) {
      const extent: Dim = this.chance(10) ? symbol("N") : this.chance(2) ? 0
        : this.chance(15) ? smallest : this.int(smallest, largest);
      axes.push({ name: this.pick(["i", "row", "x", "max", "acc", "k", "for", "t"]), extent });
      indices.push({ e: this.pool.axis(first + i, extent), extent });
    }
    return { axes, indices };
  }

  buffer(word: Word, size: Dim, isBool = false): number {
    const name = this.pick(["x", "a", "b", "/net/Relu_output_0", "sum", "i", "weight", "parts"]);
    const isHalf = word === "f32" && this.chance(25);
    this.arguments.push({ name, storage: isHalf ? "f16" : word, access: "read", size });
    const values = Array.from({ length: Math.max(evalDim(size, this.bindings), 0) }, () =>
      (isBool ? this.int(0, 1) : word === "u32" ? this.int(0, 9) : this.int(-9, 9)));
    this.data.push(isHalf ? packHalves(values) : arrays[word].from(values));
    return this.arguments.length - 1;
  }

  output(storage: Word, size: Dim): number {
    const name = this.pick(["y", "out", "x", "acc"]);
    this.arguments.push({ name, storage, access: "write", size });
    this.data.push(undefined);
    return this.arguments.length - 1;
  }

  /** A load that uses some of the indices, each in some way. */
  load(indices: readonly Index[], type: ScalarType): Expr {
    const { pool } = this;
    const used = this.shuffle(indices.filter(() => this.chance(80)));
    const shape: Dim[] = [];
    const at: Expr[] = [];
    let inside = pool.const(1, "bool");
    for (const { e, extent } of used) {
      const way = typeof extent === "number" && extent > 0 ? this.int(0, 5) : 0;
      const n = extent as number;
      if (way === 1) {
        shape.push(n);
        at.push(pool.sub(pool.const(n - 1), e));
      } else if (way === 2) {
        const [start, step] = [this.int(0, 2), this.int(1, 3)];
        shape.push(start + step * (n - 1) + 1 + this.int(0, 1));
        at.push(pool.add(pool.const(start), pool.mul(e, pool.const(step))));
      } else if (way === 3 && n > 2) {
        const low = this.int(0, 1);
        const size = n - low - this.int(0, 1);
        const moved = pool.sub(e, pool.const(low));
        inside = pool.and(inside, pool.within(moved, pool.const(0), pool.const(size)));
        shape.push(size);
        at.push(moved);
      } else if (way === 4 && n % 2 === 0) {
        // The axis as two, the other way round.
        shape.push(2, n / 2);
        at.push(pool.rem(e, pool.const(2)), pool.div(e, pool.const(2)));
      } else {
        shape.push(extent);
        at.push(e);
      }
    }
    const storage = type === "bool" ? "i32" : type;
    const buffer = this.buffer(storage, productOf(shape), type === "bool");
    const value = pool.load(buffer, flatten(pool, at, shape), type);
    if (inside.kind === "const") return value;
    const filler = type === "bool" ? 1 : this.int(type === "u32" ? 0 : -3, 3);
    return pool.guard(inside, value, pool.const(filler, type));
  }

  /** A few operators over a few loads, of the wanted type. */
  expression(indices: readonly Index[], type: ScalarType, depth: number, loads: number[]): Expr {
    const { pool } = this;
    const sub = (t: ScalarType): Expr => this.expression(indices, t, depth - 1, loads);
    if (depth === 0 || this.chance(25)) {
      if ((loads[0] as number) > 0 && this.chance(85)) {
        loads[0] = (loads[0] as number) - 1;
        return this.load(indices, type);
      }
      if (type === "i32" && indices.length > 0 && this.chance(60)) return this.pick(indices).e;
      const value = type === "bool" ? this.int(0, 1) : this.int(type === "u32" ? 0 : -5, 5);
      return pool.const(value, type);
    }
    const form = this.int(0, 9);
    if (form === 0) return pool.select(sub("bool"), sub(type), sub(type));
    if (form === 1) return pool.guard(sub("bool"), sub(type), sub(type));
    if (form === 2) {
      const from = this.pick((["f32", "i32", "u32", "bool"] as const).filter((t) => t !== type));
      return pool.cast(sub(from), type);
    }
    if (form === 3) return pool.unary(this.pick(unaryFor[type]), sub(type));
    if (type === "bool" && form < 7) {
      const of = this.pick(["f32", "i32", "u32"] as const);
      return pool.binary(this.pick(["eq", "lt", "le"] as const), sub(of), sub(of));
    }
    if (form === 5 && (type === "i32" || type === "u32")) {
      // Shift counts beyond 32 and divisors other than 0 have a meaning.
      const count = this.chance(50) ? pool.const(this.int(0, 40), "u32") : sub("u32");
      return pool.binary(this.pick(["shl", "shr"] as const), sub(type), count);
    }
    if (form === 6 && type === "u32") {
      const divisor = pool.const(this.int(1, 7), type);
      return pool.binary(this.pick(["div", "rem"] as const), sub(type), divisor);
    }
    return pool.binary(this.pick(binaryFor[type]), sub(type), sub(type));
  }

  /** 1 or 2: products of some of these stay exact. */
  factor(indices: readonly Index[], type: "i32" | "u32"): Expr {
    const one = this.pool.const(1, type);
    const bit = this.pool.binary("and", this.expression(indices, type, 1, [2]), one);
    return this.pool.binary("add", bit, one);
  }

  finish(body: KernelBody): KernelCase {
    const kernel: Kernel = {
      name: this.pick(["kernel", "exp", "conv1", "fn"]), origin: ["/a/Node", "/b"],
      symbols: ["N"], arguments: this.arguments, body,
    };
    const buffers = this.data.map((data, i) => {
      const { storage, size } = this.arguments[i] as BufferArgument;
      const count = Math.max(evalDim(size, this.bindings), 0);
      return data ?? new arrays[storage as Word](count).fill(untouched);
    });
    return { kernel, sizes: [this.bindings.N as number], buffers };
  }
}

const unaryFor: Record<ScalarType, readonly ExprUnary[]> = {
  f32: ["neg", "abs", "sign", "floor", "ceil", "round", "trunc"],
  i32: ["neg", "abs", "sign", "floor", "bitnot"],
  u32: ["abs", "sign", "round", "bitnot", "neg"],
  bool: ["not"],
};
const binaryFor: Record<ScalarType, readonly ExprBinary[]> = {
  f32: ["add", "sub", "mul", "max", "min"],
  i32: ["add", "sub", "mul", "max", "min", "and", "or", "xor"],
  u32: ["add", "sub", "mul", "max", "min", "and", "or", "xor"],
  bool: ["and", "or", "xor", "eq"],
};
const numbers = ["f32", "f32", "i32", "u32"] as const;
const types = ["f32", "f32", "f32", "i32", "u32", "bool"] as const;
const storageFor = (type: ScalarType): Word => (type === "bool" ? "i32" : type);
const shapeOf = (indices: readonly Index[]): Dim[] => indices.map(({ extent }) => extent);
const exprs = (indices: readonly Index[]): Expr[] => indices.map(({ e }) => e);

/** A store of `value` at the row-major place of the indices, in some order. */
function store(b: Build, indices: readonly Index[], value: Expr): Store {
  const order = b.chance(70) ? indices : b.shuffle(indices);
  const shape = shapeOf(order);
  const buffer = b.output(storageFor(value.type), productOf(shape));
  return { buffer, index: flatten(b.pool, exprs(order), shape), value };
}

/** An epilogue over the accumulator. */
function epilogue(b: Build, acc: Expr, indices: readonly Index[]): Expr {
  if (b.chance(40)) return acc;
  const other = b.expression(indices, acc.type, 1, [1]);
  const op = b.pick(acc.type === "bool" ? ["or", "xor"] as const : ["add", "max"] as const);
  return b.pool.binary(op, acc, other);
}

const makers: Record<KernelKind, (b: Build) => KernelBody> = {
  map(b) {
    const { axes, indices } = b.axes(0, b.int(0, 6), 4);
    const value = b.expression(indices, b.pick(types), b.int(1, 4), [b.int(1, 6)]);
    return { kind: "map", axes, store: store(b, indices, value) };
  },
  reduce(b) {
    const op = b.pick<ReduceKind>(["sum", "max", "min", "prod"]);
    const long = op !== "prod" && b.chance(30);
    const { axes, indices } = b.axes(0, b.int(0, long ? 2 : 4), 4);
    const { axes: reduceAxes, indices: inner } = long
      ? b.axes(axes.length, 1, 700) : b.axes(axes.length, b.int(0, 3), 5);
    const all = [...indices, ...inner];
    const whole = b.pick(["i32", "u32"] as const);
    const type = op === "prod" ? whole : b.pick(op === "sum" ? numbers : types);
    const value = op === "prod" ? b.factor(all, whole)
      : b.expression(all, type, b.int(1, 2), [b.int(1, 3)]);
    const acc = b.pool.acc(type);
    const end = store(b, indices, epilogue(b, acc, indices));
    return { kind: "reduce", axes, reduceAxes, op, value, store: end };
  },
  contract(b) {
    const large = b.chance(50);
    let first = 0;
    const group = (rank: number, largest: number): { axes: Axis[]; indices: Index[] } => {
      const made = b.axes(first, rank, largest, large && rank === 1 ? 9 : 1);
      first += rank;
      return made;
    };
    const batch = group(large ? b.pick([0, 2]) : b.int(0, 2), 3);
    const m = group(large ? 1 : b.int(0, 2), large ? 70 : 5);
    const n = group(large ? 1 : b.int(0, 2), large ? 70 : 5);
    const k = group(large ? 1 : b.int(0, 2), large ? 40 : b.chance(20) ? 200 : 5);
    const type = b.chance(80) ? "f32" : "i32";
    const a = b.load([...batch.indices, ...m.indices, ...k.indices], type);
    const right = b.load([...batch.indices, ...k.indices, ...n.indices], type);
    const out = [...batch.indices, ...m.indices, ...n.indices];
    return {
      kind: "contract", batch: batch.axes, m: m.axes, n: n.axes, k: k.axes, a, b: right,
      store: store(b, out, epilogue(b, b.pool.acc(type), out)),
    };
  },
  cumulate(b) {
    const { axes, indices } = b.axes(0, b.int(1, 4), 6);
    const op = b.pick(["sum", "prod"] as const);
    const whole = b.pick(["i32", "u32"] as const);
    const type = op === "prod" ? whole : b.pick(numbers);
    const value = op === "prod" ? b.factor(indices, whole) : b.expression(indices, type, 2, [2]);
    const acc = b.pool.acc(type);
    const end = store(b, indices, epilogue(b, acc, indices));
    return { kind: "cumulate", axes, op, value, store: end };
  },
  scatter(b) {
    const large = b.chance(25);
    const parts = (large ? [40, 300, 80] : [6, 8, 12]).map((size, i) => b.axes(i, 1, size));
    const [rows, columns, updates] = parts.flatMap((p) => p.axes) as [Axis, Axis, Axis];
    const [row, column, update] = parts.flatMap((p) => p.indices) as [Index, Index, Index];
    const op = b.pick<ScatterKind>(["none", "add", "mul", "max", "min"]);
    const type = op === "none" ? b.pick(types) : b.pick(numbers);
    const initial = b.load([row, column], type);
    // Values from -9 to 9: some outside of the rows.
    const target = b.load([update], "i32");
    const value = op === "mul" ? b.load([column, update], type)
      : b.expression([column, update], type, 1, [1]);
    const output = b.output(storageFor(type), productOf([rows.extent, columns.extent]));
    return { kind: "scatter", rows, columns, updates, op, initial, target, update: value, output };
  },
  sort(b) {
    const { axes, indices } = b.axes(0, b.int(0, 3), 4);
    const { axes: [sorted], indices: last } = b.axes(axes.length, 1, b.chance(20) ? 1300 : 12);
    const all = [...indices, ...last];
    const value = b.expression(all, b.pick(types), 1, [2]);
    const output = b.output("i32", productOf(shapeOf(all)));
    return {
      kind: "sort", axes, sorted: sorted as Axis, descending: b.chance(50), value, output,
    };
  },
};
export const kernelKinds = Object.keys(makers) as readonly KernelKind[];

/** `count` kernels of a kind, the same for the same seed. At most 8 tensors each. */
export function randomKernels(kind: KernelKind, seed: number, count: number): KernelCase[] {
  const draws = fc.sample(fc.gen(), { seed, numRuns: count * 2 });
  const cases = draws.map((draw) => {
    const b = new Build(draw);
    return b.finish(makers[kind](b));
  });
  return cases.filter(({ kernel }) => kernel.arguments.length <= 8).slice(0, count);
}
