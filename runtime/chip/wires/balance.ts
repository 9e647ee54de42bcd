/**
 * Kirchhoff's current law, written out: how much current fails to balance at every node for given
 * drops. This is the judge of every solution in this folder, whatever found it, and the right-hand
 * side of Newton's steps.
 *
 * Potentials are kept as drops: u below the driver on the supplying line, b above 0 V on the bit
 * line. With strong wires potentials hardly differ from node to node; their drops are known to full
 * relative precision where differences of potentials would not be.
 */

import type { Line } from "./line.ts";
import type { Geometry } from "./problem.ts";

/** Parallel lines laid over a grid of nodes. */
interface Strands {
  readonly line: Line;
  readonly count: number;
  readonly offset: number;
  readonly positionStride: number;
  readonly lineStride: number;
}

export function supplyStrands(geometry: Geometry): Strands[] {
  const { supply: line, circuit, rowsPerNode, suppliedByRow } = geometry;
  const { rows, cols } = circuit;
  if (suppliedByRow) {
    return [{ line, count: rows, offset: 0, positionStride: 1, lineStride: cols }];
  }
  return Array.from({ length: rowsPerNode }, (_, parity) => ({
    line, count: cols, offset: parity * cols, positionStride: rowsPerNode * cols, lineStride: 1,
  }));
}

export function bitStrands(geometry: Geometry): Strands[] {
  const { bit: line, circuit } = geometry;
  return [{ line, count: circuit.cols, offset: 0, positionStride: circuit.cols, lineStride: 1 }];
}

/** One number per node; lines of one node book everything at position 0, ideal lines nothing. */
export interface Books {
  /** What the wires carry off less what the cells bring. */
  readonly imbalance: Float64Array;
  /** Half the sum of the absolute currents that meet at the node. */
  readonly through: Float64Array;
  /**
   * What the imbalance may be off by through rounding alone. Holds, on entry, what the cells'
   * currents are off by.
   */
  readonly rounding: Float64Array;
}

/** Books `imbalance = (wires) drop - current` for every node of the strands. */
export function balance(
  strands: readonly Strands[], drop: Float64Array, current: Float64Array, books: Books,
): void {
  for (const strand of strands) bookers[strand.line.kind](strand, drop, current, books);
}

const bookers: Record<
  Line["kind"],
  (strand: Strands, drop: Float64Array, current: Float64Array, books: Books) => void
> = { chain: bookChains, node: bookNodes, ideal: bookNothing };

/** Two roundings in each difference, one each for product, sum and the drop itself. */
const unit = 5 * Number.EPSILON;

function bookChains(
  strand: Strands, drop: Float64Array, current: Float64Array, books: Books,
): void {
  const { line, count, offset, positionStride, lineStride } = strand;
  const { length, segment, first, last } = line;
  const { imbalance, through, rounding } = books;
  // Memory is walked in order: the longer stride outside.
  const byLine = lineStride > positionStride;
  const outer = byLine ? count : length;
  const inner = byLine ? length : count;
  const outerStride = byLine ? lineStride : positionStride;
  const innerStride = byLine ? positionStride : lineStride;
  for (let a = 0; a < outer; a++) {
    let at = offset + a * outerStride;
    for (let b = 0; b < inner; b++, at += innerStride) {
      const position = byLine ? b : a;
      const here = drop[at]!;
      let before = first * here;
      let after = last * here;
      let size = 0;
      if (position > 0) {
        const other = drop[at - positionStride]!;
        before = segment * (here - other);
        size += Math.abs(other);
      }
      if (position < length - 1) {
        const other = drop[at + positionStride]!;
        after = segment * (here - other);
        size += Math.abs(other);
      }
      const cell = current[at]!;
      const flow = 0.5 * (Math.abs(before) + Math.abs(after) + Math.abs(cell));
      imbalance[at] = before + after - cell;
      through[at] = flow;
      rounding[at]! += unit * (segment * (size + 2 * Math.abs(here)) + 2 * flow);
    }
  }
}

function bookNodes(
  strand: Strands, drop: Float64Array, current: Float64Array, books: Books,
): void {
  const { line, count, offset, positionStride, lineStride } = strand;
  const { imbalance, through, rounding } = books;
  for (let s = 0; s < count; s++) {
    const start = offset + s * lineStride;
    let sum = 0;
    let size = 0;
    let slack = 0;
    for (let t = 0, at = start; t < line.length; t++, at += positionStride) {
      sum += current[at]!;
      size += Math.abs(current[at]!);
      slack += rounding[at]!;
      imbalance[at] = through[at] = rounding[at] = 0;
    }
    const out = line.first * drop[start]!;
    imbalance[start] = out - sum;
    through[start] = 0.5 * (Math.abs(out) + size);
    // A sum of n terms is off by at most n roundings of the sum of their sizes (Higham 2002, 4.2).
    rounding[start] = slack + unit * (Math.abs(out) + line.length * size);
  }
}

function bookNothing(
  strand: Strands, _drop: Float64Array, _current: Float64Array, books: Books,
): void {
  const { line, count, offset, positionStride, lineStride } = strand;
  for (let s = 0; s < count; s++) {
    for (let t = 0; t < line.length; t++) {
      const at = offset + s * lineStride + t * positionStride;
      books.imbalance[at] = books.through[at] = books.rounding[at] = 0;
    }
  }
}
