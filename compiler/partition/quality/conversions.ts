/**
 * How the currents of columns are converted, and what that adds to them: rounding to codes, ranges
 * that clip, thermal noise. Currents are taken as normal, with the moments that the cells and the
 * digits of the inputs give them.
 */
import type { HybridTarget } from "../../../targets/schema.ts";
import { tileGrid } from "../tiling.ts";
import type { Cells, SliceMoments } from "./cellMoments.ts";
import {
  cumulative, meanAbove, squareAbove, squareOfRounding, squareRounded,
} from "./normal.ts";
import { inputLimits, type ReadPass } from "./passes.ts";
import { meanOf, type Scaling, type UnitQuality } from "./sample.ts";

const BOLTZMANN = 1.380649e-23;

/** A pass with the moments of its digits over the sample of inputs. */
export interface DrivenPass {
  readonly pass: ReadPass;
  readonly mean: number;
  readonly square: number;
  readonly power: number;
}

/** Inputs as whole numbers, and what their quantisation (and passes left out) misses them by. */
export function driveOf(
  target: HybridTarget, inputs: Float32Array, passes: readonly ReadPass[],
): { driven: DrivenPass[]; missed: number; high: number } {
  const { low, high } = inputLimits(target);
  const whole = inputs.map((x) => Math.min(Math.max(Math.round(x * high), low), high));
  const driven = passes.map((pass) => {
    const digits = Float64Array.from(whole, (x) => pass.digit(x));
    return {
      pass, mean: meanOf(digits, (d) => d), square: meanOf(digits, (d) => d * d),
      power: meanOf(digits, (d) => pass.power(d)),
    };
  });
  let missed = 0;
  inputs.forEach((x, i) => {
    const held = passes.reduce((sum, p) => sum + p.weight * p.digit(whole[i] as number), 0);
    missed += (x - held / high) ** 2 / inputs.length;
  });
  return { driven, missed, high };
}

/** How often a product converts each pass and slice, and how many inputs meet in a conversion. */
function conversionsOf(unit: UnitQuality, target: HybridTarget): Conversions {
  const grid = tileGrid(unit.shape, target);
  const own = Math.ceil(unit.shape.rowsK / grid.rowTiles);
  const fullest = own * grid.groupsPerTile;
  const rowsAtOnce = target.array.rowsAtOnce?.value ?? target.array.rows.value;
  const atOnce = Math.max(1, Math.floor(rowsAtOnce / grid.layout.rowsPerInput));
  return {
    inputs: Math.min(own, atOnce),
    perProduct: grid.rowTiles * Math.ceil(own / atOnce),
    fullest: Math.min(fullest, atOnce),
  };
}

interface Conversions {
  /** Own inputs on a column of one conversion. */
  readonly inputs: number;
  readonly perProduct: number;
  /** Rows driven in the fullest read. */
  readonly fullest: number;
}

/** A unit's product on the arrays: everything its conversions depend on. */
export interface Product {
  readonly unit: UnitQuality;
  readonly scaling: Scaling;
  readonly cells: Cells;
  readonly slices: readonly SliceMoments[];
  readonly driven: readonly DrivenPass[];
  readonly high: number;
}

/** Thermal variance of one conversion whose digit of 1 is one pulse, over span^2. */
function thermalOf({ cells: { target, encoding } }: Product, inputs: number, g: number): number {
  const { temperature, bandwidth } = target.noise;
  const volts = target.input.readVoltage.value;
  const span = encoding.gMax - encoding.gMin;
  const current2 = 4 * BOLTZMANN * temperature.value * bandwidth.value * inputs * g;
  return current2 / (volts * span) ** 2;
}

/** Thermal noise of all conversions, in shares. */
export function thermalPower(over: Product): number {
  const { cells: { target, encoding, apart }, slices, driven, high, unit } = over;
  const { inputs, perProduct } = conversionsOf(unit, target);
  let sum = 0;
  for (const { pass } of driven) {
    slices.forEach(({ conductance }, s) => {
      const sides = apart ? 2 : 1;
      const each = thermalOf(over, inputs, conductance / sides) * pass.thermal ** 2;
      sum += (pass.weight * (encoding.significance[s] as number)) ** 2 * each * sides;
    });
  }
  return (encoding.gain ** 2 * perProduct * sum) / high ** 2;
}

/** Codes of a converter: of both signs, with one fewer bit each, where currents have both. */
function codesOf(pass: ReadPass, { target, apart }: Cells): { high: number; signed: boolean } {
  const { scheme, subtract } = target.encoding;
  const signed = pass.signed || (scheme === "offset" ? subtract === "analog" : !apart);
  return { high: Math.max(1, 2 ** (pass.converterBits - (signed ? 1 : 0)) - 1), signed };
}

/**
 * What conversions add, and the part of the cells' noise that they leave: rounding to whole levels
 * takes small noise away. The column current of a conversion is normal with the moments of its
 * cells and digits; its variance is corrected by what the unit's real outputs vary.
 */
