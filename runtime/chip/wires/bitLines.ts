/**
 * The Schur complement on the bit lines, `S = (wires of the bit lines) + K`, solved by conjugate
 * gradients. The preconditioner keeps the bit lines' wires and the diagonal of K: one tridiagonal
 * solve per bit line, all of them at once row by row, so that memory is read in order.
 * S is symmetric positive definite wherever a bit line has a terminal and slopes are not negative.
 *
 * Two passes over memory per iteration: the residual's update with the forward sweep of the
 * preconditioner, whose weighted square is already r . z; the backward sweep with the new
 * direction and, some rows behind it, the product.
 */

import type { Line } from "./line.ts";
import type { StepResult } from "./linearStep.ts";
import type { WordLines } from "./wordLines.ts";

/** The factored preconditioner together with the operator it belongs to. */
export interface BitSystem {
  readonly nodes: number;
  readonly cols: number;
  /** Rows that hang on each node of a bit line. */
  readonly rowsPerNode: number;
  /** Wire, first and last conductance of a bit line, scaled like the word lines. */
  readonly wire: number;
  readonly first: number;
  readonly last: number;
  readonly words: WordLines;
  /** `[node][col]`: inverse pivots of the preconditioner. */
  readonly inverse: Float64Array;
}

/** Factors the preconditioner of bit lines that are no ideal ground themselves. */
export function bitSystemOf(
  bit: Line, scale: number, size: { rows: number; cols: number }, words: WordLines,
): BitSystem {
  const { rows, cols } = size;
  const nodes = bit.kind === "chain" ? bit.length : 1;
  const wire = bit.segment * scale;
  const first = bit.first * scale;
  const last = bit.last * scale;
  const inverse = new Float64Array(nodes * cols);
  words.addDiagonal(inverse);
  const behind = new Float64Array(cols).fill(first);
  for (let b = 0, c = 0; b < nodes; b++) {
    const ahead = b < nodes - 1 ? wire : last;
    for (let j = 0; j < cols; j++, c++) {
      const here = behind[j]! + inverse[c]!;
      const inv = inverse[c] = 1 / (here + ahead);
      behind[j] = wire * here * inv;
    }
  }
  return { nodes, cols, rowsPerNode: rows / nodes, wire, first, last, words, inverse };
}

/**
 * When to stop: in every column the absolute residual, summed over the column, is at most `floor`
 * or `ofOutput` times the column's output, whichever is more. A residual is a current that enters
 * the bit line somewhere, and no more than all of it reaches the output: a limit in proportion to
 * the output itself bounds the relative error of every output, however small it is.
 */
export interface StopRule {
  readonly floor: Float64Array;
  readonly ofOutput: number;
  /** Iterations at most. */
  readonly most: number;
}

/**
 * Solves `S x = rhs` from x = 0.
 * @param rhs overwritten with the residual
 * @param x overwritten with the solution
 */
export function conjugateGradients(
  system: BitSystem, rhs: Float64Array, x: Float64Array, stop: StopRule,
): StepResult {
  const size = system.nodes * system.cols;
  const work: Work = {
    x, r: rhs, p: new Float64Array(size), q: new Float64Array(size),
    row: new Float64Array(system.cols), sums: new Float64Array(system.cols),
  };
  x.fill(0);
  let gain = 0;
  let previous = Infinity;
  for (let iteration = 0; ; iteration++) {
    const weighted = updateAndSweepDown(system, work, gain);
    const converged = mayStop(system, work, gain, stop);
    if (converged || iteration === stop.most || !(weighted > 0)) {
      for (let c = 0; c < size; c++) x[c]! += gain * work.p[c]!;
      return { iterations: iteration, converged };
    }
    gain = weighted / sweepUpAndApply(system, work, gain, weighted / previous);
    previous = weighted;
  }
}

// The passes wait for memory more than they compute, so each does what it can with a value while
// it has it.

interface Work {
  readonly x: Float64Array;
  readonly r: Float64Array;
  readonly p: Float64Array;
  readonly q: Float64Array;
  /** What one row of nodes hands to the next in a sweep. */
  readonly row: Float64Array;
  /** Per column: sum of absolute residuals. */
  readonly sums: Float64Array;
}

