/** Write-verify against its formulas: pulses, failures, where failed cells stay. */
import { describe, expect, it } from "vitest";
import { ProgrammedCells } from "../../../runtime/chip/cells.ts";
import { keyOf } from "../../../runtime/chip/normal.ts";
import { addReports, writeRule, writeVerify } from "../../../runtime/chip/writeVerify.ts";
import { loadDevice } from "../../../runtime/files/targetFiles.ts";
import type { Device } from "../../../targets/device.ts";
import { siemens } from "../../../targets/units.ts";

const device = loadDevice("rram-wan2022-aihwkit");
const gMax = siemens(40e-6);
const N = 30000;
const target = new Float64Array(N).fill(20e-6);
const key = keyOf(1, "cells");

describe("cells that are measured with 8.52 pulses and 99 % converged", () => {
  const rule = writeRule(device, gMax);

  it("are given up after as many pulses as leave one per cent", () => {
    expect(rule.chance).toBeCloseTo(0.99 / 8.52, 12);
    expect((1 - rule.chance) ** rule.budget).toBeGreaterThan(0.0095);
    expect((1 - rule.chance) ** rule.budget).toBeLessThan(0.0105);
    expect(rule.acceptance(siemens(20e-6))).toBeCloseTo(1e-6, 15);
    // In another window the acceptance scales with it.
    expect(writeRule(device, siemens(80e-6)).acceptance(siemens(20e-6))).toBeCloseTo(2e-6, 15);
  });

  it.each([4, 10, 37])("take the pulses of a geometric law, at most %d", (budget) => {
    const { chance } = rule;
    const own = { ...rule, budget };
    const report = writeVerify(own, device, target, target.slice(), key);
    const lost = (1 - chance) ** budget;
    expect(report.cells).toBe(N);
    expect(report.mostPulses).toBe(budget);
    expect(Math.abs(report.failed / N - lost)).toBeLessThan(4 * Math.sqrt(lost * (1 - lost) / N));
    // sum of n p q^(n-1) up to the budget, and the budget for the rest
    const mean = (1 - lost) / chance;
    expect(Math.abs(report.pulses / N - mean)).toBeLessThan((4 * budget) / Math.sqrt(N));
  });

  it("stay outside the acceptance when they fail, as far as one attempt spreads", () => {
    const cells = target.slice();
    const report = writeVerify({ ...rule, budget: 1 }, device, target, cells, key);
    const failed = Array.from(cells, (g) => g - 20e-6).filter((d) => d !== 0);
    expect(failed).toHaveLength(report.failed);
    expect(failed.every((d) => Math.abs(d) > 1e-6 * (1 - 1e-6))).toBe(true);
    // With every attempt's deviation s, P(|s N| <= 1 uS) is the chance; the others are beyond.
    const s = 1e-6 / 0.14616;
    const beyond = failed.filter((d) => Math.abs(d) > s).length / failed.length;
    const expected = 0.31731 / (1 - rule.chance);
    expect(Math.abs(beyond - expected))
      .toBeLessThan(4 * Math.sqrt(expected * (1 - expected) / failed.length) + 1e-3);
    const up = failed.filter((d) => d > 0).length / failed.length;
    expect(Math.abs(up - 0.5)).toBeLessThan(2 / Math.sqrt(failed.length));
  });

  it("cannot be written where they are stuck, unless they are right by chance", () => {
    const stuck = Float64Array.from({ length: N }, (_, i) =>
      i === 0 ? 40e-6 : i === 1 ? 20.5e-6 : Number.NaN);
    const own = { ...rule, budget: 1e6 };
    const report = writeVerify(own, device, target, target.slice(), key, stuck);
    expect(report.failed).toBe(1);
    expect(report.mostPulses).toBe(1e6);
  });

  it("wear by their pulses where the device says how many they bear", () => {
    const lasting = { ...device, endurance: { value: 1e6 } } as unknown as Device;
    const report = writeVerify({ ...rule, budget: 37 }, lasting, target, target.slice(), key);
    expect(report.wear).toBe(37e-6);
    const sum = addReports([report, { ...report, mostPulses: 5, wear: null }]);
    expect(sum).toEqual({ ...report, cells: 2 * N, pulses: 2 * report.pulses,
      failed: 2 * report.failed });
  });
});

describe("programming within a budget", () => {
  const technology = { device, gMin: siemens(1e-6), gMax };
  const faults = { programming: true, drift: false };

  it("changes the cells that fail and no other, and reports them", () => {
    const time = device.programming.spread[0]!.time.value;
    const plain = new ProgrammedCells(technology, target, key, faults).at(time);
    const written = new ProgrammedCells(technology, target, key, faults, undefined, 8);
    const cells = written.at(time);
    const changed = cells.filter((g, i) => g !== plain[i]).length;
    expect(changed).toBe(written.report!.failed);
    expect(changed).toBeGreaterThan(0.3 * N);
  });

  it("is refused for a device that does not state how it is written", () => {
    expect(() => new ProgrammedCells(
      { ...technology, device: loadDevice("pcm-like") }, target, key, faults, undefined, 8))
      .toThrow(/pcm-like: programming.verify: nothing is known/);
  });
});
