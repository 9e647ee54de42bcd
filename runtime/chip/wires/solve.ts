/**
 * Solves crossbar arrays with wire resistance: the entry to this folder. Chooses between the two
 * exact methods and says which one it used.
 *
 * - Conjugate gradients on the bit lines, word lines eliminated: n^2 work per iteration, few
 *   iterations while the wires conduct better than the cells. Newton around it for other cells.
 * - Elimination (nested dissection): n^3 work whatever the resistances; also for shorted cells.
 * - Direct solves per column where source lines run beside the bit lines.
 */

import type { ArrayCircuit } from "../../../compiler/emit/spice/arrayCircuit.ts";
import { InternalError, UserError } from "../../../compiler/errors.ts";
import type { Dissection } from "./dissection.ts";
import { dissect } from "./dissection.ts";
import { settleByElimination } from "./elimination.ts";
import type { Ledger } from "./ledger.ts";
import type { Network } from "./network.ts";
import { networkOf } from "./network.ts";
import type { Geometry } from "./problem.ts";
import { layOut } from "./problem.ts";
import { settlerOf } from "./settle.ts";

export type SolveMethod = "conjugate-gradients" | "elimination" | "per-column";

export interface SolveOptions {
  /** Relative imbalance allowed, of the array and of each column by itself; 1e-12. */
  readonly tolerance?: number | undefined;
  /** "auto" may change to elimination where that is cheaper or the only way. */
  readonly method?: "auto" | "conjugate-gradients" | "elimination" | undefined;
}

/** Volt and ampere. */
export interface ArraySolution {
  /** `[col]`: the current into each sense terminal (both ends added where both are sensed). */
  readonly outputAmpere: Float64Array;
  /** `[row][col]`: row side minus column side of each cell, and the current through it. */
  readonly cellVolt: Float64Array;
  readonly cellAmpere: Float64Array;
  /** `[row][col]`: how far the supplying line is below its driver at each cell. */
  readonly supplyDrop: Float64Array;
  /** `[position][col]`: the bit line above 0 V; one position per row, or per interleaved pair. */
  readonly bitDrop: Float64Array;
  /** 2-norm of the currents left unbalanced over the 2-norm of the currents through the nodes. */
  readonly residual: number;
  /** Of conjugate gradients; 0 for the direct methods. */
  readonly iterations: number;
  readonly newtonSteps: number;
  readonly method: SolveMethod;
}

/**
 * Solves one array for several input vectors.
 * @param inputs volt, one value per row
 * @throws UserError if the circuit or an input is wrong, or nonlinear cells do not settle
 */
export function solveArray(
  circuit: ArrayCircuit, inputs: readonly Float64Array[], options: SolveOptions = {},
): ArraySolution[] {
  return solveAll(layOut(circuit), inputs, options).solutions;
}

export interface SolvedArray {
  readonly solutions: readonly ArraySolution[];
  /** `[row][col]`, siemens; null where outputs are no linear function of the inputs. */
  readonly effectiveConductance: Float64Array | null;
}

/** As `solveArray`, with the effective conductance matrix where there is one. */
export function solveArrayAndMatrix(
  circuit: ArrayCircuit, inputs: readonly Float64Array[], options: SolveOptions = {},
): SolvedArray {
  const geometry = layOut(circuit);
  const { solutions, reduced } = solveAll(geometry, inputs, options);
  if (!geometry.suppliedByRow || geometry.circuit.cell.kind !== "linear") {
    return { solutions, effectiveConductance: null };
  }
  const { conductance } = reduced?.dissection ?? dissect(networkOf(geometry), false);
  return { solutions, effectiveConductance: conductance };
}

interface Reduced {
  readonly network: Network;
  readonly dissection: Dissection;
}

function solveAll(
  geometry: Geometry, inputs: readonly Float64Array[], options: SolveOptions,
): { solutions: ArraySolution[]; reduced: Reduced | undefined } {
  inputs.forEach((volt, k) => {
    checkInput(geometry, volt, `inputVolt[${k}]`);
  });
  const solver = solverOf(geometry, options);
  const solutions = inputs.map((volt) => solver.solve(volt));
  return { solutions, reduced: solver.reduced() };
}

interface Solver {
  solve(volt: Float64Array): ArraySolution;
  /** The dissected array, if any input needed it. */
  reduced(): Reduced | undefined;
}

