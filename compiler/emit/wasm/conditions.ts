/**
 * The conditions of guards while expressions are lowered: which guards a node lies under, and which
 * conditions are known beforehand (`guards.ts` finds those). No code is made here.
 */
import type { Expr } from "../../kernels/expr.ts";

/** Conditions of the guards around an expression, innermost first. */
export interface Context {
  readonly outer: Context | undefined;
  readonly condition: Expr;
  readonly holds: boolean;
}

export class Conditions {
  /** Conditions whose value is known here, for all lanes. */
  readonly known: ReadonlyMap<Expr, boolean>;
  readonly #contexts: Context[] = [];

  constructor(known: ReadonlyMap<Expr, boolean> = new Map()) {
    this.known = known;
  }

  /** One branch of a guard that lies under `outer`; equal contexts are the same object. */
  within(outer: Context | undefined, condition: Expr, holds: boolean): Context {
    const same = this.#contexts.find((k) =>
      k.outer === outer && k.condition === condition && k.holds === holds);
    if (same) return same;
    const made = { outer, condition, holds };
    this.#contexts.push(made);
    return made;
  }

  /** The value of a condition where it is known beforehand. */
  truth(e: Expr): boolean | undefined {
    const known = this.known.get(e);
    if (known !== undefined || this.known.size === 0) return known;
    if (e.kind === "unary" && e.op === "not") {
      const a = this.truth(e.a);
      return a === undefined ? undefined : !a;
    }
    if (e.kind !== "binary" || e.type !== "bool" || (e.op !== "and" && e.op !== "or")) {
      return undefined;
    }
    const [a, b] = [this.truth(e.a), this.truth(e.b)];
    const decisive = e.op === "or";
    if (a === decisive || b === decisive) return decisive;
    return a === undefined || b === undefined ? undefined : !decisive;
  }
}
