/**
 * Sizes of tensor axes: a number, or a polynomial with integer coefficients over named symbols
 * ("N", "49*N", "N*T + 1"). Polynomials are kept in a canonical form, so that two sizes are equal
 * exactly when their terms are.
 *
 * Not a general symbolic algebra: there is no division with remainder. Where an operator needs
 * one (a strided convolution over a symbolic height), inference asks for a concrete size instead.
 */
import { InternalError } from "../errors.ts";

export type Dim = number | DimExpr;
export type Bindings = Readonly<Record<string, number>>;

/** A polynomial that is not a plain number. Build one with `symbol`, `addDims`, `mulDims`. */
export class DimExpr {
  /** Monomial ("" is the constant one, "N*T" a product in sorted order) to its coefficient. */
  readonly terms: ReadonlyMap<string, number>;
  constructor(terms: ReadonlyMap<string, number>) {
    this.terms = terms;
  }
  toString(): string {
    return dimToString(this);
  }
}

export function symbol(name: string): Dim {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    throw new InternalError(`"${name}" cannot name a symbolic size`);
  }
  return new DimExpr(new Map([[name, 1]]));
}

const termsOf = (d: Dim): ReadonlyMap<string, number> =>
  typeof d === "number" ? new Map(d === 0 ? [] : [["", d]]) : d.terms;

function canonical(terms: Map<string, number>): Dim {
  for (const [key, c] of terms) if (c === 0) terms.delete(key);
  if (terms.size === 0) return 0;
  if (terms.size === 1 && terms.has("")) return terms.get("") as number;
  return new DimExpr(new Map([...terms].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))));
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = new Map(termsOf(a));
  for (const [key, c] of termsOf(b)) sum.set(key, (sum.get(key) ?? 0) + c);
  return canonical(sum);
}

export const negDim = (a: Dim): Dim => mulDims(a, -1);
export const subDims = (a: Dim, b: Dim): Dim => addDims(a, negDim(b));

const mulKeys = (a: string, b: string): string =>
  a === "" ? b : b === "" ? a : [...a.split("*"), ...b.split("*")].sort().join("*");

export function mulDims(a: Dim, b: Dim): Dim {
  // + 0 turns -0 into 0: a size has one zero.
  if (typeof a === "number" && typeof b === "number") return a * b + 0;
  const product = new Map<string, number>();
  for (const [ka, ca] of termsOf(a)) {
    for (const [kb, cb] of termsOf(b)) {
      const key = mulKeys(ka, kb);
      product.set(key, (product.get(key) ?? 0) + ca * cb);
    }
  }
  return canonical(product);
}

/** a / b when b is one monomial that divides every term of a; undefined otherwise. */
export function divDimsExact(a: Dim, b: Dim): Dim | undefined {
  if (typeof a === "number" && typeof b === "number") {
    return b !== 0 && a % b === 0 ? a / b + 0 : undefined;
  }
  if (dimsEqual(a, b)) return 1;
  const divisor = [...termsOf(b)];
  if (divisor.length !== 1) return undefined;
  const [keyB, coefB] = divisor[0] as [string, number];
  const quotient = new Map<string, number>();
  for (const [keyA, coefA] of termsOf(a)) {
    if (coefA % coefB !== 0) return undefined;
    const rest = keyA === "" ? [] : keyA.split("*");
    for (const factor of keyB === "" ? [] : keyB.split("*")) {
      const at = rest.indexOf(factor);
      if (at < 0) return undefined;
      rest.splice(at, 1);
    }
    quotient.set(rest.join("*"), coefA / coefB);
  }
  return canonical(quotient);
}

export function dimsEqual(a: Dim, b: Dim): boolean {
  if (typeof a === "number" || typeof b === "number") return a === b;
  if (a.terms.size !== b.terms.size) return false;
  for (const [key, c] of a.terms) if (b.terms.get(key) !== c) return false;
  return true;
}

/** True when a >= b for every assignment of symbols >= 0, judged term by term (sufficient only). */
export function dimAtLeast(a: Dim, b: Dim): boolean {
  const difference = subDims(a, b);
  return [...termsOf(difference).values()].every((c) => c >= 0);
}

export const productOf = (shape: readonly Dim[]): Dim => shape.reduce(mulDims, 1 as Dim);

export const shapesEqual = (a: readonly Dim[], b: readonly Dim[]): boolean =>
  a.length === b.length && a.every((d, i) => dimsEqual(d, b[i] as Dim));

/** The value of a size under bindings; an unbound symbol is an internal error. */
export function evalDim(d: Dim, bindings: Bindings): number {
  if (typeof d === "number") return d;
  let total = 0;
  for (const [key, c] of d.terms) {
    let term = c;
    for (const name of key === "" ? [] : key.split("*")) {
      const value = bindings[name];
      if (value === undefined) throw new InternalError(`size symbol ${name} is not bound`);
      term *= value;
    }
    total += term;
  }
  return total;
}

export const evalShape = (shape: readonly Dim[], bindings: Bindings): number[] =>
  shape.map((d) => evalDim(d, bindings));

/** Substitutes sizes for symbols; symbols without an entry stay. */
export function bindDim(d: Dim, bindings: Readonly<Record<string, Dim>>): Dim {
  if (typeof d === "number") return d;
  let total: Dim = 0;
  for (const [key, c] of d.terms) {
    let term: Dim = c;
    for (const name of key === "" ? [] : key.split("*")) {
      term = mulDims(term, bindings[name] ?? symbol(name));
    }
    total = addDims(total, term);
  }
  return total;
}

export function symbolsOf(d: Dim): string[] {
  if (typeof d === "number") return [];
  return [...new Set([...d.terms.keys()].flatMap((k) => (k === "" ? [] : k.split("*"))))].sort();
}

export const isStatic = (shape: readonly Dim[]): shape is readonly number[] =>
  shape.every((d) => typeof d === "number");

export function dimToString(d: Dim): string {
  if (typeof d === "number") return String(d);
  const parts = [...d.terms].map(([key, c]) =>
    key === "" ? String(c) : c === 1 ? key : c === -1 ? `-${key}` : `${c}*${key}`,
  );
  return parts.join("+").replaceAll("+-", "-");
}

/** Reads what `dimToString` prints. Throws InternalError on anything else. */
export function parseDim(text: string): Dim {
  const tokens = text.replaceAll(" ", "").match(/[+-]?[^+-]+/g);
  if (!tokens || tokens.join("") !== text.replaceAll(" ", "")) {
    throw new InternalError(`"${text}" is not a size`);
  }
  return tokens.reduce<Dim>((total, token) => {
    const sign = token.startsWith("-") ? -1 : 1;
    const factors = token.replace(/^[+-]/, "").split("*");
    const term = factors.reduce<Dim>(
      (p, f) => mulDims(p, /^\d+$/.test(f) ? Number(f) : symbol(f)),
      sign,
    );
    return addDims(total, term);
  }, 0);
}
