/**
 * Conductances that come to what was wanted once the wires have taken their share. A cell far from
 * its driver and its converter counts for less than one nearby; the near ones are programmed lower,
 * the far ones higher, and a gain per column, trimmed at its converter, restores the scale. Nothing
 * leaves the window of the cells: gains are chosen so that what is clipped, and the programming
 * spread that a small gain amplifies, cost least together.
 *
 * Each round solves the array exactly and divides by the attenuation found, as in Liu et al.,
 * "Reduction and IR-drop compensations techniques for reliable neuromorphic computing systems",
 * ICCAD 2014. The best round is kept, so a repair is never worse than none by its own measure.
 */
import type { EffectiveTile } from "../effective.ts";
import { toNegative, type TileCells } from "./placement.ts";
import { noTrims, type ColumnTrims } from "./trims.ts";

export interface PredistortRequest {
  readonly tile: TileCells;
  /** Columns converted per pair: 2 where its cells are read apart. */
  readonly sides: 1 | 2;
  /** Siemens, [rows, columns] of the tile. */
  readonly wanted: Float64Array;
  /** Which of them cannot be changed. */
  readonly isFixed: (cell: number) => boolean;
  /** The array behind its wires. */
  readonly solve: (cells: Float64Array) => EffectiveTile;
  /** Standard deviation of programming, siemens. */
  readonly spread: number;
}

export interface Predistorted {
  readonly target: Float64Array;
  readonly trims: ColumnTrims;
  /** Mean square of what digits miss by, programming included, before and after. */
  readonly before: number;
  readonly after: number;
}

/** The miss no longer falls after three (128 x 128, down to a tenth of the signal). */
const ROUNDS = 3;
/** A round that leaves more than this share of the miss is the last: programming is what misses. */
const WORTHWHILE = 0.95;
/** Gains that are tried: down to a twentieth. */
const GAINS = Array.from({ length: 24 }, (_, i) => 0.88 ** i);
/** Cells of no conductance get a little, so that their attenuation is known. */
const TRACE = 1e-9;

/** One column as it is converted: cells by input, the negative ones where pairs are subtracted. */
interface Converted {
  readonly own: Int32Array;
  readonly other: Int32Array | undefined;
  readonly slice: number;
  /** What its currents should be in proportion to, siemens. */
  readonly wanted: Float64Array;
  readonly significance: number;
}

export function predistort(request: PredistortRequest): Predistorted {
  const { tile: { encoding: { gMax } }, wanted, solve } = request;
  const columns = convertedColumns(request);
  const cells = wanted.map((g) => Math.max(g, gMax * TRACE));
  let best: Predistorted | undefined;
  for (let round = 0; ; round++) {
    const state: State = { request, cells, effective: solve(cells) };
    const fits = columns.map((column) => fitColumn(state, column));
    const after = fits.reduce((sum, { error }) => sum + error, 0) / Math.max(columns.length, 1);
    const before = best?.before ?? after;
    const isLast = round === ROUNDS || (best !== undefined && after > WORTHWHILE * best.after);
    if (!best || after < best.after) {
      const trims = noTrims(columns.length);
      fits.forEach(({ gain, reference }, k) => {
        trims.gain[k] = gain;
        trims.reference[k] = reference;
      });
      best = { target: cells.slice(), trims, before, after };
    }
    if (isLast) return best;
    const next = cells.slice();
    columns.forEach((column, k) => adjust(state, column, (fits[k] as Fit).reference, next));
    cells.set(next);
  }
}

function convertedColumns({ tile, sides, wanted }: PredistortRequest): Converted[] {
  const { encoding, rows, columns, rowsPerInput, columnsPerOutput } = tile;
  const inputs = rows / rowsPerInput;
  const perSlice = columnsPerOutput / encoding.slices;
  const toMinus = toNegative(tile, columns);
  const out: Converted[] = [];
  for (let output = 0; output < columns / columnsPerOutput; output++) {
    for (let slice = 0; slice < encoding.slices; slice++) {
      const plus = Int32Array.from({ length: inputs }, (_, r) =>
        r * rowsPerInput * columns + output * columnsPerOutput + slice * perSlice);
      const minus = plus.map((cell) => cell + toMinus);
      const significance = encoding.significance[slice] as number;
      const below = encoding.reference[slice] as number;
      const single = (own: Int32Array): Converted => ({
        own, other: undefined, slice, significance,
        wanted: Float64Array.from(own, (cell) => (wanted[cell] as number) - below),
      });
      if (sides === 2) out.push(single(plus), single(minus));
      else if (toMinus === 0) out.push(single(plus));
      else out.push({
        own: plus, other: minus, slice, significance,
        wanted: Float64Array.from(plus, (cell, r) =>
          (wanted[cell] as number) - (wanted[minus[r] as number] as number)),
      });
    }
  }
  return out;
}

