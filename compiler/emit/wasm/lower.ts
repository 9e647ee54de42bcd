/**
 * Kernel expressions as WASM values: one at a time (`scalar`) or four neighbours along one loop
 * axis at once (`vector`). Where a value is computed is `code.ts`'s business, so this file only
 * says what it is.
 *
 * Memory contract with the device, which lets guards and ends of rows go without branches:
 * - buffers lie at or above byte BUFFER_BASE, and the first 2 * BUFFER_BASE bytes can be read;
 * - END_SLACK bytes past the last buffer can be read.
 * A load that can only miss its buffer by less than that (the padding of an image) is made whatever
 * its guard says, and the guard's choice discards it. Any other guarded load reads address 0 where
 * no lane is inside, and its neighbours in memory where some lanes are outside.
 */
import { type Dim } from "../../graph/dim.ts";
import { InternalError } from "../../errors.ts";
import type { Expr, ScalarType } from "../../kernels/expr.ts";
import type { BufferArgument, Store } from "../../kernels/kernel.ts";
import {
  dependsOn, distance, extentsByNumber, factsOf, staysWithin, strideAlong, type NumberedAxis,
} from "./axes.ts";
import { constantOf, type Code, type Value } from "./code.ts";
import { halfToLanes, halfToScalar } from "./half.ts";
import type { MathLibrary } from "./math.ts";
import { scalarBinary, scalarBitcast, scalarCast, scalarUnary } from "./scalarRules.ts";
import { shiftLanes, vectorBinary, vectorCast, vectorUnary } from "./vectorRules.ts";

export const BUFFER_BASE = 65536;
export const END_SLACK = 65536;
/** Elements by which an index may miss its buffer: less than the slack by what lanes add to it. */
const READABLE_MARGIN = 12288;

/** What the expressions of one function share. */
export interface Scope {
  readonly code: Code;
  readonly library: MathLibrary;
  readonly buffers: readonly BufferArgument[];
  /** Address of each buffer. */
  readonly pointers: readonly Value[];
  size(dim: Dim): Value;
  /** Extents of the axes, where they are known to all expressions; see `withExtents`. */
  readonly extents?: ReadonlyMap<number, Dim>;
}

/** The scope for expressions that use these axes. */
export const withExtents = (scope: Scope, axes: readonly NumberedAxis[]): Scope =>
  ({ ...scope, extents: extentsByNumber(axes) });

/** A loop axis: a value, plus a constant where a loop was unrolled. */
export interface Binding {
  readonly value: Value;
  readonly plus: number;
}

/** The axis that the four lanes walk, and how lanes beyond its end are kept harmless. */
export interface Lanes {
  readonly axis: number;
  /** At the end of a row: the last index that exists, and how many lanes do. */
  readonly end?: { readonly last: Value; readonly count: Value };
}

/** Conditions of the guards around an expression, innermost last. */
interface Context {
  readonly outer: Context | undefined;
  readonly condition: Expr;
  readonly holds: boolean;
}

type ArrayLoad = Expr & { readonly kind: "load" };

interface Address {
  readonly operand: Value;
  readonly offset: number;
}

type Memo = Map<Expr, Map<Context | undefined, Value>>;

const MAX_INDEX = 2 ** 30;
/** Whether differences of such integers can not overflow. */
export const fitsIndex = (e: Expr): boolean =>
  Math.abs(e.min) < MAX_INDEX && Math.abs(e.max) < MAX_INDEX;

export class Lowering {
  readonly #scope: Scope;
  readonly #axes: ReadonlyMap<number, Binding>;
  readonly #lanes: Lanes | undefined;
  readonly #acc: Value | undefined;
  readonly #known: ReadonlyMap<Expr, boolean>;
  readonly #scalars: Memo = new Map();
  readonly #vectors: Memo = new Map();
  readonly #contexts: Context[] = [];
  readonly #lane: (Lowering | undefined)[] = [];

  /**
   * @param axes index of every axis that the expressions use; of the lanes' axis, that of lane 0
   * @param acc the finished reduction, four lanes of it when there are `lanes`
   * @param known conditions whose value is known here, for all lanes
   */
  constructor(
    scope: Scope, axes: ReadonlyMap<number, Binding>,
    { lanes, acc, known }: {
      lanes?: Lanes; acc?: Value; known?: ReadonlyMap<Expr, boolean> | undefined;
    } = {},
  ) {
    this.#scope = scope;
    this.#axes = axes;
    this.#lanes = lanes;
    this.#acc = acc;
    this.#known = known ?? new Map();
  }

