/**
 * Two integers of 16 bits as the halves of one 32-bit word, which is what `i32x4.dot_i16x8_s`
 * multiplies: the expression for such a word, and the recognition of one whose halves are
 * neighbours in memory, which need no shifting.
 */
import type { Expr } from "../../kernels/expr.ts";
import type { ExprPool } from "../../kernels/pool.ts";
import { distance } from "./axes.ts";

/** Whether a value of this expression is an integer of 16 bits with a sign. */
export const fitsHalfWord = (e: Expr): boolean =>
  e.type === "i32" && e.min >= -(2 ** 15) && e.max < 2 ** 15;

/** (low & 0xffff) | high << 16 */
export const pairWord = (pool: ExprPool, low: Expr, high: Expr): Expr =>
  pool.binary("or", pool.binary("and", low, pool.const(0xffff)),
    pool.binary("shl", high, pool.const(16)));

/** The lower one of the two loads in a `pairWord` of neighbours in memory, when both fit. */
export function neighboursIn(
  { op, a: low, b: high }: Expr & { kind: "binary" },
): (Expr & { kind: "load" }) | undefined {
  if (op !== "or") return undefined;
  if (low.kind !== "binary" || low.op !== "and" || !isConstant(low.b, 0xffff)) return undefined;
  if (high.kind !== "binary" || high.op !== "shl" || !isConstant(high.b, 16)) return undefined;
  const [first, second] = [low.a, high.a];
  if (first.kind !== "load" || second.kind !== "load" || !fitsHalfWord(first)) return undefined;
  const areNeighbours = first.buffer === second.buffer && distance(first.index, second.index) === 1;
  return areNeighbours ? first : undefined;
}

const isConstant = (e: Expr, value: number): boolean => e.kind === "const" && e.value === value;
