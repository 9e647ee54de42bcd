import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ArrayCircuit } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import {
  firstOrderChange, firstOrderVariance, reduceArray, reduceWithSensitivities,
} from "../../../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { ohm } from "../../../../targets/units.ts";
import { cases } from "./circuits.ts";

const supplied = cases(["input-line", "interleaved-input-line"]);

function changed(circuit: ArrayCircuit, cell: number, by: number): ArrayCircuit {
  const conductance = circuit.conductance.slice();
  conductance[cell]! += by;
  return { ...circuit, conductance };
}

describe("reduceWithSensitivities", () => {
  it("has the same effective conductances", () => {
    fc.assert(fc.property(supplied, ({ circuit }) => {
      const plain = reduceArray(circuit).conductance;
      expect([...reduceWithSensitivities(circuit).conductance]).toEqual([...plain]);
    }), { numRuns: 50, seed: 31 });
  });

  it("own sensitivities are derivatives of the effective conductances", () => {
    fc.assert(fc.property(supplied, fc.nat(), ({ circuit }, pick) => {
      const cell = pick % circuit.conductance.length;
      const g = circuit.conductance[cell]!;
      // A change of one conductance changes Geff by s dG / (1 + r dG), r of the order of the wires:
      // central differences are off by (r dG)^2.
      const h = g === 0 ? 1e-9 : 1e-3 * g;
      const up = reduceArray(changed(circuit, cell, h)).conductance[cell]!;
      const low = g === 0 ? 0 : -h;
      const down = reduceArray(changed(circuit, cell, low)).conductance[cell]!;
      const { own } = reduceWithSensitivities(circuit);
      const slope = (up - down) / (h - low);
      expect(Math.abs(own[cell]! - slope)).toBeLessThan(2e-5 * Math.abs(slope) + 1e-9);
      expect(own[cell]!).toBeLessThanOrEqual(1 + 1e-12);
    }), { numRuns: 150, seed: 32 });
  });

  it("adjoints predict every output's answer to a change of any cell", () => {
    fc.assert(fc.property(supplied, fc.nat(), ({ circuit, volt }, pick) => {
      const { cols } = circuit;
      const cell = pick % circuit.conductance.length;
      const h = 1e-4 * Math.max(circuit.conductance[cell]!, 1e-8);
      const array = reduceWithSensitivities(circuit);
      const [at] = solveArray(circuit, [volt]);
      const change = new Float64Array(circuit.conductance.length);
      change[cell] = h;
      const predicted = firstOrderChange(array.adjoint(0, cols), at!.cellVolt, change);
      const before = reduceArray(circuit).conductance;
      const after = reduceArray(changed(circuit, cell, h)).conductance;
      for (let j = 0; j < cols; j++) {
        let actual = 0;
        let size = 0;
        for (let i = 0; i < circuit.rows; i++) {
          const at = i * cols + j;
          actual += volt[i]! * (after[at]! - before[at]!);
          size += Math.abs(volt[i]! * before[at]!);
        }
        // Differences of conductances that are right to 1e-14 each, and second-order terms.
        expect(Math.abs(predicted[j]! - actual)).toBeLessThan(1e-3 * Math.abs(actual) + 1e-13 * size
          + 1e-3 * h * 0.2);
      }
    }), { numRuns: 100, seed: 33 });
  });

  it("adjoints of some columns are those of all", () => {
    const { circuit } = fc.sample(supplied, { numRuns: 40, seed: 9 }).find((c) =>
      c.circuit.cols > 4)!;
    const array = reduceWithSensitivities(circuit);
    const cells = circuit.conductance.length;
    const all = array.adjoint(0, circuit.cols);
    expect([...array.adjoint(2, 2)]).toEqual([...all.slice(2 * cells, 4 * cells)]);
    expect(() => array.adjoint(circuit.cols, 1)).toThrow(/internal/);
  });

  it("variances are the mean squares of first-order changes", () => {
    const n = 40;
    const conductance = Float64Array.from({ length: n * n }, (_, c) => 1e-6 * (1 + (c * 37) % 89));
    const circuit = { rows: n, cols: n, conductance, rowSegmentOhm: ohm(4), colSegmentOhm: ohm(4) };
    const volt = Float64Array.from({ length: n }, (_, i) => 0.02 * (i % 9));
    const [at] = solveArray(circuit, [volt]);
    const adjoint = reduceWithSensitivities(circuit).adjoint(0, n);
    const sigma = conductance.map((g) => 0.01 * g);
    const variance = firstOrderVariance(adjoint, at!.cellVolt, sigma.map((s) => s * s));
    // One cell at a time: the sum over cells of squared changes, no chance involved.
    const sum = new Float64Array(n);
    for (let c = 0; c < n * n; c++) {
      const one = new Float64Array(n * n);
      one[c] = sigma[c]!;
      for (const j of [0, 17, n - 1]) {
        const part = adjoint.subarray(j * n * n, (j + 1) * n * n);
        sum[j]! += firstOrderChange(part, at!.cellVolt, one)[0]! ** 2;
      }
    }
    for (const j of [0, 17, n - 1]) expect(variance[j]! / sum[j]!).toBeCloseTo(1, 12);
  });

  it("refuses arrays whose outputs are no linear map", () => {
    const circuit = {
      rows: 2, cols: 1, conductance: Float64Array.of(1, 1), rowSegmentOhm: ohm(1),
      colSegmentOhm: ohm(1), topology: "separate-source" as const,
    };
    expect(() => reduceArray(circuit)).toThrow(/topology: .*no linear function/);
  });
});
