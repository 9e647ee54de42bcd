import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { transposeArray } from "../../../../runtime/chip/wires/problem.ts";
import { reduceArray } from "../../../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { ohm } from "../../../../targets/units.ts";
import { cases, difference } from "./circuits.ts";

const rowSupplied = cases(["input-line", "interleaved-input-line"]);
const plain = cases(["input-line"]);
const add = (a: Float64Array, b: Float64Array, factor: number): Float64Array =>
  a.map((x, k) => x + factor * b[k]!);

describe("laws of linear arrays", () => {
  it("reciprocity: reading through the same ends the other way gives the exact transpose", () => {
    fc.assert(fc.property(plain, ({ circuit }) => {
      const { rows, cols, conductance } = reduceArray(circuit);
      const back = reduceArray(transposeArray(circuit)).conductance;
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < cols; j++) {
          const there = conductance[i * cols + j]!;
          expect(Math.abs(back[j * rows + i]! - there)).toBeLessThanOrEqual(1e-12 * there);
        }
      }
    }), { numRuns: 100, seed: 1 });
  });

  it("reciprocity of the iterative solver: one row driven, or one column", () => {
    fc.assert(fc.property(plain, fc.nat(), fc.nat(), ({ circuit }, a, b) => {
      const i = a % circuit.rows;
      const j = b % circuit.cols;
      const unit = (length: number, at: number): Float64Array =>
        Float64Array.from({ length }, (_, k) => (k === at ? 1 : 0));
      const method = "conjugate-gradients";
      const [there] = solveArray(circuit, [unit(circuit.rows, i)], { method });
      const [back] = solveArray(transposeArray(circuit), [unit(circuit.cols, j)], { method });
      const x = there!.outputAmpere[j]!;
      // A sneak current is the difference of cell currents far larger than itself.
      let size = 0;
      for (let c = j; c < circuit.conductance.length; c += circuit.cols) {
        size += Math.abs(there!.cellAmpere[c]!);
      }
      expect(Math.abs(x - back!.outputAmpere[i]!)).toBeLessThanOrEqual(1e-10 * size);
    }), { numRuns: 100, seed: 2 });
  });

  it("superposition: outputs of a weighted sum are the weighted sum of outputs", () => {
    fc.assert(fc.property(rowSupplied, fc.double({ min: -3, max: 3, noNaN: true }),
      ({ circuit, volt }, factor) => {
        const other = volt.map((_, i) => 0.05 * ((i * 3) % 4) - 0.04);
        const [a, b, both] = solveArray(circuit, [volt, other, add(volt, other, factor)]);
        const expected = add(a!.outputAmpere, b!.outputAmpere, factor);
        const currents = a!.cellAmpere.map((x, c) =>
          Math.abs(x) + Math.abs(factor * b!.cellAmpere[c]!));
        expect(difference(both!.outputAmpere, expected, currents)).toBeLessThan(1e-11);
      }), { numRuns: 100, seed: 3 });
  });

  it("ideal wires give the ideal product, in each direction by itself and in both", () => {
    fc.assert(fc.property(rowSupplied, ({ circuit, volt }) => {
      const zero = ohm(0);
      const wires = { rowSegmentOhm: zero, colSegmentOhm: zero, sourceOhm: zero, senseOhm: zero };
      const ideal = { ...circuit, ...wires };
      expect([...reduceArray(ideal).conductance]).toEqual([...circuit.conductance]);
      const [solution] = solveArray(ideal, [volt]);
      const product = new Float64Array(circuit.cols);
      circuit.conductance.forEach((g, c) => {
        product[c % circuit.cols]! += g * volt[Math.floor(c / circuit.cols)]!;
      });
      expect(difference(solution!.outputAmpere, product, solution!.cellAmpere)).toBeLessThan(1e-14);
      // Nearly ideal wires of one direction come close to ideal ones: no jump at zero.
      const nearly = reduceArray({ ...circuit, rowSegmentOhm: ohm(1e-12) }).conductance;
      const limit = reduceArray({ ...circuit, rowSegmentOhm: zero }).conductance;
      nearly.forEach((g, c) => {
        expect(Math.abs(g - limit[c]!)).toBeLessThanOrEqual(1e-6 * Math.max(g, limit[c]!) + 1e-17);
      });
    }), { numRuns: 60, seed: 4 });
  });

  it("the total current of positive inputs falls as any resistance grows (Rayleigh)", () => {
    fc.assert(fc.property(rowSupplied, fc.constantFrom(
      "rowSegmentOhm" as const, "colSegmentOhm" as const, "sourceOhm" as const, "senseOhm" as const,
    ), ({ circuit }, key) => {
      const volt = new Float64Array(circuit.rows).fill(0.2);
      const total = (factor: number): number => {
        const grown = { ...circuit, [key]: ohm(factor * ((circuit[key] ?? 0) + 0.01)) };
        return solveArray(grown, [volt])[0]!.outputAmpere.reduce((a, b) => a + b, 0);
      };
      let previous = Infinity;
      for (const factor of [1, 2, 10, 100]) {
        const now = total(factor);
        expect(now).toBeLessThanOrEqual(previous * (1 + 1e-12));
        previous = now;
      }
    }), { numRuns: 60, seed: 5 });
  });

  it("transposes of other topologies are refused", () => {
    const circuit = {
      rows: 2, cols: 1, conductance: Float64Array.of(1, 1), rowSegmentOhm: ohm(1),
      colSegmentOhm: ohm(1), topology: "interleaved-input-line" as const,
    };
    expect(() => transposeArray(circuit)).toThrow(/topology: .*transposed/);
  });
});
