/** Constructors refuse what is no quantity, prefixes become SI once, sweeps replace figures. */
import { describe, expect, expectTypeOf, it } from "vitest";
import { figure } from "../../targets/figure.ts";
import { parseTarget, withFigure } from "../../targets/target.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import {
  DIMENSIONS,
  ampere,
  bit,
  count,
  dissipation,
  energyOverTime,
  farad,
  hertz,
  joule,
  ohm,
  ratio,
  second,
  siemens,
  squareMetre,
  switchingEnergy,
  volt,
  watt,
} from "../../targets/units.ts";
import type {
  Ampere,
  Bit,
  Count,
  Farad,
  Hertz,
  Joule,
  Ohm,
  Ratio,
  Second,
  Siemens,
  SquareMetre,
  Volt,
  Watt,
} from "../../targets/units.ts";
import { loadTarget } from "../../runtime/files/targetFiles.ts";

describe("constructors", () => {
  it.each([Number.NaN, Infinity, -Infinity, -1e-9])("refuse %d and name the field", (x) => {
    expect(() => siemens(x, "cell.gMin")).toThrow(/cell\.gMin: expected a finite number >= 0 in S/);
  });
  it("let good numbers through unchanged", () => expect(joule(1.5e-12)).toBe(1.5e-12));
  it.each(Object.entries({ ampere, bit, count, farad, hertz, joule, ohm, ratio, second, volt }))(
    "%s refuses what is no number",
    (name, make) => {
      expect(make(4)).toBe(4);
      expect(() => make(Number.NaN, name)).toThrow(new RegExp(`^${name}: expected`));
    },
  );
  it("refuse negative areas, zero rates and broken counts", () => {
    expect(() => squareMetre(-1)).toThrow();
    expect(() => hertz(0)).toThrow();
    expect(() => count(1.5)).toThrow();
    expect(ampere(-1)).toBe(-1);
  });
  it("give each quantity a type of its own", () => {
    const one = {
      ampere: ampere(1),
      bit: bit(1),
      count: count(1),
      farad: farad(1),
      hertz: hertz(1),
      joule: joule(1),
      ohm: ohm(1),
      ratio: ratio(1),
      second: second(1),
      siemens: siemens(1),
      squareMetre: squareMetre(1),
      volt: volt(1),
      watt: watt(1),
    };
    expectTypeOf(one).toEqualTypeOf<{
      ampere: Ampere;
      bit: Bit;
      count: Count;
      farad: Farad;
      hertz: Hertz;
      joule: Joule;
      ohm: Ohm;
      ratio: Ratio;
      second: Second;
      siemens: Siemens;
      squareMetre: SquareMetre;
      volt: Volt;
      watt: Watt;
    }>();
    // @ts-expect-error a power is no energy
    expect(energyOverTime(joule(1), second(1))).toBe(1);
  });
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
