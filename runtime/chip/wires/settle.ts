/**
 * The operating point of one array for one input vector: Newton's method on Kirchhoff's laws,
 * with dI/dV of every cell in the place of G. For linear cells the first step is already the
 * solution and later ones only remove what it left unbalanced.
 *
 * Cells whose current grows with the voltage make the array the minimum of a convex function (its
 * content; Millar 1951), so a damped Newton step always descends.
 */

import { InternalError, UserError } from "../../../compiler/errors.ts";
import { cellGridOf } from "./cells.ts";
import { columnStep } from "./columnStep.ts";
import { Ledger } from "./ledger.ts";
import type { LinearStep } from "./linearStep.ts";
import type { Geometry } from "./problem.ts";
import type { SchurStep } from "./schurStep.ts";
import { schurStep } from "./schurStep.ts";

export interface Settled {
  readonly ledger: Ledger;
  readonly outputAmpere: Float64Array;
  /** Of conjugate gradients, all Newton steps together. */
  readonly iterations: number;
  readonly newtonSteps: number;
}

export interface SettleLimits {
  /** Relative, of the whole array and of every column by itself. */
  readonly tolerance: number;
  /** Iterations of conjugate gradients at most, per linear solve. */
  readonly iterations: number;
}

/** Newton steps that no sane cell law needs. */
const mostSteps = 60;

/** Prepares the solver of one array; the result settles it for one vector of row voltages. */
export function settlerOf(
  geometry: Geometry,
): (volt: Float64Array, limits: SettleLimits) => Settled | undefined {
  const { circuit, suppliedByRow } = geometry;
  if (circuit.conductance.includes(Infinity)) {
    throw new InternalError("shorted cells are solved by elimination only");
  }
  const linearStep = suppliedByRow ? schurStep(geometry, circuit.conductance) : undefined;
  return (volt, limits) => settle(geometry, linearStep, volt, limits);
}

/** @returns undefined if linear cells were not solved to the tolerance within the limits */
function settle(
  geometry: Geometry, linearStep: SchurStep | undefined, volt: Float64Array, limits: SettleLimits,
): Settled | undefined {
  const { circuit, bit, suppliedByRow } = geometry;
  const { rows, cols } = circuit;
  const active = suppliedByRow ? undefined : Array.from(volt, (v) => v !== 0);
  const cells = cellGridOf(circuit, active);
  const state = new Ledger(geometry, suppliedByRow ? volt : lineVolts(geometry, volt));
  const { tolerance } = limits;
  let iterations = 0;
  let newtonSteps = 0;
  let step: LinearStep | undefined = cells.linear ? linearStep : undefined;
  if (linearStep !== undefined) {
    const first = linearStep.settle(
      volt, tolerance, limits.iterations, state.supplyDrop, state.bitDrop,
    );
    iterations += first.iterations;
    if (cells.linear && !first.converged) return undefined;
  }
  let steps: Record<"slope" | "supply" | "bit", Float64Array> | undefined;
  state.weigh(cells.current);
  for (;;) {
    const worst = state.judge(tolerance);
    if (worst <= 1) break;
    if (newtonSteps === mostSteps) throw notSettled(state.residual, mostSteps);
    newtonSteps++;
    const { slope, supply, bit: bitStep } = steps ??= {
      slope: new Float64Array(rows * cols),
      supply: new Float64Array(rows * cols),
      bit: new Float64Array(bit.length * cols),
    };
    if (step === undefined || !cells.linear) {
      cells.slope(state.cellVolt, slope);
      floorSlopes(slope, circuit.conductance);
      step = suppliedByRow ? schurStep(geometry, slope) : columnStep(geometry, slope);
    }
    // Solve each step as well as Newton can use it: quadratic convergence is kept.
    const effort = Math.min(1e-2, state.residual);
    const limit = state.columnAmpere.map((ampere, j) =>
      Math.max(effort * state.columnUnbalanced[j]!, 0.25 * tolerance * ampere));
    const result = step.correct(
      state.supplyImbalance, state.bitImbalance, limit, limits.iterations, supply, bitStep,
    );
    iterations += result.iterations;
    if (cells.linear && !result.converged) return undefined;
    if (!state.advance(supply, bitStep, cells.current)) {
      if (cells.linear) return undefined;
      throw notSettled(state.residual, newtonSteps);
    }
  }
  const known = cells.linear && bit.kind === "ideal"
    ? linearStep?.intoIdealBitLines(volt) : undefined;
  return { ledger: state, outputAmpere: known ?? state.outputs(), iterations, newtonSteps };
}

/** With separate source lines every row, driven or not, has the voltage of its line. */
function lineVolts(geometry: Geometry, volt: Float64Array): Float64Array {
  const { rowsPerNode } = geometry;
  const driven = Array.from({ length: rowsPerNode }, (_, parity) =>
    volt.find((v, i) => v !== 0 && i % rowsPerNode === parity) ?? 0);
  return volt.map((_, i) => driven[i % rowsPerNode]!);
}

function notSettled(residual: number, steps: number): UserError {
  return new UserError(
    `The array did not settle: after ${steps} Newton steps its nodes are out of balance by a ` +
      `relative ${residual.toExponential(1)}`,
    { place: "cell", remedy: "The current of a cell must grow with its voltage, without jumps" },
  );
}

/**
 * A slope of zero or less would leave the steps without a minimum to aim at. The floor touches
 * the direction of the step only, never the balance that decides.
 */
function floorSlopes(slope: Float64Array, conductance: Float64Array): void {
  for (let c = 0; c < slope.length; c++) {
    const least = 1e-3 * conductance[c]!;
    if (!(slope[c]! >= least)) slope[c] = least;
  }
}
