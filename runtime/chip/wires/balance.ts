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

/** What the books of some lines come to. */
export interface Tally {
  /** Sums of squares over the nodes: unbalanced current, current through the node, rounding. */
  unbalanced: number;
  through: number;
  rounding: number;
  /** Per line of the last strands: absolute imbalance, and what rounding alone may make of it. */
  readonly lineUnbalanced: Float64Array;
  readonly lineRounding: Float64Array;
}

/**
 * Books `imbalance = (wires) drop - current`, what the wires carry off less what the cells bring,
 * for every node of the strands, and adds to the tally. A line of one node books everything at
 * position 0, an ideal line nothing. The current through a node is half the sum of the absolute
 * currents that meet there.
 */
export function balance(
  strands: readonly Strands[], drop: Float64Array, current: Float64Array,
  imbalance: Float64Array, tally: Tally,
): void {
  tally.lineUnbalanced.fill(0);
  tally.lineRounding.fill(0);
  for (const strand of strands) bookers[strand.line.kind](strand, drop, current, imbalance, tally);
}

type Booker = (
  strand: Strands, drop: Float64Array, current: Float64Array, imbalance: Float64Array, tally: Tally,
) => void;

const bookers: Record<Line["kind"], Booker> = {
  chain: bookChains, node: bookNodes, ideal: bookNothing,
};

/** Two roundings in each difference, one each for product, sum and the drop itself. */
const unit = 5 * Number.EPSILON;

function bookChains(
  strand: Strands, drop: Float64Array, current: Float64Array, imbalance: Float64Array, tally: Tally,
): void {
  const { line, count, offset, positionStride, lineStride } = strand;
  const { length, segment, first, last } = line;
  const { lineUnbalanced, lineRounding } = tally;
  // Memory is walked in order: the longer stride outside.
  const byLine = lineStride > positionStride;
  const outer = byLine ? count : length;
  const inner = byLine ? length : count;
  const outerStride = byLine ? lineStride : positionStride;
  const innerStride = byLine ? positionStride : lineStride;
  let squares = 0, throughs = 0, roundings = 0;
  for (let a = 0; a < outer; a++) {
    let at = offset + a * outerStride;
    for (let b = 0; b < inner; b++, at += innerStride) {
      const position = byLine ? b : a;
      const index = byLine ? a : b;
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
      const rest = before + after - cell;
      const through = 0.5 * (Math.abs(before) + Math.abs(after) + Math.abs(cell));
      const rounding = unit * (segment * (size + 2 * Math.abs(here)) + 2 * through);
      imbalance[at] = rest;
      squares += rest * rest;
      throughs += through * through;
      roundings += rounding * rounding;
      lineUnbalanced[index]! += Math.abs(rest);
      lineRounding[index]! += rounding;
    }
  }
  tally.unbalanced += squares;
  tally.through += throughs;
  tally.rounding += roundings;
}

function bookNodes(
  strand: Strands, drop: Float64Array, current: Float64Array, imbalance: Float64Array, tally: Tally,
): void {
  const { line, count, offset, positionStride, lineStride } = strand;
  for (let s = 0; s < count; s++) {
    const start = offset + s * lineStride;
    let sum = 0;
    let size = 0;
    for (let t = 0, at = start; t < line.length; t++, at += positionStride) {
      sum += current[at]!;
      size += Math.abs(current[at]!);
      imbalance[at] = 0;
    }
    const out = line.first * drop[start]!;
    const rest = out - sum;
    const through = 0.5 * (Math.abs(out) + size);
    // A sum of n terms is off by at most n roundings of the sum of their sizes (Higham 2002, 4.2).
    const rounding = unit * (Math.abs(out) + line.length * size);
    imbalance[start] = rest;
    tally.unbalanced += rest * rest;
    tally.through += through * through;
    tally.rounding += rounding * rounding;
    tally.lineUnbalanced[s]! += Math.abs(rest);
    tally.lineRounding[s]! += rounding;
  }
}

function bookNothing(
  strand: Strands, _drop: Float64Array, _current: Float64Array, imbalance: Float64Array,
): void {
  const { line, count, offset, positionStride, lineStride } = strand;
  for (let s = 0; s < count; s++) {
    const start = offset + s * lineStride;
    for (let t = 0; t < line.length; t++) imbalance[start + t * positionStride] = 0;
  }
}
