/**
 * The circuit of one crossbar array, as data: what the SPICE emitter writes and what the wire
 * solver of the chip simulation solves. One definition for both, so that they cannot disagree
 * about what is connected where. No solving and no text here.
 *
 * Cell (i, j) joins word line i (a row) to bit line j (a column). A line is a chain of equal
 * segments with one node per cell; one more segment, in series with the source or sense
 * resistance, joins its driven or sensed end to the terminal. Sense terminals are held at 0 V.
 * The topologies are the four that CrossSim distinguishes (its array readme): current from the
 * input line or from a separate source line, the two signs of a pair interleaved or not.
 */

import type { Ohm } from "../../../targets/units.ts";

/** Which end of the supplying line the driver sits at; "top" and "bottom" for source lines. */
export type DriveEnd = "left" | "right" | "top" | "bottom" | "both";
/** Which end of the bit line is sensed; at "both" the two currents are added. */
export type SenseEnd = "top" | "bottom" | "both";

export type Topology =
  | "input-line" | "interleaved-input-line"
  | "separate-source" | "interleaved-separate-source";

export interface TopologyRule {
  readonly meaning: string;
  /** Rows that meet each bit line in one node: 2 where the cells of a pair are interleaved. */
  readonly rowsPerNode: 1 | 2;
  /** Whether the current comes in over the row itself or over a line parallel to the bit line. */
  readonly supply: "row" | "source-line";
  /** The ends a driver may sit at, the default first. */
  readonly driveEnds: readonly DriveEnd[];
}

/**
 * The rules of each topology. With a separate source line the input only opens or closes the
 * select transistor of its cells (an ideal switch): a row's input is then 0 V (open) or the
 * voltage of its source line, so every driven row of one source line has the same input, and the
 * outputs are not a linear function of the inputs.
 */
export const topologies: Readonly<Record<Topology, TopologyRule>> = {
  "input-line": {
    meaning: "row i carries the input and the current of its cells; one bit-line node per row",
    rowsPerNode: 1,
    supply: "row",
    driveEnds: ["left", "right", "both"],
  },
  "interleaved-input-line": {
    meaning: "as input-line, but rows 2p and 2p+1 (a differential pair) meet each bit line in " +
      "one node, so that their currents cancel where they arise",
    rowsPerNode: 2,
    supply: "row",
    driveEnds: ["left", "right", "both"],
  },
  "separate-source": {
    meaning: "source line j runs beside bit line j, with rowSegmentOhm per cell and sourceOhm at " +
      "its driven end; input i opens or closes the cells of row i",
    rowsPerNode: 1,
    supply: "source-line",
    driveEnds: ["top", "bottom", "both"],
  },
  "interleaved-separate-source": {
    meaning: "as separate-source with two source lines per bit line, one for the even and one " +
      "for the odd rows; rows 2p and 2p+1 meet the bit line in one node",
    rowsPerNode: 2,
    supply: "source-line",
    driveEnds: ["top", "bottom", "both"],
  },
};

/**
 * The current of a cell at voltage V across it (row side minus column side), V in volt, I in
 * ampere, g in siemens.
 * - linear: I = g V.
 * - polynomial: I = g V + a2 V^2 + a3 V^3, with a2 (A/V^2) and a3 (A/V^3) given for all cells
 *   or `[row][col]` for each.
 * - curve: any I(V, g) with I(0, g) = 0 that grows with V, and its slope dI/dV. `spice` writes the
 *   same current as an ngspice expression of the given voltage expression.
 */
export type CellLaw =
  | { readonly kind: "linear" }
  | {
    readonly kind: "polynomial";
    readonly quadratic: number | Float64Array;
    readonly cubic: number | Float64Array;
  }
  | {
    readonly kind: "curve";
    readonly current: (volt: number, conductance: number) => number;
    readonly slope: (volt: number, conductance: number) => number;
    readonly spice?: (volt: string, conductance: number) => string;
  };

export interface ArrayCircuit {
  readonly rows: number;
  readonly cols: number;
  /** `[row][col]`, siemens; 0 is an open cell, Infinity a short. */
  readonly conductance: Float64Array;
  /** One segment of a row (of a source line, where there are any). 0 is an ideal line. */
  readonly rowSegmentOhm: Ohm;
  /** One segment of a column. */
  readonly colSegmentOhm: Ohm;
  /** Between each ideal driver and its line; 0 where left out. */
  readonly sourceOhm?: Ohm | undefined;
  /** Between each bit line and its 0 V terminal; 0 where left out. */
  readonly senseOhm?: Ohm | undefined;
  readonly driveEnd?: DriveEnd | undefined;
  /** "bottom" where left out. */
  readonly senseEnd?: SenseEnd | undefined;
  /** "input-line" where left out. */
  readonly topology?: Topology | undefined;
  /** Linear where left out. */
  readonly cell?: CellLaw | undefined;
}

export type FilledCircuit = Required<{ [K in keyof ArrayCircuit]: NonNullable<ArrayCircuit[K]> }>;

/** The circuit with every default in its place. Checks nothing. */
export function fillCircuit(circuit: ArrayCircuit): FilledCircuit {
  const topology = circuit.topology ?? "input-line";
  return {
    ...circuit,
    topology,
    sourceOhm: circuit.sourceOhm ?? (0 as Ohm),
    senseOhm: circuit.senseOhm ?? (0 as Ohm),
    driveEnd: circuit.driveEnd ?? topologies[topology].driveEnds[0]!,
    senseEnd: circuit.senseEnd ?? "bottom",
    cell: circuit.cell ?? { kind: "linear" },
  };
}
