/**
 * Linear steps for arrays with separate source lines. Such columns do not touch each other: each
 * is a ladder of its bit line and one or two source lines, solved directly by an `L D L^T`
 * factorisation with the rows of L stored from their first entry on (a skyline; Jennings 1966),
 * because an ideal line behind a terminal resistance is one unknown coupled to the whole column.
 */

import type { Line } from "./line.ts";
import type { LinearStep } from "./linearStep.ts";
import type { Geometry } from "./problem.ts";

/** @param slope `[row][col]`, siemens, all finite and not negative */
export function columnStep(geometry: Geometry, slope: Float64Array): LinearStep {
  const { supply, bit, circuit, rowsPerNode } = geometry;
  const { rows, cols } = circuit;
  const layout = layUnknowns(geometry);
  const { supplyOf, bitOf, count } = layout;
  return {
    correct(supplyImbalance, bitImbalance, _limit, _most, supplyDrop, bitDrop) {
      const rhs = new Float64Array(count);
      for (let j = 0; j < cols; j++) {
        const matrix = emptySkyline(layout);
        rhs.fill(0);
        for (let i = 0; i < rows; i++) {
          const position = Math.floor(i / rowsPerNode);
          const u = supplyOf[i]!;
          const b = bitOf[position]!;
          const g = slope[i * cols + j]!;
          add(matrix, u, u, g);
          add(matrix, b, b, g);
          add(matrix, u, b, g);
          addWires(matrix, supply, position, u, i >= rowsPerNode ? supplyOf[i - rowsPerNode]! : -1);
          if (u >= 0) rhs[u]! -= supplyImbalance[i * cols + j]!;
          if (i % rowsPerNode > 0) continue;
          addWires(matrix, bit, position, b, position > 0 ? bitOf[position - 1]! : -1);
          if (b >= 0) rhs[b]! -= bitImbalance[position * cols + j]!;
        }
        solveSkyline(matrix, rhs);
        for (let i = 0; i < rows; i++) {
          const u = supplyOf[i]!;
          supplyDrop[i * cols + j] = u >= 0 ? rhs[u]! : 0;
        }
        for (let t = 0; t < bitOf.length; t++) {
          const b = bitOf[t]!;
          bitDrop[t * cols + j] = b >= 0 ? rhs[b]! : 0;
        }
      }
      return { iterations: 0, converged: true };
    },
  };
}

interface Layout {
  /** Unknown of the source line at each row, and of the bit line at each position; -1: ideal. */
  readonly supplyOf: Int32Array;
  readonly bitOf: Int32Array;
  readonly count: number;
  /** First column of each row of the skyline. */
  readonly firstOf: Int32Array;
}

/** Chains are numbered position by position; lines of one node come last and reach back to 0. */
function layUnknowns(geometry: Geometry): Layout {
  const { supply, bit, circuit, rowsPerNode } = geometry;
  const positions = bit.length;
  const supplyOf = new Int32Array(circuit.rows).fill(-1);
  const bitOf = new Int32Array(positions).fill(-1);
  const perPosition = (supply.kind === "chain" ? rowsPerNode : 0) + (bit.kind === "chain" ? 1 : 0);
  let count = 0;
  for (let t = 0; t < positions; t++) {
    if (supply.kind === "chain") {
      for (let k = 0; k < rowsPerNode; k++) supplyOf[t * rowsPerNode + k] = count++;
    }
    if (bit.kind === "chain") bitOf[t] = count++;
  }
  const chained = count;
  if (supply.kind === "node") {
    for (let i = 0; i < circuit.rows; i++) supplyOf[i] = count + (i % rowsPerNode);
    count += rowsPerNode;
  }
  if (bit.kind === "node") bitOf.fill(count++);
  const firstOf = Int32Array.from({ length: count }, (_, row) =>
    row < chained ? Math.max(0, row - perPosition) : 0);
  return { supplyOf, bitOf, count, firstOf };
}

interface Skyline {
  readonly firstOf: Int32Array;
  /** Row r is stored at `start[r]`, from its first column to the diagonal. */
  readonly start: Int32Array;
  readonly values: Float64Array;
}

function emptySkyline(layout: Layout): Skyline {
  const { count, firstOf } = layout;
  const start = new Int32Array(count + 1);
  for (let r = 0; r < count; r++) start[r + 1] = start[r]! + r - firstOf[r]! + 1;
  return { firstOf, start, values: new Float64Array(start[count]!) };
}

function add(matrix: Skyline, a: number, b: number, value: number): void {
  if (a < 0 || b < 0) return;
  const row = Math.max(a, b);
  matrix.values[matrix.start[row]! + Math.min(a, b) - matrix.firstOf[row]!]! += value;
}

/** The wires and terminals at one position of a line; `previous` is the unknown before it. */
function addWires(
  matrix: Skyline, line: Line, position: number, own: number, previous: number,
): void {
  if (own < 0) return;
  if (position === 0) add(matrix, own, own, line.first);
  if (line.kind !== "chain") return;
  if (position === line.length - 1) add(matrix, own, own, line.last);
  if (position === 0) return;
  add(matrix, own, own, line.segment);
  add(matrix, previous, previous, line.segment);
  add(matrix, own, previous, -line.segment);
}

/** Replaces `x` by the solution of `matrix x = x`; the matrix is overwritten with its factors. */
function solveSkyline(matrix: Skyline, x: Float64Array): void {
  const { firstOf, start, values } = matrix;
  const count = firstOf.length;
  const at = (row: number, col: number): number => start[row]! + col - firstOf[row]!;
  for (let r = 0; r < count; r++) {
    const first = firstOf[r]!;
    // Row r of L times D, then of L; what it takes off the diagonal is gathered on the way.
    for (let c = first; c < r; c++) {
      let sum = values[at(r, c)]!;
      for (let k = Math.max(first, firstOf[c]!); k < c; k++) {
        sum -= values[at(r, k)]! * values[at(c, k)]!;
      }
      values[at(r, c)] = sum;
    }
    let diagonal = values[at(r, r)]!;
    let carried = x[r]!;
    for (let c = first; c < r; c++) {
      const scaled = values[at(r, c)]!;
      const l = scaled / values[at(c, c)]!;
      diagonal -= scaled * l;
      carried -= l * x[c]!;
      values[at(r, c)] = l;
    }
    values[at(r, r)] = diagonal;
    x[r] = carried;
  }
  for (let r = 0; r < count; r++) x[r]! /= values[at(r, r)]!;
  for (let r = count - 1; r >= 0; r--) {
    for (let c = firstOf[r]!; c < r; c++) x[c]! -= values[at(r, c)]! * x[r]!;
  }
}
