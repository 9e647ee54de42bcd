/**
 * The word lines, eliminated. With the drop u below the driver along a row and the drop b on the
 * bit line, a row obeys `(L + D) u = D (v - b)`, L its wires and D its cells' slopes; what is left
 * for the bit lines is `K (v - b)` with `K = D - D (L + D)^-1 D`. L + D is tridiagonal and factored
 * once; every product with K is one sweep there and one back along each row.
 *
 * All conductances are multiplied by one `scale` (ohm), so that a wire segment counts 1. The
 * pivots are built without a subtraction (as conductances in series and parallel), so each is
 * right to a few roundings.
 */

import { InternalError } from "../../../compiler/errors.ts";
import type { Line } from "./line.ts";

/** The eliminated rows; vectors are `[node][col]` on the bit side, `[row][col]` on the row side. */
export interface WordLines {
  /** out += diagonal of K. */
  addDiagonal(out: Float64Array): void;
  /** out += K p for the part of K that rows `from .. to-1` make; returns their p . K p. */
  addProduct(p: Float64Array, out: Float64Array, from: number, to: number): number;
  /** out += K v for one voltage per row: what the bit lines receive while they are held at 0 V. */
  addInput(volt: Float64Array, out: Float64Array): void;
  /** out = (L + D)^-1 f. */
  solve(f: Float64Array, out: Float64Array): void;
}

/** The cells that word lines are eliminated with. */
export interface Cells {
  readonly rows: number;
  readonly cols: number;
  /** Where the bit-line nodes of each row start in `[node][col]`. */
  readonly nodeOffset: Int32Array;
  /** `[row][col]`, dI/dV of each cell, already multiplied by the scale. */
  readonly slope: Float64Array;
}

const builders: Record<Line["kind"], (line: Line, scale: number, cells: Cells) => WordLines> = {
  chain: chainWordLines,
  node: nodeWordLines,
  ideal: idealWordLines,
};

export function wordLinesOf(line: Line, scale: number, cells: Cells): WordLines {
  return builders[line.kind](line, scale, cells);
}

function chainWordLines(line: Line, scale: number, cells: Cells): WordLines {
  const { rows, cols, nodeOffset, slope } = cells;
  const first = line.first * scale;
  const last = line.last * scale;
  const wire = line.segment * scale;
  if (Math.abs(wire - 1) > 1e-12) throw new InternalError("word lines are not scaled to 1");
  const inverse = new Float64Array(rows * cols);
  for (let i = 0, c = 0; i < rows; i++) {
    let behind = first;
    for (let j = 0; j < cols; j++, c++) {
      const here = behind + slope[c]!;
      const inv = inverse[c] = 1 / (here + (j < cols - 1 ? 1 : last));
      behind = here * inv;
    }
  }
  const quad = new Float64Array(4 * cols);
  const single = new Float64Array(cols);

  function addDiagonal(out: Float64Array): void {
    for (let i = 0; i < rows; i++) {
      const base = i * cols;
      const target = nodeOffset[i]!;
      let behind = first;
      for (let j = 0; j < cols; j++) {
        single[j] = behind;
        behind = (behind + slope[base + j]!) * inverse[base + j]!;
      }
      let ahead = last;
      for (let j = cols - 1; j >= 0; j--) {
        const g = slope[base + j]!;
        const wires = single[j]! + ahead;
        // The cell in series with everything its row node hangs on.
        if (g > 0) out[target + j]! += g * (wires / (g + wires));
        ahead = (ahead + g) / (1 + ahead + g);
      }
    }
  }

  /** Four rows at once: the recurrences of one row would wait for their own last result. */
  function addProduct(p: Float64Array, out: Float64Array, from: number, to: number): number {
    let dot = 0;
    let i = from;
    for (; i + 3 < to; i += 4) {
      const r0 = i * cols, r1 = r0 + cols, r2 = r1 + cols, r3 = r2 + cols;
      const n0 = nodeOffset[i]!, n1 = nodeOffset[i + 1]!;
      const n2 = nodeOffset[i + 2]!, n3 = nodeOffset[i + 3]!;
      let y0 = 0, y1 = 0, y2 = 0, y3 = 0, m0 = 0, m1 = 0, m2 = 0, m3 = 0;
      for (let j = 0, t = 0; j < cols; j++, t += 4) {
        quad[t] = y0 = slope[r0 + j]! * p[n0 + j]! + m0 * y0;
        quad[t + 1] = y1 = slope[r1 + j]! * p[n1 + j]! + m1 * y1;
        quad[t + 2] = y2 = slope[r2 + j]! * p[n2 + j]! + m2 * y2;
        quad[t + 3] = y3 = slope[r3 + j]! * p[n3 + j]! + m3 * y3;
        m0 = inverse[r0 + j]!;
        m1 = inverse[r1 + j]!;
        m2 = inverse[r2 + j]!;
        m3 = inverse[r3 + j]!;
      }
      let u0 = 0, u1 = 0, u2 = 0, u3 = 0;
      for (let j = cols - 1, t = 4 * j; j >= 0; j--, t -= 4) {
        u0 = (quad[t]! + u0) * inverse[r0 + j]!;
        u1 = (quad[t + 1]! + u1) * inverse[r1 + j]!;
        u2 = (quad[t + 2]! + u2) * inverse[r2 + j]!;
        u3 = (quad[t + 3]! + u3) * inverse[r3 + j]!;
        const p0 = p[n0 + j]!, p1 = p[n1 + j]!, p2 = p[n2 + j]!, p3 = p[n3 + j]!;
        const k0 = slope[r0 + j]! * (p0 - u0), k1 = slope[r1 + j]! * (p1 - u1);
        const k2 = slope[r2 + j]! * (p2 - u2), k3 = slope[r3 + j]! * (p3 - u3);
        out[n0 + j]! += k0;
        out[n1 + j]! += k1;
        out[n2 + j]! += k2;
        out[n3 + j]! += k3;
        dot += p0 * k0 + p1 * k1 + (p2 * k2 + p3 * k3);
      }
    }
    for (; i < to; i++) {
      const r = i * cols, n = nodeOffset[i]!;
      let y = 0, m = 0, u = 0;
      for (let j = 0; j < cols; j++) {
        single[j] = y = slope[r + j]! * p[n + j]! + m * y;
        m = inverse[r + j]!;
      }
      for (let j = cols - 1; j >= 0; j--) {
        u = (single[j]! + u) * inverse[r + j]!;
        const k = slope[r + j]! * (p[n + j]! - u);
        out[n + j]! += k;
        dot += p[n + j]! * k;
      }
    }
    return dot;
  }

  function addInput(volt: Float64Array, out: Float64Array): void {
    for (let i = 0; i < rows; i++) {
      const r = i * cols, n = nodeOffset[i]!;
      const v = volt[i]!;
      let y = 0;
      for (let j = 0; j < cols; j++) {
        // Ends inject `end * v`; every term has the sign of v, so nothing cancels.
        if (j === 0) y = first * v;
        else y *= inverse[r + j - 1]!;
        if (j === cols - 1) y += last * v;
        single[j] = y;
      }
      let w = 0;
      for (let j = cols - 1; j >= 0; j--) {
        w = (single[j]! + w) * inverse[r + j]!;
        out[n + j]! += slope[r + j]! * w;
      }
    }
  }

  function solve(f: Float64Array, out: Float64Array): void {
    for (let i = 0; i < rows; i++) {
      const r = i * cols;
      let y = 0, m = 0;
      for (let j = 0; j < cols; j++) {
        single[j] = y = f[r + j]! + m * y;
        m = inverse[r + j]!;
      }
      let u = 0;
      for (let j = cols - 1; j >= 0; j--) out[r + j] = u = (single[j]! + u) * inverse[r + j]!;
    }
  }

  return { addDiagonal, addProduct, addInput, solve };
}