  get #c(): Code {
    return this.#scope.code;
  }

  // ---- one value -----------------------------------------------------------------------------

  scalar(e: Expr, context?: Context): Value {
    return this.#remember(this.#scalars, e, context, (inner) => this.#scalarOf(e, inner));
  }

  #remember(
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
    const c = this.#c;
    switch (e.kind) {
      case "const": return e.type === "f32" ? c.f32(e.value) : c.i32(e.value);
      case "axis": {
        const { value, plus } = this.#binding(e.axis);
        return c.add(value, c.i32(plus));
      }
      case "size": return this.#scope.size(e.dim);
      case "acc": return this.#accumulator();
      case "load": return this.#scalarLoad(e, context);
      case "unary": {
        const rule = scalarUnary[e.op][e.a.type] ?? missing(e.op, e.a.type);
        return rule(c, this.scalar(e.a, context), this.#scope.library);
      }
      case "binary": {
        const power = this.#simplePower(e, (x) => this.scalar(x, context),
          (a, b) => c.op("f32.mul", a, b), (a) => c.op("f32.div", c.f32(1), a));
        if (power) return power;
        const rule = scalarBinary[e.op][e.a.type] ?? missing(e.op, e.a.type);
        return rule(c, this.scalar(e.a, context), this.scalar(e.b, context), this.#scope.library);
      }
      case "select":
        return c.select(this.scalar(e.cond, context), this.scalar(e.a, context),
          this.scalar(e.b, context));
      case "guard": {
        const known = this.#truth(e.cond);
        if (known !== undefined) return this.scalar(known ? e.a : e.b, context);
        return c.select(this.scalar(e.cond, context),
          this.scalar(e.a, this.#within(context, e.cond, true)),
          this.scalar(e.b, this.#within(context, e.cond, false)));
      }
      case "cast":
        return scalarCast[e.a.type][e.type](c, this.scalar(e.a, context), this.#scope.library);
      case "bitcast": {
        const rule = scalarBitcast[e.a.type][e.type] ?? missing("bitcast", e.a.type);
        return rule(c, this.scalar(e.a, context), this.#scope.library);
      }
    }
  }

  #binding(axis: number): Binding {
    const bound = this.#axes.get(axis);
    if (!bound) throw new InternalError(`kernel axis ${axis} is used outside its loop`);
    return bound;
  }
  #accumulator(): Value {
    if (!this.#acc) throw new InternalError("a kernel uses its accumulator before it is finished");
    return this.#acc;
  }

  /** x^2, x^3 and 1/x by multiplication; the general power costs twenty times as much. */
  #simplePower(
    e: Expr & { kind: "binary" }, value: (x: Expr) => Value,
    mul: (a: Value, b: Value) => Value, inverse: (a: Value) => Value,
  ): Value | undefined {
    if (e.op !== "pow" || e.type !== "f32" || e.b.kind !== "const") return undefined;
    const x = (): Value => value(e.a);
    switch (e.b.value) {
      case 2: return mul(x(), x());
      case 3: return mul(mul(x(), x()), x());
      case -1: return inverse(x());
      default: return undefined;
    }
  }

  // ---- guards --------------------------------------------------------------------------------

  #within(outer: Context | undefined, condition: Expr, holds: boolean): Context {
    const same = this.#contexts.find((k) =>
      k.outer === outer && k.condition === condition && k.holds === holds);
    if (same) return same;
    const made = { outer, condition, holds };
    this.#contexts.push(made);
    return made;
  }

  /** The value of a condition where it is known beforehand. */
  #truth(e: Expr): boolean | undefined {
    const known = this.#known.get(e);
    if (known !== undefined || this.#known.size === 0) return known;
    if (e.kind === "unary" && e.op === "not") {
      const a = this.#truth(e.a);
      return a === undefined ? undefined : !a;
    }
    if (e.kind !== "binary" || e.type !== "bool" || (e.op !== "and" && e.op !== "or")) {
      return undefined;
    }
    const [a, b] = [this.#truth(e.a), this.#truth(e.b)];
    const decisive = e.op === "or";
    if (a === decisive || b === decisive) return decisive;
    return a === undefined || b === undefined ? undefined : !decisive;
  }

  #dependsOnLanes(e: Expr): boolean {
    if (!this.#lanes) return false;
    return dependsOn(e, this.#lanes.axis) || factsOf(e).acc;
  }

  /** Not zero where some lane may load. */
  #anyLane(context: Context): Value {
    const c = this.#c;
    let varies = false;
    for (let k: Context | undefined = context; k; k = k.outer) {
      varies ||= this.#dependsOnLanes(k.condition);
    }
    if (varies) return c.op("v128.any_true", this.#mask(context));
    let all: Value | undefined;
    for (let k: Context | undefined = context; k; k = k.outer) {
      const value = this.scalar(k.condition, k.outer);
      const one = k.holds ? value : c.op("i32.eqz", value);
      all = all ? c.op("i32.and", one, all) : one;
    }
    return all as Value;
  }
  #mask({ outer, condition, holds }: Context): Value {
    const c = this.#c;
    const value = this.vector(condition, outer);
    const one = holds ? value : c.op("v128.not", value);
    return outer ? c.op("v128.and", this.#mask(outer), one) : one;
  }

  // ---- addresses -----------------------------------------------------------------------------

  #isHalf(buffer: number): boolean {
    return this.#scope.buffers[buffer]?.storage === "f16";
  }

  /** Where element `index` of a buffer is; terms of outer loops come first, so they move out. */
  #address(buffer: number, index: Expr): Address {
    const c = this.#c;
    const pointer = this.#scope.pointers[buffer] as Value;
    const width = this.#isHalf(buffer) ? 2 : 4;
    const terms: Value[] = [];
    let constant = 0;
    let isNonNegative = true;
    const term = (e: Expr, factor: number): void => {
      if (e.kind === "const") constant += factor * e.value;
      else if (e.kind === "binary" && e.op === "add") {
        term(e.a, factor);
        term(e.b, factor);
      } else if (e.kind === "binary" && e.op === "mul" && e.b.kind === "const") {
        term(e.a, factor * e.b.value);
      } else {
        isNonNegative &&= factor > 0 ? e.min >= 0 : e.max <= 0;
        const bound = e.kind === "axis" ? this.#binding(e.axis) : undefined;
        constant += (bound?.plus ?? 0) * factor;
        terms.push(c.mul(bound ? bound.value : this.scalar(e), c.i32(width * factor)));
      }
    };
    term(index, 1);
    terms.sort((a, b) => a.region.depth - b.region.depth);
    const bytes = width * constant;
    // A constant fits the instruction if the rest of the address can not be negative; a negative
    // one fits after all if it is counted from BUFFER_BASE below the buffer.
    const fits = isNonNegative && Math.abs(bytes) <= BUFFER_BASE;
    const shift = fits ? (bytes < 0 ? -BUFFER_BASE : 0) : bytes;
    const start = c.add(pointer, c.i32(shift));
    return { operand: sumByDepth(c, start, terms), offset: fits ? bytes - shift : 0 };
  }

  /** Address of element `index` of a buffer. */
  addressOf(buffer: number, index: Expr): Value {
    const { operand, offset } = this.#address(buffer, index);
    return this.#c.add(operand, this.#c.i32(offset));
  }

  #guarded(
    { operand, offset }: Address, e: Expr & { kind: "load" }, context: Context | undefined,
  ): Address {
    if (!context || this.#isReadable(e)) return { operand, offset };
    const c = this.#c;
    return { operand: c.select(this.#anyLane(context), operand, c.i32(0)), offset };
  }

  /** Whether an element can be read whether its guard holds or not. */
  #isReadable({ buffer, index }: Expr & { kind: "load" }): boolean {
    const { extents, buffers } = this.#scope;
    const { size } = buffers[buffer] as BufferArgument;
    return extents !== undefined && staysWithin(index, size, READABLE_MARGIN, extents);
  }

  #scalarLoad(e: Expr & { kind: "load" }, context: Context | undefined): Value {
    const c = this.#c;
    const { operand, offset } = this.#guarded(this.#indexAddress(e, context), e, context);
    if (this.#isHalf(e.buffer)) return halfToScalar(c, c.load("i32.load16_u", operand, offset));
    const value = c.load(e.type === "f32" ? "f32.load" : "i32.load", operand, offset);
    return e.type === "bool" ? c.op("i32.ne", value, c.i32(0)) : value;
  }
  /** An index that loads must itself be guarded. */
  #indexAddress(e: Expr & { kind: "load" }, context: Context | undefined): Address {
    if (!factsOf(e.index).loads) return this.#address(e.buffer, e.index);
    const c = this.#c;
    const pointer = this.#scope.pointers[e.buffer] as Value;
    const width = c.i32(this.#isHalf(e.buffer) ? 2 : 4);
    return { operand: c.add(pointer, c.mul(this.scalar(e.index, context), width)), offset: 0 };
  }

  // ---- four lanes ----------------------------------------------------------------------------

  vector(e: Expr, context?: Context): Value {
    return this.#remember(this.#vectors, e, context, (inner) => this.#vectorOf(e, inner));
  }

  #splat(type: ScalarType, value: Value): Value {
    const c = this.#c;
    if (type === "f32") return c.op("f32x4.splat", value);
    return c.op("i32x4.splat", type === "bool" ? c.sub(c.i32(0), value) : value);
  }

  #vectorOf(e: Expr, context: Context | undefined): Value {
    const c = this.#c;
    const { library } = this.#scope;
    if (!this.#dependsOnLanes(e)) return this.#uniform(e, context);
    const counted = this.#countedLanes(e);
    if (counted) return counted;
    switch (e.kind) {
      case "const": case "size": case "axis":
        throw new InternalError("a kernel index without lanes has lanes");
      case "acc": return this.#accumulator();
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
        const known = this.#truth(e.cond);
        if (known !== undefined) return this.vector(known ? e.a : e.b, context);
        return this.#choose(e.cond, context,
          this.vector(e.a, this.#within(context, e.cond, true)),
          this.vector(e.b, this.#within(context, e.cond, false)));
      }
      case "cast": return vectorCast[e.a.type][e.type](c, this.vector(e.a, context), library);
      case "bitcast": return this.vector(e.a, context);
    }
  }

  #uniform(e: Expr, context: Context | undefined): Value {
    const c = this.#c;
    if (e.kind === "const") {
      if (e.type === "f32") return c.f32x4(e.value);
      return c.i32x4(e.type === "bool" ? -e.value : e.value);
    }
    if (e.kind === "load" && e.type !== "bool" && !this.#isHalf(e.buffer)) {
      const { operand, offset } = this.#guarded(this.#indexAddress(e, context), e, context);
      return c.load("v128.load32_splat", operand, offset);
    }
    return this.#splat(e.type, this.scalar(e, context));
  }

  #choose(cond: Expr, context: Context | undefined, a: Value, b: Value): Value {
    const c = this.#c;
    if (!this.#dependsOnLanes(cond)) return c.select(this.scalar(cond, context), a, b);
    const mask = this.vector(cond, context);
    // All bits zero are 0 of every type: a mask alone is the choice.
    return isZero(b) ? c.op("v128.and", a, mask) : c.op("v128.bitselect", a, b, mask);
  }

  /** Integers that grow by a constant from lane to lane, and comparisons of such. */
  #countedLanes(e: Expr): Value | undefined {
    const c = this.#c;
    const { axis } = this.#lanes as Lanes;
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
    const c = this.#c;
    const power = this.#simplePower(e, (x) => this.vector(x, context),
      (a, b) => c.op("f32x4.mul", a, b), (a) => c.op("f32x4.div", c.f32x4(1), a));
    if (power) return power;
    const pairs = e.op === "or" ? this.#neighbourPairs(e, context) : undefined;
    if (pairs) return pairs;
    if ((e.op === "shl" || e.op === "shr") && !this.#dependsOnLanes(e.b)) {
      return shiftLanes(c, e.op, e.type, this.vector(e.a, context), this.scalar(e.b, context));
    }
    const rule = vectorBinary[e.op][e.a.type];
    if (!rule) return this.#byLanes(e, [e.a, e.b], context);
    return rule(c, this.vector(e.a, context), this.vector(e.b, context), this.#scope.library);
  }

  /** The scalar rule on each lane. */
  #byLanes(
    e: Expr & { kind: "unary" | "binary" }, operands: readonly Expr[],
    context: Context | undefined,
  ): Value {
    const c = this.#c;
    const { library } = this.#scope;
    const columns = operands.map((o) => this.lanesOf(o.type, this.vector(o, context)));
    const results = [0, 1, 2, 3].map((lane) => {
      const [a, b] = columns.map((column) => column[lane] as Value) as [Value, Value];
      if (e.kind === "unary") {
        return (scalarUnary[e.op][e.a.type] ?? missing(e.op, e.a.type))(c, a, library);
      }
      return (scalarBinary[e.op][e.a.type] ?? missing(e.op, e.a.type))(c, a, b, library);
    });
    const [first, ...others] = results as [Value, ...Value[]];
    const replace = e.type === "f32" ? "f32x4.replace_lane" : "i32x4.replace_lane";
    return others.reduce((vector, value, i) => c.lane(replace, i + 1, vector,
      e.type === "bool" ? c.sub(c.i32(0), value) : value), this.#splat(e.type, first));
  }

  /** The four values in a vector. */
  lanesOf(type: ScalarType, vector: Value): Value[] {
    const c = this.#c;
    return [0, 1, 2, 3].map((lane) => {
      if (type === "f32") return c.lane("f32x4.extract_lane", lane, vector);
      const value = c.lane("i32x4.extract_lane", lane, vector);
      return type === "bool" ? c.op("i32.and", value, c.i32(1)) : value;
    });
  }

  /** Two neighbours in memory as the halves of a word (`pairs.ts`): eight loaded and narrowed. */
  #neighbourPairs(
    e: Expr & { kind: "binary" }, context: Context | undefined,
  ): Value | undefined {
    const first = neighboursIn(e);
    if (!first || context || strideAlong(first.index, (this.#lanes as Lanes).axis) !== 2) {
      return undefined;
    }
    const c = this.#c;
    const { operand, offset } = this.#indexAddress(first, context);
    return c.op("i16x8.narrow_i32x4_s", c.load("v128.load", operand, offset),
      c.load("v128.load", operand, offset + 16));
  }

  // ---- vector loads --------------------------------------------------------------------------

  #vectorLoad(e: Expr & { kind: "load" }, context: Context | undefined): Value {
    const c = this.#c;
    const value = this.#loadLanes(e, context);
    return e.type === "bool" ? c.op("i32x4.ne", value, c.i32x4(0)) : value;
  }

  #loadLanes(e: Expr & { kind: "load" }, context: Context | undefined): Value {
    const c = this.#c;
    const stride = strideAlong(e.index, (this.#lanes as Lanes).axis);
    if (this.#isHalf(e.buffer)) return halfToLanes(c, this.#halfLanes(e, stride, context));
    if (stride !== 1 && stride !== 2 && stride !== -1) return this.#gather(e, context);
    const lane0 = this.#indexAddress(e, context);
    if (stride === -1) {
      // Lane 3 is lowest; what lies below a buffer can be read.
      const lowest = { operand: c.add(lane0.operand, c.i32(lane0.offset - 12)), offset: 0 };
      const reversed = c.load("v128.load", this.#guarded(lowest, e, context).operand);
      return c.shuffle(reversed, reversed, [3, 2, 1, 0]);
    }
    const { operand, offset } = this.#guarded(lane0, e, context);
    if (stride === 1) return c.load("v128.load", operand, offset);
    const low = c.load("v128.load", operand, offset);
    const high = c.load("v128.load", operand, offset + 16);
    return c.shuffle(low, high, [0, 2, 4, 6]);
  }

  /** The 16 bits of four halves, each in a lane. */
  #halfLanes(
    e: Expr & { kind: "load" }, stride: ReturnType<typeof strideAlong>,
    context: Context | undefined,
  ): Value {
    const c = this.#c;
    if (stride === 1) {
      const { operand, offset } = this.#guarded(this.#indexAddress(e, context), e, context);
      return c.op("i32x4.extend_low_i16x8_u", c.load("v128.load64_zero", operand, offset));
    }
    const [first, ...others] = this.#laneAddresses(e, context).map(({ operand, offset }) =>
      c.load("i32.load16_u", operand, offset)) as [Value, ...Value[]];
    return others.reduce((vector, bits, i) =>
      c.lane("i32x4.replace_lane", i + 1, vector, bits), c.op("i32x4.splat", first));
  }

  #laneAddresses(e: Expr & { kind: "load" }, context: Context | undefined): Address[] {
    return [0, 1, 2, 3].map((lane) => {
      const lowering = this.#atLane(lane);
      return lowering.#guarded(lowering.#indexAddress(e, context), e, context);
    });
  }

  /** Four separate loads; lanes beyond the end repeat the last one that exists. */
  #gather(e: Expr & { kind: "load" }, context: Context | undefined): Value {
    const c = this.#c;
    const [first, ...others] = this.#laneAddresses(e, context) as [Address, ...Address[]];
    return others.reduce((vector, { operand, offset }, i) =>
      c.loadLane(vector, i + 1, operand, offset),
    c.load("v128.load32_zero", first.operand, first.offset));
  }

  /** The same expressions at one lane alone. */
  #atLane(lane: number): Lowering {
    const known = this.#lane[lane];
    if (known) return known;
    const { axis, end } = this.#lanes as Lanes;
    const c = this.#c;
    const { value, plus } = this.#binding(axis);
    const here = end
      ? { value: c.min(c.add(value, c.i32(plus + lane)), end.last), plus: 0 }
      : { value, plus: plus + lane };
    const made = new Lowering(this.#scope, new Map(this.#axes).set(axis, here),
      { known: this.#known });
    this.#lane[lane] = made;
    return made;
  }

  // ---- stores --------------------------------------------------------------------------------

  store(store: Store): void {
    const c = this.#c;
    const { operand, offset } = this.#address(store.buffer, store.index);
    const op = store.value.type === "f32" ? "f32.store" : "i32.store";
    c.store(op, operand, this.scalar(store.value), offset);
  }

  /** Stores four lanes; at the end of a row only those that exist. */
  storeVector(store: Store): void {
    const c = this.#c;
    const { axis, end } = this.#lanes as Lanes;
    const raw = this.vector(store.value);
    const value = store.value.type === "bool" ? c.op("i32x4.neg", raw) : raw;
    if (strideAlong(store.index, axis) !== 1) return this.#scatter(store, value);
    const { operand, offset } = this.#address(store.buffer, store.index);
    if (!end) return c.store("v128.store", operand, value, offset);
    storePart(c, operand, offset, value, end.count);
  }

  #scatter(store: Store, value: Value): void {
    const c = this.#c;
    const { end } = this.#lanes as Lanes;
    for (let lane = 0; lane < 4; lane++) {
      const { operand, offset } = this.#atLane(lane).#address(store.buffer, store.index);
      const write = (): void => c.storeLane("v128.store32_lane", lane, operand, value, offset);
      if (end) c.if(lessThan(c, lane, end.count), write);
      else write();
    }
  }
}