interface State {
  readonly request: PredistortRequest;
  readonly cells: Float64Array;
  readonly effective: EffectiveTile;
}

interface Fit {
  readonly gain: number;
  readonly reference: number;
  /** Sum over inputs of squared misses, weighed by the slice's significance. */
  readonly error: number;
}

/** How much of the reference goes off, and the gain, for the column as its cells are. */
function fitColumn({ request, cells, effective }: State, column: Converted): Fit {
  const { own, other, wanted, slice, significance } = column;
  const { encoding } = request.tile;
  const [below, span] = [encoding.reference[slice] as number, encoding.gMax - encoding.gMin];
  const seen = effective.cells;
  let [passed, taken, power] = [0, 0, 0];
  own.forEach((cell, r) => {
    const f = (seen[cell] as number) / (cells[cell] as number);
    passed += f * below;
    taken += effective.reference(r, slice);
    power += f * f;
    const minus = other?.[r];
    if (minus !== undefined) power += ((seen[minus] as number) / (cells[minus] as number)) ** 2;
  });
  const reference = taken > 0 ? passed / taken : 1;
  let [cross, square] = [0, 0];
  const got = Float64Array.from(own, (cell, r) => {
    const minus = other?.[r];
    return (seen[cell] as number) - (minus === undefined
      ? reference * effective.reference(r, slice) : seen[minus] as number);
  });
  wanted.forEach((w, r) => {
    cross += w * (got[r] as number);
    square += w * w;
  });
  const gain = square > 0 && cross > 0 ? cross / square : 1;
  let error = 0;
  wanted.forEach((w, r) => {
    error += ((got[r] as number) / gain - w) ** 2;
  });
  error += (request.spread / gain) ** 2 * power;
  return { gain, reference, error: error * (significance / span) ** 2 };
}

/** Moves the cells of a column towards what they should come to, with the best gain there is. */
function adjust(
  { request, cells, effective }: State, column: Converted, reference: number, next: Float64Array,
): void {
  const { own, other, wanted, slice } = column;
  const { isFixed, spread } = request;
  const { gMin, gMax, sides } = request.tile.encoding;
  const attenuation = (cell: number): number =>
    (effective.cells[cell] as number) / (cells[cell] as number);
  const fOwn = Float64Array.from(own, attenuation);
  const fOther = other && Float64Array.from(other, attenuation);
  const clip = (g: number): number => Math.min(Math.max(g, gMin), gMax);
  const middle = sides === "one" ? gMin : (gMin + gMax) / 2;
  /** The two cells of an input for a current, the one that carries it first. */
  const cellsFor = (r: number, current: number): [number, number] => {
    const [cell, f] = [own[r] as number, fOwn[r] as number];
    const held = cells[cell] as number;
    if (!other || !fOther) {
      const g = (current + reference * effective.reference(r, slice)) / f;
      return [isFixed(cell) ? held : clip(g), 0];
    }
    const [minus, fMinus] = [other[r] as number, fOther[r] as number];
    const heldMinus = cells[minus] as number;
    if (isFixed(cell)) {
      const g = (f * held - current) / fMinus;
      return [held, isFixed(minus) ? heldMinus : clip(g)];
    }
    if (isFixed(minus)) return [clip((current + fMinus * heldMinus) / f), heldMinus];
    if (current >= 0) {
      const up = clip((current + fMinus * middle) / f);
      return [up, clip((f * up - current) / fMinus)];
    }
    const down = clip((f * middle - current) / fMinus);
    return [clip((current + fMinus * down) / f), down];
  };
  let power = 0;
  fOwn.forEach((f, r) => {
    power += f * f + ((fOther?.[r] ?? 0) ** 2);
  });
  const errorWith = (gain: number): number => {
    let error = (spread / gain) ** 2 * power;
    wanted.forEach((w, r) => {
      const [up, down] = cellsFor(r, gain * w);
      const got = (fOwn[r] as number) * up - (fOther ? (fOther[r] as number) * down
        : reference * effective.reference(r, slice));
      error += (got / gain - w) ** 2;
    });
    return error;
  };
  let [gain, least] = [1, Infinity];
  for (const candidate of GAINS) {
    const error = errorWith(candidate);
    if (error < least) [gain, least] = [candidate, error];
  }
  wanted.forEach((w, r) => {
    const [up, down] = cellsFor(r, gain * w);
    next[own[r] as number] = up;
    if (other) next[other[r] as number] = down;
  });
}
