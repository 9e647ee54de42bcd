/** One product of one array, for every input coding, against counts done by hand. */
import { describe, expect, it } from "vitest";
import { loadTarget } from "../../runtime/files/targetFiles.ts";
import {
  convertedColumns,
  inputMagnitudeBits,
  integrationGroups,
  readSchedule,
} from "../../targets/schedule.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import { parseTarget, withFigure } from "../../targets/target.ts";

const preset = (name: string, figures: Record<string, number> = {}): HybridTarget => {
  let json = loadTarget(name).json;
  for (const [path, value] of Object.entries(figures)) json = withFigure(json, path, value);
  return parseTarget(json, name) as HybridTarget;
};

describe("bit-serial inputs (ISAAC)", () => {
  it("read and convert once per bit, the slower of the two sets the pace", () => {
    const schedule = readSchedule(preset("isaac-rram"));
    expect(schedule).toMatchObject({ rowPulses: 16, arrayReads: 16, conversions: 16, samples: 16 });
    expect(schedule.cycle).toBeCloseTo(100e-9, 15);
    expect(schedule.interval).toBeCloseTo(1.6e-6, 15);
    expect(schedule.latency).toBeCloseTo(2.2e-6, 15);
  });
  it("take longer when a converter serves more columns than a read has time for", () => {
    const slow = preset("isaac-rram", { "adc.time": 1.5625 });
    expect(readSchedule(slow).cycle).toBeCloseTo(200e-9, 15);
    // With half of the columns in use the converter keeps up again.
    expect(readSchedule(slow, 64).cycle).toBeCloseTo(100e-9, 15);
  });
  it("are fewer with wider row drivers", () => {
    expect(readSchedule(preset("isaac-rram", { "input.sliceBits": 4 })).rowPulses).toBe(4);
    expect(readSchedule(preset("isaac-rram", { "input.sliceBits": 5 })).rowPulses).toBe(4);
  });
});

describe("integrated bit pulses (NeuRRAM)", () => {
  it.each([
    // out, in: integrations, converter steps, groups (hand counts of the closed form)
    [3, 1, 1, 3, 1],
    [4, 2, 1, 4, 1],
    [5, 3, 3, 5, 1],
    [6, 4, 7, 6, 1],
    [7, 5, 6, 12, 2],
    [8, 6, 10, 13, 2],
    [9, 7, 14, 15, 2],
    [10, 8, 22, 16, 2],
  ])("%d-bit outputs of %d-bit inputs", (out, bits, integrations, adcSteps, groups) => {
    const target = preset("neurram-rram", { "adc.bits": out, "input.bits": bits });
    const schedule = readSchedule(target);
    const magnitude = Math.max(1, bits - 1);
    expect(inputMagnitudeBits(target)).toBe(magnitude);
    expect(integrationGroups(magnitude, 3).length).toBe(groups);
    expect(schedule).toMatchObject({ integrations, adcSteps, conversions: groups });
    expect(schedule.rowPulses).toBe(magnitude);
    const seconds = 0.27e-6 * integrations + 0.3e-6 * adcSteps + 0.3e-6 * groups;
    expect(schedule.interval).toBeCloseTo(seconds, 15);
  });
});

describe("pulse widths (64-core PCM chip)", () => {
  it("last 2^magnitude steps, in every phase", () => {
    const one = readSchedule(preset("hermes-pcm", { "input.phases": 1 }));
    expect(one).toMatchObject({ rowPulses: 1, arrayReads: 1, conversions: 1, pulseUnits: 128 });
    expect(one.interval).toBeCloseTo(133e-9, 15);
    const four = readSchedule(preset("hermes-pcm"));
    expect(four).toMatchObject({ rowPulses: 4, arrayReads: 4, conversions: 4, pulseUnits: 512 });
    expect(four.interval).toBeCloseTo(4 * 133e-9, 15);
  });
});

describe("amplitudes (resistive trainer)", () => {
  it("need one read and one conversion", () => {
    const schedule = readSchedule(preset("resistive-trainer-rram"));
    expect(schedule).toMatchObject({ rowPulses: 1, arrayReads: 1, conversions: 1, pulseUnits: 1 });
    expect(schedule.interval).toBeCloseTo(20e-9, 15);
    expect(schedule.latency).toBeCloseTo(40e-9, 15);
  });
});

describe("stored words read row by row (ternary)", () => {
  it("visit every row", () => {
    const schedule = readSchedule(preset("ternary-2t2r-rram"));
    expect(schedule).toMatchObject({ rowPulses: 1, arrayReads: 64 });
    expect(schedule.interval).toBeCloseTo(64 * 50e-9, 15);
  });
});

describe("converted columns", () => {
  it("are halved where a pair is subtracted before the converter", () => {
    expect(convertedColumns(preset("hermes-pcm"), 512)).toBe(256);
    expect(convertedColumns(preset("neurram-rram"), 256)).toBe(256);
    expect(convertedColumns(preset("isaac-rram"), 128)).toBe(128);
  });
});
