/**
 * Kernel expressions as WASM vectors: four neighbours along one loop axis at once, on top of single
 * values (`scalarLowering.ts`). What each operator does to four lanes is in `vectorRules.ts`.
 *
 * What does not depend on the lanes is computed once and spread. Guarded loads that miss their
 * buffer by more than the slack around it read address 0 where no lane is inside, and their
 * neighbours in memory where some lanes are outside.
 */
import { InternalError } from "../../errors.ts";
import type { Expr, ScalarType } from "../../kernels/expr.ts";
import type { Store } from "../../kernels/kernel.ts";
import { isHalf, type Address } from "./addresses.ts";
import { dependsOn, factsOf, fitsIndex, strideAlong } from "./axes.ts";
import { constantOf, type Code, type Value } from "./code.ts";
import type { Context } from "./conditions.ts";
import { halfToLanes } from "./half.ts";
import { neighboursIn } from "./pairWord.ts";
import {
  ScalarLowering, simplePower, type Load, type LoweringOptions, type Memo,
} from "./scalarLowering.ts";
import { binaryRule, unaryRule } from "./scalarRules.ts";
import type { Bindings, Lanes, Scope } from "./scope.ts";
import { boundLanes, shiftLanes, vectorBinary, vectorCast, vectorUnary } from "./vectorRules.ts";

/** The four values in a vector. */
export function valuesOf(c: Code, type: ScalarType, vector: Value): Value[] {
  return [0, 1, 2, 3].map((lane) => {
    if (type === "f32") return c.lane("f32x4.extract_lane", lane, vector);
    const value = c.lane("i32x4.extract_lane", lane, vector);
    return type === "bool" ? c.op("i32.and", value, c.i32(1)) : value;
  });
}

export class VectorLowering extends ScalarLowering {
  readonly #lanes: Lanes;
  readonly #vectors: Memo = new Map();
  readonly #lane: (ScalarLowering | undefined)[] = [];

  /**
   * @param axes index of every axis that the expressions use; of the lanes' axis, that of lane 0
   * @param options an accumulator of four lanes; conditions known for all lanes
   */
  constructor(scope: Scope, axes: Bindings, lanes: Lanes, options?: LoweringOptions) {
    super(scope, axes, options);
    this.#lanes = lanes;
  }

  // ---- values --------------------------------------------------------------------------------

  vector(e: Expr, context?: Context): Value {
    return this.remember(this.#vectors, e, context, (inner) => this.#vectorOf(e, inner));
  }

  #dependsOnLanes(e: Expr): boolean {
    return dependsOn(e, this.#lanes.axis) || factsOf(e).acc;
  }

  #vectorOf(e: Expr, context: Context | undefined): Value {
    const { c, scope: { library } } = this;
    if (!this.#dependsOnLanes(e)) return this.#uniform(e, context);
    const counted = this.#countedLanes(e);
    if (counted) return counted;
    switch (e.kind) {
      case "const": case "size": case "axis":
        throw new InternalError("a kernel index without lanes has lanes");
      case "acc": return this.accumulator();
      case "load": return this.#vectorLoad(e, context);
      case "unary": {
        const rule = vectorUnary[e.op][e.a.type];
        if (!rule) return this.#byLanes(e, [e.a], context);
        return rule(c, this.vector(e.a, context), library);
      }
      case "binary": return this.#vectorBinary(e, context);
      case "select":
        return this.#choose(e.cond, context, this.vector(e.a, context), this.vector(e.b, context));
      case "guard": {
        const known = this.conditions.truth(e.cond);
        if (known !== undefined) return this.vector(known ? e.a : e.b, context);
        return this.#choose(e.cond, context,
          this.vector(e.a, this.conditions.within(context, e.cond, true)),
          this.vector(e.b, this.conditions.within(context, e.cond, false)));
      }
      case "cast": return vectorCast[e.a.type][e.type](c, this.vector(e.a, context), library);
      case "bitcast": return this.vector(e.a, context);
    }
  }

