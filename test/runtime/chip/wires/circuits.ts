/** Random arrays of every topology, end and kind of line, small enough for the dense oracle. */

import fc from "fast-check";
import type {
  ArrayCircuit, DriveEnd, SenseEnd, Topology,
} from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { topologies } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { ohm } from "../../../../targets/units.ts";

export interface Case {
  readonly circuit: ArrayCircuit;
  readonly volt: Float64Array;
}

/** Ohm: ideal, or anything from milliohms to kilohms. */
const wire = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 3, arbitrary: fc.double({ min: -3, max: 3.5, noNaN: true }).map((e) => 10 ** e) },
);

/** Siemens: open, or from nanosiemens to millisiemens. */
const cell = fc.oneof(
  { weight: 1, arbitrary: fc.constant(0) },
  { weight: 6, arbitrary: fc.double({ min: -9, max: -3, noNaN: true }).map((e) => 10 ** e) },
);

export function cases(names: readonly Topology[]): fc.Arbitrary<Case> {
  return fc.record({
    topology: fc.constantFrom(...names),
    half: fc.integer({ min: 1, max: 5 }),
    odd: fc.boolean(),
    cols: fc.integer({ min: 1, max: 7 }),
    wires: fc.tuple(wire, wire, wire, wire),
    drive: fc.nat(),
    senseEnd: fc.constantFrom<SenseEnd>("top", "bottom", "both"),
    cells: fc.array(cell, { minLength: 77, maxLength: 77 }),
    volts: fc.array(fc.constantFrom(0, 0.2, -0.1, 0.13), { minLength: 11, maxLength: 11 }),
  }).map(({ topology, half, odd, cols, wires, drive, senseEnd, cells, volts }) => {
    const { rowsPerNode, supply, driveEnds } = topologies[topology];
    const rows = rowsPerNode === 2 ? 2 * half : 2 * half - (odd ? 1 : 0);
    const driveEnd: DriveEnd = driveEnds[drive % driveEnds.length]!;
    // Source lines have one voltage each; an input only opens or closes the cells of its row.
    const volt = Float64Array.from(volts.slice(0, rows), (v, i) =>
      supply === "row" ? v : v === 0 ? 0 : [0.2, -0.15][i % rowsPerNode]!);
    return {
      circuit: {
        rows, cols, topology, driveEnd, senseEnd,
        conductance: Float64Array.from(cells.slice(0, rows * cols)),
        rowSegmentOhm: ohm(wires[0]),
        colSegmentOhm: ohm(wires[1]),
        sourceOhm: ohm(wires[2]),
        senseOhm: ohm(wires[3]),
      },
      volt,
    };
  });
}

/** The largest difference, relative to the currents that the cells of the column carry. */
export function difference(
  actual: ArrayLike<number>, expected: ArrayLike<number>, cellAmpere: Float64Array,
): number {
  const cols = actual.length;
  let worst = 0;
  for (let j = 0; j < cols; j++) {
    let size = 0;
    for (let c = j; c < cellAmpere.length; c += cols) size += Math.abs(cellAmpere[c]!);
    const gap = Math.abs(actual[j]! - expected[j]!);
    if (gap > 0) worst = Math.max(worst, gap / Math.max(size, Math.abs(expected[j]!)));
  }
  return worst;
}
