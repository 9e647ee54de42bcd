/**
 * An array whose current comes in over its rows, as a resistor network: numbered nodes, and the
 * resistors that each cell owns (itself, the wires to the left and above it, and the terminals at
 * the array's edges). Ideal lines and shorted cells merge nodes here, so that no solver sees a
 * zero resistance. No solving.
 */

import { InternalError } from "../../../compiler/errors.ts";
import type { Line } from "./line.ts";
import type { Geometry } from "./problem.ts";

/** Node ids: row terminals `0..rows-1`, column terminals `rows..rows+cols-1`, then the rest. */
export interface Network {
  readonly rows: number;
  readonly cols: number;
  readonly nodes: number;
  /** `[row][col]`: the node on the row side and on the column side of each cell. */
  readonly wordNode: Int32Array;
  readonly bitNode: Int32Array;
  /** Resistors of cell c are `start[c] .. start[c+1]-1` of `from`, `to` and `siemens`. */
  readonly start: Int32Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly siemens: Float64Array;
  /** Number of resistors at each node. */
  readonly degree: Int32Array;
  /** Nodes that cutting between two columns, or two node rows, leaves on both sides, per line. */
  readonly cutRow: 0 | 1;
  readonly cutCol: 0 | 1;
}

/** The network of linear cells; whether shorts are possible was checked with the circuit. */
export function networkOf(geometry: Geometry): Network {
  const { circuit, supply, bit, rowsPerNode } = geometry;
  if (circuit.cell.kind !== "linear") throw new InternalError("a network has linear cells only");
  const { rows, cols, conductance } = circuit;
  const cells = rows * cols;
  const terminals = rows + cols;
  const wordNode = new Int32Array(cells);
  const bitNode = new Int32Array(cells);
  for (let i = 0, c = 0; i < rows; i++) {
    const position = Math.floor(i / rowsPerNode);
    for (let j = 0; j < cols; j++, c++) {
      wordNode[c] = nodeId(supply, i, terminals + i * cols, j);
      bitNode[c] = nodeId(bit, rows + j, terminals + cells + j, position * cols);
    }
  }
  const merged = mergeShorts(conductance, wordNode, bitNode, terminals, terminals + 2 * cells);
  const start = new Int32Array(cells + 1);
  const from: number[] = [];
  const to: number[] = [];
  const siemens: number[] = [];
  const degree = new Int32Array(terminals + 2 * cells);
  const join = (a: number, b: number, g: number): void => {
    if (g === 0 || a === b) return;
    from.push(a);
    to.push(b);
    siemens.push(g);
    degree[a]!++;
    degree[b]!++;
  };
  for (let i = 0, c = 0; i < rows; i++) {
    const position = Math.floor(i / rowsPerNode);
    const opensNode = i % rowsPerNode === 0;
    for (let j = 0; j < cols; j++, c++) {
      start[c] = from.length;
      const word = merged[wordNode[c]!]!;
      const column = merged[bitNode[c]!]!;
      wordNode[c] = word;
      bitNode[c] = column;
      if (conductance[c]! < Infinity) join(word, column, conductance[c]!);
      if (j > 0 && supply.kind === "chain") join(wordNode[c - 1]!, word, supply.segment);
      if (j === 0) join(merged[i]!, word, supply.first);
      if (j === cols - 1) join(merged[i]!, word, supply.last);
      if (!opensNode) continue;
      const above = c - rowsPerNode * cols;
      if (position > 0 && bit.kind === "chain") join(bitNode[above]!, column, bit.segment);
      if (position === 0) join(merged[rows + j]!, column, bit.first);
      if (position === bit.length - 1) join(merged[rows + j]!, column, bit.last);
    }
  }
  start[cells] = from.length;
  return {
    rows, cols, wordNode, bitNode, start, degree,
    nodes: degree.length,
    from: Int32Array.from(from),
    to: Int32Array.from(to),
    siemens: Float64Array.from(siemens),
    cutRow: supply.kind === "ideal" ? 0 : 1,
    cutCol: bit.kind === "ideal" ? 0 : 1,
  };
}

function nodeId(line: Line, terminal: number, base: number, offset: number): number {
  if (line.kind === "ideal") return terminal;
  return line.kind === "node" ? base : base + offset;
}

/** Union of the two sides of every shorted cell; the smallest id, so a terminal, stands for all. */
function mergeShorts(
  conductance: Float64Array, wordNode: Int32Array, bitNode: Int32Array,
  terminals: number, nodes: number,
): Int32Array {
  const parent = new Int32Array(nodes).map((_, id) => id);
  const root = (id: number): number => {
    let at = id;
    while (parent[at] !== at) at = parent[at] = parent[parent[at]!]!;
    return at;
  };
  for (let c = 0; c < conductance.length; c++) {
    if (conductance[c] !== Infinity) continue;
    const a = root(wordNode[c]!);
    const b = root(bitNode[c]!);
    if (a === b) continue;
    if (a < terminals && b < terminals) throw new InternalError("a short joins two terminals");
    parent[Math.max(a, b)] = Math.min(a, b);
  }
  return parent.map((_, id) => root(id));
}
