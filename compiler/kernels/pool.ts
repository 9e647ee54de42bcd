/**
 * Constructors of kernel expressions, with simplification of index arithmetic.
 *
 * A pool makes equal expressions identical and applies the rewrite rules as nodes are built, so no
 * separate simplifier pass exists. Sums and products are rewritten modulo 2^32, as i32 computes
 * them. Division, remainder and comparison are simplified from ranges, and a range is one of two
 * kinds: index expressions stay below 2^31 by construction (buffers are checked against it), so
 * their ranges are cut there; what depends on loaded data may wrap, and then is of any value.
 * Division and remainder are only simplified for non-negative operands, where truncation and floor
 * agree. Where the idea comes from: the symbolic index rules of tinygrad and jax-js.
 */
import { dimToString, symbolsOf, type Dim } from "../graph/dim.ts";
import { InternalError } from "../errors.ts";
import { binaryFloat, unaryFloat } from "./scalar.ts";
import { operandsOf, type Expr, type ExprBinary, type ExprUnary, type ScalarType } from "./expr.ts";

type Distribute<T, K extends PropertyKey> = T extends Expr ? Omit<T, K> : never;
/** A node before it is interned; its range follows from it. */
type Shape = Distribute<Expr, "id" | "min" | "max">;
type Range = readonly [number, number];

const INT: Record<"i32" | "u32", Range> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
};
const comparisons = new Set<ExprBinary>(["eq", "lt", "le"]);
const widest = (type: ScalarType): Range =>
  type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity];

const corners = (a: Expr, b: Expr): Range => {
  const all = [a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max];
  return [Math.min(...all), Math.max(...all)];
};
const areCounts = (a: Expr, b: Expr): boolean => a.min >= 0 && b.min > 0;
/** Bounds of i32 operators as integers without wrapping; undefined where nothing is known. */
const bounds: Partial<Record<ExprBinary, (a: Expr, b: Expr) => Range | undefined>> = {
  add: (a, b) => [a.min + b.min, a.max + b.max],
  mul: corners,
  div: (a, b) =>
    areCounts(a, b) ? [Math.floor(a.min / b.max), Math.floor(a.max / b.min)] : undefined,
  rem: (a, b) => (areCounts(a, b) ? [0, Math.min(a.max, b.max - 1)] : undefined),
  max: (a, b) => [Math.max(a.min, b.min), Math.max(a.max, b.max)],
  min: (a, b) => [Math.min(a.min, b.min), Math.min(a.max, b.max)],
};

/** A node as a file holds it: the kinds that constructors may simplify. */
export type Restored =
  | { readonly kind: "unary"; readonly op: ExprUnary; readonly a: Expr }
  | { readonly kind: "binary"; readonly op: ExprBinary; readonly a: Expr; readonly b: Expr }
  | { readonly kind: "select" | "guard"; readonly cond: Expr; readonly a: Expr; readonly b: Expr }
  | { readonly kind: "cast" | "bitcast"; readonly type: ScalarType; readonly a: Expr };

/** One term of a sum: coefficient times a node that is itself no sum and no constant multiple. */
interface Term { readonly e: Expr; readonly c: number }

export class ExprPool {
  readonly #nodes = new Map<string, Expr>();
  /** By id. Ids tell nodes apart within one pool only, so operands of another one are refused. */
  readonly #all: Expr[] = [];
  /** Nodes that depend on memory. */
  readonly #data = new Set<Expr>();

