/**
 * The books of one array: drops on its lines, what they mean for cells and nodes, and how far that
 * is from Kirchhoff's current law, for the whole array and for each column by itself.
 */

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
  /** What rounding of the drops does to the current of each cell, and of each bit-line node. */
  readonly #cellRounding: Float64Array;
  readonly #bitRounding: Float64Array;
  readonly #through: Float64Array;
  readonly #rounding: Float64Array;
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
    this.#through = new Float64Array(cells);
    this.#rounding = new Float64Array(cells);
    this.#cellRounding = new Float64Array(cells);
    this.#bitAmpere = rowsPerNode === 1 ? this.cellAmpere : new Float64Array(nodes);
    this.#bitRounding = rowsPerNode === 1 ? this.#cellRounding : new Float64Array(nodes);
  }

  /** Recomputes cells and balance from the drops. */
  weigh(current: (volt: Float64Array, out: Float64Array) => void): void {
    const { circuit, rowsPerNode } = this.#geometry;
    const { rows, cols, conductance } = circuit;
    const { cellVolt, cellAmpere, supplyDrop, bitDrop, columnAmpere } = this;
    const cellRounding = this.#cellRounding;
    for (let i = 0, c = 0; i < rows; i++) {
      const v = this.#volt[i]!;
      const above = Math.floor(i / rowsPerNode) * cols;
      for (let j = 0; j < cols; j++, c++) {
        const u = supplyDrop[c]!;
        const b = bitDrop[above + j]!;
        cellVolt[c] = v - u - b;
        const size = Math.abs(v) + Math.abs(u) + Math.abs(b);
        // A shorted cell has the current that its row delivers, whatever its voltage rounds to.
        const g = conductance[c]!;
        cellRounding[c] = g < Infinity ? Number.EPSILON * g * size : 0;
      }
    }
    current(cellVolt, cellAmpere);
    columnAmpere.fill(0);
    const bitAmpere = this.#bitAmpere;
    const bitRounding = this.#bitRounding;
    if (rowsPerNode > 1) {
      bitAmpere.fill(0);
      bitRounding.fill(0);
    }
    for (let i = 0, c = 0; i < rows; i++) {
      const above = Math.floor(i / rowsPerNode) * cols;
      for (let j = 0; j < cols; j++, c++) {
        columnAmpere[j]! += Math.abs(cellAmpere[c]!);
        if (rowsPerNode === 1) continue;
        bitAmpere[above + j]! += cellAmpere[c]!;
        bitRounding[above + j]! += cellRounding[c]!;
      }
    }
    this.#balance();
  }

  #balance(): void {
    const { cols } = this.#geometry.circuit;
    const { columnUnbalanced, columnRounding, supplyImbalance, bitImbalance } = this;
    const through = this.#through;
    const rounding = this.#rounding;
    let square = 0, throughSquare = 0, roundingSquare = 0;
    rounding.set(this.#cellRounding);
    balance(
      supplyStrands(this.#geometry), this.supplyDrop, this.cellAmpere,
      { imbalance: supplyImbalance, through, rounding },
    );
    for (let c = 0; c < supplyImbalance.length; c++) {
      square += supplyImbalance[c]! ** 2;
      throughSquare += through[c]! ** 2;
      roundingSquare += rounding[c]! ** 2;
    }
    rounding.set(this.#bitRounding);
    balance(
      bitStrands(this.#geometry), this.bitDrop, this.#bitAmpere,
      { imbalance: bitImbalance, through, rounding },
    );
    columnUnbalanced.fill(0);
    columnRounding.fill(0);
    for (let at = 0, j = 0; at < bitImbalance.length; at++) {
      square += bitImbalance[at]! ** 2;
      throughSquare += through[at]! ** 2;
      roundingSquare += rounding[at]! ** 2;
      columnUnbalanced[j]! += Math.abs(bitImbalance[at]!);
      columnRounding[j]! += rounding[at]!;
      if (++j === cols) j = 0;
    }
    this.#unbalanced = Math.sqrt(square);
    this.#throughNorm = Math.sqrt(throughSquare);
    this.#roundingNorm = Math.sqrt(roundingSquare);
    this.residual = square === 0 ? 0 : this.#unbalanced / this.#throughNorm;
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
