/**
 * The value of a kernel expression at one point, by walking its tree: the meaning that `expr.ts`
 * states, written down a second time. Not the interpreter, which is one of the things compared.
 */
import { evalDim, type Bindings } from "../../compiler/graph/dim.ts";
import type { Expr, ExprBinary, ExprUnary } from "../../compiler/kernels/expr.ts";

export interface Point {
  readonly axes: readonly number[];
  readonly sizes: Bindings;
  /** Element `index` of buffer `buffer`. */
  load(buffer: number, index: number): number;
}

/** A division by zero, whose value the kernel IR leaves open. */
export class Unspecified extends Error {}

const flag = (b: boolean): number => (b ? 1 : 0);
const ratio = (a: number, b: number): number => {
  if (b === 0) throw new Unspecified();
  return Math.trunc(a / b);
};

const integerUnary: Partial<Record<ExprUnary, (a: number) => number>> = {
  neg: (a) => -a, abs: Math.abs, sign: Math.sign, not: (a) => 1 - a, bitnot: (a) => ~a,
};
const integerBinary: Partial<Record<ExprBinary, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => Math.imul(a, b),
  div: ratio,
  rem: (a, b) => a - b * ratio(a, b),
  max: Math.max,
  min: Math.min,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  eq: (a, b) => flag(a === b),
  lt: (a, b) => flag(a < b),
  le: (a, b) => flag(a <= b),
};

/** Of expressions of i32 and bool only; @throws Unspecified where the IR leaves the value open. */
export function valueOf(e: Expr, at: Point, memo = new Map<Expr, number>()): number {
  const known = memo.get(e);
  if (known !== undefined) return known;
  const value = compute(e, at, memo);
  const wrapped = e.type === "bool" ? value : value | 0;
  memo.set(e, wrapped);
  return wrapped;
}

function compute(e: Expr, at: Point, memo: Map<Expr, number>): number {
  const of = (operand: Expr): number => valueOf(operand, at, memo);
  switch (e.kind) {
    case "const": return e.value;
    case "axis": return at.axes[e.axis] as number;
    case "size": return evalDim(e.dim, at.sizes);
    case "load": return at.load(e.buffer, of(e.index));
    case "unary": return (integerUnary[e.op] as (a: number) => number)(of(e.a));
    case "binary":
      return (integerBinary[e.op] as (a: number, b: number) => number)(of(e.a), of(e.b));
    case "select": case "guard": return of(e.cond) ? of(e.a) : of(e.b);
    default: throw new Error(`${e.kind} in an index expression`);
  }
}