/**
 * r -= gain q, and the forward sweep of the preconditioner on r, left in q. Returns r . z, which is
 * the half-solved residual's weighted square.
 */
function updateAndSweepDown(system: BitSystem, work: Work, gain: number): number {
  const { nodes, cols, wire, inverse } = system;
  const { r, q, row, sums } = work;
  let weighted = 0;
  row.fill(0);
  sums.fill(0);
  for (let b = 0; b < nodes; b++) {
    const base = b * cols;
    for (let j = 0; j < cols; j++) {
      const c = base + j;
      const residual = r[c]! - gain * q[c]!;
      r[c] = residual;
      sums[j]! += Math.abs(residual);
      const y = residual + row[j]!;
      const half = y * inverse[c]!;
      q[c] = y;
      row[j] = wire * half;
      weighted += y * half;
    }
  }
  return weighted;
}

function mayStop(system: BitSystem, work: Work, gain: number, stop: StopRule): boolean {
  const { nodes, cols, first, last } = system;
  const { x, p, sums } = work;
  const end = (nodes - 1) * cols;
  for (let j = 0; j < cols; j++) {
    // What p adds to x is booked later, in the sweep up.
    const output = first * (x[j]! + gain * p[j]!) + last * (x[end + j]! + gain * p[end + j]!);
    const limit = Math.max(stop.floor[j]!, stop.ofOutput * Math.abs(output));
    if (!(sums[j]! <= limit)) return false;
  }
  return true;
}

/** Rows of nodes between which the sweep up and the product take turns, while they are in cache. */
const blockRows = 8;

/**
 * x += gain p; the backward sweep of the preconditioner from q; p = z + carry p; q = S p.
 * Returns p . S p. The product follows the sweep one block behind, for it needs the row above.
 */
function sweepUpAndApply(system: BitSystem, work: Work, gain: number, carry: number): number {
  const { nodes } = system;
  work.row.fill(0);
  let dot = 0;
  let swept = nodes;
  let applied = nodes;
  while (applied > 0) {
    const from = Math.max(0, swept - blockRows);
    if (swept > 0) sweepUp(system, work, from, swept, gain, carry);
    swept = from;
    const ready = swept === 0 ? 0 : swept + 1;
    dot += applyOperator(system, work, ready, applied);
    applied = ready;
  }
  return dot;
}

function sweepUp(
  system: BitSystem, work: Work, from: number, to: number, gain: number, carry: number,
): void {
  const { cols, wire, inverse } = system;
  const { x, p, q, row } = work;
  for (let b = to - 1; b >= from; b--) {
    const base = b * cols;
    for (let j = 0; j < cols; j++) {
      const c = base + j;
      const z = (q[c]! + row[j]!) * inverse[c]!;
      const before = p[c]!;
      row[j] = wire * z;
      x[c]! += gain * before;
      p[c] = z + carry * before;
    }
  }
}

/** Rows `from .. to-1` of q = S p; returns their part of p . S p. */
function applyOperator(system: BitSystem, work: Work, from: number, to: number): number {
  const { nodes, cols, wire, first, last, words } = system;
  const { p, q } = work;
  let dot = 0;
  for (let b = from; b < to; b++) {
    const up = b > 0 ? wire : 0;
    const down = b < nodes - 1 ? wire : 0;
    // Where there is no neighbour the node itself stands in, with a factor of 0.
    const above = b > 0 ? -cols : 0;
    const below = b < nodes - 1 ? cols : 0;
    const ground = (b === 0 ? first : 0) + (b === nodes - 1 ? last : 0);
    const base = b * cols;
    for (let j = 0; j < cols; j++) {
      const c = base + j;
      const here = p[c]!;
      const flow = up * (here - p[c + above]!) + down * (here - p[c + below]!) + ground * here;
      q[c] = flow;
      dot += here * flow;
    }
  }
  return dot + words.addProduct(p, q, from * system.rowsPerNode, to * system.rowsPerNode);
}
