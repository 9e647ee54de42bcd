/**
 * Linear steps for arrays supplied over their rows: word lines eliminated, bit lines by conjugate
 * gradients (`wordLines.ts`, `bitLines.ts`), in the units and layouts of `balance.ts`.
 */

import { bitSystemOf, conjugateGradients } from "./bitLines.ts";
import type { LinearStep, StepResult } from "./linearStep.ts";
import type { Geometry } from "./problem.ts";
import { wordLinesOf } from "./wordLines.ts";

export interface SchurStep extends LinearStep {
  /**
   * The drops of the linear array under the given row voltages, from nothing.
   * @param tolerance of each column's imbalance, relative to its output
   */
  settle(
    volt: Float64Array, tolerance: number, most: number,
    supplyDrop: Float64Array, bitDrop: Float64Array,
  ): StepResult;
  /** Current into each bit line, ampere, while all bit lines are at 0 V throughout. */
  intoIdealBitLines(volt: Float64Array): Float64Array;
}

const direct: StepResult = { iterations: 0, converged: true };

/** @param slope `[row][col]`, siemens, all finite and not negative */
export function schurStep(geometry: Geometry, slope: Float64Array): SchurStep {
  const { supply, bit, circuit, rowsPerNode } = geometry;
  const { rows, cols } = circuit;
  const scale = supply.kind === "chain" ? 1 / supply.segment : 1;
  const scaled = slope.slice();
  for (let c = 0; c < scaled.length; c++) scaled[c]! *= scale;
  const nodes = bit.kind === "chain" ? bit.length : 1;
  const nodeOffset = Int32Array.from({ length: rows }, (_, i) =>
    bit.kind === "chain" ? Math.floor(i / rowsPerNode) * cols : 0);
  const words = wordLinesOf(supply, scale, { rows, cols, nodeOffset, slope: scaled });
  const system = bit.kind === "ideal" ? undefined : bitSystemOf(bit, scale, circuit, words);
  const size = nodes * cols;
  const drives = new Float64Array(rows * cols);

  /** Fills every position of the grid of bit drops from the solved nodes. */
  const expand = (x: Float64Array, bitDrop: Float64Array): void => {
    for (let at = 0; at < bitDrop.length; at += size) bitDrop.set(x, at);
  };

  return {
    settle(volt, tolerance, most, supplyDrop, bitDrop) {
      let result = direct;
      bitDrop.fill(0);
      if (system !== undefined) {
        const rhs = new Float64Array(size);
        const x = new Float64Array(size);
        words.addInput(volt, rhs);
        // Outputs that cancel to nothing are held to the rounding of what cancelled.
        const floor = columnSizes(rhs, cols);
        for (let j = 0; j < cols; j++) floor[j]! *= 0.5 * Number.EPSILON;
        result = conjugateGradients(system, rhs, x, { floor, ofOutput: tolerance, most });
        expand(x, bitDrop);
      }
      driveRows(geometry, scaled, volt, bitDrop, drives);
      words.solve(drives, supplyDrop);
      return result;
    },
    intoIdealBitLines(volt) {
      const received = new Float64Array(size);
      words.addInput(volt, received);
      const out = new Float64Array(cols);
      for (let at = 0; at < size; at++) out[at % cols]! += received[at]! / scale;
      return out;
    },
    correct(supplyImbalance, bitImbalance, limit, most, supplyDrop, bitDrop) {
      let result = direct;
      bitDrop.fill(0);
      for (let c = 0; c < drives.length; c++) drives[c] = scale * supplyImbalance[c]!;
      if (system !== undefined) {
        words.solve(drives, supplyDrop);
        const rhs = new Float64Array(size);
        for (let at = 0; at < size; at++) rhs[at] = -scale * bitImbalance[at]!;
        for (let i = 0, c = 0; i < rows; i++) {
          const start = nodeOffset[i]!;
          for (let j = 0; j < cols; j++, c++) rhs[start + j]! += scaled[c]! * supplyDrop[c]!;
        }
        const x = new Float64Array(size);
        const floor = limit.map((ampere) => scale * ampere);
        result = conjugateGradients(system, rhs, x, { floor, ofOutput: 0, most });
        expand(x, bitDrop);
      }
      for (let i = 0, c = 0; i < rows; i++) {
        const above = Math.floor(i / rowsPerNode) * cols;
        for (let j = 0; j < cols; j++, c++) {
          drives[c] = -drives[c]! - scaled[c]! * bitDrop[above + j]!;
        }
      }
      words.solve(drives, supplyDrop);
      return result;
    },
  };
}

/** Sums of absolute values over each column of `[node][col]`. */
function columnSizes(values: Float64Array, cols: number): Float64Array {
  const out = new Float64Array(cols);
  for (let base = 0; base < values.length; base += cols) {
    for (let j = 0; j < cols; j++) out[j]! += Math.abs(values[base + j]!);
  }
  return out;
}

/** drives = D (v - b): what the row nodes would lose to the cells if the rows were ideal. */
function driveRows(
  geometry: Geometry, slope: Float64Array, volt: Float64Array, bitDrop: Float64Array,
  drives: Float64Array,
): void {
  const { circuit, rowsPerNode } = geometry;
  const { rows, cols } = circuit;
  for (let i = 0; i < rows; i++) {
    const v = volt[i]!;
    const base = i * cols;
    const above = Math.floor(i / rowsPerNode) * cols;
    for (let j = 0; j < cols; j++) {
      drives[base + j] = slope[base + j]! * (v - bitDrop[above + j]!);
    }
  }
}
