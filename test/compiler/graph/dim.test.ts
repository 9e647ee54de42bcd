/** Algebra of sizes against evaluation: every law is checked on numbers put in for the symbols. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InternalError, UserError } from "../../../compiler/errors.ts";
import {
  addDims, bindDim, dimAtLeast, dimsEqual, dimToString, divDimsExact, evalDim, isStatic, mulDims,
  negDim, parseDim, productOf, shapesEqual, subDims, symbol, symbolsOf, type Dim,
} from "../../../compiler/graph/dim.ts";
import { parseSize } from "../../../compiler/graph/text.ts";

const names = ["N", "T", "height_2"] as const;
const small = fc.integer({ min: -6, max: 6 });
const monomial = fc.tuple(small, fc.array(fc.constantFrom(...names), { maxLength: 3 }))
  .map(([c, factors]) => factors.map(symbol).reduce(mulDims, c as Dim));
const dim = fc.array(monomial, { maxLength: 4 }).map((terms) => terms.reduce(addDims, 0 as Dim));
const bindings = fc.record({ N: fc.nat(9), T: fc.nat(9), height_2: fc.nat(9) });
const runs = { seed: 7, numRuns: 1000 };

describe("algebra", () => {
  it("adds, subtracts and multiplies as numbers do", () => {
    fc.assert(fc.property(dim, dim, bindings, (a, b, at) => {
      const [x, y] = [evalDim(a, at), evalDim(b, at)];
      expect(evalDim(addDims(a, b), at)).toBe(x + y);
      expect(evalDim(subDims(a, b), at)).toBe(x - y);
      expect(evalDim(mulDims(a, b), at) === x * y).toBe(true);
      expect(evalDim(negDim(a), at) === -x).toBe(true);
      expect(evalDim(productOf([a, b, 3]), at) === x * y * 3).toBe(true);
    }), runs);
  });

  it("has one form for equal sizes, however they were made", () => {
    fc.assert(fc.property(dim, dim, dim, (a, b, c) => {
      const [one, other] = [mulDims(a, addDims(b, c)), addDims(mulDims(c, a), mulDims(b, a))];
      expect(dimsEqual(one, other)).toBe(true);
      expect(dimToString(one)).toBe(dimToString(other));
      expect(shapesEqual([one, a], [other, a])).toBe(true);
      expect(shapesEqual([one], [one, 1])).toBe(false);
      expect(subDims(one, other)).toBe(0);
    }), runs);
  });

  it("is a number, and none of the zeros, where no symbol is left", () => {
    const n = symbol("N");
    expect(Object.is(subDims(n, n), 0)).toBe(true);
    expect(addDims(subDims(n, n), 3)).toBe(3);
    expect(Object.is(mulDims(n, 0), 0)).toBe(true);
    expect(isStatic([subDims(addDims(n, 2), n), 5])).toBe(true);
    expect(isStatic([n])).toBe(false);
  });

  it("tells apart sizes that differ somewhere", () => {
    fc.assert(fc.property(dim, dim, bindings, (a, b, at) => {
      if (evalDim(a, at) !== evalDim(b, at)) expect(dimsEqual(a, b)).toBe(false);
    }), runs);
  });
});

describe("division", () => {
  it("undoes multiplication by one term", () => {
    fc.assert(fc.property(dim, monomial, (a, m) => {
      fc.pre(m !== 0);
      const quotient = divDimsExact(mulDims(a, m), m);
      expect(quotient !== undefined && dimsEqual(quotient, a)).toBe(true);
    }), runs);
  });

  it("gives a quotient only when it is exact", () => {
    let exact = 0;
    fc.assert(fc.property(dim, dim, bindings, (a, b, at) => {
      const quotient = divDimsExact(a, b);
      if (quotient === undefined) return;
      exact++;
      expect(evalDim(quotient, at) * evalDim(b, at) === evalDim(a, at)).toBe(true);
    }), runs);
    expect(exact).toBeGreaterThan(50);
    expect(divDimsExact(7, 2)).toBeUndefined();
    expect(divDimsExact(symbol("N"), 2)).toBeUndefined();
    expect(divDimsExact(symbol("N"), 0)).toBeUndefined();
    expect(divDimsExact(0, 0)).toBeUndefined();
  });
});

describe("order", () => {
  it("says at least only where it holds for every size", () => {
    let proved = 0;
    fc.assert(fc.property(dim, dim, bindings, (a, b, at) => {
      if (!dimAtLeast(a, b)) return;
      proved++;
      expect(evalDim(a, at)).toBeGreaterThanOrEqual(evalDim(b, at));
    }), runs);
    expect(proved).toBeGreaterThan(100);
    expect(dimAtLeast(symbol("N"), 0)).toBe(true);
    expect(dimAtLeast(mulDims(symbol("N"), 2), symbol("N"))).toBe(true);
    expect(dimAtLeast(symbol("N"), 1)).toBe(false);
  });
});

describe("substitution", () => {
  it("agrees with evaluation, in one step or two", () => {
    fc.assert(fc.property(dim, dim, bindings, (a, inner, at) => {
      expect(bindDim(a, at)).toBe(evalDim(a, at) + 0);
      const replaced = bindDim(a, { N: inner });
      expect(evalDim(replaced, at) === evalDim(a, { ...at, N: evalDim(inner, at) })).toBe(true);
    }), runs);
  });

  it("refuses a symbol without a value", () => {
    expect(() => evalDim(symbol("N"), {})).toThrow("internal: size symbol N is not bound");
  });

  it("lists the symbols that are left", () => {
    fc.assert(fc.property(dim, (a) => {
      const left = symbolsOf(a);
      expect(left).toEqual([...new Set(left)].sort());
      expect(symbolsOf(bindDim(a, { N: 3 }))).not.toContain("N");
    }), runs);
  });
});

describe("text", () => {
  it("reads back what it writes, in both readers", () => {
    fc.assert(fc.property(dim, (a) => {
      expect(dimsEqual(parseDim(dimToString(a)), a)).toBe(true);
      expect(dimsEqual(parseSize(dimToString(a), "size"), a)).toBe(true);
      expect(String(a)).toBe(dimToString(a));
    }), runs);
  });

  it("writes sizes as people do", () => {
    const [n, t] = [symbol("N"), symbol("T")];
    expect([addDims(mulDims(n, 49), -1), mulDims(t, n), negDim(n), addDims(subDims(n, t), 2)]
      .map(dimToString)).toEqual(["-1+49*N", "N*T", "-N", "2+N-T"]);
  });

  it("refuses what is no size", () => {
    for (const text of ["", "+", "N*", "2N", "N/2", "N**2", "--1", "1.5", "N M"]) {
      expect(() => parseSize(text, "size"), text).toThrow(UserError);
    }
    for (const text of ["", "+", "N*", "2N", "N/2", "--1", "1.5"]) {
      expect(() => parseDim(text), text).toThrow(InternalError);
    }
    expect(() => symbol("N*T")).toThrow("internal: \"N*T\" cannot name a symbolic size");
  });
});
