/**
 * The books of one array: drops on its lines, what they mean for cells and nodes, and how far that
 * is from Kirchhoff's current law, for the whole array and for each column by itself.
 */

import type { Tally } from "./balance.ts";
import { balance, bitStrands, supplyStrands } from "./balance.ts";
import type { Geometry } from "./problem.ts";

/** Volt and ampere; grids are `[row][col]`, those of the bit lines `[position][col]`. */
export class Ledger {
  readonly supplyDrop: Float64Array;
  readonly bitDrop: Float64Array;
  readonly cellVolt: Float64Array;
  readonly cellAmpere: Float64Array;
  readonly supplyImbalance: Float64Array;
  readonly bitImbalance: Float64Array;
  /** Per column: imbalance of its bit line, rounding it may hide, and current of its cells. */
  readonly columnUnbalanced: Float64Array;
  readonly columnRounding: Float64Array;
  readonly columnAmpere: Float64Array;
  /** 2-norm of the currents left unbalanced over the 2-norm of the currents through the nodes. */
  residual = Infinity;
  readonly #geometry: Geometry;
  readonly #volt: Float64Array;
  readonly #bitAmpere: Float64Array;
  #unbalanced = Infinity;
  #roundingNorm = 0;
  #throughNorm = 0;

  constructor(geometry: Geometry, volt: Float64Array) {
    const { circuit, bit, rowsPerNode } = geometry;
    const cells = circuit.rows * circuit.cols;
    const nodes = bit.length * circuit.cols;
    this.#geometry = geometry;
    this.#volt = volt;
    this.supplyDrop = new Float64Array(cells);
    this.bitDrop = new Float64Array(nodes);
    this.cellVolt = new Float64Array(cells);
    this.cellAmpere = new Float64Array(cells);
    this.supplyImbalance = new Float64Array(cells);
    this.bitImbalance = new Float64Array(nodes);
    this.columnUnbalanced = new Float64Array(circuit.cols);
    this.columnRounding = new Float64Array(circuit.cols);
    this.columnAmpere = new Float64Array(circuit.cols);
    this.#bitAmpere = rowsPerNode === 1 ? this.cellAmpere : new Float64Array(nodes);
  }

