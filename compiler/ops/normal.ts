/**
 * Standard normal numbers of a key, four from a block of Threefry. One axis, 4q long, is in four
 * parts: a block gives the elements c, c + q, c + 2q and c + 3q along it, so that devices that work
 * on neighbours store neighbours. One primitive and not a dozen, because its parts are read several
 * times each: as nodes they would all be given memory.
 *
 * A word is two numbers, the coordinates of a point in the plane (Box and Muller, "A note on the
 * generation of random normal deviates", Ann. Math. Stat. 29, 1958): 20 bits are the probability
 * of a larger radius, 12 bits the angle. Added up over all 2^32 words, the distribution function is
 * within 1e-4 (off by more than 1e-7 only for magnitudes below 0.01), tails are within 0.1 % up to
 * 4.5 sigma, within 1 % at 5 and end at 5.396, beyond which lie 7e-8 of a normal distribution; the
 * variance is within 4e-7, the fourth moment 6e-6 and the sixth 5e-5.
 */
import type { Expr } from "../kernels/expr.ts";
import { flatten, type ExprPool } from "../kernels/pool.ts";
import type { Dim } from "../graph/dim.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { check, result, showShape, staticShape, workPerOutput } from "./common.ts";
import type { Primitive } from "./primitive.ts";
import { blockExpr, checkKey, randomBlock } from "./source.ts";

/** Numbers that a block gives. */
const PER_BLOCK = 4;
/** Bits of a word: the angle within an eighth of the circle, which eighth, and the radius. */
const ANGLES = 512;
const [SWAP_BIT, X_SIGN_BIT, Y_SIGN_BIT, RADIUS_BIT] = [9, 10, 11, 12] as const;
const RADII = 2 ** (32 - RADIUS_BIT);

/** Two independent standard normals from one word. */
export function normalsFromWord(word: number): readonly [number, number] {
  const bit = (at: number): number => (word >>> at) & 1;
  const radius = Math.sqrt(-2 * Math.log(((word >>> RADIUS_BIT) + 0.5) / RADII));
  const angle = ((word & (ANGLES - 1)) + 0.5) * (Math.PI / 4 / ANGLES);
  const along = [Math.cos(angle), Math.sin(angle)] as const;
  return [
    radius * along[bit(SWAP_BIT)]! * (bit(X_SIGN_BIT) ? -1 : 1),
    radius * along[1 - bit(SWAP_BIT)]! * (bit(Y_SIGN_BIT) ? -1 : 1),
  ];
}

/** The numbers of a block, in the order of their parts of a row. */
export const normalsOfBlock = (key: readonly [number, number], block: number): number[] =>
  randomBlock(key, block).flatMap(normalsFromWord);

/** ln(1 + f) / f for 1 + f in [sqrt(1/2), sqrt(2)]; error of the logarithm 2.1e-7. */
const LOG = [
  1.0000032477, -0.5000196512, 0.3330329786, -0.2488134058, 0.2060468046, -0.1890197005,
  0.1182744037,
] as const;
/** Taylor series in the square of an angle up to pi / 4: errors 3.2e-7 (of sin x / x) and 3e-8. */
const SIN = [1, -1 / 6, 1 / 120, -1 / 5040] as const;
const COS = [1, -1 / 2, 1 / 24, -1 / 720, 1 / 40320] as const;

/** c[0] + c[1] x + ..., neighbours paired (Estrin): few operations wait for each other. */
function estrin(pool: ExprPool, coefficients: readonly number[], x: Expr): Expr {
  let terms = coefficients.map((c) => pool.const(Math.fround(c), "f32"));
  for (let power = x; terms.length > 1; power = pool.binary("mul", power, power)) {
    terms = terms.flatMap((low, i) => {
      if (i % 2 === 1) return [];
      const high = terms[i + 1];
      return [high ? pool.binary("add", low, pool.binary("mul", high, power)) : low];
    });
  }
  return terms[0] as Expr;
}