  #intern(shape: Shape, range?: Range): Expr {
    for (const operand of operandsOf(shape as Expr)) {
      if (this.#all[operand.id] !== operand) {
        throw new InternalError("a kernel expression of nodes from two pools");
      }
    }
    const parts: (string | number)[] = [shape.kind, shape.type];
    switch (shape.kind) {
      case "const": parts.push(Object.is(shape.value, -0) ? "-0" : shape.value); break;
      case "axis": parts.push(shape.axis, range?.[1] ?? 0); break;
      case "size": parts.push(dimToString(shape.dim)); break;
      case "load": parts.push(shape.buffer, shape.index.id); break;
      case "acc": break;
      case "unary": parts.push(shape.op, shape.a.id); break;
      case "binary": parts.push(shape.op, shape.a.id, shape.b.id); break;
      case "select": case "guard": parts.push(shape.cond.id, shape.a.id, shape.b.id); break;
      case "cast": case "bitcast": parts.push(shape.a.id); break;
    }
    const key = parts.join(" ");
    const known = this.#nodes.get(key);
    if (known) return known;
    const [min, max] = range ?? this.#rangeOf(shape);
    const made = { ...shape, min, max, id: this.#nodes.size } as Expr;
    this.#nodes.set(key, made);
    this.#all.push(made);
    const isData = made.kind === "load" || made.kind === "acc";
    if (isData || operandsOf(made).some((o) => this.#data.has(o))) this.#data.add(made);
    return made;
  }

  #rangeOf(shape: Shape): Range {
    const wide = widest(shape.type);
    switch (shape.kind) {
      case "const": return [shape.value, shape.value];
      case "size": return [0, wide[1]];
      case "select": case "guard":
        return [Math.min(shape.a.min, shape.b.min), Math.max(shape.a.max, shape.b.max)];
      case "cast": {
        const { a, type } = shape;
        if (a.type === "bool" && type !== "f32") return [0, 1];
        const isKept = a.type !== "f32" && a.min >= wide[0] && a.max <= wide[1];
        return type !== "f32" && isKept ? [a.min, a.max] : wide;
      }
      case "binary": {
        const { op, a, b } = shape;
        const range = shape.type === "i32" ? bounds[op]?.(a, b) : undefined;
        if (!range) return wide;
        const [low, high] = range;
        if (low >= wide[0] && high <= wide[1]) return range;
        const mayWrap = this.#data.has(a) || this.#data.has(b);
        return mayWrap ? wide : [Math.max(low, wide[0]), Math.min(high, wide[1])];
      }
      default: return wide;
    }
  }

  /** A node as it was written, without simplification, so that a kernel read back is the same. */
  restore(node: Restored): Expr {
    switch (node.kind) {
      case "unary": {
        const type = node.op === "isnan" ? "bool" : node.a.type;
        return this.#intern({ kind: "unary", op: node.op, type, a: node.a });
      }
      case "binary": return this.#raw(node.op, node.a, node.b);
      case "select": case "guard": return this.#intern({ ...node, type: node.a.type });
      case "cast": case "bitcast": return this.#intern(node);
    }
  }

  const(value: number, type: ScalarType = "i32"): Expr {
    if (type === "i32") value |= 0;
    else if (type === "u32") value >>>= 0;
    else if (type === "bool") value = value ? 1 : 0;
    return this.#intern({ kind: "const", type, value });
  }

  /** Loop index `axis` of extent `extent`. */
  axis(axis: number, extent: Dim): Expr {
    if (extent === 1) return this.const(0);
    const max = typeof extent === "number" ? Math.max(extent - 1, 0) : INT.i32[1];
    return this.#intern({ kind: "axis", type: "i32", axis }, [0, max]);
  }

  size(dim: Dim): Expr {
    if (typeof dim === "number") return this.const(dim);
    if (symbolsOf(dim).length === 0) throw new InternalError("a size without symbols");
    return this.#intern({ kind: "size", type: "i32", dim });
  }

  /** @param range of what the buffer holds, where it is narrower than its storage */
  load(buffer: number, index: Expr, type: ScalarType, range?: Range): Expr {
    return this.#intern({ kind: "load", type, buffer, index }, range);
  }

  acc(type: ScalarType): Expr {
    return this.#intern({ kind: "acc", type });
  }

  /**
   * A float result as a constant, where float32 holds it as it is or not at all: a reader that
   * computes in float64 then sees no rounding, and none meets an overflow among constants.
   */
  #folded(value: number | undefined): Expr | undefined {
    if (value === undefined) return undefined;
    const single = Math.fround(value);
    return Object.is(single, value) || !Number.isFinite(single)
      ? this.const(single, "f32") : undefined;
  }

  unary(op: ExprUnary, a: Expr): Expr {
    if (a.kind === "const" && a.type === "f32" && op !== "isnan") {
      const folded = this.#folded(unaryFloat[op]?.(a.value));
      if (folded) return folded;
    }
    if (op === "not") {
      if (a.kind === "const") return this.const(a.value ? 0 : 1, "bool");
      if (a.kind === "unary" && a.op === "not") return a.a;
    }
    const type = op === "isnan" ? "bool" : a.type;
    if (type === "i32" && op === "neg") return this.sub(this.const(0), a);
    return this.#intern({ kind: "unary", op, type, a });
  }

