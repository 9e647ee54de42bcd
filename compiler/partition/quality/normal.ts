/** The normal distribution: what clipping and rounding do to noise on average. */
import { erf } from "../../kernels/scalar.ts";

/** Density of the standard normal distribution. */
export const density = (x: number): number => Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);

/** Probability that a standard normal number is below x. */
export const cumulative = (x: number): number => (1 + erf(x / Math.SQRT2)) / 2;

/** The number that a standard normal one is below with probability p in (0, 1), by bisection. */
export function quantile(p: number): number {
  let [low, high] = [-9, 9];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (cumulative(middle) < p) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** E[max(0, n)] of n normal. */
export function meanAbove(mean: number, sigma: number): number {
  if (sigma === 0) return Math.max(0, mean);
  const a = mean / sigma;
  return Math.max(0, mean * cumulative(a) + sigma * density(a));
}

/**
 * E[max(0, n)^2] of n normal: what clipping at zero cuts off from the other side.
 * The integral of n^2 over n > 0 is (m^2 + s^2) P(n > 0) + m s density(m / s).
 */
export function squareAbove(mean: number, sigma: number): number {
  if (sigma === 0) return Math.max(0, mean) ** 2;
  const a = mean / sigma;
  return Math.max(0, (mean ** 2 + sigma ** 2) * cumulative(a) + mean * sigma * density(a));
}

/** E[(max(0, g + s n) - g)^2], n standard normal: a spread that cannot go below zero. */
export function squareClipped(g: number, sigma: number): number {
  if (sigma === 0) return 0;
  const a = g / sigma;
  const inside = sigma ** 2 * (cumulative(a) - a * density(a));
  return inside + g ** 2 * cumulative(-a);
}

/**
 * Mean square of what is left of normal noise on a whole number once it is rounded to whole
 * numbers: nothing while the noise is small, its own power and 1/12 once it is large.
 */
export function squareRounded(sigma: number): number {
  // Beyond one the two formulas agree to 1e-8.
  if (sigma > 1) return sigma ** 2 + 1 / 12;
  // Half a step is eight deviations away.
  if (sigma < 1 / 16) return 0;
  // sum over m of 2 m^2 P(m - 1/2 < n < m + 1/2), by parts.
  let sum = 0;
  for (let m = 1; m - 0.5 < 8 * sigma; m++) {
    sum += 2 * (2 * m - 1) * (1 - cumulative((m - 0.5) / sigma));
  }
  return sum;
}

/**
 * E[(v - round(v))^2] of a normal v: a twelfth, less what a narrow v stays near whole numbers
 * (Widrow and Kollar, Quantization Noise, 2008: the characteristic function at 2 pi k).
 */
export function squareOfRounding(mean: number, sigma: number): number {
  let sum = 1 / 12;
  for (let k = 1; k <= 40; k++) {
    const left = Math.exp(-2 * (Math.PI * k * sigma) ** 2) / (Math.PI * k) ** 2;
    if (left < 1e-9) break;
    sum += (k % 2 === 0 ? left : -left) * Math.cos(2 * Math.PI * k * mean);
  }
  return Math.max(0, sum);
}