  #splat(type: ScalarType, value: Value): Value {
    const { c } = this;
    if (type === "f32") return c.op("f32x4.splat", value);
    return c.op("i32x4.splat", type === "bool" ? c.sub(c.i32(0), value) : value);
  }

  #uniform(e: Expr, context: Context | undefined): Value {
    const { c } = this;
    if (e.kind === "const") {
      if (e.type === "f32") return c.f32x4(e.value);
      return c.i32x4(e.type === "bool" ? -e.value : e.value);
    }
    if (e.kind === "load" && e.type !== "bool" && !isHalf(this.scope, e.buffer)) {
      const { operand, offset } = this.readingPlace(e, context);
      return c.load("v128.load32_splat", operand, offset);
    }
    return this.#splat(e.type, this.scalar(e, context));
  }

  /** Integers that grow by a constant from lane to lane, and comparisons of such. */
  #countedLanes(e: Expr): Value | undefined {
    const { c } = this;
    const { axis } = this.#lanes;
    if (factsOf(e).loads || factsOf(e).acc) return undefined;
    if (e.type === "i32" || e.type === "u32") {
      const step = e.type === "i32" ? strideAlong(e, axis) : undefined;
      if (typeof step !== "number") return undefined;
      const first = c.op("i32x4.splat", this.scalar(e));
      return c.op("i32x4.add", first, c.i32x4(0, step, 2 * step, 3 * step));
    }
    // a < b exactly when the lanes' own share of a - b is below b - a at lane 0; no overflow
    // as long as both are proper indices.
    if (e.kind !== "binary" || e.op !== "lt" || e.a.type !== "i32") return undefined;
    if (!fitsIndex(e.a) || !fitsIndex(e.b)) return undefined;
    const [sa, sb] = [strideAlong(e.a, axis), strideAlong(e.b, axis)];
    if (typeof sa !== "number" || typeof sb !== "number") return undefined;
    const step = sa - sb;
    const distance = c.sub(this.scalar(e.b), this.scalar(e.a));
    return c.op("i32x4.gt_s", c.op("i32x4.splat", distance),
      c.i32x4(0, step, 2 * step, 3 * step));
  }

  #vectorBinary(e: Expr & { kind: "binary" }, context: Context | undefined): Value {
    const { c, scope: { library } } = this;
    const power = simplePower(e, () => this.vector(e.a, context),
      (a, b) => c.op("f32x4.mul", a, b), (a) => c.op("f32x4.div", c.f32x4(1), a));
    if (power) return power;
    const pairs = this.#neighbourPairs(e, context);
    if (pairs) return pairs;
    const bounded = this.#bounded(e, context);
    if (bounded) return bounded;
    if ((e.op === "shl" || e.op === "shr") && !this.#dependsOnLanes(e.b)) {
      return shiftLanes(c, e.op, e.type, this.vector(e.a, context), this.scalar(e.b, context));
    }
    const rule = vectorBinary[e.op][e.a.type];
    if (!rule) return this.#byLanes(e, [e.a, e.b], context);
    return rule(c, this.vector(e.a, context), this.vector(e.b, context), library);
  }

  /** max and min with a constant. */
  #bounded(e: Expr & { kind: "binary" }, context: Context | undefined): Value | undefined {
    if ((e.op !== "max" && e.op !== "min") || e.type !== "f32") return undefined;
    const [x, bound] = e.a.kind === "const" ? [e.b, e.a] : [e.a, e.b];
    if (bound.kind !== "const") return undefined;
    return boundLanes(this.c, e.op, this.vector(x, context), bound.value);
  }

  /** The scalar rule on each lane. */
  #byLanes(
    e: Expr & { kind: "unary" | "binary" }, operands: readonly Expr[],
    context: Context | undefined,
  ): Value {
    const { c, scope: { library } } = this;
    const columns = operands.map((o) => valuesOf(c, o.type, this.vector(o, context)));
    const results = [0, 1, 2, 3].map((lane) => {
      const [a, b] = columns.map((column) => column[lane] as Value) as [Value, Value];
      return e.kind === "unary" ? unaryRule(e.op, e.a.type)(c, a, library)
        : binaryRule(e.op, e.a.type)(c, a, b, library);
    });
    const [first, ...others] = results as [Value, ...Value[]];
    const replace = e.type === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane";
    return others.reduce((vector, value, i) => c.lane(replace, i + 1, vector,
      e.type === "bool" ? c.sub(c.i32(0), value) : value), this.#splat(e.type, first));
  }

  /** The same expressions at one lane alone. */
  #atLane(lane: number): ScalarLowering {
    const known = this.#lane[lane];
    if (known) return known;
    const { c } = this;
    const { axis, end } = this.#lanes;
    const { value, plus } = this.binding(axis);
    const here = end
      ? { value: c.min(c.add(value, c.i32(plus + lane)), end.last), plus: 0 }
      : { value, plus: plus + lane };
    const made = new ScalarLowering(this.scope, new Map(this.axes).set(axis, here),
      { known: this.conditions.known });
    this.#lane[lane] = made;
    return made;
  }

  // ---- conditions ----------------------------------------------------------------------------

  #choose(cond: Expr, context: Context | undefined, a: Value, b: Value): Value {
    const { c } = this;
    if (!this.#dependsOnLanes(cond)) return c.select(this.scalar(cond, context), a, b);
    const mask = this.vector(cond, context);
    // All bits zero are 0 of every type: a mask alone is the choice.
    return isZero(b) ? c.op("v128.and", a, mask) : c.op("v128.bitselect", a, b, mask);
  }

  /** Not zero where all guards around a load hold for some lane. */
  protected override mayLoad(context: Context): Value {
    for (let k: Context | undefined = context; k; k = k.outer) {
      if (this.#dependsOnLanes(k.condition)) {
        return this.c.op("v128.any_true", this.#mask(context));
      }
    }
    return super.mayLoad(context);
  }
  #mask({ outer, condition, holds }: Context): Value {
    const { c } = this;
    const value = this.vector(condition, outer);
    const one = holds ? value : c.op("v128.not", value);
    return outer ? c.op("v128.and", this.#mask(outer), one) : one;
  }

  // ---- loads ---------------------------------------------------------------------------------

  #vectorLoad(e: Load, context: Context | undefined): Value {
    const value = this.#loadLanes(e, context);
    return e.type === "bool" ? this.c.op("i32x4.ne", value, this.c.i32x4(0)) : value;
  }

  #loadLanes(e: Load, context: Context | undefined): Value {
    const { c } = this;
    const stride = strideAlong(e.index, this.#lanes.axis);
    if (isHalf(this.scope, e.buffer)) return halfToLanes(c, this.#halves(e, stride === 1, context));
    if (stride !== 1 && stride !== 2 && stride !== -1) return this.#gather(e, context);
    if (stride === -1) {
      // Lane 3 is lowest; what lies below a buffer can be read.
      const lane0 = this.placeOfLoad(e, context);
      const lowest = { operand: c.add(lane0.operand, c.i32(lane0.offset - 12)), offset: 0 };
      const reversed = c.load("v128.load", this.guarded(lowest, e, context).operand);
      return c.shuffle(reversed, reversed, [3, 2, 1, 0]);
    }
    const { operand, offset } = this.readingPlace(e, context);
    const low = c.load("v128.load", operand, offset);
    if (stride === 1) return low;
    const high = c.load("v128.load", operand, offset + 16);
    return c.shuffle(low, high, [0, 2, 4, 6]);
  }

  /** The 16 bits of four halves, each in a lane. */
  #halves(e: Load, areNeighbours: boolean, context: Context | undefined): Value {
    const { c } = this;
    if (areNeighbours) {
      const { operand, offset } = this.readingPlace(e, context);
      return c.op("i32x4.extend_low_i16x8_u", c.load("v128.load64_zero", operand, offset));
    }
    const [first, ...others] = this.#placesOfLanes(e, context).map(({ operand, offset }) =>
      c.load("i32.load16_u", operand, offset)) as [Value, ...Value[]];
    return others.reduce((vector, bits, i) =>
      c.lane("i32x4.replace_lane", i + 1, vector, bits), c.op("i32x4.splat", first));
  }

  #placesOfLanes(e: Load, context: Context | undefined): Address[] {
    return [0, 1, 2, 3].map((lane) => this.#atLane(lane).readingPlace(e, context));
  }

  /** Four separate loads; lanes beyond the end repeat the last one that exists. */
  #gather(e: Load, context: Context | undefined): Value {
    const { c } = this;
    const [first, ...others] = this.#placesOfLanes(e, context) as [Address, ...Address[]];
    return others.reduce((vector, { operand, offset }, i) =>
      c.loadLane(vector, i + 1, operand, offset),
    c.load("v128.load32_zero", first.operand, first.offset));
  }

  /** Words of two neighbours in memory, no guard between: eight loaded and narrowed. */
  #neighbourPairs(e: Expr & { kind: "binary" }, context: Context | undefined): Value | undefined {
    const first = neighboursIn(e);
    if (!first || context || strideAlong(first.index, this.#lanes.axis) !== 2) return undefined;
    const { c } = this;
    const { operand, offset } = this.placeOfLoad(first, context);
    return c.op("i16x8.narrow_i32x4_s", c.load("v128.load", operand, offset),
      c.load("v128.load", operand, offset + 16));
  }

  // ---- stores --------------------------------------------------------------------------------

  /** Stores four lanes; at the end of a row only those that exist. */
  storeVector(store: Store): void {
    const { c } = this;
    const { axis, end } = this.#lanes;
    const raw = this.vector(store.value);
    const value = store.value.type === "bool" ? c.op("i32x4.neg", raw) : raw;
    if (strideAlong(store.index, axis) !== 1) return this.#scatter(store, value);
    const { operand, offset } = this.placeOf(store.buffer, store.index);
    if (!end) return c.store("v128.store", operand, value, offset);
    storePart(c, operand, offset, value, end.count);
  }

  #scatter(store: Store, value: Value): void {
    const { c } = this;
    const { end } = this.#lanes;
    for (let lane = 0; lane < 4; lane++) {
      const { operand, offset } = this.#atLane(lane).placeOf(store.buffer, store.index);
      const write = (): void => c.storeLane("v128.store32_lane", lane, operand, value, offset);
      if (end) c.if(lessThan(c, lane, end.count), write);
      else write();
    }
  }
}

const isZero = ({ operation }: Value): boolean =>
  operation.kind === "vector" && operation.bytes.every((byte) => byte === 0);

const lessThan = (c: Code, lane: number, count: Value): Value => {
  const known = constantOf(count);
  return known === undefined ? c.op("i32.gt_s", count, c.i32(lane)) : c.i32(lane < known ? 1 : 0);
};

/** The first `count` lanes, 1 to 3 of them. */
function storePart(c: Code, operand: Value, offset: number, value: Value, count: Value): void {
  c.if(lessThan(c, 1, count), () => {
    c.storeLane("v128.store64_lane", 0, operand, value, offset);
    c.if(lessThan(c, 2, count), () =>
      c.storeLane("v128.store32_lane", 2, operand, value, offset + 8));
  }, () => c.storeLane("v128.store32_lane", 0, operand, value, offset));
}