  binary(op: ExprBinary, a: Expr, b: Expr): Expr {
    if (a.type !== b.type && op !== "shl" && op !== "shr") {
      throw new InternalError(`kernel expression ${op} of ${a.type} and ${b.type}`);
    }
    if (a.type === "i32" && b.type === "i32") {
      switch (op) {
        case "add": return this.add(a, b);
        case "sub": return this.sub(a, b);
        case "mul": return this.mul(a, b);
        case "div": return this.div(a, b);
        case "rem": return this.rem(a, b);
        case "lt": return this.lt(a, b);
        case "le": return this.not(this.lt(b, a));
        default: break;
      }
    }
    if (a.type === "bool" && (op === "and" || op === "or")) {
      for (const [x, y] of [[a, b], [b, a]] as const) {
        if (x.kind !== "const") continue;
        return op === "and" ? (x.value ? y : x) : x.value ? x : y;
      }
      if (a === b) return a;
    }
    if (a.kind === "const" && b.kind === "const" && a.type === "f32" && !comparisons.has(op)) {
      const folded = this.#folded(binaryFloat[op]?.(a.value, b.value));
      if (folded) return folded;
    }
    if (a.type === "f32" && b.kind === "const") {
      // Exact for every float, NaN and signed zero included: x*1, x/1.
      if ((op === "mul" || op === "div") && b.value === 1) return a;
    }
    if (a.type === "f32" && a.kind === "const" && op === "mul" && a.value === 1) return b;
    return this.#raw(op, a, b);
  }