/** Ideal rows behind a source resistance: one drop per row, K = D minus a rank-one part. */
function nodeWordLines(line: Line, scale: number, cells: Cells): WordLines {
  const { rows, cols, nodeOffset, slope } = cells;
  const source = line.first * scale;
  const sums = new Float64Array(rows);
  for (let i = 0, c = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++, c++) sums[i]! += slope[c]!;
  }
  return {
    addDiagonal(out) {
      for (let i = 0, c = 0; i < rows; i++) {
        for (let j = 0; j < cols; j++, c++) {
          const g = slope[c]!;
          let others = source;
          for (let k = 0; k < cols; k++) if (k !== j) others += slope[i * cols + k]!;
          if (g > 0) out[nodeOffset[i]! + j]! += g * (others / (g + others));
        }
      }
    },
    addProduct(p, out, from, to) {
      let dot = 0;
      for (let i = from; i < to; i++) {
        const r = i * cols, n = nodeOffset[i]!;
        let current = 0;
        for (let j = 0; j < cols; j++) current += slope[r + j]! * p[n + j]!;
        const u = current / (source + sums[i]!);
        for (let j = 0; j < cols; j++) {
          const k = slope[r + j]! * (p[n + j]! - u);
          out[n + j]! += k;
          dot += p[n + j]! * k;
        }
      }
      return dot;
    },
    addInput(volt, out) {
      for (let i = 0; i < rows; i++) {
        const r = i * cols, n = nodeOffset[i]!;
        const w = volt[i]! * (source / (source + sums[i]!));
        for (let j = 0; j < cols; j++) out[n + j]! += slope[r + j]! * w;
      }
    },
    solve(f, out) {
      for (let i = 0; i < rows; i++) {
        let current = 0;
        for (let c = i * cols; c < (i + 1) * cols; c++) current += f[c]!;
        out.fill(current / (source + sums[i]!), i * cols, (i + 1) * cols);
      }
    },
  };
}

/** Rows without any resistance: no drop, K = D. */
function idealWordLines(_line: Line, _scale: number, cells: Cells): WordLines {
  const { rows, cols, nodeOffset, slope } = cells;
  return {
    addDiagonal(out) {
      for (let i = 0, c = 0; i < rows; i++) {
        for (let j = 0; j < cols; j++, c++) out[nodeOffset[i]! + j]! += slope[c]!;
      }
    },
    addProduct(p, out, from, to) {
      let dot = 0;
      for (let i = from, c = from * cols; i < to; i++) {
        for (let n = nodeOffset[i]!, end = n + cols; n < end; n++, c++) {
          const k = slope[c]! * p[n]!;
          out[n]! += k;
          dot += p[n]! * k;
        }
      }
      return dot;
    },
    addInput(volt, out) {
      for (let i = 0, c = 0; i < rows; i++) {
        for (let n = nodeOffset[i]!, end = n + cols; n < end; n++, c++) {
          out[n]! += slope[c]! * volt[i]!;
        }
      }
    },
    solve(_f, out) {
      out.fill(0);
    },
  };
}
