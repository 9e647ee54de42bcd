/** Device formulas against the sampled values of the project's crossbar reference, section 4. */
import { describe, expect, it } from "vitest";
import { loadDevice } from "../../runtime/files/targetFiles.ts";
import {
  cellCurrent,
  driftExponent,
  programmingSigma,
  readSigma,
  relaxation,
  telegraphStep,
} from "../../targets/deviceModel.ts";
import { noiseVariance, telegraphNoise } from "../../targets/noiseProcess.ts";
import { parseDevice } from "../../targets/target.ts";
import { second, siemens } from "../../targets/units.ts";

const uS = (x: number) => siemens(x * 1e-6);
const DAY = 86400;

/** Device, seconds, [conductance in uS, published sigma in uS], digits after the point. */
const SAMPLED: [string, number, [number, number][]][] = [
  ["rram-wan2022-aihwkit", 1, [[10, 2.26], [20, 2.02], [30, 1.54], [40, 1.1]]],
  ["rram-wan2022-aihwkit", DAY, [[10, 3.72], [20, 3.91], [30, 3.36], [40, 2.65]]],
  ["rram-wan2022-aihwkit", 2 * DAY, [[10, 3.65], [20, 3.93], [30, 3.37], [40, 2.68]]],
  ["rram-wan2022-crosssim", 1, [[10, 2.41], [20, 2.36], [30, 1.82], [39, 1.67]]],
  ["rram-milo2021", 1, [[50, 4.32], [100, 3.87], [150, 3.42], [225, 2.73]]],
];

/** The table is rounded to 0.01 uS, and was sampled: a few thousand draws know sigma to 0.5 %. */
const tolerance = (sigma: number) => 0.005 + 0.005 * sigma;

describe("programming spread", () => {
  describe.each(SAMPLED)("%s after %d s", (name, t, points) => {
    const device = loadDevice(name);
    it.each(points)("at %d uS is %d uS", (g, sigma) => {
      const modelled = programmingSigma(device, uS(g), second(t)) * 1e6;
      expect(Math.abs(modelled - sigma)).toBeLessThan(tolerance(sigma));
    });
    it.each([0.5, 2.5, 10])("in a window %d times as wide it has the same shape", (k) => {
      const top = siemens(device.window.gMax.value * k);
      for (const [g, sigma] of points) {
        const scaled = programmingSigma(device, uS(g * k), second(t), top);
        expect(Math.abs(scaled * 1e6 - sigma * k)).toBeLessThan(tolerance(sigma) * k);
      }
    });
  });

  it("is interpolated linearly in ln t between the fits and held outside them", () => {
    const device = loadDevice("rram-wan2022-aihwkit");
    const at = (t: number) => programmingSigma(device, uS(20), second(t));
    expect(at(Math.sqrt(DAY))).toBeCloseTo((at(1) + at(DAY)) / 2, 12);
    expect(at(1e-3)).toBe(at(1));
    expect(at(30 * DAY)).toBe(at(2 * DAY));
    expect(at(3600)).toBeGreaterThan(at(1));
    expect(at(3600)).toBeLessThan(at(DAY));
  });

  it("of CMO/HfOx is linear in g for both acceptances", () => {
    const tight = programmingSigma(loadDevice("rram-cmo-hfox"), uS(50), second(1)) * 1e6;
    const loose = programmingSigma(loadDevice("rram-cmo-hfox-2pct"), uS(50), second(1)) * 1e6;
    expect(tight).toBeCloseTo(0.000811 + 0.001069 * 50, 4);
    expect(loose).toBeCloseTo(0.01122 + 0.01129 * 50, 3);
  });

  it.each([
    ["pcm-like", 25, (r: number) => 0.26348 + 1.965 * r - 1.1731 * r * r],
    ["pcm-hermes", 20.7, (r: number) => 0.16603 + 4.71806 * r - 8.48101 * r * r + 4.68961 * r ** 3],
    ["pcm-joshi2020", 25, (r: number) => 0.28639 + 0.07586 * 25 * r - 0.001788 * (25 * r) ** 2],
  ] as const)("of %s follows its polynomial in r", (name, gMax, formula) => {
    const device = loadDevice(name);
    for (const r of [0, 0.1, 0.25, 0.5, 1]) {
      const sigma = programmingSigma(device, uS(gMax * r), second(0)) * 1e6;
      expect(sigma).toBeCloseTo(formula(r), 4);
    }
  });

  it.each([
    ["independent", (r: number) => 0.02 + 0 * r],
    ["proportional", (r: number) => 0.02 * r],
    ["inverse", (r: number) => Math.min(0.02 / r, 0.2)],
  ] as const)("of generic %s devices", (word, law) => {
    for (const kind of ["normal", "uniform"]) {
      const device = loadDevice(`generic-${kind}-${word}`);
      for (const r of [0.05, 0.2, 0.5, 1]) {
        expect(programmingSigma(device, uS(100 * r), second(5)) / 100e-6).toBeCloseTo(law(r), 12);
      }
    }
  });

  it("of the ideal cell is zero", () => {
    const ideal = loadDevice("ideal");
    expect(programmingSigma(ideal, uS(30), second(1e6))).toBe(0);
    expect(readSigma(ideal, uS(30), second(1e6))).toBe(0);
    expect(driftExponent(ideal, uS(30))).toBeUndefined();
    expect(relaxation(ideal, uS(30), second(1e6))).toEqual({ shift: 0, spread: 0 });
  });
});