  #raw(op: ExprBinary, a: Expr, b: Expr): Expr {
    return this.#intern({ kind: "binary", op, type: comparisons.has(op) ? "bool" : a.type, a, b });
  }

  select(cond: Expr, a: Expr, b: Expr): Expr {
    return this.#choice("select", cond, a, b);
  }
  guard(cond: Expr, a: Expr, b: Expr): Expr {
    return this.#choice("guard", cond, a, b);
  }
  #choice(kind: "select" | "guard", cond: Expr, a: Expr, b: Expr): Expr {
    if (cond.kind === "const") return cond.value ? a : b;
    if (a === b) return a;
    return this.#intern({ kind, type: a.type, cond, a, b });
  }

  cast(a: Expr, type: ScalarType): Expr {
    if (a.type === type) return a;
    if (a.kind === "const" && type === "f32") {
      return this.#folded(a.value) ?? this.#intern({ kind: "cast", type, a });
    }
    if (a.kind === "const" && a.type !== "f32") return this.const(a.value, type);
    if (a.kind === "const" && type === "bool") return this.const(a.value !== 0 ? 1 : 0, "bool");
    return this.#intern({ kind: "cast", type, a });
  }

  bitcast(a: Expr, type: ScalarType): Expr {
    if (a.type === type) return a;
    return this.#intern({ kind: "bitcast", type, a });
  }

  not(a: Expr): Expr {
    return this.unary("not", a);
  }
  and(a: Expr, b: Expr): Expr {
    return this.binary("and", a, b);
  }

  // ---- i32 arithmetic ----------------------------------------------------------------------

  /** Splits a sum into terms and a constant. */
  #terms(e: Expr): { terms: Term[]; constant: number } {
    if (e.kind === "const") return { terms: [], constant: e.value };
    if (e.kind === "binary" && e.type === "i32") {
      if (e.op === "add") {
        const [x, y] = [this.#terms(e.a), this.#terms(e.b)];
        return { terms: [...x.terms, ...y.terms], constant: x.constant + y.constant | 0 };
      }
      if (e.op === "mul" && e.b.kind === "const") {
        return { terms: [{ e: e.a, c: e.b.value }], constant: 0 };
      }
    }
    return { terms: [{ e, c: 1 }], constant: 0 };
  }

  #sum(all: readonly Term[], constant: number): Expr {
    const merged = new Map<Expr, number>();
    for (const { e, c } of all) merged.set(e, (merged.get(e) ?? 0) + c | 0);
    this.#rejoin(merged);
    // One canonical order makes equal sums identical: larger coefficients first, as in row-major.
    const terms = [...merged].filter(([, c]) => c !== 0)
      .sort(([x, cx], [y, cy]) => Math.abs(cy) - Math.abs(cx) || x.id - y.id);
    let total: Expr | undefined;
    for (const [e, c] of terms) {
      const scaled = c === 1 ? e : this.#raw("mul", e, this.const(c));
      total = total === undefined ? scaled : this.#raw("add", total, scaled);
    }
    if (total === undefined) return this.const(constant);
    return constant === 0 ? total : this.#raw("add", total, this.const(constant));
  }

  /** (y/d)*d*c + (y%d)*c = y*c, for y >= 0: what splitting and flattening an index leaves. */
  #rejoin(terms: Map<Expr, number>): void {
    for (const [e, c] of [...terms]) {
      if (e.kind !== "binary" || e.op !== "rem" || e.b.kind !== "const" || e.a.min < 0) continue;
      if (terms.get(e) !== c || c === 0) continue;
      const whole = this.div(e.a, e.b);
      if (terms.get(whole) !== c * e.b.value) continue;
      terms.delete(whole);
      terms.delete(e);
      const { terms: parts, constant } = this.#terms(e.a);
      if (constant !== 0 || parts.length !== 1) terms.set(e.a, (terms.get(e.a) ?? 0) + c);
      else {
        const [part] = parts as [Term];
        terms.set(part.e, (terms.get(part.e) ?? 0) + part.c * c);
      }
      // The sum may now hold the other half of an outer pair.
      this.#rejoin(terms);
      return;
    }
  }

  add(a: Expr, b: Expr): Expr {
    const [x, y] = [this.#terms(a), this.#terms(b)];
    return this.#sum([...x.terms, ...y.terms], x.constant + y.constant | 0);
  }

  sub(a: Expr, b: Expr): Expr {
    const [x, y] = [this.#terms(a), this.#terms(b)];
    const negated = y.terms.map(({ e, c }) => ({ e, c: -c | 0 }));
    return this.#sum([...x.terms, ...negated], x.constant - y.constant | 0);
  }

  mul(a: Expr, b: Expr): Expr {
    if (a.kind === "const") [a, b] = [b, a];
    if (b.kind === "const") {
      const factor = b.value;
      const { terms, constant } = this.#terms(a);
      if (factor === 0) return this.const(0);
      const scaled = terms.map(({ e, c }) => ({ e, c: Math.imul(c, factor) }));
      return this.#sum(scaled, Math.imul(constant, factor));
    }
    if (b.id < a.id) [a, b] = [b, a];
    return this.#raw("mul", a, b);
  }

  /** Quotient by a positive constant, for operands known to be >= 0; left alone otherwise. */
  div(a: Expr, b: Expr): Expr {
    if (b.kind !== "const" || b.value <= 0 || a.min < 0) {
      if (a === b && a.kind === "size") return this.const(1);
      return this.#raw("div", a, b);
    }
    const d = b.value;
    if (d === 1) return a;
    if (a.max < d) return this.const(0);
    if (a.kind === "const") return this.const(Math.floor(a.value / d));
    const split = this.#splitBy(a, d);
    if (split) return this.add(split.quotient, this.div(split.rest, b));
    if (a.kind === "binary" && a.op === "div" && a.b.kind === "const" && a.a.min >= 0) {
      return this.div(a.a, this.const(a.b.value * d));
    }
    return this.#raw("div", a, b);
  }

  rem(a: Expr, b: Expr): Expr {
    if (b.kind !== "const" || b.value <= 0 || a.min < 0) return this.#raw("rem", a, b);
    const d = b.value;
    if (d === 1) return this.const(0);
    if (a.max < d) return a;
    if (a.kind === "const") return this.const(a.value % d);
    const split = this.#splitBy(a, d);
    if (split) return this.rem(split.rest, b);
    // (x / p) % d stays; (x % (d*q)) % d = x % d.
    if (a.kind === "binary" && a.op === "rem" && a.b.kind === "const" && a.b.value % d === 0 &&
        a.a.min >= 0) {
      return this.rem(a.a, b);
    }
    return this.#raw("rem", a, b);
  }

  /**
   * a = d*quotient + rest with both >= 0 and something moved into the quotient, or undefined.
   * Terms whose coefficient d divides move; the rest must stay non-negative.
   */
  #splitBy(a: Expr, d: number): { quotient: Expr; rest: Expr } | undefined {
    const { terms, constant } = this.#terms(a);
    const moved: Term[] = [];
    const kept: Term[] = [];
    for (const { e, c } of terms) {
      if (c % d === 0) moved.push({ e, c: c / d });
      else kept.push({ e, c });
    }
    const restConstant = ((constant % d) + d) % d;
    const quotientConstant = (constant - restConstant) / d;
    if (moved.length === 0 && quotientConstant === 0) return undefined;
    const rest = this.#sum(kept, restConstant);
    const quotient = this.#sum(moved, quotientConstant);
    return rest.min >= 0 && quotient.min >= 0 ? { quotient, rest } : undefined;
  }

  lt(a: Expr, b: Expr): Expr {
    if (a.max < b.min) return this.const(1, "bool");
    if (a.min >= b.max) return this.const(0, "bool");
    return this.#raw("lt", a, b);
  }

  /** low <= e < high, each side dropped where the range already proves it. */
  within(e: Expr, low: Expr, high: Expr): Expr {
    return this.and(this.not(this.lt(e, low)), this.lt(e, high));
  }
}

/** Row-major flat index of `indices` in `shape`. */
export function flatten(pool: ExprPool, indices: readonly Expr[], shape: readonly Dim[]): Expr {
  let flat = pool.const(0);
  indices.forEach((index, axis) => {
    flat = pool.add(pool.mul(flat, pool.size(shape[axis] as Dim)), index);
  });
  return flat;
}
