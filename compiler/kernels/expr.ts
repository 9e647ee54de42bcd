/**
 * Scalar expressions of the kernel IR: what one invocation computes from its loop indices.
 *
 * Nodes are immutable and hash-consed (equal expressions are the same object), so a set of nodes is
 * a DAG without duplicates and readers may cache per node. Integer nodes carry an inclusive range
 * [min, max], which the constructors use to simplify index arithmetic (the idea is tinygrad's and
 * jax-js's; the rules are in `pool.ts`).
 *
 * Scalar types: f32, i32, u32 as in WGSL, and `bool`, which exists only between operations (a
 * buffer holds it as i32 0/1: a bool load is `!= 0`, a bool store writes 0 or 1).
 *
 * Meaning, to be kept by every reader:
 * - i32 and u32 wrap; `div`/`rem` truncate (index arithmetic only ever has operands >= 0 there).
 *   Division by zero of integers gives an unspecified value but never a trap.
 * - f32 `rem` is a - b*trunc(a/b). `round` is half to even. `max`/`min` give NaN if either is NaN.
 * - `eq`, `lt`, `le` are false on NaN. `isnan` is true on NaN even where the target assumes no NaN.
 * - cast f32 -> int truncates toward zero and saturates, NaN gives 0; anything -> bool is `!= 0`.
 * - shl, and shr of u32, by 32 or more give 0; shr of i32 is arithmetic and then leaves the sign.
 * - `guard` evaluates only the chosen branch as far as loads are concerned: a reader must not fault
 *   on an out-of-range load in the branch not taken. `select` may evaluate both.
 */
import type { Dim } from "../graph/dim.ts";
import type { BinaryOp, UnaryOp } from "../graph/graph.ts";

export type ScalarType = "f32" | "i32" | "u32" | "bool";
/** Elementwise primitives and expressions share their operators. */
export type ExprUnary = UnaryOp;
export type ExprBinary = BinaryOp;

interface Base {
  /** Creation order in its pool: operands come before the nodes that use them. */
  readonly id: number;
  readonly type: ScalarType;
  /** Inclusive bounds, for i32 and u32; infinite where unknown. */
  readonly min: number;
  readonly max: number;
}
export type Expr = Base &
  (
    | { readonly kind: "const"; readonly value: number }
    /** Loop index number `axis` of the kernel (axes, then reduction axes), 0 <= i < extent. */
    | { readonly kind: "axis"; readonly axis: number }
    /** A symbolic size, passed to the kernel at dispatch. */
    | { readonly kind: "size"; readonly dim: Dim }
    /** Element `index` of buffer argument `buffer`. */
    | { readonly kind: "load"; readonly buffer: number; readonly index: Expr }
    /** The finished reduction, in an epilogue. */
    | { readonly kind: "acc" }
    | { readonly kind: "unary"; readonly op: ExprUnary; readonly a: Expr }
    | { readonly kind: "binary"; readonly op: ExprBinary; readonly a: Expr; readonly b: Expr }
    | {
        readonly kind: "select" | "guard";
        readonly cond: Expr; readonly a: Expr; readonly b: Expr;
      }
    | { readonly kind: "cast"; readonly a: Expr }
    | { readonly kind: "bitcast"; readonly a: Expr }
  );
export type ExprKind = Expr["kind"];

/** Operand expressions of a node, in order. */
export function operandsOf(e: Expr): readonly Expr[] {
  switch (e.kind) {
    case "const": case "axis": case "size": case "acc": return [];
    case "load": return [e.index];
    case "unary": case "cast": case "bitcast": return [e.a];
    case "binary": return [e.a, e.b];
    case "select": case "guard": return [e.cond, e.a, e.b];
  }
}

/** Every node reachable from the roots, operands before users. */
export function collect(roots: readonly Expr[]): Expr[] {
  const seen = new Set<Expr>();
  const stack = [...roots];
  while (stack.length > 0) {
    const e = stack.pop() as Expr;
    if (seen.has(e)) continue;
    seen.add(e);
    stack.push(...operandsOf(e));
  }
  return [...seen].sort((a, b) => a.id - b.id);
}
