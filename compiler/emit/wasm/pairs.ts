/**
 * Products of integers that fit 16 bits, two terms of the sum at a time: one axis of the sum is
 * halved, and a word holds the terms 2i (low half) and 2i + 1 of it, which `i32x4.dot_i16x8_s`
 * multiplies and adds, eight products in one instruction. Sums wrap at 32 bits as they do one
 * product at a time, so the result is the same to the bit.
 *
 * Which integers fit follows from their ranges: 8- and 16-bit types, and what is made of them.
 */
import type { Expr } from "../../kernels/expr.ts";
import { ExprPool } from "../../kernels/pool.ts";
import { substitute, type NumberedAxis } from "./axes.ts";
import type { Product } from "./packedProduct.ts";
import { fitsHalfWord, pairWord } from "./pairWord.ts";

/** The product over pairs; undefined where operands are too wide or no axis can be halved. */
export function paired(product: Product): Product | undefined {
  const { a, b, k } = product;
  const axis = halvable(k);
  if (!axis || !fitsHalfWord(a) || !fitsHalfWord(b)) return undefined;
  const extent = axis.extent as number;
  const half = { ...axis, extent: Math.ceil(extent / 2) };
  const pool = new ExprPool();
  const i = pool.mul(pool.axis(axis.number, half.extent), pool.const(2));
  const copy = (e: Expr, at: Expr): Expr => substitute(pool, e, new Map([[axis.number, at]]));
  const words = (e: Expr): Expr => {
    const second = pool.add(i, pool.const(1));
    const exists = pool.lt(second, pool.const(extent));
    const high = pool.guard(exists, copy(e, second), pool.const(0));
    return pairWord(pool, copy(e, i), high);
  };
  return {
    ...product, terms: "pairs", a: words(a), b: words(b),
    k: k.map((other) => (other === axis ? half : other)),
  };
}

/** An even axis, innermost first; else the longest, whose last pair is half filled. */
function halvable(axes: readonly NumberedAxis[]): NumberedAxis | undefined {
  const known = axes.filter((a) => typeof a.extent === "number" && a.extent > 1);
  const even = known.findLast((a) => (a.extent as number) % 2 === 0);
  return even ?? known.toSorted((x, y) => (y.extent as number) - (x.extent as number))[0];
}