const isZero = ({ operation }: Value): boolean =>
  operation.kind === "vector" && operation.bytes.every((byte) => byte === 0);

/** The lower one of two neighbours in (first & 0xffff) | second << 16, when both fit 16 bits. */
function neighboursIn({ a: low, b: high }: Expr & { kind: "binary" }): ArrayLoad | undefined {
  if (low.kind !== "binary" || low.op !== "and" || !isConstant(low.b, 0xffff)) return undefined;
  if (high.kind !== "binary" || high.op !== "shl" || !isConstant(high.b, 16)) return undefined;
  const [first, second] = [low.a, high.a];
  if (first.kind !== "load" || second.kind !== "load" || first.type !== "i32") return undefined;
  const fits = first.min >= -(2 ** 15) && first.max < 2 ** 15;
  const areNeighbours = first.buffer === second.buffer && distance(first.index, second.index) === 1;
  return fits && areNeighbours ? first : undefined;
}

const isConstant = (e: Expr, value: number): boolean => e.kind === "const" && e.value === value;

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

/** `start` and the terms, those of outer loops summed first. */
export function sumByDepth(c: Code, start: Value, terms: readonly Value[]): Value {
  let total = start;
  for (let i = 0; i < terms.length;) {
    const depth = (terms[i] as Value).region.depth;
    let level = terms[i++] as Value;
    while (i < terms.length && (terms[i] as Value).region.depth === depth) {
      level = c.add(level, terms[i++] as Value);
    }
    total = c.add(total, level);
  }
  return total;
}

function missing(op: string, type: ScalarType): never {
  throw new InternalError(`kernel expressions have no ${op} of ${type}`);
}
