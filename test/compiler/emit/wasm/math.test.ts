import { describe, expect, it } from "vitest";
import type { MathFunction } from "../../../../compiler/emit/wasm/math.ts";
import {
  erfLanes, expLanes, logLanes, tanhLanes,
} from "../../../../compiler/emit/wasm/mathVector.ts";
import { binaryFloat, binaryInteger, erf } from "../../../../compiler/kernels/scalar.ts";
import { applyBinary, applyUnary, instantiate, singleFunction, ulpError } from "./support.ts";

/** Every 2^32 / 2^17-th f32 there is, from an odd start: all exponents, both signs, NaNs. */
const sweep = new Float32Array(
  Uint32Array.from({ length: 1 << 17 }, (_, i) => i * (1 << 15) + 12345).buffer);
const special = [
  0, -0, 1, -1, Infinity, -Infinity, NaN, 2 ** -149, -(2 ** -149), 2 ** -126, 1 - 2 ** -24,
  1 + 2 ** -23, 3.4028235e38, -3.4028235e38, 0.5, -0.5, 2, 16777216, 88.72283, 88.72284, -87.33655,
  -103.97207, -104, 104, Math.PI, Math.PI / 2, 1.5707964, 4.712389, 0.625, 4, 6.3, 9.010913, 20,
];
/** Evenly over [low, high], where the interesting part of most functions is. */
const dense = (low: number, high: number): number[] =>
  Array.from({ length: 1 << 15 }, (_, i) => low + ((high - low) * i) / (1 << 15));
const inputs = (() => {
  const all = [...sweep, ...special, ...dense(-2, 2), ...dense(-110, 110), ...dense(0, 1e6)];
  while (all.length % 4 !== 0) all.push(0);
  return Float32Array.from(all);
})();

function worst(
  outputs: Float32Array, reference: (x: number) => number,
): { ulp: number; at: number } {
  let ulp = -1;
  let at = NaN;
  outputs.forEach((y, i) => {
    const error = ulpError(y, reference(inputs[i] as number));
    if (error > ulp) [ulp, at] = [error, inputs[i] as number];
  });
  return { ulp, at };
}

describe("functions of one f32 are within 0.51 ULP everywhere", () => {
  const references: Partial<Record<MathFunction, (x: number) => number>> = {
    exp: Math.exp, log: Math.log, sin: Math.sin, cos: Math.cos, tan: Math.tan, asin: Math.asin,
    acos: Math.acos, atan: Math.atan, sinh: Math.sinh, cosh: Math.cosh, tanh: Math.tanh,
    asinh: Math.asinh, acosh: Math.acosh, atanh: Math.atanh, erf,
  };
  for (const [name, reference] of Object.entries(references)) {
    it(name, () => {
      const outputs = applyUnary(inputs, false, (c, x, library) =>
        library.call(c, name as MathFunction, x));
      const { ulp, at } = worst(outputs, reference);
      expect(ulp, `${name}(${at})`).toBeLessThan(0.51);
    });
  }
});

describe("functions of four f32 lanes keep their stated bounds", () => {
  const cases = [
    ["exp", expLanes, Math.exp, 1], ["log", logLanes, Math.log, 1],
    ["tanh", tanhLanes, Math.tanh, 2], ["erf", erfLanes, erf, 2],
  ] as const;
  for (const [name, lanes, reference, bound] of cases) {
    it(`${name}: ${bound} ULP`, () => {
      const { ulp, at } = worst(applyUnary(inputs, true, lanes), reference);
      expect(ulp, `${name}(${at})`).toBeLessThan(bound);
    });
  }
});

describe("functions of two numbers", () => {
  const values = [
    ...special, 3, -3, 7.5, -7.5, 0.1, 1e-10, 1e10, -1e10, 2 ** 24 + 2, 1e-40, 33554430, 1.0000001,
    -2, 0.3333, 10, 1e30,
  ];
  const left = Float32Array.from(values.flatMap((a) => values.map(() => a)));
  const right = Float32Array.from(values.flatMap(() => values));

  it("pow is within 0.51 ULP, special cases as in JavaScript but 1^y = 1", () => {
    const got = applyBinary(left, right, (c, x, y, library) => library.call(c, "pow", x, y));
    got.forEach((z, i) => {
      const [a, b] = [left[i] as number, right[i] as number];
      const exact = (binaryFloat.pow as (a: number, b: number) => number)(a, b);
      expect(ulpError(z, exact), `pow(${a}, ${b}) = ${exact}, got ${z}`).toBeLessThan(0.51);
    });
  });

  it("rem is the exact remainder with the sign of the dividend", () => {
    const got = applyBinary(left, right, (c, x, y, library) => library.call(c, "rem", x, y));
    got.forEach((z, i) => {
      const [a, b] = [left[i] as number, right[i] as number];
      expect(z, `${a} rem ${b}`).toBe(Math.fround(a % b));
    });
  });

  it("powInteger wraps as multiplication does", () => {
    const module = singleFunction(["i32", "i32"], ["i32"], (c, [a, b], library) =>
      library.call(c, "powInteger", ...(a && b ? [a, b] : [])));
    const pow = instantiate(module).exports["test"] as (a: number, b: number) => number;
    const integers = [0, 1, -1, 2, -2, 3, 7, -7, 10, 31, 32, 33, 46341, 2 ** 31 - 1, -(2 ** 31)];
    for (const a of integers) {
      for (const b of integers) expect(pow(a, b), `${a}^${b}`).toBe(binaryInteger.pow(a, b) | 0);
    }
  });
});
