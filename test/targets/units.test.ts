/** Constructors refuse what is no quantity, prefixes become SI once, sweeps replace figures. */
import { describe, expect, it } from "vitest";
import { figure } from "../../targets/figure.ts";
import { parseTarget, withFigure } from "../../targets/target.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import {
  DIMENSIONS,
  dissipation,
  energyOverTime,
  farad,
  joule,
  second,
  siemens,
  switchingEnergy,
  volt,
  watt,
} from "../../targets/units.ts";
import { loadTarget } from "../../runtime/files/targetFiles.ts";

describe("constructors", () => {
  it.each([Number.NaN, Infinity, -Infinity, -1e-9])("refuse %d and name the field", (x) => {
    expect(() => siemens(x, "cell.gMin")).toThrow(/cell\.gMin: expected a finite number >= 0 in S/);
  });
  it("let good numbers through unchanged", () => expect(joule(1.5e-12)).toBe(1.5e-12));
});

describe("prefixes", () => {
  it("every unit's SI name has factor one, and areas scale by squares", () => {
    for (const [si, { units }] of Object.entries(DIMENSIONS)) {
      expect((units as Record<string, number>)[si]).toBe(1);
    }
    expect(DIMENSIONS.m2.units.um2).toBe(1e-12);
    expect(DIMENSIONS.m2.units.mm2).toBe(1e-6);
  });
  it("are gone after parsing", () => {
    const parsed = figure("J").parse({ value: 1.67, unit: "pJ", source: "assumed: test" });
    expect(parsed).toEqual({ value: 1.67 * 1e-12, unit: "J", source: "assumed: test" });
  });
});

describe("products", () => {
  it("have the textbook values", () => {
    expect(energyOverTime(watt(2e-3), second(1e-7))).toBeCloseTo(2e-10, 20);
    expect(dissipation(0.04, siemens(1e-4), second(1e-8))).toBeCloseTo(4e-14, 24);
    expect(switchingEnergy(farad(585.6e-15), volt(1.8))).toBeCloseTo(1.897344e-12, 20);
  });
});

describe("sweeps", () => {
  const json = loadTarget("isaac-rram").json;
  it("replace one figure and say so", () => {
    const swept = parseTarget(withFigure(json, "array.rows", 64), "swept") as HybridTarget;
    expect(swept.array.rows.value).toBe(64);
    expect(swept.array.rows.source).toMatch(/^derived: swept from 128; isaac2016/);
    expect(json).toEqual(loadTarget("isaac-rram").json);
  });
  it("refuse what is no figure", () => {
    expect(() => withFigure(json, "array.bananas", 1)).toThrow(/called "array\.bananas"/);
    expect(() => withFigure(json, "array", 1)).toThrow(/no figure/);
  });
});
