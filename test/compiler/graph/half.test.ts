/** 16-bit floats: every bit pattern, and rounding against a search over all of them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat,
} from "../../../compiler/graph/half.ts";

const formats = {
  half: { toFloat: halfToFloat, fromFloat: floatToHalf, infinity: 0x7c00 },
  bfloat: { toFloat: bfloatToFloat, fromFloat: floatToBfloat, infinity: 0x7f80 },
};

it("knows the landmarks of float16", () => {
  const landmarks: [number, number][] = [
    [0x0000, 0], [0x0001, 2 ** -24], [0x03ff, 1023 * 2 ** -24], [0x0400, 2 ** -14],
    [0x3555, 0.333251953125], [0x3c00, 1], [0xc000, -2], [0x7bff, 65504], [0xfc00, -Infinity],
  ];
  for (const [bits, value] of landmarks) {
    expect(halfToFloat(bits)).toBe(value);
    expect(floatToHalf(value)).toBe(bits);
  }
  expect(floatToHalf(65519.99)).toBe(0x7bff);
  expect(floatToHalf(65520)).toBe(0x7c00);
  expect(Object.is(halfToFloat(0x8000), -0)).toBe(true);
  expect(floatToHalf(-0)).toBe(0x8000);
});

describe.each(Object.entries(formats))("%s", (_, { toFloat, fromFloat, infinity }) => {
  it("returns every bit pattern that is no NaN, and keeps NaN", () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = toFloat(bits);
      if ((bits & 0x7fff) > infinity) {
        expect(value).toBeNaN();
        expect(fromFloat(value) & 0x7fff).toBeGreaterThan(infinity);
      } else if (fromFloat(value) !== bits) {
        expect(fromFloat(value)).toBe(bits);
      }
    }
  });

  it("rounds to the nearest, ties to even", () => {
    // Magnitudes in order of their bits; the one after the largest stands for infinity.
    const values = Array.from({ length: infinity }, (_, bits) => toFloat(bits));
    const top = values.length - 1;
    values.push(2 * (values[top] as number) - (values[top - 1] as number));
    const nearest = (x: number): number => {
      let [low, high] = [0, infinity];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if ((values[middle] as number) <= x) low = middle;
        else high = middle;
      }
      const below = x - (values[low] as number);
      const above = (values[high] as number) - x;
      return below < above || (below === above && low % 2 === 0) ? low : high;
    };
    const tie = fc.nat(infinity - 1).map((b) =>
      ((values[b] as number) + (values[b + 1] as number)) / 2);
    const any = fc.oneof(tie, fc.float({ noNaN: true, min: 0, max: Math.fround(65600) }));
    fc.assert(fc.property(any, (value) => {
      const x = Math.fround(value);
      expect(fromFloat(x)).toBe(nearest(x));
      expect(fromFloat(-x)).toBe(nearest(x) | 0x8000);
    }), { seed: 1, numRuns: 3000 });
  });
});