describe("time", () => {
  it("PCM drifts to the published means", () => {
    // Section 4.4: 25 uS becomes 19.4 after an hour and 14.1 after 30 days.
    const device = loadDevice("pcm-like");
    const drift = driftExponent(device, uS(25));
    expect(drift?.start).toBe(20);
    const after = (t: number) => 25 * ((t + 20) / 20) ** -(drift?.mean ?? 0);
    expect(Math.abs(after(3600) - 19.4)).toBeLessThan(0.15);
    expect(Math.abs(after(30 * DAY) - 14.1)).toBeLessThan(0.25);
  });

  it("drift exponents are clipped as published", () => {
    const device = loadDevice("pcm-like");
    const low = driftExponent(device, uS(0));
    expect(low?.mean).toBe(0.1);
    expect(low?.spread).toBe(0.045);
    const hermes = loadDevice("pcm-hermes");
    expect(driftExponent(hermes, uS(20.7))?.mean).toBeCloseTo(0.0736 - 0.0126 - 0.0436, 12);
    expect(driftExponent(hermes, uS(20.7 * 0.05))?.mean).toBeCloseTo(
      -0.0387 * Math.log(0.05) - 0.0182,
      12,
    );
  });

  it("CMO/HfOx relaxes with ln t, in proportion to the window", () => {
    const device = loadDevice("rram-cmo-hfox");
    const hour = relaxation(device, uS(50), second(3600));
    expect(hour.shift * 1e6).toBeCloseTo(-0.089 * Math.log(3600), 3);
    expect(hour.spread * 1e6).toBeCloseTo(0.04201 * Math.log(3600) + 0.41183, 3);
    const wide = relaxation(device, uS(100), second(3600), siemens(2 * device.window.gMax.value));
    expect(wide.shift).toBeCloseTo(2 * hour.shift, 15);
  });
});

describe("reading", () => {
  it("1/f noise follows its formula", () => {
    const pcm = loadDevice("pcm-like");
    const growth = Math.sqrt(Math.log((3600 + 250e-9) / 500e-9));
    const q = Math.min(0.0088 / 0.5 ** 0.65, 0.2);
    expect(readSigma(pcm, uS(12.5), second(3600))).toBeCloseTo(12.5e-6 * q * growth, 15);
    const cmo = loadDevice("rram-cmo-hfox");
    const cmoGrowth = Math.sqrt(Math.log((1 + 1e-6) / 2e-6));
    expect(readSigma(cmo, uS(40), second(1)) * 1e6).toBeCloseTo(
      0.02773 * Math.log10(40) * cmoGrowth,
      12,
    );
  });

  it("is one per cent for the Wan cells", () => {
    expect(readSigma(loadDevice("rram-wan2022-aihwkit"), uS(20), second(5)) * 1e6).toBeCloseTo(0.2);
  });
});

describe("telegraph noise", () => {
  const json = (amplitude: unknown): unknown => {
    const figure = (value: number, unit: string) => ({ value, unit, source: "assumed: a test" });
    return {
      ...loadDevice("ideal"), $schema: undefined,
      telegraph: {
        amplitude, share: figure(0.25, "1"), highTime: figure(3, "ms"), lowTime: figure(1, "ms"),
      },
    };
  };
  const pieces = [{ argument: "g/gMax", form: "polynomial", coefficients: [0.3, -0.2] }];
  const source = "assumed: a test";

  it("is a share of the conductance or siemens, in any window", () => {
    const ratio = parseDevice(json({ unit: "1", source, pieces }), "d.json");
    const siemens = parseDevice(json({ unit: "uS", source, pieces }), "d.json");
    const top = ratio.window.gMax.value * 1e6;
    for (const k of [1, 2.5]) {
      const [g, gMax] = [uS(0.4 * top * k), uS(top * k)];
      expect(telegraphStep(ratio, g, gMax)).toBeCloseTo((0.3 - 0.08) * g, 15);
      expect(telegraphStep(siemens, g, gMax)).toBeCloseTo((0.3 - 0.08) * 1e-6 * k, 15);
    }
    expect(telegraphStep(loadDevice("ideal"), uS(5))).toBe(0);
    expect(telegraphNoise(loadDevice("ideal"))).toBeUndefined();
    const noise = telegraphNoise(ratio)!;
    expect(noise).toEqual({ kind: "telegraph", step: 1, upTime: 3e-3, downTime: 1e-3 });
    expect(noiseVariance(noise)).toBeCloseTo(0.75 * 0.25, 12);
  });

  it("is refused with a fault that names its place", () => {
    expect(() => parseDevice(json({ unit: "V", source, pieces }), "d.json"))
      .toThrow(/d\.json: telegraph\.amplitude/);
  });
});

describe("current and voltage", () => {
  it("Milo cells bend by the published terms and stay consistent with their derivative", () => {
    const device = loadDevice("rram-milo2021");
    const g = uS(100);
    const x = -4;
    const nl2 = 0.0001388 * x ** 3 + 0.001541 * x * x + 0.005711 * x + 0.007063;
    const nl3 = 8.871e-5 * x * x + 6.7919e-4 * x + 1.2968e-3;
    expect(cellCurrent(device, g, 0.3).ampere).toBeCloseTo(
      100e-6 * 0.3 + nl2 * 0.09 + nl3 * 0.027,
      15,
    );
    const h = 1e-4;
    for (const v of [-0.4, -0.1, 0, 0.2, 0.5]) {
      const slope =
        (cellCurrent(device, g, v + h).ampere - cellCurrent(device, g, v - h).ampere) / (2 * h);
      // A central difference of a cubic is off by a3 h^2 only.
      const fault = Math.abs(slope - cellCurrent(device, g, v).siemens);
      expect(fault).toBeLessThan(1e-3 * h * h + 1e-14);
    }
  });

  it("linear cells are linear", () => {
    expect(cellCurrent(loadDevice("ideal"), uS(7), -0.2)).toEqual({
      ampere: 7e-6 * -0.2,
      siemens: 7e-6,
    });
  });
});
