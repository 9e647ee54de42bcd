/**
 * Dense nodal analysis, the slow obvious way: a list of resistors, nodes joined by zero ohms made
 * one, and Gaussian elimination with pivoting inside Newton's method. Shares no code with the
 * solvers, only the definition of the circuit.
 */

import type { ArrayCircuit } from "../../../../compiler/emit/spice/arrayCircuit.ts";
import { fillCircuit, topologies } from "../../../../compiler/emit/spice/arrayCircuit.ts";

interface Wire { readonly a: string; readonly b: string; readonly ohm: number }

/** The current into every sense terminal for one input vector. */
export function nodalOutputs(given: ArrayCircuit, volt: readonly number[]): number[] {
  const circuit = fillCircuit(given);
  const { rows, cols, cell } = circuit;
  const { supply, rowsPerNode } = topologies[circuit.topology];
  const wires: Wire[] = [];
  const fixed = new Map<string, number>();
  const word = (i: number, j: number): string => `w${i},${j}`;
  const bit = (p: number, j: number): string => `b${p},${j}`;
  const line = (
    nodes: string[], terminal: string, ohm: number, end: number, ends: string,
  ): void => {
    for (let k = 1; k < nodes.length; k++) wires.push({ a: nodes[k - 1]!, b: nodes[k]!, ohm });
    if (ends === "left" || ends === "top" || ends === "both") {
      wires.push({ a: terminal, b: nodes[0]!, ohm: ohm + end });
    }
    if (ends === "right" || ends === "bottom" || ends === "both") {
      wires.push({ a: terminal, b: nodes.at(-1)!, ohm: ohm + end });
    }
  };
  const positions = rows / rowsPerNode;
  const span = (n: number): number[] => Array.from({ length: n }, (_, k) => k);
  const { rowSegmentOhm, colSegmentOhm, sourceOhm, senseOhm, driveEnd, senseEnd } = circuit;
  if (supply === "row") {
    for (const i of span(rows)) {
      fixed.set(`S${i}`, volt[i]!);
      line(span(cols).map((j) => word(i, j)), `S${i}`, rowSegmentOhm, sourceOhm, driveEnd);
    }
  } else {
    for (const parity of span(rowsPerNode)) {
      const own = span(rows).filter((i) => i % rowsPerNode === parity);
      const level = own.map((i) => volt[i]!).find((v) => v !== 0) ?? 0;
      for (const j of span(cols)) {
        fixed.set(`S${parity},${j}`, level);
        line(own.map((i) => word(i, j)), `S${parity},${j}`, rowSegmentOhm, sourceOhm, driveEnd);
      }
    }
  }
  for (const j of span(cols)) {
    fixed.set(`T${j}`, 0);
    line(span(positions).map((p) => bit(p, j)), `T${j}`, colSegmentOhm, senseOhm, senseEnd);
  }
  // Zero ohms join nodes; terminals come last so that they name their group.
  const parent = new Map<string, string>();
  const root = (name: string): string => {
    const up = parent.get(name);
    return up === undefined ? name : root(up);
  };
  const unite = (a: string, b: string): void => {
    const x = root(a);
    const y = root(b);
    if (x !== y) parent.set(fixed.has(x) ? y : x, fixed.has(x) ? x : y);
  };
  for (const { a, b, ohm } of wires) if (ohm === 0) unite(a, b);
  const value = (a: number | Float64Array, c: number): number =>
    typeof a === "number" ? a : a[c]!;
  interface Branch {
    readonly a: string;
    readonly b: string;
    readonly column: number;
    readonly current: (v: number) => number;
    readonly slope: (v: number) => number;
  }
  const branches: Branch[] = wires.filter(({ ohm }) => ohm > 0).map(({ a, b, ohm }) => ({
    a, b, column: -1, current: (v) => v / ohm, slope: () => 1 / ohm,
  }));
  for (const i of span(rows)) {
    if (supply !== "row" && volt[i] === 0) continue;
    for (const j of span(cols)) {
      const c = i * cols + j;
      const g = circuit.conductance[c]!;
      const a = word(i, j);
      const b = bit(Math.floor(i / rowsPerNode), j);
      if (g === Infinity) {
        unite(a, b);
        continue;
      }
      const [current, slope] = cell.kind === "linear"
        ? [(v: number) => g * v, () => g]
        : cell.kind === "curve"
          ? [(v: number) => cell.current(v, g), (v: number) => cell.slope(v, g)]
          : [
            (v: number) => (value(cell.cubic, c) * v + value(cell.quadratic, c)) * v * v + g * v,
            (v: number) => (3 * value(cell.cubic, c) * v + 2 * value(cell.quadratic, c)) * v + g,
          ];
      branches.push({ a, b, column: j, current, slope });
    }
  }
  const free = [...new Set(branches.flatMap(({ a, b }) => [root(a), root(b)]))]
    .filter((name) => !fixed.has(name));
  const index = new Map(free.map((name, k) => [name, k]));
  const x = new Array<number>(free.length).fill(0);
  const at = (name: string): number => fixed.get(root(name)) ?? x[index.get(root(name))!]!;
  for (let step = 0; step < 100; step++) {
    const matrix = free.map(() => new Array<number>(free.length + 1).fill(0));
    for (const { a, b, current, slope } of branches) {
      const v = at(a) - at(b);
      const g = slope(v);
      const k = index.get(root(a));
      const l = index.get(root(b));
      if (k !== undefined) {
        matrix[k]![free.length]! -= current(v);
        matrix[k]![k]! += g;
        if (l !== undefined) matrix[k]![l]! -= g;
      }
      if (l !== undefined) {
        matrix[l]![free.length]! += current(v);
        matrix[l]![l]! += g;
        if (k !== undefined) matrix[l]![k]! -= g;
      }
    }
    const change = eliminate(matrix);
    change.forEach((d, k) => {
      x[k]! += d;
    });
    const largest = Math.max(0, ...x.map(Math.abs));
    if (Math.max(0, ...change.map(Math.abs)) <= 1e-15 * largest) break;
  }
  const out = new Array<number>(cols).fill(0);
  const ideal = colSegmentOhm === 0 && senseOhm === 0;
  for (const { a, b, column, current } of branches) {
    if (ideal && column >= 0) out[column]! += current(at(a) - at(b));
    if (!ideal && a.startsWith("T")) out[Number(a.slice(1))]! -= current(at(a) - at(b));
  }
  return out;
}

/** Solves the augmented square system by Gaussian elimination with partial pivoting. */
function eliminate(matrix: number[][]): number[] {
  const n = matrix.length;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let r = k + 1; r < n; r++) {
      if (Math.abs(matrix[r]![k]!) > Math.abs(matrix[pivot]![k]!)) pivot = r;
    }
    [matrix[k], matrix[pivot]] = [matrix[pivot]!, matrix[k]!];
    const top = matrix[k]!;
    if (top[k] === 0) throw new Error("the oracle's circuit has a node that nothing holds");
    for (let r = k + 1; r < n; r++) {
      const row = matrix[r]!;
      const factor = row[k]! / top[k]!;
      if (factor !== 0) for (let c = k; c <= n; c++) row[c]! -= factor * top[c]!;
    }
  }
  const x = new Array<number>(n).fill(0);
  for (let k = n - 1; k >= 0; k--) {
    let sum = matrix[k]![n]!;
    for (let c = k + 1; c < n; c++) sum -= matrix[k]![c]! * x[c]!;
    x[k] = sum / matrix[k]![k]!;
  }
  return x;
}
