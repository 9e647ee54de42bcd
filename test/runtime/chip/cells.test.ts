/** Programmed cells against the formulas of their device files, at four standard errors. */
import { describe, expect, it } from "vitest";
import { firstTime, ProgrammedCells, type CellFaults } from "../../../runtime/chip/cells.ts";
import { keyOf } from "../../../runtime/chip/normal.ts";
import { deviceNames, loadDevice } from "../../../runtime/files/targetFiles.ts";
import type { Device } from "../../../targets/device.ts";
import {
  driftExponent, programmingSigma, readSigma, relaxation,
} from "../../../targets/deviceModel.ts";
import { second, siemens, type Second, type Siemens } from "../../../targets/units.ts";

const none: CellFaults = { programming: false, drift: false };
const N = 20000;

/** `N` cells of one target conductance. */
function programmed(
  device: Device, g: number, faults: Partial<CellFaults>, scale = 1, seed = 1,
): ProgrammedCells {
  const { gMin, gMax } = device.window;
  return new ProgrammedCells(
    { device, gMin: siemens(gMin.value * scale), gMax: siemens(gMax.value * scale) },
    new Float64Array(N).fill(g), keyOf(seed, device.name), { ...none, ...faults });
}

interface Moments {
  readonly mean: number;
  readonly sigma: number;
}

function momentsOf(xs: ArrayLike<number>): Moments {
  const all = Array.from(xs);
  const mean = all.reduce((a, b) => a + b, 0) / all.length;
  const square = all.reduce((a, b) => a + (b - mean) ** 2, 0) / (all.length - 1);
  return { mean, sigma: Math.sqrt(square) };
}

/** Mean and deviation of a normal sample within four standard errors; `skew` widens sigma's. */
function expectNormal(xs: ArrayLike<number>, mean: number, sigma: number): void {
  const seen = momentsOf(xs);
  const tiny = 1e-12 * Math.abs(mean);
  expect(Math.abs(seen.mean - mean)).toBeLessThanOrEqual((4 * sigma) / Math.sqrt(N) + tiny);
  expect(Math.abs(seen.sigma - sigma)).toBeLessThanOrEqual((4 * sigma) / Math.sqrt(2 * N) + tiny);
}

const share = (device: Device, r: number): number => r * device.window.gMax.value;

describe.each(deviceNames())("%s", (name) => {
  const device = loadDevice(name);
  const { distribution } = device.programming;
  const t0 = firstTime(device);

  it.each([1, 2.5])("spreads at programming as stated, in a window %d times its own", (scale) => {
    for (const r of [0.4, 0.7, 1]) {
      const g = share(device, r) * scale;
      const gMax = share(device, scale) as Siemens;
      const sigma = programmingSigma(device, g as Siemens, t0 as Second, gMax);
      const cells = programmed(device, g, { programming: true }, scale).at(t0);
      if (distribution === "log-normal") {
        expectNormal(cells.map((x) => Math.log(x / g)), 0, sigma);
      } else if (distribution === "uniform") {
        const { mean, sigma: seen } = momentsOf(cells);
        expect(Math.abs(mean - g)).toBeLessThan((4 * sigma) / Math.sqrt(3 * N));
        expect(Math.abs(seen * Math.sqrt(3) - sigma)).toBeLessThan(sigma * 0.02);
        expect(Math.max(...cells)).toBeLessThanOrEqual(g + sigma);
      } else if (g > 6 * sigma) expectNormal(cells, g, sigma);
    }
  });

  it("keeps each cell's draw: older cells are where their younger selves were heading", () => {
    const g = share(device, 0.6);
    const cells = programmed(device, g, { programming: true, drift: true });
    const later = 3600 * 24;
    expect(cells.at(second(later))).toEqual(cells.at(second(later)));
    if (device.time.kind !== "none" || distribution !== "normal") return;
    const [young, old] = [cells.at(t0), cells.at(second(later))];
    const sigmaAt = (t: number): number =>
      programmingSigma(device, g as Siemens, t as Second);
    for (let i = 0; i < 100; i++) {
      const [a, b] = [(young[i]! - g) / (sigmaAt(t0) || 1), (old[i]! - g) / (sigmaAt(later) || 1)];
      expect(Math.abs(a - b)).toBeLessThan(1e-9 * (1 + Math.abs(a)));
    }
  });

  it("ages as stated when only time acts", () => {
    const g = share(device, 0.6);
    for (const t of [t0 * 10, 1e5]) {
      const cells = programmed(device, g, { drift: true }).at(second(t));
      if (device.time.kind === "none") {
        expect(new Set(cells)).toEqual(new Set([g]));
      } else if (device.time.kind === "log-time") {
        const { shift, spread } = relaxation(device, g as Siemens, t as Second);
        expectNormal(cells, g + shift, spread);
      } else {
        const { start, mean, spread } = driftExponent(device, g as Siemens)!;
        if (t <= start) return;
        // |mean + spread N| is as good as never folded here.
        expect(mean).toBeGreaterThan(4 * spread);
        expectNormal(cells.map((x) => -Math.log(x / g) / Math.log(t / start)), mean, spread);
      }
    }
  });

  it("is read with the device's noise and the periphery's, as independent sources", () => {
    const g = share(device, 0.5);
    const cells = programmed(device, g, {});
    const own = readSigma(device, g as Siemens, 1000 as Second);
    const [sigma] = cells.readSigma(Float64Array.of(g), second(1000), 0.02);
    expect(sigma).toBeCloseTo(Math.sqrt(own ** 2 + (0.02 * g) ** 2), 15);
  });
});

describe("stuck cells", () => {
  it("hold what they hold, whatever is programmed and however old they are", () => {
    const device = loadDevice("pcm-like");
    const { gMin, gMax } = device.window;
    const stuck = [Number.NaN, 3e-6, Number.NaN, 0];
    const cells = (held?: readonly number[]): Float64Array => new ProgrammedCells(
      { device, gMin: gMin.value, gMax: gMax.value }, new Float64Array(4).fill(1e-5),
      keyOf(1, "x"), { programming: true, drift: true }, held).at(second(1e4));
    const free = cells();
    expect([...cells(stuck)]).toEqual([free[0], 3e-6, free[2], 0]);
  });
});

describe("two arrays", () => {
  it("of the same seed are alike, of different keys are not", () => {
    const device = loadDevice("rram-wan2022-aihwkit");
    const at = (seed: number): Float64Array =>
      programmed(device, share(device, 0.5), { programming: true }, 1, seed).at(second(1));
    expect(at(1)).toEqual(at(1));
    const [a, b] = [at(1), at(2)];
    expect(a.filter((x, i) => x === b[i]).length).toBeLessThan(10);
  });
});
