import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ArrayCircuit, Topology } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { topologies } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { transposeArray } from "../../../../runtime/chip/wires/problem.ts";
import { reduceArray } from "../../../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { ohm } from "../../../../targets/units.ts";
import { cases, difference } from "./circuits.ts";
import { nodalOutputs } from "./nodalOracle.ts";

const names = Object.keys(topologies) as Topology[];

/** I = g V + a V^2 + 2 g V^3 / V0^2, monotone while a^2 < 6 g^2 / V0^2. */
const polynomial = (circuit: ArrayCircuit, tilt: number): ArrayCircuit => ({
  ...circuit,
  cell: {
    kind: "polynomial",
    quadratic: circuit.conductance.map((g) => tilt * g),
    cubic: circuit.conductance.map((g) => 50 * g),
  },
});

/** I = g V0 sinh(V / V0): the law of trap-assisted tunnelling gaps, steep above V0. */
const sinh = (circuit: ArrayCircuit, v0: number): ArrayCircuit => ({
  ...circuit,
  cell: {
    kind: "curve",
    current: (v, g) => g * v0 * Math.sinh(v / v0),
    slope: (v, g) => g * Math.cosh(v / v0),
  },
});

describe("nonlinear cells", () => {
  it.each(names)("%s agrees with Newton on dense nodal analysis", (name) => {
    fc.assert(fc.property(
      cases([name]), fc.double({ min: -8, max: 8, noNaN: true }), fc.boolean(),
      ({ circuit, volt }, tilt, steep) => {
        const cells = steep ? sinh(circuit, 0.05) : polynomial(circuit, tilt);
        const [solution] = solveArray(cells, [volt]);
        const expected = nodalOutputs(cells, Array.from(volt));
        expect(solution!.residual).toBeLessThan(1e-9);
        const gap = difference(solution!.outputAmpere, expected, solution!.cellAmpere);
        expect(gap).toBeLessThan(1e-8);
      },
    ), { numRuns: 80, seed: 21 });
  });

  it("a cubic of zero is a linear cell", () => {
    fc.assert(fc.property(cases(names), ({ circuit, volt }) => {
      const zero = { kind: "polynomial" as const, quadratic: 0, cubic: 0 };
      const [a] = solveArray(circuit, [volt]);
      const [b] = solveArray({ ...circuit, cell: zero }, [volt]);
      expect(difference(b!.outputAmpere, a!.outputAmpere, a!.cellAmpere)).toBeLessThan(1e-11);
    }), { numRuns: 60, seed: 22 });
  });

  it("settles a large steep array in few steps, to the tolerance", () => {
    const n = 96;
    const conductance = Float64Array.from({ length: n * n }, (_, c) => 1e-6 * (1 + (c * 61) % 97));
    const volt = Float64Array.from({ length: n }, (_, i) => 0.05 * ((i * 7) % 11) - 0.2);
    const array = { rows: n, cols: n, conductance, rowSegmentOhm: ohm(2), colSegmentOhm: ohm(2) };
    const [solution] = solveArray(sinh(array, 0.1), [volt]);
    expect(solution!.residual).toBeLessThan(1e-12);
    expect(solution!.newtonSteps).toBeGreaterThan(1);
    expect(solution!.newtonSteps).toBeLessThan(12);
    // No superposition any more: twice the input is more than twice the current.
    const [twice] = solveArray(sinh(array, 0.1), [volt.map((v) => 2 * v)]);
    const size = (values: Float64Array): number => values.reduce((a, x) => a + Math.abs(x), 0);
    expect(size(twice!.cellAmpere)).toBeGreaterThan(2.1 * size(solution!.cellAmpere));
  });

  it("has the small-signal matrix of its slopes", () => {
    const { circuit, volt } = fc.sample(cases(["input-line"]), { numRuns: 30, seed: 4 })
      .find(({ circuit: c }) => c.rows > 4 && c.cols > 3)!;
    const cells = polynomial({ ...circuit, sourceOhm: ohm(100) }, 3);
    const law = cells.cell as Extract<ArrayCircuit["cell"], { kind: "polynomial" }>;
    const [at] = solveArray(cells, [volt]);
    const slope = circuit.conductance.map((g, c) => {
      const v = at!.cellVolt[c]!;
      return g + 2 * (law.quadratic as Float64Array)[c]! * v +
        3 * (law.cubic as Float64Array)[c]! * v * v;
    });
    const small = reduceArray({ ...circuit, sourceOhm: ohm(100), conductance: slope }).conductance;
    const h = 1e-4;
    const moved = (sign: number): Float64Array =>
      solveArray(cells, [volt.map((v, i) => (i === 2 ? v + sign * h : v))])[0]!.outputAmpere;
    const [up, down] = [moved(1), moved(-1)];
    for (let j = 0; j < circuit.cols; j++) {
      const expected = small[2 * circuit.cols + j]!;
      // Central differences: the error is h^2 times the third derivative, 300 g here.
      expect(Math.abs((up[j]! - down[j]!) / (2 * h) - expected)).toBeLessThan(1e-5 * 1e-3);
    }
  });

  it("turned round, the array has the current of the turned cells", () => {
    fc.assert(fc.property(cases(["input-line"]), ({ circuit }) => {
      const turned = transposeArray(polynomial(circuit, 3));
      const volt = Float64Array.from({ length: circuit.cols }, (_, j) => 0.1 * ((j % 3) - 1));
      const [solution] = solveArray(turned, [volt]);
      const expected = nodalOutputs(turned, Array.from(volt));
      const gap = difference(solution!.outputAmpere, expected, solution!.cellAmpere);
      expect(gap).toBeLessThan(1e-8);
      // Ideal wires: each cell of the turned array carries I'(V) = -I(-V) = g V - a V^2 + ...
      const zero = ohm(0);
      const wires = { rowSegmentOhm: zero, colSegmentOhm: zero, sourceOhm: zero, senseOhm: zero };
      const [ideal] = solveArray({ ...turned, ...wires }, [volt]);
      const v = volt[0]!;
      const g = circuit.conductance[0]!;
      expect(Math.abs(ideal!.cellAmpere[0]! - (g * v - 3 * g * v ** 2 + 50 * g * v ** 3)))
        .toBeLessThanOrEqual(1e-14 * g);
    }), { numRuns: 40, seed: 23 });
  });

  it("says so when there is no operating point to find", () => {
    const circuit = {
      rows: 2, cols: 2, conductance: new Float64Array(4).fill(1e-4),
      rowSegmentOhm: ohm(1), colSegmentOhm: ohm(1),
    };
    const jump = {
      kind: "curve" as const,
      current: (v: number, g: number) => (v > 0.1 ? 1 : -1) * g,
      slope: (_v: number, g: number) => g,
    };
    expect(() => solveArray({ ...circuit, cell: jump }, [Float64Array.of(0.1, 0.1)]))
      .toThrow(/cell: The array did not settle.*without jumps/s);
    expect(() => reduceArray({ ...circuit, cell: jump })).toThrow(/cell: .*no effective/);
  });
});