  /** Recomputes cells and balance from the drops. */
  weigh(current: (volt: Float64Array, out: Float64Array) => void): void {
    this.columnRounding.fill(0);
    const cellRounding = this.#weighCells();
    current(this.cellVolt, this.cellAmpere);
    this.#sumCells();
    const tally: Tally = {
      unbalanced: 0, through: 0, rounding: cellRounding,
      lineUnbalanced: new Float64Array(Math.max(this.#volt.length, this.columnAmpere.length)),
      lineRounding: new Float64Array(Math.max(this.#volt.length, this.columnAmpere.length)),
    };
    const { supplyDrop, cellAmpere, supplyImbalance, bitDrop, bitImbalance } = this;
    balance(supplyStrands(this.#geometry), supplyDrop, cellAmpere, supplyImbalance, tally);
    balance(bitStrands(this.#geometry), bitDrop, this.#bitAmpere, bitImbalance, tally);
    for (let j = 0; j < this.columnUnbalanced.length; j++) {
      this.columnUnbalanced[j] = tally.lineUnbalanced[j]!;
      this.columnRounding[j]! += tally.lineRounding[j]!;
    }
    this.#unbalanced = Math.sqrt(tally.unbalanced);
    this.#throughNorm = Math.sqrt(tally.through);
    this.#roundingNorm = Math.sqrt(tally.rounding);
    this.residual = tally.unbalanced === 0 ? 0 : this.#unbalanced / this.#throughNorm;
  }

  /**
   * Voltages across the cells. What rounding of the drops does to the cells' currents is added to
   * each column; returned is the sum of its squares.
   */
  #weighCells(): number {
    const { circuit, rowsPerNode } = this.#geometry;
    const { rows, cols, conductance } = circuit;
    const { cellVolt, supplyDrop, bitDrop, columnRounding } = this;
    // Each node of a chain of n adds its roundings to those of the node before.
    const depth = this.#geometry.supply.length;
    let squares = 0;
    for (let i = 0, c = 0; i < rows; i++) {
      const v = this.#volt[i]!;
      const above = Math.floor(i / rowsPerNode) * cols;
      for (let j = 0; j < cols; j++, c++) {
        const u = supplyDrop[c]!;
        const b = bitDrop[above + j]!;
        const g = conductance[c]!;
        cellVolt[c] = v - u - b;
        // A shorted cell has the current that its row delivers, whatever its voltage rounds to.
        if (g === Infinity) continue;
        const rounding = Number.EPSILON * g * (Math.abs(v) + depth * Math.abs(u) + Math.abs(b));
        columnRounding[j]! += rounding;
        squares += rounding * rounding;
      }
    }
    return squares;
  }

  /** Currents of the cells, summed over each column and over each node of a bit line. */
  #sumCells(): void {
    const { circuit, rowsPerNode } = this.#geometry;
    const { rows, cols } = circuit;
    const { cellAmpere, columnAmpere } = this;
    columnAmpere.fill(0);
    for (let i = 0, c = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++, c++) columnAmpere[j]! += Math.abs(cellAmpere[c]!);
    }
    if (rowsPerNode === 1) return;
    const bitAmpere = this.#bitAmpere;
    bitAmpere.fill(0);
    for (let i = 0, c = 0; i < rows; i++) {
      const above = Math.floor(i / rowsPerNode) * cols;
      for (let j = 0; j < cols; j++, c++) bitAmpere[above + j]! += cellAmpere[c]!;
    }
  }

  /** `[col]`: the current into each sense terminal. */
  outputs(): Float64Array {
    const { bit, circuit } = this.#geometry;
    const { cols } = circuit;
    const out = new Float64Array(cols);
    if (bit.kind === "ideal") {
      for (let c = 0; c < this.cellAmpere.length; c++) out[c % cols]! += this.cellAmpere[c]!;
      return out;
    }
    // Not the sum of the cells' currents: behind a long row they are differences of far larger
    // voltages, and the bit line's own drop is not.
    const end = (bit.length - 1) * cols;
    for (let j = 0; j < cols; j++) {
      out[j] = bit.first * this.bitDrop[j]! + bit.last * this.bitDrop[end + j]!;
    }
    return out;
  }

  /** The largest imbalance in units of what is allowed; at most 1 means settled. */
  judge(tolerance: number): number {
    let worst = ratio(this.#unbalanced, tolerance * this.#throughNorm + this.#roundingNorm);
    for (let j = 0; j < this.columnAmpere.length; j++) {
      const allowed = tolerance * this.columnAmpere[j]! + this.columnRounding[j]!;
      worst = Math.max(worst, ratio(this.columnUnbalanced[j]!, allowed));
    }
    return worst;
  }

  /** Takes the step, halved until it brings the nodes nearer to balance; false if none does. */
  advance(
    supplyStep: Float64Array, bitStep: Float64Array,
    current: (volt: Float64Array, out: Float64Array) => void,
  ): boolean {
    const supply = this.supplyDrop.slice();
    const bit = this.bitDrop.slice();
    const before = this.#unbalanced;
    for (let part = 1; part > 1e-9; part /= 2) {
      for (let c = 0; c < supply.length; c++) {
        this.supplyDrop[c] = supply[c]! + part * supplyStep[c]!;
      }
      for (let c = 0; c < bit.length; c++) this.bitDrop[c] = bit[c]! + part * bitStep[c]!;
      this.weigh(current);
      if (this.#unbalanced <= (1 - 1e-4 * part) * before) return true;
      // At the level of rounding a full step need not look better any more.
      if (part === 1 && this.#unbalanced <= 2 * this.#roundingNorm) return true;
    }
    return false;
  }
}

function ratio(value: number, allowed: number): number {
  if (value === 0) return 0;
  return Number.isNaN(value) ? Infinity : value / allowed;
}
