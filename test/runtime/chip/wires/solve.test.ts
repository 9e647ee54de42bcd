import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Topology } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { topologies } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { reduceArray } from "../../../../runtime/chip/wires/reduced.ts";
import {
  potentialsOf, solveArray, solveArrayAndMatrix,
} from "../../../../runtime/chip/wires/solve.ts";
import { ohm } from "../../../../targets/units.ts";
import { cases, difference } from "./circuits.ts";
import { nodalOutputs } from "./nodalOracle.ts";

const names = Object.keys(topologies) as Topology[];
const bySupply = (supply: string): Topology[] =>
  names.filter((name) => topologies[name].supply === supply);

/**
 * The oracle works on potentials in float64: where a wire conducts up to 1e12 times better than a
 * cell, it knows the cell's current to about 1e12 times its rounding. The arrays here stay below.
 */
const oracleTolerance = 1e-8;

describe("solveArray", () => {
  it.each(names)("%s agrees with dense nodal analysis", (name) => {
    fc.assert(fc.property(cases([name]), ({ circuit, volt }) => {
      const [solution] = solveArray(circuit, [volt]);
      const expected = nodalOutputs(circuit, Array.from(volt));
      expect(solution!.residual).toBeLessThan(1e-11);
      const gap = difference(solution!.outputAmpere, expected, solution!.cellAmpere);
      expect(gap).toBeLessThan(oracleTolerance);
    }), { numRuns: 150, seed: 5 });
  });

  it("says per column for separate source lines, conjugate gradients otherwise", () => {
    fc.assert(fc.property(cases(names), ({ circuit, volt }) => {
      const { method } = solveArray(circuit, [volt])[0]!;
      const { supply } = topologies[circuit.topology!];
      expect(method).toBe(supply === "row" ? "conjugate-gradients" : "per-column");
    }), { numRuns: 40, seed: 6 });
  });

  it("finds the same by conjugate gradients and by elimination", () => {
    fc.assert(fc.property(cases(bySupply("row")), ({ circuit, volt }) => {
      const [a] = solveArray(circuit, [volt], { method: "conjugate-gradients" });
      const [b] = solveArray(circuit, [volt], { method: "elimination" });
      expect(b!.method).toBe("elimination");
      // Drops behind a large source resistance cannot tell strong wires' currents any better.
      expect(b!.residual).toBeLessThan(1e-9);
      expect(difference(a!.outputAmpere, b!.outputAmpere, b!.cellAmpere)).toBeLessThan(1e-11);
      expect(difference(a!.cellVolt, b!.cellVolt, b!.cellVolt)).toBeLessThan(1e-9);
    }), { numRuns: 200, seed: 7 });
  });

  it("has outputs that are the product with the effective conductances", () => {
    fc.assert(fc.property(cases(bySupply("row")), ({ circuit, volt }) => {
      const [solution] = solveArray(circuit, [volt]);
      const { conductance, cols } = reduceArray(circuit);
      const product = new Float64Array(cols);
      conductance.forEach((g, c) => {
        product[c % cols]! += g * volt[Math.floor(c / cols)]!;
      });
      const gap = difference(product, solution!.outputAmpere, solution!.cellAmpere);
      expect(gap).toBeLessThan(1e-11);
    }), { numRuns: 200, seed: 8 });
  });

  it("solves cells that are shorted", () => {
    fc.assert(fc.property(
      cases(["input-line", "interleaved-input-line"]),
      fc.array(fc.nat(), { minLength: 1, maxLength: 3 }),
      ({ circuit, volt }, shorts) => {
        const conductance = circuit.conductance.slice();
        for (const at of shorts) conductance[at % conductance.length] = Infinity;
        const rowSegmentOhm = ohm(Math.max(circuit.rowSegmentOhm, 0.1));
        const shorted = { ...circuit, conductance, rowSegmentOhm };
        const [solution] = solveArray(shorted, [volt]);
        expect(solution!.method).toBe("elimination");
        expect(solution!.residual).toBeLessThan(1e-9);
        if (shorted.colSegmentOhm === 0 && shorted.senseOhm === 0) return;
        const expected = nodalOutputs(shorted, Array.from(volt));
        const gap = difference(solution!.outputAmpere, expected, solution!.cellAmpere);
        expect(gap).toBeLessThan(oracleTolerance);
      },
    ), { numRuns: 150, seed: 9 });
  });

  it("turns to elimination where conjugate gradients would take longer, and says so", () => {
    const n = 40;
    const conductance = Float64Array.from({ length: n * n }, (_, c) => 1e-5 * (1 + (c * 7) % 13));
    const circuit = {
      rows: n, cols: n, conductance, rowSegmentOhm: ohm(1e6), colSegmentOhm: ohm(1e6),
    };
    const volt = Float64Array.from({ length: n }, (_, i) => 0.01 * (i % 5));
    const [chosen] = solveArray(circuit, [volt]);
    const [forced] = solveArray(circuit, [volt], { method: "conjugate-gradients" });
    expect(chosen!.method).toBe("elimination");
    expect(forced!.method).toBe("conjugate-gradients");
    expect(forced!.iterations).toBeGreaterThan(40);
    const gap = difference(forced!.outputAmpere, chosen!.outputAmpere, forced!.cellAmpere);
    expect(gap).toBeLessThan(1e-9);
    // The matrix of an array that was eliminated anyway is the same matrix.
    const both = solveArrayAndMatrix(circuit, [volt]);
    expect(both.solutions[0]!.method).toBe("elimination");
    expect([...both.effectiveConductance!]).toEqual([...reduceArray(circuit).conductance]);
  });

  it("gives each output to its own size, however small", () => {
    // One column a billion times less conductive than its neighbours, one row driven at a cell
    // that is open: what comes out is the sneak current alone.
    const conductance = Float64Array.from({ length: 48 }, (_, c) => c % 6 === 3 ? 1e-13 : 1e-4);
    conductance[0] = 0;
    const volt = new Float64Array(8);
    volt[0] = 0.2;
    const circuit = {
      rows: 8, cols: 6, conductance, rowSegmentOhm: ohm(10), colSegmentOhm: ohm(10),
    };
    const [a] = solveArray(circuit, [volt], { method: "conjugate-gradients" });
    const [b] = solveArray(circuit, [volt], { method: "elimination" });
    for (let j = 0; j < 6; j++) {
      expect(Math.abs(a!.outputAmpere[j]! / b!.outputAmpere[j]! - 1)).toBeLessThan(1e-9);
    }
    expect(b!.outputAmpere[3]).toBeGreaterThan(0);
    expect(b!.outputAmpere[3]).toBeLessThan(1e-13);
  });

  it.each([[17, 300, 100], [17, 300, 1000], [1, 1000, 1000], [1000, 1, 1000], [60, 90, 300]])(
    "gives every output of %i x %i at %i ohm to its own size",
    (rows, cols, segment) => {
      // The far columns get as little as 1e-60 of what the near ones get.
      const conductance = Float64Array.from({ length: rows * cols }, (_, c) =>
        1e-6 * (1 + (c * 61) % 97));
      const volt = Float64Array.from({ length: rows }, (_, i) => 0.02 * (1 + (i * 3) % 8));
      const wires = { rowSegmentOhm: ohm(segment), colSegmentOhm: ohm(segment) };
      const circuit = { rows, cols, conductance, ...wires };
      const [a] = solveArray(circuit, [volt], { method: "conjugate-gradients" });
      const [b] = solveArray(circuit, [volt], { method: "elimination" });
      for (let j = 0; j < cols; j++) {
        expect(b!.outputAmpere[j]).toBeGreaterThan(0);
        expect(Math.abs(a!.outputAmpere[j]! / b!.outputAmpere[j]! - 1)).toBeLessThan(1e-11);
      }
    });

  it("keeps its digits with wires a billion times better than the cells", () => {
    const conductance = Float64Array.from({ length: 20 * 20 }, (_, c) => 1e-7 * (1 + c % 9));
    const volt = Float64Array.from({ length: 20 }, (_, i) => 0.01 * (i - 7));
    const circuit = {
      rows: 20, cols: 20, conductance, rowSegmentOhm: ohm(1e-9), colSegmentOhm: ohm(1e-9),
    };
    const [solution] = solveArray(circuit, [volt]);
    const ideal = new Float64Array(20);
    conductance.forEach((g, c) => {
      ideal[c % 20]! += g * volt[Math.floor(c / 20)]!;
    });
    expect(solution!.residual).toBeLessThan(1e-12);
    // The true loss is of the order of n^2 G R = 4e-13.
    expect(difference(solution!.outputAmpere, ideal, solution!.cellAmpere)).toBeLessThan(1e-11);
  });

  it("solves no input, no conductance and a single cell", () => {
    const wires = { rowSegmentOhm: ohm(2), colSegmentOhm: ohm(3) };
    const dark = { rows: 3, cols: 4, conductance: new Float64Array(12).fill(1e-5), ...wires };
    const [silent] = solveArray(dark, [new Float64Array(3)]);
    expect([...silent!.outputAmpere]).toEqual([0, 0, 0, 0]);
    expect([silent!.residual, silent!.iterations]).toEqual([0, 0]);
    const open = { ...dark, conductance: new Float64Array(12) };
    const [none] = solveArray(open, [Float64Array.of(1, 1, 1)]);
    expect([...none!.outputAmpere, none!.residual]).toEqual([0, 0, 0, 0, 0]);
    expect([...reduceArray(open).conductance]).toEqual(new Array(12).fill(0));
    const single = {
      rows: 1, cols: 1, conductance: Float64Array.of(0.25), sourceOhm: ohm(5), senseOhm: ohm(7),
      ...wires,
    };
    const [one] = solveArray(single, [Float64Array.of(21)]);
    expect(one!.outputAmpere[0]).toBeCloseTo(1, 14);
    expect(reduceArray(single).conductance[0]).toBeCloseTo(1 / 21, 14);
    const { rowVolt, colVolt } = potentialsOf(one!);
    expect(rowVolt[0]).toBeCloseTo(14, 12);
    expect(colVolt[0]).toBeCloseTo(10, 12);
  });

  it("refuses what is no array, with the place", () => {
    const good = {
      rows: 2, cols: 2, conductance: new Float64Array(4).fill(1e-5),
      rowSegmentOhm: ohm(1), colSegmentOhm: ohm(1),
    };
    const volt = Float64Array.of(0.1, 0.2);
    const nonOhm = -1 as typeof good.rowSegmentOhm;
    expect(() => solveArray({ ...good, rows: 0 }, [])).toThrow(/rows: .*whole number/);
    expect(() => solveArray({ ...good, colSegmentOhm: nonOhm }, [])).toThrow(/colSegmentOhm: /);
    expect(() => solveArray({ ...good, cols: 3 }, [])).toThrow(/conductance: 4 values/);
    const negative = { ...good, conductance: Float64Array.of(1, 1, -1, 1) };
    expect(() => solveArray(negative, [volt])).toThrow(/conductance\[1\]\[0\]: .*-1 S/);
    expect(() => solveArray(good, [Float64Array.of(1)])).toThrow(/inputVolt\[0\]: 1 voltages/);
    expect(() => solveArray(good, [volt, Float64Array.of(0, NaN)])).toThrow(/inputVolt\[1\]\[1\]/);
    expect(() => solveArray({ ...good, driveEnd: "top" }, [])).toThrow(/driveEnd: .*left, right/);
    const three = { ...good, rows: 3, conductance: new Float64Array(6) };
    expect(() => solveArray({ ...three, topology: "interleaved-input-line" }, []))
      .toThrow(/rows: .*pairs/);
    expect(() => solveArray({ ...good, topology: "separate-source" }, [volt]))
      .toThrow(/inputVolt\[0\]: .*different voltages.*bits/);
    const short = Float64Array.of(1, Infinity, 1, 1);
    expect(() => solveArray({ ...good, conductance: short, rowSegmentOhm: ohm(0) }, [volt]))
      .toThrow(/conductance\[0\]\[1\]: .*short/);
  });
});
