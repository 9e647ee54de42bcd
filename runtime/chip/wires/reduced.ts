/**
 * A linear array reduced to what its users multiply with: the effective conductance matrix, and
 * what a small change of any cell does to any output.
 *
 * With potentials phi^j (column terminal j at 1 V, all other terminals at 0 V) a change dG of cell
 * (i, k) changes output j by `dG V_ik A_j,ik`, V_ik the voltage across the cell in operation and
 * `A_j = phi^j(column side) - phi^j(row side)` (Tellegen; the adjoint network of Director and
 * Rohrer 1969). First order in dG: read noise, not stuck cells.
 */

import type { ArrayCircuit } from "../../../compiler/emit/spice/arrayCircuit.ts";
import { InternalError, UserError } from "../../../compiler/errors.ts";
import { dissect } from "./dissection.ts";
import { unitPotentials } from "./elimination.ts";
import type { Network } from "./network.ts";
import { networkOf } from "./network.ts";
import type { Geometry } from "./problem.ts";
import { layOut } from "./problem.ts";

export interface ReducedArray {
  readonly rows: number;
  readonly cols: number;
  /** `[row][col]`, siemens: output j is `sum_i conductance_ij v_i`, exactly. */
  readonly conductance: Float64Array;
}

export interface SensitiveArray extends ReducedArray {
  /** `[row][col]`: d(effective conductance)/d(conductance) of each cell, for its own entry. */
  readonly own: Float64Array;
  /** `[count][row][col]`: A_j for `count` columns from `first` on. */
  adjoint(first: number, count: number): Float64Array;
}

/**
 * The effective conductance matrix.
 * @throws UserError if the outputs are no linear function of the inputs
 */
export function reduceArray(circuit: ArrayCircuit): ReducedArray {
  const network = networkOf(linearGeometry(circuit));
  const { rows, cols } = network;
  return { rows, cols, conductance: dissect(network, false).conductance };
}

/** Terminals solved side by side: their potentials stay within a few megabytes. */
const batch = 32;

/**
 * The effective conductance matrix with its sensitivities. Keeps about 60 n^2 numbers for an
 * n x n array; all adjoints of such an array are n^3 numbers, so they are handed out by columns.
 * @throws UserError if the outputs are no linear function of the inputs
 */
export function reduceWithSensitivities(circuit: ArrayCircuit): SensitiveArray {
  const network = networkOf(linearGeometry(circuit));
  const { rows, cols } = network;
  const dissection = dissect(network, true);
  const adjoint = (first: number, count: number): Float64Array => {
    if (first < 0 || first + count > cols) throw new InternalError("no such columns");
    const out = new Float64Array(count * rows * cols);
    for (let done = 0; done < count; done += batch) {
      const width = Math.min(batch, count - done);
      const potentials = unitPotentials(dissection, network, rows + first + done, width);
      for (let c = 0; c < rows * cols; c++) {
        const word = network.wordNode[c]! * width;
        const bit = network.bitNode[c]! * width;
        for (let t = 0; t < width; t++) {
          out[(done + t) * rows * cols + c] = potentials[bit + t]! - potentials[word + t]!;
        }
      }
    }
    return out;
  };
  const own = new Float64Array(rows * cols).fill(1);
  const potentialsOf = (first: number, count: number): Float64Array =>
    unitPotentials(dissection, network, first, count);
  eachOwnDrop(network, 0, rows, potentialsOf, (c) => Math.floor(c / cols), (c, drop) => {
    own[c]! *= drop;
  });
  eachOwnDrop(network, rows, cols, potentialsOf, (c) => c % cols, (c, drop) => {
    own[c]! *= -drop;
  });
  return { rows, cols, conductance: dissection.conductance, own, adjoint };
}

/** Calls `take` with every cell's voltage while the terminal that `lineOf` says is at 1 V. */
function eachOwnDrop(
  network: Network, first: number, terminals: number,
  potentialsOf: (first: number, count: number) => Float64Array,
  lineOf: (cell: number) => number, take: (cell: number, drop: number) => void,
): void {
  const { wordNode, bitNode } = network;
  for (let done = 0; done < terminals; done += batch) {
    const width = Math.min(batch, terminals - done);
    const potentials = potentialsOf(first + done, width);
    for (let c = 0; c < wordNode.length; c++) {
      const t = lineOf(c) - done;
      if (t < 0 || t >= width) continue;
      take(c, potentials[wordNode[c]! * width + t]! - potentials[bitNode[c]! * width + t]!);
    }
  }
}

/**
 * First-order change of every output for a change of every cell:
 * `dI_j = sum_ik change_ik cellVolt_ik adjoint_j,ik`.
 * @param adjoint `[col][row][col]`
 * @param cellVolt `[row][col]`, the voltages across the cells in operation
 * @param change `[row][col]`, siemens
 */
export function firstOrderChange(
  adjoint: Float64Array, cellVolt: Float64Array, change: Float64Array,
): Float64Array {
  const cells = cellVolt.length;
  const currents = new Float64Array(cells);
  for (let c = 0; c < cells; c++) currents[c] = change[c]! * cellVolt[c]!;
  const out = new Float64Array(adjoint.length / cells);
  for (let j = 0, at = 0; j < out.length; j++) {
    let sum = 0;
    for (let c = 0; c < cells; c++, at++) sum += currents[c]! * adjoint[at]!;
    out[j] = sum;
  }
  return out;
}

/**
 * Variance of every output for independent changes of the cells, to first order:
 * `var I_j = sum_ik variance_ik (cellVolt_ik adjoint_j,ik)^2`.
 * @param variance `[row][col]`, siemens squared
 */
export function firstOrderVariance(
  adjoint: Float64Array, cellVolt: Float64Array, variance: Float64Array,
): Float64Array {
  const cells = cellVolt.length;
  const squares = new Float64Array(cells);
  for (let c = 0; c < cells; c++) squares[c] = variance[c]! * cellVolt[c]! ** 2;
  const out = new Float64Array(adjoint.length / cells);
  for (let j = 0, at = 0; j < out.length; j++) {
    let sum = 0;
    for (let c = 0; c < cells; c++, at++) sum += squares[c]! * adjoint[at]! ** 2;
    out[j] = sum;
  }
  return out;
}

function linearGeometry(circuit: ArrayCircuit): Geometry {
  const geometry = layOut(circuit);
  if (geometry.circuit.cell.kind !== "linear") {
    throw new UserError("Cells with a nonlinear law have no effective conductance matrix", {
      place: "cell", remedy: "Solve each input, or linearise at one operating point",
    });
  }
  if (!geometry.suppliedByRow) {
    throw new UserError(
      "Outputs of an array with separate source lines are no linear function of its inputs",
      { place: "topology", remedy: "Solve each input, or use a topology supplied over its rows" },
    );
  }
  return geometry;
}