function solverOf(geometry: Geometry, options: SolveOptions): Solver {
  const { circuit, suppliedByRow } = geometry;
  const { tolerance = 1e-12, method = "auto" } = options;
  const shorted = circuit.conductance.includes(Infinity);
  const mayEliminate = suppliedByRow && circuit.cell.kind === "linear";
  if (method === "elimination" && !mayEliminate) {
    throw new UserError("Elimination solves linear cells supplied over rows only", {
      place: "method", remedy: "Leave the method out",
    });
  }
  if (method === "conjugate-gradients" && shorted) {
    throw new UserError("Conjugate gradients cannot solve an array with shorted cells", {
      place: "method", remedy: "Leave the method out",
    });
  }
  let eliminate = method === "elimination" || shorted;
  // One elimination costs about as much as this many iterations (measured, 64 to 512 lines).
  const patience = Math.ceil(Math.max(circuit.rows, circuit.cols) / 2) + 20;
  const limited = method === "auto" && mayEliminate;
  const iterations = limited ? patience : 40 * patience + 2000;
  const settler = eliminate ? undefined : settlerOf(geometry);
  let reduced: Reduced | undefined;
  const solve = (volt: Float64Array): ArraySolution => {
    if (!eliminate && settler !== undefined) {
      const settled = settler(volt, { tolerance, iterations });
      if (settled !== undefined) {
        const { ledger, outputAmpere, newtonSteps } = settled;
        return solutionOf(ledger, {
          outputAmpere,
          iterations: settled.iterations,
          newtonSteps,
          method: suppliedByRow ? "conjugate-gradients" : "per-column",
        });
      }
      if (!limited) {
        throw new UserError(
          `Conjugate gradients did not reach ${tolerance} in ${iterations} iterations`,
          { place: "tolerance", remedy: "Leave the method out, or allow a larger tolerance" },
        );
      }
      eliminate = true;
    }
    if (reduced === undefined) {
      const network = networkOf(geometry);
      reduced = { network, dissection: dissect(network, true) };
    }
    const { network, dissection } = reduced;
    const ledger = settleByElimination(geometry, network, dissection, volt);
    const outputAmpere = product(dissection.conductance, circuit.cols, volt);
    return solutionOf(ledger, {
      outputAmpere, iterations: 0, newtonSteps: 0, method: "elimination",
    });
  };
  return { solve, reduced: () => reduced };
}

function solutionOf(
  ledger: Ledger,
  rest: Pick<ArraySolution, "outputAmpere" | "iterations" | "newtonSteps" | "method">,
): ArraySolution {
  const { cellVolt, cellAmpere, supplyDrop, bitDrop, residual } = ledger;
  return { cellVolt, cellAmpere, supplyDrop, bitDrop, residual, ...rest };
}

/** `out_j = sum_i matrix_ij v_i`. */
function product(matrix: Float64Array, cols: number, volt: Float64Array): Float64Array {
  const out = new Float64Array(cols);
  for (let i = 0, c = 0; i < volt.length; i++) {
    for (let j = 0; j < cols; j++, c++) out[j]! += matrix[c]! * volt[i]!;
  }
  return out;
}

function checkInput(geometry: Geometry, volt: Float64Array, place: string): void {
  const { circuit, suppliedByRow, rowsPerNode } = geometry;
  if (volt.length !== circuit.rows) {
    throw new UserError(`${volt.length} voltages for ${circuit.rows} rows`, { place });
  }
  const bad = volt.findIndex((v) => !Number.isFinite(v));
  if (bad >= 0) {
    throw new UserError(`A voltage cannot be ${volt[bad]}`, { place: `${place}[${bad}]` });
  }
  if (suppliedByRow) return;
  for (let parity = 0; parity < rowsPerNode; parity++) {
    const driven = volt.filter((v, i) => v !== 0 && i % rowsPerNode === parity);
    if (driven.every((v) => v === driven[0])) continue;
    throw new UserError("Rows on one source line are driven with different voltages", {
      place,
      remedy: "With separate source lines an input is 0 or the line's voltage; send its bits one " +
        "after the other",
    });
  }
}

/** `[row][col]`: the potentials of both sides of every cell, volt. */
export function potentialsOf(
  solution: ArraySolution,
): { rowVolt: Float64Array; colVolt: Float64Array } {
  const { cellVolt, bitDrop } = solution;
  const colVolt = new Float64Array(cellVolt.length);
  const rowsPerNode = cellVolt.length / bitDrop.length;
  if (!Number.isInteger(rowsPerNode)) throw new InternalError("drops do not fit the cells");
  const cols = solution.outputAmpere.length;
  for (let at = 0; at < bitDrop.length; at += cols) {
    const position = bitDrop.subarray(at, at + cols);
    for (let k = 0; k < rowsPerNode; k++) colVolt.set(position, at * rowsPerNode + k * cols);
  }
  return { rowVolt: cellVolt.map((v, c) => v + colVolt[c]!), colVolt };
}
