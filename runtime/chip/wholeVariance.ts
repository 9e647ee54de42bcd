/**
 * The variance of read noise as a contraction of small integers: squared inputs in steps of their
 * largest, times cell variances in steps of their column. Integers of 16 bits are multiplied twice
 * as fast as floats, and on every device to the same sum.
 *
 * What rounding costs. With inputs x_i, a column's cell variances s_i, at most `largest` (Q) steps
 * for the squares and a column's unit u, |computed - exact| of sum_i s_i x_i^2 is at most
 *
 *     max(x)^2 / (2 Q) * sum_i s_i  +  u / 2 * sum_i x_i^2
 *
 * which is 2^-13 of the variance that all rows at the largest input would give, and half a step of
 * the cells. Squares of at most 8 bits, which is what converters are fed, are not rounded at all.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import { isOp, type Node, type Value } from "../../compiler/graph/graph.ts";
import { range } from "./axes.ts";
import type { Heart } from "./operand.ts";
import type { Pass } from "./passes.ts";

/** Steps up to the square of the largest input of a sample. */
export const SQUARE_STEPS = 4095;
/** Most steps where squares are whole already: those of 8-bit inputs are kept as they are. */
const MOST_STEPS = 2 ** 14;

/** Thermal noise is that of a read in which every pulse comes. */
const largestPower = ({ largest, thermal }: Pass): number =>
  Math.max(largest ** 2, Math.round(thermal ** 2));

/** Steps up to the largest power of a pass; a step is 1 where that fits. */
export const powerSteps = (pass: Pass): number => Math.min(largestPower(pass), MOST_STEPS);

export interface WholeVariances {
  readonly whole: Int16Array;
  /** Variance of one step, per column. */
  readonly units: Float32Array;
}

/**
 * Variances in whole steps of their columns, fine enough for 16 bits and so coarse that the sum of
 * a column's products stays below 2^31.
 * @param columnOf the column that each element belongs to
 * @param largest most steps of what they are multiplied with
 */
export function wholeVariances(
  variance: ArrayLike<number>, columnOf: ArrayLike<number>, columns: number, largest: number,
): WholeVariances {
  const [most, sum, count] = [0, 1, 2].map(() => new Float64Array(columns)) as
    [Float64Array, Float64Array, Float64Array];
  for (let i = 0; i < variance.length; i++) {
    const [column, v] = [columnOf[i] as number, variance[i] as number];
    most[column] = Math.max(most[column] as number, v);
    sum[column]! += v;
    count[column]! += 1;
  }
  // Every element may be rounded up by half a step.
  const room = (column: number): number =>
    (2 ** 31 - 1) / largest - (count[column] as number) / 2;
  const units = Float32Array.from({ length: columns }, (_, column) => {
    const unit = Math.max((most[column] as number) / 32767, (sum[column] as number) / room(column));
    // float32 may round the unit down.
    return unit > 0 ? unit * (1 + 2 ** -22) : 1;
  });
  const whole = Int16Array.from({ length: variance.length }, (_, i) =>
    Math.round((variance[i] as number) / (units[columnOf[i] as number] as number)));
  return { whole, units };
}

/**
 * Whole numbers from 0 to the number of steps, as int16, which tells a device how small they are;
 * and what one step is worth.
 */
export interface WholePower {
  readonly whole: Value;
  readonly step: Value;
}

/**
 * Squares of a contraction's input, as large as it, in steps of that of the largest input of the
 * same sample: of an image, or of all that one row of results is made of. The steps have the axes
 * of the samples alone.
 */
export function wholeSquares(
  b: Builder, { heart, input }: { heart: Heart; input: number }, x: Value,
): WholePower {
  const rank = x.type.shape.length;
  const { batch, contract } = isOp(heart, "conv") ? { batch: 0, contract: rank - 1 }
    : (heart as Node<"dot">).attrs;
  const isLast = isOp(heart, "conv") || input === 0;
  const inner = isLast ? range(rank - contract, rank) : range(batch, batch + contract);
  const over = [...range(0, batch), ...inner];
  // Numbers without a sign are in the order of their bits, and integers are compared faster.
  const bits = b.add("bitcast", [b.unary("abs", x)], { dtype: "int32" });
  const peak = b.add("bitcast", [b.reduce("max", bits, over, true)], { dtype: "float32" });
  const zero = b.full(peak, 0);
  const perPeak = b.where(b.binary("lt", zero, peak), b.div(b.full(peak, 1), peak), zero);
  const share = b.mul(x, b.broadcast(perPeak, x.type.shape));
  const power = b.mul(share, share);
  const whole = rounded(b, b.mul(power, b.full(power, SQUARE_STEPS)));
  const square = b.mul(b.mul(peak, peak), b.full(peak, 1 / SQUARE_STEPS));
  const samples = square.type.shape.filter((_, axis) => !over.includes(axis));
  return { whole, step: b.reshape(square, samples) };
}

/** What one step of a pass's power is worth. */
export const powerStep = (pass: Pass): number => largestPower(pass) / powerSteps(pass);

/** The power of a pass's digits in steps, from 0 to their number, as int16. */
export function wholePulses(b: Builder, power: Value, pass: Pass): Value {
  const perUnit = 1 / powerStep(pass);
  return rounded(b, perUnit === 1 ? power : b.mul(power, b.full(power, perUnit)));
}

/** Powers are at most their number of steps, but for float32's rounding. */
const rounded = (b: Builder, power: Value): Value => b.cast(b.unary("round", power), "int16");
