/**
 * What the wire solvers are asked, checked once: sizes, signs, ends that fit the topology.
 * The circuit itself is defined beside the SPICE emitter, so that netlist and solver agree.
 */

import type {
  ArrayCircuit, DriveEnd, FilledCircuit, SenseEnd,
} from "../../../compiler/emit/spice/arrayCircuit.ts";
import { fillCircuit, topologies } from "../../../compiler/emit/spice/arrayCircuit.ts";
import { UserError } from "../../../compiler/errors.ts";
import type { Line, LineEnds } from "./line.ts";
import { lineOf } from "./line.ts";

const endOf: Record<DriveEnd | SenseEnd, LineEnds> = {
  left: "first", top: "first", right: "last", bottom: "last", both: "both",
};

/** A checked circuit with the lines its solvers work on. */
export interface Geometry {
  readonly circuit: FilledCircuit;
  /** Row i, or the source lines where the topology has them. */
  readonly supply: Line;
  /** A bit line. */
  readonly bit: Line;
  /** Rows that share one bit-line node. */
  readonly rowsPerNode: 1 | 2;
  /** False where the current comes in over source lines beside the bit lines. */
  readonly suppliedByRow: boolean;
}

/**
 * Checks a circuit and lays out its lines.
 * @throws UserError naming the field that is wrong
 */
export function layOut(given: ArrayCircuit): Geometry {
  const circuit = fillCircuit(given);
  const { rows, cols, topology } = circuit;
  const rule = topologies[topology];
  for (const [name, count] of [["rows", rows], ["cols", cols]] as const) {
    if (!Number.isInteger(count) || count < 1) {
      throw new UserError(`An array needs a whole number of ${name}, at least 1, not ${count}`, {
        place: name,
      });
    }
  }
  for (const name of ["rowSegmentOhm", "colSegmentOhm", "sourceOhm", "senseOhm"] as const) {
    const ohm = circuit[name];
    if (!(ohm >= 0 && ohm < Infinity)) {
      throw new UserError(`A resistance cannot be ${ohm} ohm`, {
        place: name, remedy: "Give a finite number of ohms, 0 for an ideal line",
      });
    }
  }
  if (rows % rule.rowsPerNode !== 0) {
    throw new UserError(`${rows} rows cannot be taken in pairs`, {
      place: "rows", remedy: `The topology ${topology} needs an even number of rows`,
    });
  }
  if (!rule.driveEnds.includes(circuit.driveEnd)) {
    throw new UserError(`The topology ${topology} has no ${circuit.driveEnd} end to drive`, {
      place: "driveEnd", remedy: `Choose one of ${rule.driveEnds.join(", ")}`,
    });
  }
  checkCells(circuit);
  const nodes = rows / rule.rowsPerNode;
  const supplyLength = rule.supply === "row" ? cols : nodes;
  return {
    circuit,
    supply: lineOf(
      supplyLength, circuit.rowSegmentOhm, circuit.sourceOhm, endOf[circuit.driveEnd],
    ),
    bit: lineOf(nodes, circuit.colSegmentOhm, circuit.senseOhm, endOf[circuit.senseEnd]),
    rowsPerNode: rule.rowsPerNode,
    suppliedByRow: rule.supply === "row",
  };
}

function checkCells(circuit: FilledCircuit): void {
  const { rows, cols, conductance, cell } = circuit;
  const grids: [string, Float64Array][] = [["conductance", conductance]];
  if (cell.kind === "polynomial") {
    if (typeof cell.quadratic !== "number") grids.push(["cell.quadratic", cell.quadratic]);
    if (typeof cell.cubic !== "number") grids.push(["cell.cubic", cell.cubic]);
  }
  for (const [name, values] of grids) {
    if (values.length !== rows * cols) {
      throw new UserError(`${values.length} values do not fill ${rows} x ${cols} cells`, {
        place: name,
      });
    }
  }
  const shortsAllowed = cell.kind === "linear" && circuit.rowSegmentOhm > 0 &&
    topologies[circuit.topology].supply === "row";
  for (let at = 0; at < conductance.length; at++) {
    const g = conductance[at]!;
    if (g >= 0 && g < Infinity) continue;
    const place = `conductance[${Math.floor(at / cols)}][${at % cols}]`;
    if (g === Infinity) {
      if (shortsAllowed) continue;
      throw new UserError("A shorted cell needs a row with resistance and linear cells around it", {
        place, remedy: "Give the cell a finite conductance",
      });
    }
    throw new UserError(`A conductance cannot be ${g} S`, {
      place, remedy: "Give siemens, 0 for an open cell",
    });
  }
}

/**
 * The same array read the other way: its columns driven and its rows sensed, through the same
 * ends and the same terminal resistances. By reciprocity the effective conductances of the result
 * are the transpose of the original's.
 * @throws UserError for topologies whose current does not come in over the rows, or interleaved
 */
export function transposeArray(given: ArrayCircuit): ArrayCircuit {
  const { circuit } = layOut(given);
  const { rows, cols, topology, cell } = circuit;
  if (topology !== "input-line") {
    throw new UserError(`An array of the topology ${topology} cannot be read transposed`, {
      place: "topology", remedy: "Use input-line, or a second array for the transposed read",
    });
  }
  const transposed = (grid: Float64Array): Float64Array => {
    const out = new Float64Array(grid.length);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++) out[j * rows + i] = grid[i * cols + j]!;
    }
    return out;
  };
  // Read the other way the voltage across each cell changes its sign: I'(V) = -I(-V).
  const turned = (a: number | Float64Array, sign: number): number | Float64Array =>
    typeof a === "number" ? sign * a : transposed(a).map((x) => sign * x);
  const drive: Record<SenseEnd, DriveEnd> = { top: "left", bottom: "right", both: "both" };
  const sense: Record<DriveEnd, SenseEnd> = {
    left: "top", right: "bottom", top: "top", bottom: "bottom", both: "both",
  };
  return {
    rows: cols,
    cols: rows,
    conductance: transposed(circuit.conductance),
    rowSegmentOhm: circuit.colSegmentOhm,
    colSegmentOhm: circuit.rowSegmentOhm,
    sourceOhm: circuit.senseOhm,
    senseOhm: circuit.sourceOhm,
    driveEnd: drive[circuit.senseEnd],
    senseEnd: sense[circuit.driveEnd],
    topology,
    cell: cell.kind === "linear"
      ? cell
      : cell.kind === "polynomial"
        ? {
          kind: "polynomial",
          quadratic: turned(cell.quadratic, -1),
          cubic: turned(cell.cubic, 1),
        }
        : {
          kind: "curve",
          current: (v, g) => -cell.current(-v, g),
          slope: (v, g) => cell.slope(-v, g),
          ...(cell.spice === undefined
            ? {}
            : { spice: (v: string, g: number) => `(-(${cell.spice!(`(-${v})`, g)}))` }),
        },
  };
}
