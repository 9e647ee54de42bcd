import { describe, expect, it } from "vitest";
import { ammeterName, arrayNetlist } from "../../../../compiler/emit/spice/array.ts";
import type { ArrayCircuit, Topology } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { topologies } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { ohm } from "../../../../targets/units.ts";
import { describeNeeding } from "../../../support/notRun.ts";
import { needProgram } from "../../../support/programs.ts";
import { runNgspice } from "./runNgspice.ts";

const small: ArrayCircuit = {
  rows: 2, cols: 2,
  conductance: Float64Array.of(1e-4, 2e-5, 0, 5e-5),
  rowSegmentOhm: ohm(2), colSegmentOhm: ohm(3), senseOhm: ohm(10),
};

describe("arrayNetlist", () => {
  it("writes wires, cells, drivers and ammeters; an open cell is no line", () => {
    expect(arrayNetlist(small, [0.2, -0.1], "two by\ntwo")).toMatchInlineSnapshot(`
      "* two by two
      * 2 x 2, input-line
      Vs0 s0 0 DC 0.2
      Vs1 s1 0 DC -0.1
      Rr0_first s0 w0_0 2
      Rr0_1 w0_0 w0_1 2
      Rr1_first s1 w1_0 2
      Rr1_1 w1_0 w1_1 2
      Rc0_last b1_0 t0 13
      Rc0_1 b0_0 b1_0 3
      Rc1_last b1_1 t1 13
      Rc1_1 b0_1 b1_1 3
      Rx0_0 w0_0 b0_0 10000
      Rx0_1 w0_1 b0_1 49999.99999999999
      Rx1_1 w1_1 b1_1 20000
      vsense0 t0 0 DC 0
      vsense1 t1 0 DC 0
      .options reltol=1e-12 abstol=1e-20 vntol=1e-15 itl1=500
      .control
      set numdgt=16
      op
      print i(vsense0)
      print i(vsense1)
      quit
      .endc
      .end
      "
    `);
  });

  it("merges the nodes of ideal lines and leaves closed rows out", () => {
    const circuit: ArrayCircuit = {
      ...small, topology: "interleaved-separate-source", rowSegmentOhm: ohm(0),
      sourceOhm: ohm(7), senseOhm: ohm(0), colSegmentOhm: ohm(0),
      cell: { kind: "polynomial", quadratic: 1e-6, cubic: Float64Array.of(1e-5, 0, 0, 2e-5) },
    };
    const text = arrayNetlist(circuit, [0.2, 0], "ladder");
    expect(text.split("\n").slice(2, 10)).toMatchInlineSnapshot(`
      [
        "Vs0 s0 0 DC 0.2",
        "Vs1 s1 0 DC 0",
        "Rr0_0_first s0 w0_0 7",
        "Rr0_1_first s1 w1_0 7",
        "Rr1_0_first s0 w0_1 7",
        "Rr1_1_first s1 w1_1 7",
        "Bx0_0 w0_0 t0 I=V(w0_0,t0)*(0.0001+V(w0_0,t0)*((0.000001)+V(w0_0,t0)*(0.00001)))",
        "Bx0_1 w0_1 t1 I=V(w0_1,t1)*(0.00002+V(w0_1,t1)*((0.000001)+V(w0_1,t1)*(0)))",
      ]
    `);
  });

  it("says when a law cannot be written", () => {
    const cell = { kind: "curve" as const, current: Math.sinh, slope: Math.cosh };
    expect(() => arrayNetlist({ ...small, cell }, [0, 0], "x"))
      .toThrow(/cell: .*no SPICE.*`spice`/);
  });
});

describeNeeding(needProgram("ngspice"), "ngspice solves what arrayNetlist writes", (program) => {
  const rows = 12;
  const cols = 10;
  const conductance = Float64Array.from({ length: rows * cols }, (_, c) =>
    1e-6 * (1 + (c * 37) % 99));
  conductance[17] = 0;
  const array: ArrayCircuit = {
    rows, cols, conductance, rowSegmentOhm: ohm(5), colSegmentOhm: ohm(9), sourceOhm: ohm(20),
    senseOhm: ohm(30),
  };
  const row = Array.from({ length: rows }, (_, i) => 0.04 * ((i * 5) % 7) - 0.1);
  const gates = row.map((_, i) => (i % 3 === 0 ? 0 : [0.2, -0.2][i % 2]!));

  const compare = (circuit: ArrayCircuit, volt: readonly number[], tolerance: number): void => {
    const printed = runNgspice(program(), arrayNetlist(circuit, volt, "test"));
    const [solution] = solveArray(circuit, [Float64Array.from(volt)]);
    const { outputAmpere } = solution!;
    expect(printed.size).toBe(cols);
    outputAmpere.forEach((ampere, j) => {
      const simulated = printed.get(ammeterName(j))!;
      expect(Math.abs(simulated - ampere)).toBeLessThan(tolerance * Math.abs(ampere));
    });
  };

  it.each(Object.keys(topologies) as Topology[])("linear cells, %s", (topology) => {
    const { supply, driveEnds, rowsPerNode } = topologies[topology];
    const volt = supply === "row" ? row : gates.map((v) => rowsPerNode === 1 ? Math.abs(v) : v);
    for (const driveEnd of driveEnds) {
      for (const senseEnd of ["top", "both"] as const) {
        compare({ ...array, topology, driveEnd, senseEnd }, volt, 1e-9);
      }
    }
  });

  it("ideal lines in one direction, and a short", () => {
    compare({ ...array, rowSegmentOhm: ohm(0) }, row, 1e-9);
    compare({ ...array, colSegmentOhm: ohm(0), senseOhm: ohm(0) }, row, 1e-9);
    const shorted = conductance.slice();
    shorted[43] = Infinity;
    compare({ ...array, conductance: shorted }, row, 1e-9);
  });

  it("polynomial cells and a sinh law", () => {
    const quadratic = conductance.map((g) => 0.3 * g);
    compare({ ...array, cell: { kind: "polynomial", quadratic, cubic: 4e-5 } }, row, 1e-8);
    compare({
      ...array,
      cell: {
        kind: "curve",
        current: (v, g) => g * 0.1 * Math.sinh(v / 0.1),
        slope: (v, g) => g * Math.cosh(v / 0.1),
        spice: (v, g) => `${0.1 * g}*sinh(${v}/0.1)`,
      },
    }, row, 1e-8);
  });
});
