/**
 * Constructors of kernel expressions, with simplification of index arithmetic.
 *
 * A pool makes equal expressions identical and applies the rewrite rules as nodes are built, so no
 * separate simplifier pass exists. Rules keep the exact integer meaning for operands within their
 * ranges (index expressions stay below 2^31 by construction: buffers are checked against it).
 * Division and remainder are only simplified for non-negative operands, where truncation and floor
 * agree. Where the idea comes from: the symbolic index rules of tinygrad and jax-js.
 */
import { dimToString, symbolsOf, type Dim } from "../graph/dim.ts";
import { InternalError } from "../errors.ts";
import { binaryFloat, unaryFloat } from "./scalar.ts";
import type { Expr, ExprBinary, ExprUnary, ScalarType } from "./expr.ts";

type Distribute<T> = T extends Expr ? Omit<T, "id"> : never;
type Shape = Distribute<Expr>;

const INT: Record<"i32" | "u32", readonly [number, number]> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
};
const comparisons = new Set<ExprBinary>(["eq", "lt", "le"]);

/** One term of a sum: coefficient times a node that is itself no sum and no constant multiple. */
interface Term { readonly e: Expr; readonly c: number }

export class ExprPool {
  readonly #nodes = new Map<string, Expr>();

  #intern(shape: Shape): Expr {
    const parts: (string | number)[] = [shape.kind, shape.type];
    switch (shape.kind) {
      case "const": parts.push(Object.is(shape.value, -0) ? "-0" : shape.value); break;
      case "axis": parts.push(shape.axis, shape.max); break;
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
    const made = { ...shape, id: this.#nodes.size } as Expr;
    this.#nodes.set(key, made);
    return made;
  }

  const(value: number, type: ScalarType = "i32"): Expr {
    if (type === "i32") value |= 0;
    else if (type === "u32") value >>>= 0;
    else if (type === "bool") value = value ? 1 : 0;
    return this.#intern({ kind: "const", type, value, min: value, max: value });
  }

  /** Loop index `axis` of extent `extent`. */
  axis(axis: number, extent: Dim): Expr {
    if (extent === 1) return this.const(0);
    const max = typeof extent === "number" ? Math.max(extent - 1, 0) : INT.i32[1];
    return this.#intern({ kind: "axis", type: "i32", axis, min: 0, max });
  }

  size(dim: Dim): Expr {
    if (typeof dim === "number") return this.const(dim);
    if (symbolsOf(dim).length === 0) throw new InternalError("a size without symbols");
    return this.#intern({ kind: "size", type: "i32", dim, min: 0, max: INT.i32[1] });
  }

  load(buffer: number, index: Expr, type: ScalarType): Expr {
    const [min, max] = type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity];
    return this.#intern({ kind: "load", type, buffer, index, min, max });
  }

