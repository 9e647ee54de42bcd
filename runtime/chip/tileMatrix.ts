/**
 * From the conductances of a tile's cells to the numbers that its columns multiply with: pairs are
 * subtracted, references taken off, wire resistance folded in, and everything is put in units of
 * one level of a cell, [chunk][column][row] of the block's layout.
 *
 * With wires the array is reduced to its effective conductances (exact for linear cells), the
 * reference columns solved along with it as trimmed columns beyond its last. A cell's read noise is
 * passed on by its first-order sensitivity (`wires/reduced.ts`) where wires cost more than a third
 * of the current. These cost eight times the reduction; elsewhere noise is passed on in the
 * proportion in which the cell's own current is (Geff / G): the noise of the farthest column comes
 * out 1 % too large where a tenth of the current is lost, 7 % where a third is. What a cell's noise
 * does to other columns over its row is left out.
 */
import type { CrossbarConfig, CrossbarTile } from "../../compiler/emit/crossbar/config.ts";
import type { Encoding } from "../../compiler/emit/crossbar/encoding.ts";
import type { CurrentTerm } from "../../targets/deviceModel.ts";
import type { Hertz, Kelvin, Siemens, SquareAmpere } from "../../targets/units.ts";
import { solveTile } from "./effective.ts";
import { placeOf, type BlockLayout } from "./layout.ts";
import type { RepairedTile } from "./repair/repairTile.ts";
import type { WriteReport } from "./writeVerify.ts";

/** Another matrix of a product: what a power of the inputs is multiplied with. */
export interface MatrixTerm {
  readonly power: number;
  /** [chunks, columns, rows], in levels, for inputs of which 1 takes the read voltage. */
  readonly weights: Float32Array;
}

/** Cells whose two levels are part of the weights: in any order, but the same for a chip. */
export interface TelegraphCells {
  /** Element of the weights, [chunks, columns, rows]. */
  readonly at: number[];
  /** What the higher level adds to it over the lower one, in levels of a cell. */
  readonly step: number[];
}

/** Matrices of a block, to be filled tile by tile. */
export interface BlockMatrices {
  /** [chunks, columns, rows], in levels. */
  readonly weights: Float32Array;
  /** Variance of one read, levels squared; undefined without read noise. */
  readonly variance: Float32Array | undefined;
  /** Variance of the noise that outlasts a run (`ReadTimes`): it is part of the weights. */
  readonly lasting: Float32Array | undefined;
  /** Cells with telegraph noise that outlasts a run. */
  readonly telegraph: TelegraphCells;
  /** Thermal variance of a read with a digit of 1, levels squared: [chunks, columns]. */
  readonly thermal: Float32Array | undefined;
  /** What cells of a nonlinear law add, by the power of the input that drives it. */
  readonly terms: readonly MatrixTerm[];
  /** Of every tile that was written within a budget of pulses. */
  readonly writes: WriteReport[];
}

export function emptyMatrices(
  layout: BlockLayout, noise: boolean, law: readonly CurrentTerm[],
): BlockMatrices {
  const { chunks, columns, rows } = layout;
  return {
    weights: new Float32Array(chunks * columns * rows),
    variance: noise ? new Float32Array(chunks * columns * rows) : undefined,
    lasting: noise ? new Float32Array(chunks * columns * rows) : undefined,
    telegraph: { at: [], step: [] },
    thermal: noise ? new Float32Array(chunks * columns) : undefined,
    terms: law.map(({ power }) => ({ power, weights: new Float32Array(chunks * columns * rows) })),
    writes: [],
  };
}

/** Conductance of one level. */
export const levelStep = ({ gMin, gMax, bits }: Encoding): Siemens =>
  (gMax - gMin) / (bits === "continuous" ? 1 : 2 ** bits - 1) as Siemens;

/** What is known of a tile's cells at the time of reading, [rows, columns] of the tile. */
export interface TileState {
  /** Siemens. */
  readonly cells: Float64Array;
  /** Standard deviation of one read, siemens. */
  readonly readSigma: Float64Array | undefined;
  /** Of what is the same for many reads. */
  readonly lastingSigma?: Float64Array | undefined;
  /** Distance of the two levels of telegraph noise, siemens; 0 for cells without it. */
  readonly telegraphSteps?: Float64Array | undefined;
  /** Copies of the columns, where they lie in the array and how their conversions are trimmed. */
  readonly repair?: Omit<RepairedTile, "tile" | "wanted" | "target"> | undefined;
}

const BOLTZMANN = 1.380649e-23;

/** Mean square of the thermal current of a conductance: 4 k T B g (Nyquist 1928). */
export const thermalCurrent = (
  temperature: Kelvin, bandwidth: Hertz, conductance: Siemens,
): SquareAmpere => 4 * BOLTZMANN * temperature * bandwidth * conductance as SquareAmpere;

export interface TileFill {
  readonly config: CrossbarConfig;
  readonly encoding: Encoding;
  readonly layout: BlockLayout;
  readonly wires: boolean;
  /** 4 k T B, over the square of the current that one level draws at the read voltage. */
  readonly thermalPerSiemens: number;
  /** Of the cells, beyond the linear term; none behind wires. */
  readonly law: readonly CurrentTerm[];
}

