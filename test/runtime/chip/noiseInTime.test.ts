/**
 * Noise in time against its formulas: variance, correlation at several lags, spectrum (periodograms
 * averaged over many cells), all within four standard errors.
 */
import { describe, expect, it } from "vitest";
import { keyOf } from "../../../runtime/chip/normal.ts";
import { HeldNoise, heldParts, noiseAt, splitNoise } from "../../../runtime/chip/noiseInTime.ts";
import {
  noiseCorrelation, noiseDensity, noiseVariance, type NoiseProcess,
} from "../../../targets/noiseProcess.ts";

const key = keyOf(8, "noise");
const processes: Record<string, NoiseProcess> = {
  white: { kind: "white", variance: 4, bandwidth: 500 },
  flicker: { kind: "flicker", variance: 0.25, low: 2, high: 3000 },
  telegraph: { kind: "telegraph", step: 0.7, upTime: 4e-3, downTime: 1e-3 },
};

describe.each(Object.entries(processes))("%s noise", (name, p) => {
  const CELLS = 8000;
  const cells = Array.from({ length: CELLS }, (_, i) => i);
  const START = 3.21;
  const first = cells.map((cell) => noiseAt(p, key, cell, START));
  const variance = noiseVariance(p);
  const mean = (f: (i: number) => number): number => cells.reduce((s, i) => s + f(i), 0) / CELLS;

  it("has its mean and variance over cells", () => {
    expect(Math.abs(mean((i) => first[i]!))).toBeLessThan(4 * Math.sqrt(variance / CELLS));
    const fourth = mean((i) => first[i]! ** 4);
    expect(Math.abs(mean((i) => first[i]! ** 2) - variance))
      .toBeLessThan(4 * Math.sqrt((fourth - variance ** 2) / CELLS));
    if (name === "telegraph") expect(new Set(first).size).toBe(2);
    else expect(Math.abs(fourth / (3 * variance ** 2) - 1)).toBeLessThan(4 * Math.sqrt(11 / CELLS));
  });

  it("is correlated in time as its formula says", () => {
    for (const lag of [1e-5, 2e-4, 1e-3, 5e-3, 0.05, 0.4]) {
      const products = cells.map((i) => first[i]! * noiseAt(p, key, i, START + lag) / variance);
      const found = mean((i) => products[i]!);
      const spread = Math.sqrt(mean((i) => (products[i]! - found) ** 2) / CELLS);
      // White noise is held from a fixed clock, so at one time it is either kept or not.
      const step = 1 / 1000;
      const expected = name !== "white" ? noiseCorrelation(p, lag)
        : Math.floor((START + lag) / step) === Math.floor(START / step) ? 1 : 0;
      // The sum of parts is within 0.002 of flicker noise.
      const slack = name === "flicker" ? 2e-3 : 0;
      expect(Math.abs(found - expected), `${lag} s`).toBeLessThan(4 * spread + slack + 1e-9);
    }
  });

  it("is the same at the same time in any order, and differs from cell to cell", () => {
    for (const time of [7, 0, START, 1e4]) {
      expect(noiseAt(p, key, 5, time)).toBe(noiseAt(p, key, 5, time));
    }
    expect(noiseAt(p, key, 0, START)).toBe(first[0]);
    const shared = mean((i) => first[i]! * first[(i + 1) % CELLS]!);
    expect(Math.abs(shared)).toBeLessThan(4 * variance / Math.sqrt(CELLS));
  });
});

it("white noise is uncorrelated from read to read beyond its bandwidth, over time", () => {
  const p = processes.white!;
  const [COUNT, lag] = [40000, 0.4e-3];
  let sum = 0;
  for (let i = 0; i < COUNT; i++) {
    // Times at any phase of the clock: the correlation is 1 - 2 bandwidth lag.
    const time = i * 0.0137;
    sum += noiseAt(p, key, 1, time) * noiseAt(p, key, 1, time + lag) / noiseVariance(p);
  }
  expect(Math.abs(sum / COUNT - noiseCorrelation(p, lag))).toBeLessThan(4 * Math.sqrt(2 / COUNT));
});

