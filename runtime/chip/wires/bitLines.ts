/**
 * The Schur complement on the bit lines, `S = (wires of the bit lines) + K`, solved by conjugate
 * gradients. The preconditioner keeps the bit lines' wires and the diagonal of K: one tridiagonal
 * solve per bit line, all of them at once row by row, so that memory is read in order.
 * S is symmetric positive definite wherever a bit line has a terminal and slopes are not negative.
 *
 * Three passes over memory per iteration: the product; the updates fused with the forward sweep
 * of the preconditioner (whose weighted square is already r . z); the backward sweep fused with
 * the new direction.
 */

import type { Line } from "./line.ts";
import type { StepResult } from "./linearStep.ts";
import type { WordLines } from "./wordLines.ts";

/** The factored preconditioner together with the operator it belongs to. */
export interface BitSystem {
  readonly nodes: number;
  readonly cols: number;
  /** Wire, first and last conductance of a bit line, scaled like the word lines. */
  readonly wire: number;
  readonly first: number;
  readonly last: number;
  readonly words: WordLines;
  /** `[node][col]`: inverse pivots of the preconditioner. */
  readonly inverse: Float64Array;
}

/** Factors the preconditioner of bit lines that are no ideal ground themselves. */
export function bitSystemOf(bit: Line, scale: number, cols: number, words: WordLines): BitSystem {
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
  return { nodes, cols, wire, first, last, words, inverse };
}

/**
 * Solves `S x = rhs` from x = 0 until, in every column, the absolute residual summed over the
 * column is at most that column's `limit`. A residual is a current that enters the bit line
 * somewhere, and no more than all of it reaches the output: limits in proportion to each column's
 * own current bound the error of every output by its own size, however small it is.
 * @param rhs overwritten with the residual
 * @param x overwritten with the solution
 * @param most iterations at most
 */
export function conjugateGradients(
  system: BitSystem, rhs: Float64Array, x: Float64Array,
  limit: Float64Array, most: number,
): StepResult {
  const { nodes, cols, wire, inverse } = system;
  const size = nodes * cols;
  const p = new Float64Array(size);
  const q = new Float64Array(size);
  const row = new Float64Array(cols);
  const sums = new Float64Array(cols);
  x.fill(0);
  let gain = 0;
  let previous = 0;
  for (let iteration = 0; ; iteration++) {
    // Updates and forward sweep; q becomes the half-solved residual y.
    let weighted = 0;
    row.fill(0);
    sums.fill(0);
    for (let b = 0, c = 0; b < nodes; b++) {
      for (let j = 0; j < cols; j++, c++) {
        const r = rhs[c]! - gain * q[c]!;
        x[c]! += gain * p[c]!;
        rhs[c] = r;
        sums[j]! += Math.abs(r);
        const y = r + row[j]!;
        const half = y * inverse[c]!;
        q[c] = y;
        row[j] = wire * half;
        weighted += y * half;
      }
    }
    let converged = true;
    for (let j = 0; j < cols; j++) if (!(sums[j]! <= limit[j]!)) converged = false;
    if (converged || !(weighted > 0)) return { iterations: iteration, converged };
    if (iteration === most) return { iterations: iteration, converged: false };
    const carry = iteration === 0 ? 0 : weighted / previous;
    previous = weighted;
    // Backward sweep and new direction.
    row.fill(0);
    for (let b = nodes - 1; b >= 0; b--) {
      for (let j = 0, c = b * cols; j < cols; j++, c++) {
        const z = (q[c]! + row[j]!) * inverse[c]!;
        row[j] = wire * z;
        p[c] = z + carry * p[c]!;
      }
    }
    gain = weighted / addOperator(system, p, q);
  }
}

/** q = S p; returns p . S p. */
function addOperator(system: BitSystem, p: Float64Array, q: Float64Array): number {
  const { nodes, cols, wire, first, last, words } = system;
  let dot = 0;
  for (let b = 0, c = 0; b < nodes; b++) {
    const up = b > 0 ? wire : 0;
    const down = b < nodes - 1 ? wire : 0;
    // Where there is no neighbour the node itself stands in, with a factor of 0.
    const above = b > 0 ? -cols : 0;
    const below = b < nodes - 1 ? cols : 0;
    const ground = (b === 0 ? first : 0) + (b === nodes - 1 ? last : 0);
    for (let j = 0; j < cols; j++, c++) {
      const here = p[c]!;
      const flow = up * (here - p[c + above]!) + down * (here - p[c + below]!) + ground * here;
      q[c] = flow;
      dot += here * flow;
    }
  }
  return dot + words.addProduct(p, q);
}
