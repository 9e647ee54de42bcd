/** Primitives without tensor operands: constants, sizes, index ramps; and random bits of a key. */
import type { TensorType } from "../graph/graph.ts";
import { elementAt, sizeOf, splat, type Tensor } from "../graph/tensor.ts";
import { flatten } from "../kernels/pool.ts";
import type { Expr } from "../kernels/expr.ts";
import type { ExprPool } from "../kernels/pool.ts";
import { InternalError } from "../errors.ts";
import {
  check, forEachIndex, noWork, result, showShape, staticShape, workPerOutput,
} from "./common.ts";
import { scalarTypeOf } from "./elementwise.ts";
import type { Primitive } from "./primitive.ts";

export const constant: Primitive<"constant"> = {
  infer: (_, { tensor }) => ({ dtype: tensor.dtype, shape: tensor.shape }),
  evaluate: (_, { tensor }) => tensor,
  gradient: () => [],
  lower: {
    kind: "view",
    // Only splats are inlined; every other constant is given a buffer by the clustering.
    at({ pool, node }) {
      const { tensor } = node.attrs;
      if (!tensor.splat && sizeOf(tensor.shape) !== 1) {
        throw new InternalError("a constant with several elements reached an expression");
      }
      return pool.const(elementAt(tensor, 0), scalarTypeOf(tensor.dtype));
    },
  },
  work: noWork,
  isMovement: false,
};

export const size: Primitive<"size"> = {
  infer: (_, { dtype }) => ({ dtype, shape: [] }),
  evaluate(_, { dim, dtype }) {
    return splat(dtype, [], staticShape([dim], "size")[0] as number);
  },
  gradient: () => [],
  lower: {
    kind: "view",
    at: ({ pool, node }) => pool.cast(pool.size(node.attrs.dim), scalarTypeOf(node.attrs.dtype)),
  },
  work: noWork,
  isMovement: false,
};

export const iota: Primitive<"iota"> = {
  infer(_, { shape, axis, dtype }) {
    check(axis >= 0 && axis < shape.length, "iota", `an axis of ${showShape(shape)}`, `${axis}`);
    return { dtype, shape };
  },
  evaluate(_, { shape, axis, dtype }, mode) {
    const concrete = staticShape(shape, "iota");
    return result(dtype, concrete, mode, (data) => {
      forEachIndex(concrete, (index, flat) => {
        data[flat] = index[axis] as number;
      });
    });
  },
  gradient: () => [],
  lower: {
    kind: "view",
    at: ({ pool, node }, indices) =>
      pool.cast(indices[node.attrs.axis] as Expr, scalarTypeOf(node.attrs.dtype)),
  },
  work: noWork,
  isMovement: false,
};

/**
 * Threefry-2x32, 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11):
 * counter-based, so element i of a stream is the same on every device and thread count. The
 * counter is (flat index, 0). Of the two output words `random` takes the first.
 */
const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const parity = 0x1bd11bda;

interface Words<T> {
  add(a: T, b: T): T;
  xor(a: T, b: T): T;
  rotate(a: T, by: number): T;
  word(value: number): T;
}

function threefry<T>(
  w: Words<T>, key0: T, key1: T, counter0: T, counter1: T,
): readonly [T, T] {
  const keys = [key0, key1, w.xor(w.xor(key0, key1), w.word(parity))] as const;
  let x0 = w.add(counter0, key0);
  let x1 = w.add(counter1, key1);
  for (let round = 0; round < 20; round++) {
    x0 = w.add(x0, x1);
    x1 = w.xor(w.rotate(x1, rotations[round % 8] as number), x0);
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = w.add(x0, keys[s % 3] as T);
      x1 = w.add(w.add(x1, keys[(s + 1) % 3] as T), w.word(s));
    }
  }
  return [x0, x1];
}

const numberWords: Words<number> = {
  add: (a, b) => (a + b) >>> 0,
  xor: (a, b) => (a ^ b) >>> 0,
  rotate: (a, by) => ((a << by) | (a >>> (32 - by))) >>> 0,
  word: (value) => value >>> 0,
};

/** Both output words of threefry for a counter. */
export const randomBlock = (
  key: readonly [number, number], counter: number,
): readonly [number, number] =>
  threefry(numberWords, key[0] >>> 0, key[1] >>> 0, counter >>> 0,
    Math.floor(counter / 2 ** 32) >>> 0);

/** The first of them; the host-side twin of `random`. */
export const randomWord = (key: readonly [number, number], counter: number): number =>
  randomBlock(key, counter)[0];

const exprWords = (pool: ExprPool): Words<Expr> => ({
  add: (a, b) => pool.binary("add", a, b),
  xor: (a, b) => pool.binary("xor", a, b),
  rotate: (a, by) => pool.binary("or", pool.binary("shl", a, pool.const(by, "u32")),
    pool.binary("shr", a, pool.const(32 - by, "u32"))),
  word: (value) => pool.const(value, "u32"),
});

/** Both output words in a kernel; `read` gives the elements of the key. */
export function blockExpr(
  pool: ExprPool, read: (operand: number, indices: readonly Expr[]) => Expr, counter: Expr,
): readonly [Expr, Expr] {
  const key = [read(0, [pool.const(0)]), read(0, [pool.const(1)])] as const;
  return threefry(exprWords(pool), key[0], key[1], counter, pool.const(0, "u32"));
}

/** @throws InternalError when the operand of `op` is no key */
export function checkKey(key: TensorType | undefined, op: string): void {
  const t = key as TensorType;
  check(t.dtype === "uint32" && t.shape.length === 1 && t.shape[0] === 2, op,
    "a key uint32[2]", `${t.dtype}[${t.shape.map(String)}]`);
}

export const random: Primitive<"random"> = {
  infer([key], { shape }) {
    checkKey(key, "random");
    return { dtype: "uint32", shape };
  },
  evaluate([key], { shape }, mode) {
    const { data } = key as Tensor;
    const concrete = staticShape(shape, "random");
    const words = [data[0] as number, data[1] as number] as const;
    return result("uint32", concrete, mode, (out) => {
      for (let i = 0; i < out.length; i++) out[i] = randomWord(words, i);
    });
  },
  gradient: () => [undefined],
  lower: {
    kind: "view",
    at({ pool, node, read }, indices) {
      const counter = pool.cast(flatten(pool, indices, node.attrs.shape), "u32");
      return blockExpr(pool, read, counter)[0];
    },
  },
  work: workPerOutput,
  isMovement: false,
};