  acc(type: ScalarType): Expr {
    const [min, max] = type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity];
    return this.#intern({ kind: "acc", type, min, max });
  }

  unary(op: ExprUnary, a: Expr): Expr {
    if (a.kind === "const" && a.type === "f32" && op !== "isnan") {
      const f = unaryFloat[op];
      if (f) return this.const(Math.fround(f(a.value)), "f32");
    }
    if (op === "not") {
      if (a.kind === "const") return this.const(a.value ? 0 : 1, "bool");
      if (a.kind === "unary" && a.op === "not") return a.a;
    }
    const type = op === "isnan" ? "bool" : a.type;
    if (type === "i32" && op === "neg") return this.sub(this.const(0), a);
    const [min, max] = type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity];
    return this.#intern({ kind: "unary", op, type, a, min, max });
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
        case "max":
          return this.#raw(op, a, b, [Math.max(a.min, b.min), Math.max(a.max, b.max)]);
        case "min":
          return this.#raw(op, a, b, [Math.min(a.min, b.min), Math.min(a.max, b.max)]);
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
      const f = binaryFloat[op];
      if (f) return this.const(Math.fround(f(a.value, b.value)), "f32");
    }
    if (a.type === "f32" && b.kind === "const") {
      // Exact for every float, NaN and signed zero included: x*1, x/1.
      if ((op === "mul" || op === "div") && b.value === 1) return a;
    }
    if (a.type === "f32" && a.kind === "const" && op === "mul" && a.value === 1) return b;
    return this.#raw(op, a, b);
  }

  #raw(op: ExprBinary, a: Expr, b: Expr, range?: readonly [number, number]): Expr {
    const type = comparisons.has(op) ? "bool" : a.type;
    const wide = type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity] as const;
    // Index arithmetic never overflows, so its bounds may be clamped; data may be anything, so
    // what is computed from an operand of unknown value is of unknown value again.
    const data = type === "i32" && (isUnknown(a) || isUnknown(b)) && !isBounded(op);
    const [low, high] = data || !range ? wide : range;
    const [min, max] = [Math.max(low, wide[0]), Math.min(high, wide[1])];
    return this.#intern({ kind: "binary", op, type, a, b, min, max });
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
    const [min, max] = [Math.min(a.min, b.min), Math.max(a.max, b.max)];
    return this.#intern({ kind, type: a.type, cond, a, b, min, max });
  }

  cast(a: Expr, type: ScalarType): Expr {
    if (a.type === type) return a;
    if (a.kind === "const" && type === "f32") return this.const(Math.fround(a.value), "f32");
    if (a.kind === "const" && a.type !== "f32") return this.const(a.value, type);
    if (a.kind === "const" && type === "bool") return this.const(a.value !== 0 ? 1 : 0, "bool");
    let [min, max] = type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity];
    if (a.type === "bool" && type !== "f32") [min, max] = [0, 1];
    if (type === "u32" && a.type === "i32" && a.min >= 0) [min, max] = [a.min, a.max];
    return this.#intern({ kind: "cast", type, a, min, max });
  }

  bitcast(a: Expr, type: ScalarType): Expr {
    if (a.type === type) return a;
    const [min, max] = type === "i32" || type === "u32" ? INT[type] : [-Infinity, Infinity];
    return this.#intern({ kind: "bitcast", type, a, min, max });
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
        return { terms: [...x.terms, ...y.terms], constant: x.constant + y.constant };
      }
      if (e.op === "mul" && e.b.kind === "const") {
        return { terms: [{ e: e.a, c: e.b.value }], constant: 0 };
      }
    }
    return { terms: [{ e, c: 1 }], constant: 0 };
  }

  #sum(all: readonly Term[], constant: number): Expr {
    const merged = new Map<Expr, number>();
    for (const { e, c } of all) merged.set(e, (merged.get(e) ?? 0) + c);
    this.#rejoin(merged);
    // One canonical order makes equal sums identical: larger coefficients first, as in row-major.
    const terms = [...merged].filter(([, c]) => c !== 0)
      .sort(([x, cx], [y, cy]) => Math.abs(cy) - Math.abs(cx) || x.id - y.id);
    let total: Expr | undefined;
    for (const [e, c] of terms) {
      const scaled = c === 1 ? e : this.#raw("mul", e, this.const(c), scaleRange(e, c));
      total = total === undefined ? scaled : this.#raw("add", total, scaled,
        [total.min + scaled.min, total.max + scaled.max]);
    }
    if (total === undefined) return this.const(constant);
    if (constant === 0) return total;
    return this.#raw("add", total, this.const(constant),
      [total.min + constant, total.max + constant]);
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
    return this.#sum([...x.terms, ...y.terms], x.constant + y.constant);
  }

  sub(a: Expr, b: Expr): Expr {
    const [x, y] = [this.#terms(a), this.#terms(b)];
    const negated = y.terms.map(({ e, c }) => ({ e, c: -c }));
    return this.#sum([...x.terms, ...negated], x.constant - y.constant);
  }

  mul(a: Expr, b: Expr): Expr {
    if (a.kind === "const") [a, b] = [b, a];
    if (b.kind === "const") {
      const factor = b.value;
      const { terms, constant } = this.#terms(a);
      if (factor === 0) return this.const(0);
      return this.#sum(terms.map(({ e, c }) => ({ e, c: c * factor })), constant * factor);
    }
    if (b.id < a.id) [a, b] = [b, a];
    const corners = [a.min * b.min, a.min * b.max, a.max * b.min, a.max * b.max];
    return this.#raw("mul", a, b, [Math.min(...corners), Math.max(...corners)]);
  }

  /** Quotient by a positive constant, for operands known to be >= 0; left alone otherwise. */
  div(a: Expr, b: Expr): Expr {
    if (b.kind !== "const" || b.value <= 0 || a.min < 0) {
      if (a === b && a.kind === "size") return this.const(1);
      const nonNegative = a.min >= 0 && b.min > 0;
      return this.#raw("div", a, b, nonNegative ? [0, a.max] : undefined);
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
    return this.#raw("div", a, b, [Math.floor(a.min / d), Math.floor(a.max / d)]);
  }

  rem(a: Expr, b: Expr): Expr {
    if (b.kind !== "const" || b.value <= 0 || a.min < 0) {
      const nonNegative = a.min >= 0 && b.min > 0;
      return this.#raw("rem", a, b, nonNegative ? [0, Math.min(a.max, b.max - 1)] : undefined);
    }
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
    return this.#raw("rem", a, b, [0, d - 1]);
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

const isUnknown = (e: Expr): boolean =>
  e.type === "i32" && e.min <= INT.i32[0] && e.max >= INT.i32[1];
/** Operators whose given range holds whatever their operands are. */
const isBounded = (op: ExprBinary): boolean => op === "rem" || op === "max" || op === "min";

function scaleRange(e: Expr, c: number): readonly [number, number] {
  return c >= 0 ? [e.min * c, e.max * c] : [e.max * c, e.min * c];
}

/** Row-major flat index of `indices` in `shape`. */
export function flatten(pool: ExprPool, indices: readonly Expr[], shape: readonly Dim[]): Expr {
  let flat = pool.const(0);
  indices.forEach((index, axis) => {
    flat = pool.add(pool.mul(flat, pool.size(shape[axis] as Dim)), index);
  });
  return flat;
}
