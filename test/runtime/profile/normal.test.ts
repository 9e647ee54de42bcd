/** Moments of clipped and rounded normal numbers, against sums over a fine grid. */
import { describe, expect, it } from "vitest";
import {
  cumulative, density, meanAbove, quantile, squareAbove, squareClipped, squareOfRounding,
  squareRounded,
} from "../../../compiler/partition/quality/normal.ts";

/** E[f(mean + sigma n)], by the midpoint rule over ten deviations. */
function expectation(mean: number, sigma: number, f: (x: number) => number): number {
  const [steps, reach] = [40_000, 10];
  const h = (2 * reach) / steps;
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const n = -reach + (i + 0.5) * h;
    sum += f(mean + sigma * n) * density(n) * h;
  }
  return sum;
}

const cases = [[0, 1], [0.7, 0.3], [-2, 1.5], [3, 0.5], [0.05, 0.4], [10, 3]] as const;

describe("moments of a normal number", () => {
  it.each(cases)("clipped, mean %f, deviation %f", (mean, sigma) => {
    const close = (value: number, f: (x: number) => number): void => {
      expect(Math.abs(value - expectation(mean, sigma, f))).toBeLessThan(1e-6);
    };
    close(meanAbove(mean, sigma), (x) => Math.max(0, x));
    close(squareAbove(mean, sigma), (x) => Math.max(0, x) ** 2);
    if (mean >= 0) close(squareClipped(mean, sigma), (x) => (Math.max(0, x) - mean) ** 2);
  });

  it.each([0.03, 0.1, 0.2, 0.4, 0.7, 0.99, 1.01, 3])("rounded, deviation %f", (sigma) => {
    // The grid misses each jump by up to half a step, 2.5e-4 deviations.
    expect(Math.abs(squareRounded(sigma) - expectation(0, sigma, (x) => Math.round(x) ** 2)))
      .toBeLessThan(2e-3 * sigma);
    for (const mean of [0, 0.2, 0.5]) {
      const left = expectation(mean, sigma, (x) => (x - Math.round(x)) ** 2);
      expect(Math.abs(squareOfRounding(mean, sigma) - left)).toBeLessThan(1e-4);
    }
  });

  it("has quantiles that cumulative inverts", () => {
    for (const p of [0.001, 0.2, 0.5, 0.9, 0.9995]) {
      expect(cumulative(quantile(p))).toBeCloseTo(p, 12);
    }
    expect(squareRounded(0)).toBe(0);
    expect([meanAbove(2, 0), squareAbove(-1, 0), squareClipped(1, 0)]).toEqual([2, 0, 0]);
  });
});
