/**
 * Kernel expressions as WASM values, one at a time; `vectorLowering.ts` adds four neighbours at
 * once. Where a value is computed is `code.ts`'s business, and what each operator does that of
 * `scalarRules.ts`: this file says what an expression is, and which of its loads may be made.
 *
 * A load that can only miss its buffer by less than the slack around buffers (the padding of an
 * image; the contract is in `scope.ts`) is made whatever its guard says, and the guard's choice
 * discards it. Any other guarded load reads address 0 where it is not inside.
 */
import { InternalError } from "../../errors.ts";
import type { Expr } from "../../kernels/expr.ts";
import type { Store } from "../../kernels/kernel.ts";
import { addressIn, isHalf, isReadable, widthOf, type Address } from "./addresses.ts";
import { factsOf } from "./axes.ts";
import type { Code, Value } from "./code.ts";
import { Conditions, type Context } from "./conditions.ts";
import { halfToScalar } from "./half.ts";
import { binaryRule, bitcastRule, scalarCast, unaryRule } from "./scalarRules.ts";
import type { Binding, Bindings, Scope } from "./scope.ts";

export type Load = Expr & { readonly kind: "load" };

export type Memo = Map<Expr, Map<Context | undefined, Value>>;

export interface LoweringOptions {
  /** The finished reduction. */
  readonly acc?: Value;
  /** Conditions whose value is known here. */
  readonly known?: ReadonlyMap<Expr, boolean> | undefined;
}

export class ScalarLowering {
  protected readonly scope: Scope;
  protected readonly c: Code;
  protected readonly axes: Bindings;
  protected readonly conditions: Conditions;
  readonly #acc: Value | undefined;
  readonly #scalars: Memo = new Map();

  /** @param axes index of every axis that the expressions use */
  constructor(scope: Scope, axes: Bindings, { acc, known }: LoweringOptions = {}) {
    this.scope = scope;
    this.c = scope.code;
    this.axes = axes;
    this.conditions = new Conditions(known);
    this.#acc = acc;
  }

  // ---- values --------------------------------------------------------------------------------

  scalar(e: Expr, context?: Context): Value {
    return this.remember(this.#scalars, e, context, (inner) => this.#scalarOf(e, inner));
  }

  protected remember(
    memo: Memo, e: Expr, context: Context | undefined, make: (c: Context | undefined) => Value,
  ): Value {
    // Only loads care under which guards they are.
    const key = factsOf(e).loads ? context : undefined;
    let byContext = memo.get(e);
    if (!byContext) memo.set(e, byContext = new Map());
    const found = byContext.get(key);
    if (found) return found;
    const made = make(key);
    byContext.set(key, made);
    return made;
  }

  #scalarOf(e: Expr, context: Context | undefined): Value {
    const { c, scope: { library } } = this;
    switch (e.kind) {
      case "const": return e.type === "f32" ? c.f32(e.value) : c.i32(e.value);
      case "axis": {
        const { value, plus } = this.binding(e.axis);
        return c.add(value, c.i32(plus));
      }
      case "size": return this.scope.size(e.dim);
      case "acc": return this.accumulator();
      case "load": return this.#scalarLoad(e, context);
      case "unary":
        return unaryRule(e.op, e.a.type)(c, this.scalar(e.a, context), library);
      case "binary": {
        const power = simplePower(e, () => this.scalar(e.a, context),
          (a, b) => c.op("f32.mul", a, b), (a) => c.op("f32.div", c.f32(1), a));
        if (power) return power;
        return binaryRule(e.op, e.a.type)(
          c, this.scalar(e.a, context), this.scalar(e.b, context), library);
      }
      case "select":
        return c.select(this.scalar(e.cond, context), this.scalar(e.a, context),
          this.scalar(e.b, context));
      case "guard": {
        const known = this.conditions.truth(e.cond);
        if (known !== undefined) return this.scalar(known ? e.a : e.b, context);
        return c.select(this.scalar(e.cond, context),
          this.scalar(e.a, this.conditions.within(context, e.cond, true)),
          this.scalar(e.b, this.conditions.within(context, e.cond, false)));
      }
      case "cast":
        return scalarCast[e.a.type][e.type](c, this.scalar(e.a, context), library);
      case "bitcast":
        return bitcastRule(e.a.type, e.type)(c, this.scalar(e.a, context), library);
    }
  }