describe("the spectrum of flicker noise", () => {
  const [SAMPLES, CELLS, RATE] = [2048, 250, 1000];
  const p = { kind: "flicker", variance: 1, low: 5, high: 50 } as const;
  const held = new HeldNoise(heldParts(p), key, CELLS);
  const window = Float64Array.from({ length: SAMPLES }, (_, i) =>
    Math.sqrt(2 / 3) * (1 - Math.cos(2 * Math.PI * (i + 0.5) / SAMPLES)));
  const traces = Array.from({ length: CELLS }, (_, cell) =>
    Float64Array.from({ length: SAMPLES }, (_, i) => held.at(cell, i / RATE)));
  const periodogram = (bin: number): number => {
    const cos = Float64Array.from(window, (w, i) => w * Math.cos(2 * Math.PI * bin * i / SAMPLES));
    const sin = Float64Array.from(window, (w, i) => w * Math.sin(2 * Math.PI * bin * i / SAMPLES));
    let power = 0;
    for (const trace of traces) {
      let [re, im] = [0, 0];
      for (let i = 0; i < SAMPLES; i++) {
        re += trace[i]! * cos[i]!;
        im += trace[i]! * sin[i]!;
      }
      power += 2 * (re * re + im * im) / (SAMPLES * RATE);
    }
    return power / CELLS;
  };
  const bins = [6, 8, 10, 14, 20, 28, 40, 56, 80];
  const found = bins.map(periodogram);
  const frequency = (bin: number): number => bin * RATE / SAMPLES;

  it("has its level at every frequency", () => {
    bins.forEach((bin, i) => {
      const density = noiseDensity(p, frequency(bin));
      // One bin is exponentially distributed, its mean over cells within 4 / sqrt(cells). The
      // window smears a 1/f^2 slope by (1 / bin)^2; folding at the sampling rate adds the tail
      // above it, (f / rate)^2 of a density that falls with 1/f^2 twice over.
      const bias = 1 / bin ** 2 + 4 * (frequency(bin) / RATE) ** 2;
      expect(Math.abs(found[i]! / density - 1), `${frequency(bin)} Hz`)
        .toBeLessThan(4 / Math.sqrt(CELLS) + bias);
    });
  });

  it("has the slope of 1/f between its corners", () => {
    const inside = bins.map((bin, i) => [frequency(bin), found[i]!] as const)
      .filter(([f]) => f >= 1.9 * p.low && f <= p.high / 1.7);
    const slopeOf = (points: readonly (readonly [number, number])[]): number => {
      const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
      const [mx, my] = [0, 1].map((k) => logs.reduce((s, l) => s + l[k]!, 0) / logs.length);
      return logs.reduce((s, [x, y]) => s + (x - mx!) * (y - my!), 0) /
        logs.reduce((s, [x]) => s + (x - mx!) ** 2, 0);
    };
    const exact = slopeOf(inside.map(([f]) => [f, noiseDensity(p, f)]));
    expect(Math.abs(exact + 1)).toBeLessThan(0.05);
    // Of points spread over ln(3) and more, each known to 1 / sqrt(cells).
    const spread = inside.reduce((s, [f]) => s + (Math.log(f / 16)) ** 2, 0);
    expect(Math.abs(slopeOf(inside) - exact)).toBeLessThan(4 / Math.sqrt(CELLS * spread) + 0.02);
  });
});

describe("held noise", () => {
  const p = processes.flicker!;

  it.each(["flicker", "telegraph"])("is what %s noise is, held as well as asked anew", (name) => {
    const p = processes[name]!;
    const held = new HeldNoise(heldParts(p), key, 50);
    for (const time of [0, 1e-4, 1e-3, 0.5, 0.2, 30, 1e-3]) {
      for (let cell = 0; cell < 50; cell += 7) {
        expect(held.at(cell, time)).toBeCloseTo(noiseAt(p, key, cell, time), 6);
      }
    }
  });

  it("splits a process without losing variance", () => {
    for (const duration of [1e-6, 1e-3, 0.1, 100]) {
      const { lasting, fresh } = splitNoise(p, duration);
      const kept = lasting.reduce((sum, part) => sum + part.variance, 0);
      expect(kept + fresh * noiseVariance(p)).toBeCloseTo(noiseVariance(p), 12);
      expect(lasting.every(({ rate }) => rate * duration < 1)).toBe(true);
    }
    expect(splitNoise(p, 1e-6).fresh).toBe(0);
    expect(splitNoise(p, 100).lasting).toEqual([]);
    expect(splitNoise(processes.white!, 1e-9)).toEqual({ lasting: [], fresh: 1 });
  });
});