export function conversionErrors(over: Product): { kept: number; power: number } {
  const { unit, scaling, cells, slices, driven, high } = over;
  const { target, encoding } = cells;
  const { inputs, perProduct, fullest } = conversionsOf(unit, target);
  const { policy, percentile } = target.adc.range;
  const level = encoding.bits === "continuous" ? 1 : 1 / (2 ** encoding.bits - 1);
  const real = realOverIndependent(unit, scaling);
  // No sample has more values than can be told apart at this percentile.
  const share = Math.min(percentile?.value ?? 1, 1 - 1e-6);
  const isWhole = policy === "granular" && encoding.bits !== "continuous";

  /** Mean and variance of a column current, in shares of a full cell times digits. */
  const columnOf = (column: { mean: number; square: number }, p: DrivenPass) => {
    const mean = inputs * column.mean * p.mean;
    const alone = inputs * (column.square * p.square - (column.mean * p.mean) ** 2);
    return { mean, sigma: Math.sqrt(Math.max(0, alone * real)) };
  };
  /** Value of one code of a kind of conversion and slice. */
  const lsbOf = (kind: number, slice: SliceMoments): number => {
    const own = driven.filter(({ pass }) => pass.kind === kind);
    const top = Math.max(...own.map(({ pass }) => codesOf(pass, cells).high));
    if (policy === "granular") return level;
    const largest = Math.max(...own.map(({ pass }) => pass.largest), 1);
    if (policy === "max") return (largest * fullest) / top;
    const currents = own.flatMap((p) => slice.columns.map((column) => columnOf(column, p)));
    return Math.max(magnitudeAt(share, currents), 1e-30) / top;
  };

  // What clipping takes away on average has the same sign everywhere: it adds up before squaring.
  let [before, after, power, bias] = [0, 0, 0, 0];
  slices.forEach((slice, s) => {
    for (const p of driven) {
      const { pass } = p;
      const weight = pass.weight * (encoding.significance[s] as number);
      const factor = weight ** 2 * perProduct;
      const lsb = lsbOf(pass.kind, slice);
      const codes = codesOf(pass, cells);
      slice.columns.forEach((column, side) => {
        const { mean, sigma } = columnOf(column, p);
        const cut = clipped(mean, sigma, codes.high * lsb, codes.signed);
        bias += weight * perProduct * cut.mean * (side === 1 ? -1 : 1);
        const sides = slice.columns.length;
        const noise = inputs * (p.square * slice.programming + p.power * slice.read) / sides +
          thermalOf(over, inputs, slice.conductance / sides) * pass.thermal ** 2;
        const rounded = isWhole ? lsb ** 2 * squareRounded(Math.sqrt(noise) / lsb) : noise;
        const step = isWhole ? Math.max(0, rounded - noise)
          : lsb ** 2 * squareOfRounding(mean / lsb, Math.sqrt(sigma ** 2 + noise) / lsb);
        before += factor * noise;
        after += factor * Math.min(noise, rounded);
        power += factor * (step + Math.max(0, cut.square - cut.mean ** 2));
      });
    }
  });
  const kept = before > 0 ? after / before : 1;
  return { kept, power: (encoding.gain ** 2 * (power + bias ** 2)) / high ** 2 };
}

/** The magnitude that a share of normal currents, all together, does not exceed. */
function magnitudeAt(
  share: number, currents: readonly { readonly mean: number; readonly sigma: number }[],
): number {
  const within = (top: number): number => currents.reduce((sum, { mean, sigma }) => sum +
    (sigma === 0 ? Number(Math.abs(mean) <= top)
      : cumulative((top - mean) / sigma) - cumulative((-top - mean) / sigma)), 0);
  let low = 0;
  let high = Math.max(...currents.map(({ mean, sigma }) => Math.abs(mean) + 6 * sigma));
  for (let i = 0; i < 20; i++) {
    const middle = (low + high) / 2;
    if (within(middle) < share * currents.length) low = middle;
    else high = middle;
  }
  return high;
}

/** First two moments of what clipping takes from a normal current. */
function clipped(
  mean: number, sigma: number, top: number, signed: boolean,
): { mean: number; square: number } {
  const [above, square] = [meanAbove(mean - top, sigma), squareAbove(mean - top, sigma)];
  if (!signed) return { mean: above, square };
  return {
    mean: above - meanAbove(-mean - top, sigma),
    square: square + squareAbove(-mean - top, sigma),
  };
}

/**
 * Variance of the unit's real outputs over what independent weights and inputs would give, kept
 * within an order of magnitude: a trained layer answers to its inputs, a column is not noise.
 */
function realOverIndependent(unit: UnitQuality, scaling: Scaling): number {
  const alone = unit.shape.rowsK * meanOf(unit.weights[scaling], (r) => r * r) *
    meanOf(unit.inputs, (x) => x * x);
  if (alone === 0) return 1;
  return Math.min(10, Math.max(0.1, unit.signal[scaling] / alone));
}
