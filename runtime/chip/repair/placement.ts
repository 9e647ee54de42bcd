/**
 * Which columns of an array an output of a tile is written to: all columns of the array are
 * candidates, the spare ones beyond the tile's last included, and the assignment of least error is
 * found exactly. The cells of one output stay side by side, and rows stay where their drivers are.
 */
import type { Encoding } from "../../../compiler/emit/crossbar/encoding.ts";
import type { StuckCells } from "../faults.ts";
import { assign } from "./assign.ts";
import { compensateWeight, type WeightCells } from "./compensate.ts";

/** How the cells of a tile lie, in cells of the array. */
export interface TileCells {
  readonly encoding: Encoding;
  /** Cells used: [rows, columns] of the tile. */
  readonly rows: number;
  readonly columns: number;
  /** Rows per input (2 where the pair is of rows), columns per output (slices and pairs). */
  readonly rowsPerInput: number;
  readonly columnsPerOutput: number;
  /** Columns of the array. */
  readonly arrayColumns: number;
}

/** Column of the array for every column of a tile. */
export type ColumnPlaces = Int32Array;

/** Every column at its own place. */
export const inPlace = (columns: number): ColumnPlaces =>
  Int32Array.from({ length: columns }, (_, i) => i);

/** The cells of an output that one input of it is stored in, copied from or to a tile. */
export class WeightView {
  readonly cells: WeightCells;
  readonly stuck: WeightCells;
  readonly #tile: TileCells;
  readonly #toMinus: number;
  readonly #arrayToMinus: number;

  constructor(tile: TileCells) {
    const { slices } = tile.encoding;
    const make = (): WeightCells =>
      ({ plus: new Float64Array(slices), minus: new Float64Array(slices) });
    this.cells = make();
    this.stuck = make();
    this.#tile = tile;
    this.#toMinus = toNegative(tile, tile.columns);
    this.#arrayToMinus = toNegative(tile, tile.arrayColumns);
  }

  /** Loads a weight from the tile, and the faults it would meet at a place of the array. */
  load(target: ArrayLike<number>, stuck: StuckCells, input: number, output: number,
    place: number): void {
    const own = this.#own(input, output);
    const { arrayColumns, rowsPerInput, columnsPerOutput } = this.#tile;
    const there = input * rowsPerInput * arrayColumns + place * columnsPerOutput;
    const perSlice = this.#perSlice;
    for (let s = 0; s < this.cells.plus.length; s++) {
      const [cell, at] = [own + s * perSlice, there + s * perSlice];
      this.cells.plus[s] = target[cell] as number;
      this.cells.minus[s] = target[cell + this.#toMinus] as number;
      this.stuck.plus[s] = stuck[at] as number;
      this.stuck.minus[s] = stuck[at + this.#arrayToMinus] as number;
    }
  }

  store(target: Float64Array, input: number, output: number): void {
    const own = this.#own(input, output);
    for (let s = 0; s < this.cells.plus.length; s++) {
      const cell = own + s * this.#perSlice;
      target[cell] = this.cells.plus[s] as number;
      if (this.#toMinus > 0) target[cell + this.#toMinus] = this.cells.minus[s] as number;
    }
  }

  get #perSlice(): number {
    return this.#tile.columnsPerOutput / this.#tile.encoding.slices;
  }

  #own(input: number, output: number): number {
    const { columns, rowsPerInput, columnsPerOutput } = this.#tile;
    return input * rowsPerInput * columns + output * columnsPerOutput;
  }
}

/** From a pair's positive cell to its negative one, in an array of so many columns. */
export const toNegative = ({ encoding: { scheme } }: TileCells, columns: number): number =>
  scheme === "differential-rows" ? columns : scheme === "differential-columns" ? 1 : 0;

/** Inputs with a stuck cell, for every place of an output in the array. */
function faultyInputs(tile: TileCells, stuck: StuckCells): number[][] {
  const { rows, rowsPerInput, columnsPerOutput, arrayColumns } = tile;
  const places = Math.floor(arrayColumns / columnsPerOutput);
  return Array.from({ length: places }, (_, place) => {
    const found = new Set<number>();
    for (let row = 0; row < rows; row++) {
      const from = row * arrayColumns + place * columnsPerOutput;
      for (let c = from; c < from + columnsPerOutput; c++) {
        if (stuck[c] === stuck[c]) found.add(Math.floor(row / rowsPerInput));
      }
    }
    return [...found];
  });
}

export interface Placed {
  readonly places: ColumnPlaces;
  /** Conductances that are wanted, stuck cells compensated; [rows, columns] of the tile. */
  readonly target: Float64Array;
  /** Of each output the sum of squares of what weights miss, in shares of their columns' scales. */
  readonly errors: Float64Array;
}

/**
 * Places the outputs of a tile so that its stuck cells cost least, and lets working cells make up
 * for the stuck ones there.
 * @param target conductances without faults, [rows, columns] of the tile
 */
export function placeColumns(
  tile: TileCells, target: ArrayLike<number>, stuck: StuckCells,
): Placed {
  const { columns, columnsPerOutput } = tile;
  const outputs = columns / columnsPerOutput;
  const faulty = faultyInputs(tile, stuck);
  const view = new WeightView(tile);
  const errorAt = (output: number, place: number): number => {
    let sum = 0;
    for (const input of faulty[place] ?? []) {
      view.load(target, stuck, input, output, place);
      sum += compensateWeight(tile.encoding, view.cells, view.stuck) ** 2;
    }
    return sum;
  };
  const staying = inPlace(outputs);
  const isFine = staying.every((place) => errorAt(place, place) === 0);
  const places = isFine ? staying
    : assign(outputs, faulty.length, costTable(outputs, faulty.length, errorAt));
  const out = Float64Array.from(target);
  const errors = new Float64Array(outputs);
  for (let output = 0; output < outputs; output++) {
    const place = places[output] as number;
    for (const input of faulty[place] ?? []) {
      view.load(target, stuck, input, output, place);
      errors[output]! += compensateWeight(tile.encoding, view.cells, view.stuck) ** 2;
      view.store(out, input, output);
    }
  }
  const byColumn = Int32Array.from({ length: columns }, (_, column) =>
    (places[Math.floor(column / columnsPerOutput)] as number) * columnsPerOutput +
      (column % columnsPerOutput));
  return { places: byColumn, target: out, errors };
}

/** Costs worked out once; staying in place wins a draw. */
function costTable(
  outputs: number, places: number, errorAt: (output: number, place: number) => number,
): (output: number, place: number) => number {
  const table = new Float64Array(outputs * places);
  for (let o = 0; o < outputs; o++) {
    for (let p = 0; p < places; p++) table[o * places + p] = errorAt(o, p) + (o === p ? 0 : 1e-15);
  }
  return (output, place) => table[output * places + place] as number;
}