/**
 * Adds a tile to the matrices of its block. Of copies the mean is what counts, as one converted
 * column: its rounding is that of one conversion, which a mean of several does not exceed.
 * @param tile with its copies
 */
export function addTile(
  fill: TileFill, tile: CrossbarTile, state: TileState, out: BlockMatrices,
): void {
  const { encoding, layout } = fill;
  const { cells, readSigma, lastingSigma, telegraphSteps, repair } = state;
  const solved = fill.wires
    ? solveTile({ ...fill, sides: layout.sides }, tile, cells, repair?.places,
      readSigma !== undefined) : undefined;
  const conductance = solved?.cells ?? cells;
  const step = levelStep(encoding);
  const place = placeOf(layout, tile);
  const { rows, columns, slices, sides } = layout;
  const inRows = encoding.scheme === "differential-rows";
  const inColumns = encoding.scheme === "differential-columns";
  const perSlice = inColumns ? 2 : 1;
  const toNegative = inRows ? tile.columns : 1;
  const isPair = inRows || inColumns;
  const inputs = tile.groups.count * tile.inputs.count;

  /** What wires leave of a change of a cell. */
  const passed = (cell: number): number => solved?.sensitivity?.[cell] ??
    (solved && (cells[cell] as number) > 0
      ? (conductance[cell] as number) / (cells[cell] as number) : 1);
  const noiseOf = (cell: number, sigma: Float64Array | undefined): number =>
    ((sigma as Float64Array)[cell] as number * passed(cell)) ** 2;
  const addTelegraph = (at: number, cell: number, unit: number): void => {
    const step = telegraphSteps?.[cell] ?? 0;
    if (step === 0) return;
    out.telegraph.at.push(at);
    out.telegraph.step.push((step * passed(cell)) / unit);
  };
  /** One converted column of a slice: the positive cell (or all of it), or the negative one. */
  const addColumn = (
    first: number, perInput: number, slice: number, side: 0 | 1, column: number, index: number,
    counts: number,
  ): void => {
    let thermal = 0;
    const share = repair?.trims.reference[index] ?? 1;
    const unit = (step * (repair?.trims.gain[index] ?? 1)) / counts;
    for (let r = 0; r < inputs; r++) {
      const chunk = place.chunk + Math.floor(r / rows);
      const at = (chunk * columns + column) * rows + (r % rows);
      const positive = first + r * perInput;
      const negative = positive + toNegative;
      const own = side === 0 ? positive : negative;
      const both = isPair && sides === 1;
      const below = both ? conductance[negative] as number
        : share * (solved ? solved.reference(r, slice) : encoding.reference[slice] as number);
      out.weights[at]! += ((conductance[own] as number) - below) / unit;
      fill.law.forEach(({ power, coefficient }, i) => {
        const c = (g: number): number => coefficient(g as Siemens);
        // The other row of a pair gets the opposite voltage, of which even powers know nothing.
        const taken = both ? c(cells[negative] as number) * (inRows ? (-1) ** (power + 1) : 1)
          : below === 0 ? 0 : share * c(encoding.reference[slice] as number);
        const volts = fill.config.input.readVolt ** (power - 1);
        (out.terms[i] as MatrixTerm).weights[at]! +=
          ((c(cells[own] as number) - taken) * volts) / unit;
      });
      if (!out.variance) continue;
      const noise = (sigma: Float64Array | undefined): number =>
        (noiseOf(own, sigma) + (both ? noiseOf(negative, sigma) : 0)) / unit ** 2;
      out.variance[at]! += noise(readSigma);
      if (lastingSigma) (out.lasting as Float32Array)[at]! += noise(lastingSigma);
      addTelegraph(at, own, unit);
      if (both) addTelegraph(at, negative, -unit);
      // Undriven cells make thermal noise too: the other row of a pair is on the same column.
      thermal += (cells[positive] as number) * (side === 0 || inRows ? 1 : 0) +
        (isPair && (both || inRows || side === 1) ? cells[negative] as number : 0);
    }
    if (!out.thermal) return;
    const floor = thermal * fill.thermalPerSiemens * (step / unit) ** 2;
    for (let read = 0; read < layout.reads; read++) {
      out.thermal[(place.chunk + read) * columns + column]! += floor;
    }
  };

  const perInput = inRows ? 2 * tile.columns : tile.columns;
  const outputs = tile.groups.count * tile.outputs.count;
  for (let k = 0; k < (repair?.copies ?? 1) * outputs; k++) {
    const counts = repair?.shares[k] ?? 1;
    if (counts === 0) continue;
    const [g, o] = [Math.floor((k % outputs) / tile.outputs.count), k % tile.outputs.count];
    for (let s = 0; s < slices; s++) {
      const own = k * slices + s;
      const first = own * perSlice;
      const column = place.column(g, o) + s * sides;
      addColumn(first, perInput, s, 0, column, own * sides, counts);
      if (sides === 2) addColumn(first, perInput, s, 1, column + 1, own * sides + 1, counts);
    }
  }
}
