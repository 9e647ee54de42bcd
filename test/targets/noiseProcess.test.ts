/** Noise processes: variance, correlation and spectrum say the same, and the parts add up to it. */
import { describe, expect, it } from "vitest";
import {
  exponentialIntegral, noiseCorrelation, noiseDensity, noiseParts, noiseVariance,
  type NoiseProcess,
} from "../../targets/noiseProcess.ts";

const processes: Record<string, NoiseProcess> = {
  white: { kind: "white", variance: 3, bandwidth: 50 },
  flicker: { kind: "flicker", variance: 2, low: 0.5, high: 400 },
  telegraph: { kind: "telegraph", step: 1.5, upTime: 0.02, downTime: 0.07 },
};

/** Integral over ln x between two limits, by the midpoint rule. */
function overLog(from: number, to: number, f: (x: number) => number, steps = 200000): number {
  const h = Math.log(to / from) / steps;
  let sum = 0;
  for (let i = 0; i < steps; i++) sum += f(from * Math.exp((i + 0.5) * h));
  return sum * h;
}

describe.each(Object.entries(processes))("%s noise", (name, p) => {
  it("has as much power in its spectrum as variance", () => {
    const power = overLog(1e-7, 1e7, (f) => f * noiseDensity(p, f));
    // Beyond 1e7 Hz lies less than a part in 1e4; fast ripples of white noise are not resolved.
    expect(Math.abs(power / noiseVariance(p) - 1)).toBeLessThan(name === "white" ? 1e-3 : 2e-4);
  });

  it("has the correlation that its spectrum has, by Wiener and Khinchin", () => {
    for (const lag of [0, 1e-3, 4e-3, 0.02, 0.1]) {
      // Evenly spaced in frequency, to where the tail is a few thousandths of it all.
      const [step, top] = [0.02, 20000];
      let sum = 0;
      for (let f = step / 2; f < top; f += step) {
        sum += noiseDensity(p, f) * Math.cos(2 * Math.PI * f * lag);
      }
      expect(Math.abs(sum * step / noiseVariance(p) - noiseCorrelation(p, lag)), `${lag}`)
        .toBeLessThan(7e-3);
    }
    expect(noiseCorrelation(p, 0)).toBe(1);
    expect(noiseCorrelation(p, -0.004)).toBe(noiseCorrelation(p, 0.004));
  });
});

describe("flicker noise", () => {
  const p = { kind: "flicker", variance: 2, low: 1e-3, high: 1e5 } as const;
  const parts = noiseParts(p) ?? [];

  it("falls as 1/f within its band, at the level of its variance", () => {
    for (const f of [0.1, 1, 30, 1000]) {
      const level = p.variance / (Math.log(p.high / p.low) * f);
      // Corners a decade or two away: atan leaves 2 / pi (low / f + f / high).
      const missing = (2 / Math.PI) * (p.low / f + f / p.high);
      expect(Math.abs(noiseDensity(p, f) / level - 1 + missing)).toBeLessThan(1e-4);
    }
  });

  it("is the sum of its parts, a decade and more from its corners", () => {
    expect(parts.reduce((sum, part) => sum + part.variance, 0)).toBeCloseTo(p.variance, 12);
    for (let f = 0.01; f < 1e4; f *= 1.37) {
      const sum = parts.reduce((s, { rate, variance }) =>
        s + 4 * variance * rate / (rate ** 2 + (2 * Math.PI * f) ** 2), 0);
      expect(Math.abs(sum / noiseDensity(p, f) - 1), `${f} Hz`).toBeLessThan(3e-3);
      const held = parts.reduce((s, { rate, variance }) =>
        s + variance * Math.exp(-rate / f), 0) / p.variance;
      expect(Math.abs(held - noiseCorrelation(p, 1 / f)), `${1 / f} s`).toBeLessThan(2e-3);
    }
  });
});

it("telegraph noise is asymmetric in its levels and not in its spectrum", () => {
  const [p, q] = [[0.02, 0.07], [0.07, 0.02]].map(([upTime, downTime]): NoiseProcess =>
    ({ kind: "telegraph", step: 1.5, upTime: upTime!, downTime: downTime! })) as
    [NoiseProcess, NoiseProcess];
  // Machlup: 4 step^2 / ((upTime + downTime) ((1/upTime + 1/downTime)^2 + omega^2)).
  for (const f of [1, 10, 100]) {
    const expected = 4 * 1.5 ** 2 /
      (0.09 * ((1 / 0.02 + 1 / 0.07) ** 2 + (2 * Math.PI * f) ** 2));
    expect(noiseDensity(p, f) / expected).toBeCloseTo(1, 12);
    expect(noiseDensity(q, f) / expected).toBeCloseTo(1, 12);
  }
});

it("the exponential integral is that of the tables", () => {
  // Abramowitz and Stegun, table 5.1.
  const known = [[0.1, 1.8229239584], [0.5, 0.5597735948], [1, 0.2193839344],
    [2, 0.0489005107], [10, 4.156968930e-6]] as const;
  for (const [x, value] of known) expect(exponentialIntegral(x) / value).toBeCloseTo(1, 8);
});