  protected binding(axis: number): Binding {
    const bound = this.axes.get(axis);
    if (!bound) throw new InternalError(`kernel axis ${axis} is used outside its loop`);
    return bound;
  }
  protected accumulator(): Value {
    if (!this.#acc) throw new InternalError("a kernel uses its accumulator before it is finished");
    return this.#acc;
  }

  // ---- memory --------------------------------------------------------------------------------

  /** Address of element `index`, which loads nothing, of a buffer. */
  placeOf(buffer: number, index: Expr): Address {
    return addressIn(this.scope, buffer, index,
      { binding: (axis) => this.binding(axis), scalar: (e) => this.scalar(e) });
  }
  /** The same as one value. */
  addressOf(buffer: number, index: Expr): Value {
    const { operand, offset } = this.placeOf(buffer, index);
    return this.c.add(operand, this.c.i32(offset));
  }

  /** Where a load lies. An index that loads must itself be guarded. */
  protected placeOfLoad(e: Load, context: Context | undefined): Address {
    if (!factsOf(e.index).loads) return this.placeOf(e.buffer, e.index);
    const pointer = this.scope.pointers[e.buffer] as Value;
    const width = this.c.i32(widthOf(this.scope, e.buffer));
    const index = this.scalar(e.index, context);
    return { operand: this.c.add(pointer, this.c.mul(index, width)), offset: 0 };
  }
  /** An address of the load that can be read: its own, or 0 where no guard lets it be made. */
  protected guarded({ operand, offset }: Address, e: Load, context: Context | undefined): Address {
    if (!context || isReadable(this.scope, e)) return { operand, offset };
    return { operand: this.c.select(this.mayLoad(context), operand, this.c.i32(0)), offset };
  }
  /** Where a load reads. */
  readingPlace(e: Load, context: Context | undefined): Address {
    return this.guarded(this.placeOfLoad(e, context), e, context);
  }

  /** Not zero where all guards around a load hold. */
  protected mayLoad(context: Context): Value {
    const { c } = this;
    let all: Value | undefined;
    for (let k: Context | undefined = context; k; k = k.outer) {
      const value = this.scalar(k.condition, k.outer);
      const one = k.holds ? value : c.op("i32.eqz", value);
      all = all ? c.op("i32.and", one, all) : one;
    }
    return all as Value;
  }

  #scalarLoad(e: Load, context: Context | undefined): Value {
    const { c } = this;
    const { operand, offset } = this.readingPlace(e, context);
    if (isHalf(this.scope, e.buffer)) {
      return halfToScalar(c, c.load("i32.load16_u", operand, offset));
    }
    const value = c.load(e.type === "f32" ? "f32.load" : "i32.load", operand, offset);
    return e.type === "bool" ? c.op("i32.ne", value, c.i32(0)) : value;
  }

  store(store: Store): void {
    const { operand, offset } = this.placeOf(store.buffer, store.index);
    const op = store.value.type === "f32" ? "f32.store" : "i32.store";
    this.c.store(op, operand, this.scalar(store.value), offset);
  }
}

/** x^2, x^3 and 1/x by multiplication; the general power costs twenty times as much. */
export function simplePower(
  e: Expr & { kind: "binary" }, x: () => Value,
  mul: (a: Value, b: Value) => Value, inverse: (a: Value) => Value,
): Value | undefined {
  if (e.op !== "pow" || e.type !== "f32" || e.b.kind !== "const") return undefined;
  switch (e.b.value) {
    case 2: return mul(x(), x());
    case 3: return mul(mul(x(), x()), x());
    case -1: return inverse(x());
    default: return undefined;
  }
}
