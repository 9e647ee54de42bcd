/**
 * Converters by successive approximation: bit by bit, from the highest, a comparator says whether
 * the input is above the level of the code that is tried, and the level is what capacitors of
 * about 2^k units give together. Capacitors that miss their size bend the scale, a comparator with
 * an offset shifts it, an amplifier of finite gain flattens it. Without such faults the codes are
 * those of rounding, on every edge.
 *
 * Codes of either sign are sign and magnitude: the reference changes its polarity, the capacitors
 * stay the same. Levels (Spear et al., "The impact of analog-to-digital converter architecture and
 * variability on analog neural network accuracy", IEEE JXCDC 9, 2023, the converter that is not
 * split; CrossSim's `SarADC`):
 *
 *   S = (sum of the C_k whose bits are set) 2^bits / C_f, level = S / (1 + (1 + S / 2^bits) / gain)
 *
 * C_f is the capacitor about the amplifier, 2^bits units itself; C_f / (C_f + sum) is its feedback
 * factor. Which capacitors a converter has is for `converterBank.ts` to draw.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";

/** Capacitors of a conversion: bits of the magnitude of its codes. */
export const magnitudeBits = ({ high }: { readonly high: number }): number =>
  Math.log2(high + 1);

/** What finite gain divides levels by: 1 + fixed + perUnit S. */
interface Droop {
  readonly fixed: number;
  readonly perUnit: number;
}

const droopOf = (gain: number, bits: number): Droop =>
  ({ fixed: 1 / gain, perUnit: 2 ** -bits / gain });

/** Values of one graph that an approximation takes, each in the shape of the input. */
export interface Approximation {
  /** C_k 2^bits / C_f, from the smallest. */
  readonly capacitors: readonly Value[];
  /** Of the comparator, in codes. */
  readonly offset: Value;
  readonly isSigned: boolean;
  readonly openLoopGain: number | undefined;
}

/** Codes of inputs (in codes, not rounded), as whole numbers. */
export function approximated(
  b: Builder, x: Value, { capacitors, offset, isSigned, openLoopGain }: Approximation,
): Value {
  const bits = capacitors.length;
  const input = b.addition(x, offset);
  const magnitude = isSigned ? b.unary("abs", input) : input;
  let [held, code] = [b.full(x, 0), b.full(x, 0)];
  for (let k = bits - 1; k >= 0; k--) {
    const tried = b.addition(held, capacitors[k] as Value);
    // A code begins half a code below its level.
    let [seen, border] = [magnitude, b.sub(tried, b.full(tried, 0.5))];
    if (openLoopGain !== undefined) {
      const { fixed, perUnit } = droopOf(openLoopGain, bits);
      const droop = b.addition(b.mul(tried, b.full(tried, perUnit)), b.full(tried, 1 + fixed));
      seen = b.mul(magnitude, droop);
      border = b.sub(tried, b.mul(droop, b.full(droop, 0.5)));
    }
    // On the border itself the even code wins, as in rounding: only the last bit makes odd ones.
    const isAbove = b.binary(k === 0 ? "lt" : "le", border, seen);
    held = b.where(isAbove, tried, held);
    code = b.where(isAbove, b.addition(code, b.full(code, 2 ** k)), code);
  }
  return isSigned
    ? b.where(b.binary("lt", input, b.full(input, 0)), b.unary("neg", code), code) : code;
}

/**
 * Magnitude, in codes, beyond which a converter clips: where one code more would begin.
 * @param capacitors as for `approximated`, of one converter
 */
export function largestMagnitude(
  capacitors: readonly number[], openLoopGain: number | undefined,
): number {
  const level = capacitors.reduce((sum, c) => sum + c, 1);
  const { fixed, perUnit } = droopOf(openLoopGain ?? Infinity, capacitors.length);
  return level / (1 + fixed + perUnit * level) - 0.5;
}