/** ln q of a normal positive number, times a power of two: exponent and mantissa apart. */
function logExpr(pool: ExprPool, q: Expr, times: number): Expr {
  const i = (value: number): Expr => pool.const(value, "i32");
  const bits = pool.bitcast(q, "i32");
  // The mantissa is taken between sqrt(1/2) and sqrt(2).
  const exponent = pool.binary("shr", pool.binary("sub", bits, i(0x3f3504f3)), i(23));
  const mantissa = pool.binary("sub", bits, pool.binary("shl", exponent, i(23)));
  const f = pool.binary("sub", pool.bitcast(mantissa, "f32"), pool.const(1, "f32"));
  const polynomial = estrin(pool, LOG.map((c) => c * times), f);
  return pool.binary("add", pool.binary("mul", f, polynomial),
    pool.binary("mul", pool.cast(exponent, "f32"), pool.const(Math.LN2 * times, "f32")));
}

/** `normalsFromWord` in a kernel. */
function normalExprs(pool: ExprPool, word: Expr): readonly [Expr, Expr] {
  const f = (value: number): Expr => pool.const(value, "f32");
  const u = (value: number): Expr => pool.const(value, "u32");
  const binary = pool.binary.bind(pool);
  /** Fewer bits than an i32 has: signed numbers become floats faster on some devices. */
  const float = (bits: Expr): Expr => pool.cast(pool.bitcast(bits, "i32"), "f32");
  const halfwayUp = (bits: Expr, step: number): Expr =>
    binary("mul", binary("add", float(bits), f(0.5)), f(step));
  const uniform = halfwayUp(binary("shr", word, u(RADIUS_BIT)), 1 / RADII);
  const radius = pool.unary("sqrt", logExpr(pool, uniform, -2));
  const angle = halfwayUp(binary("and", word, u(ANGLES - 1)), Math.PI / 4 / ANGLES);
  const square = binary("mul", angle, angle);
  const cos = binary("mul", radius, estrin(pool, COS, square));
  const sin = binary("mul", radius, binary("mul", angle, estrin(pool, SIN, square)));
  const [cosBits, sinBits] = [pool.bitcast(cos, "u32"), pool.bitcast(sin, "u32")];
  // All ones where they change places: then each is exchanged for what the other differs in.
  const swaps = binary("shr", pool.bitcast(binary("shl", word, u(31 - SWAP_BIT)), "i32"), u(31));
  const change = binary("and", binary("xor", sinBits, cosBits), pool.bitcast(swaps, "u32"));
  const signed = (bits: Expr, bit: number): Expr => {
    const sign = binary("and", binary("shl", word, u(31 - bit)), u(0x80000000));
    return pool.bitcast(binary("xor", binary("xor", bits, change), sign), "f32");
  };
  return [signed(cosBits, X_SIGN_BIT), signed(sinBits, Y_SIGN_BIT)];
}

/** Blocks: the shape with a quarter of the divided axis. */
const blocksOf = <D extends Dim>({ shape, axis }: { shape: readonly D[]; axis: number }): D[] =>
  shape.map((dim, i) => (i === axis ? (dim as number) / PER_BLOCK as D : dim));

export const normal: Primitive<"normal"> = {
  infer([key], { shape, axis }) {
    checkKey(key, "normal");
    const divided = shape[axis];
    check(typeof divided === "number" && divided % PER_BLOCK === 0, "normal",
      `axis ${axis} to be a multiple of ${PER_BLOCK}`, showShape(shape));
    return { dtype: "float32", shape };
  },
  evaluate([key], { shape, axis }, mode) {
    const { data } = key as Tensor;
    const words = [data[0] as number, data[1] as number] as const;
    const concrete = staticShape(shape, "normal");
    const part = sizeOf(blocksOf({ shape: concrete, axis }).slice(axis));
    return result("float32", concrete, mode, (out) => {
      for (let block = 0; block < out.length / PER_BLOCK; block++) {
        const within = block % part;
        normalsOfBlock(words, block).forEach((z, i) => {
          out[PER_BLOCK * (block - within) + i * part + within] = z;
        });
      }
    });
  },
  gradient: () => [undefined],
  lower: {
    kind: "burst",
    points: (node) => blocksOf(node.attrs),
    at({ pool, node, read }, point) {
      const { axis } = node.attrs;
      const blocks = blocksOf(node.attrs);
      const counter = pool.cast(flatten(pool, point, blocks), "u32");
      const [within, part] = [point[axis] as Expr, pool.size(blocks[axis] as Dim)];
      return blockExpr(pool, read, counter).flatMap((word) => normalExprs(pool, word))
        .map((value, i) => ({
          value, indices: point.with(axis, pool.add(pool.mul(part, pool.const(i)), within)),
        }));
    },
  },
  work: workPerOutput,
  isMovement: false,
};
