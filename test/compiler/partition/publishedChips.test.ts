/**
 * The cost model against published chips: NeuRRAM at all its two-phase operating points, the
 * 64-core PCM chip in both read modes, ISAAC and PUMA as roll-up sums. The only inputs are the
 * presets' component figures. The table in targets/README.md says the same, and is checked here.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { chipAtFullLoad } from "../../../compiler/partition/cost/rollup.ts";
import type { ChipLoad } from "../../../compiler/partition/cost/rollup.ts";
import { loadTarget, targetsFolder } from "../../../runtime/files/targetFiles.ts";
import { parseTarget, withFigure } from "../../../targets/target.ts";
import type { HybridTarget } from "../../../targets/schema.ts";

function loadWith(name: string, figures: Record<string, number>): ChipLoad {
  let json = loadTarget(name).json;
  for (const [path, value] of Object.entries(figures)) json = withFigure(json, path, value);
  return chipAtFullLoad(parseTarget(json, name) as HybridTarget);
}

const readme = readFileSync(join(targetsFolder(), "README.md"), "utf8");

/** A line of the documentation's table: what, published, modelled, ratio. */
function expectDocumented(what: string, published: number, modelled: number): void {
  const row = readme.split("\n").find((line) => line.startsWith(`| ${what} |`));
  expect(row, `targets/README.md has no row "${what}"`).toBeDefined();
  const cells = (row ?? "").split("|").map((cell) => cell.trim());
  expect(Number(cells[2])).toBe(published);
  expect(Number(cells[3])).toBe(Number(modelled.toPrecision(3)));
  expect(Number(cells[4])).toBe(Number((modelled / published).toFixed(3)));
}

/** Wan et al. 2022, Fig. 12, two-phase: output bits, input bits, TOPS, TOPS/W. */
const NEURRAM = [
  [3, 1, 2.122, 43.08],
  [4, 2, 1.793, 40.33],
  [5, 3, 1.165, 23.09],
  [6, 4, 0.744, 15.95],
  [7, 5, 0.525, 11.03],
  [8, 6, 0.418, 8.26],
  [9, 7, 0.344, 7.75],
  [10, 8, 0.264, 6.44],
] as const;

describe("NeuRRAM, 130 nm silicon", () => {
  describe.each(NEURRAM)("%d-bit outputs, %d-bit inputs", (out, bits, tops, topsPerWatt) => {
    const load = loadWith("neurram-rram", { "adc.bits": out, "input.bits": bits });

    it("has the measured throughput within 10 %", () => {
      const modelled = load.opsPerSecond / 1e12;
      expect(Math.abs(modelled / tops - 1)).toBeLessThan(0.1);
      expectDocumented(`NeuRRAM ${out},${bits} bits, TOPS`, tops, modelled);
    });
    it("has the measured efficiency within 15 %", () => {
      const modelled = load.opsPerJoule / 1e12;
      expect(Math.abs(modelled / topsPerWatt - 1)).toBeLessThan(0.15);
      expectDocumented(`NeuRRAM ${out},${bits} bits, TOPS/W`, topsPerWatt, modelled);
    });
  });

  it.each([
    [7, 5, 0.452, 11.33],
    [8, 6, 0.261, 9.12],
  ])("one-phase at %d,%d bits: within 10 % and 15 %", (out, bits, tops, topsPerWatt) => {
    const figures = { "adc.bits": out, "input.bits": bits, "input.phaseBits": 8 };
    const load = loadWith("neurram-rram", figures);
    expect(Math.abs(load.opsPerSecond / 1e12 / tops - 1)).toBeLessThan(0.1);
    expect(Math.abs(load.opsPerJoule / 1e12 / topsPerWatt - 1)).toBeLessThan(0.15);
  });

  it("has the published groups of area", () => {
    const load = loadWith("neurram-rram", {});
    const core = (1270 * 256) / 0.28;
    const group = (names: readonly string[]): number =>
      load.components.filter((c) => names.includes(c.name)).reduce((a, c) => a + c.areaM2, 0);
    const perCore = 1e12 / 48;
    const neurons = ["neuron ADC", "shift and add", "integrator", "sampler", "rest of the neuron"];
    expect(group(neurons) * perCore).toBeCloseTo(0.28 * core, -2);
    expect(group(["array drivers"]) * perCore).toBeCloseTo(0.21 * core, -3);
    expect(group(["RRAM cells"]) * perCore).toBeCloseTo(0.12 * core, -3);
  });
});

describe("64-core PCM chip, 14 nm silicon", () => {
  it.each([
    [1, 63.1, 9.76],
    [4, 16.1, 2.48],
  ])("%d-phase: throughput within 10 %, efficiency within 15 %", (phases, tops, topsPerWatt) => {
    const load = loadWith("hermes-pcm", { "input.phases": phases });
    expect(Math.abs(load.opsPerSecond / 1e12 / tops - 1)).toBeLessThan(0.1);
    expect(Math.abs(load.opsPerJoule / 1e12 / topsPerWatt - 1)).toBeLessThan(0.15);
    expectDocumented(`PCM chip ${phases}-phase, TOPS`, tops, load.opsPerSecond / 1e12);
    expectDocumented(`PCM chip ${phases}-phase, TOPS/W`, topsPerWatt, load.opsPerJoule / 1e12);
  });
});

describe("ISAAC, roll-up of its own table", () => {
  const load = loadWith("isaac-rram", {});
  it.each([
    ["ISAAC chip power, W", 65.8, load.powerW],
    ["ISAAC chip area, mm2", 85.4, load.areaM2 * 1e6],
    ["ISAAC 16-bit product, us", 1.6, load.schedule.interval * 1e6],
    ["ISAAC throughput, TOPS", 41.3, load.opsPerSecond / 1e12],
    ["ISAAC per area, GOPS/mm2", 479, load.opsPerSecond / 1e9 / (load.areaM2 * 1e6)],
  ] as const)("%s: within 1.5 %", (what, published, modelled) => {
    expect(Math.abs(modelled / published - 1)).toBeLessThan(0.015);
    expectDocumented(what, published, modelled);
  });
  it("takes 22 cycles from input to output", () => {
    expect(load.schedule.latency).toBeCloseTo(2.2e-6, 12);
  });
});

describe("PUMA, roll-up of its own table", () => {
  const load = loadWith("puma-rram", {});
  it.each([
    ["PUMA node power, W", 62.5, load.powerW, 0.02],
    ["PUMA node area, mm2", 90.6, load.areaM2 * 1e6, 0.03],
    ["PUMA 16-bit product, ns", 2304, load.schedule.latency * 1e9, 0.001],
    ["PUMA unit energy, nJ", 43.97, 19.09e-3 * load.schedule.latency * 1e9, 0.001],
  ] as const)("%s", (what, published, modelled, gate) => {
    expect(Math.abs(modelled / published - 1)).toBeLessThan(gate);
    expectDocumented(what, published, modelled);
  });
  it("throughput is stated as modelled, not tuned", () => {
    expectDocumented("PUMA throughput, TOPS", 52.3, load.opsPerSecond / 1e12);
  });
});
