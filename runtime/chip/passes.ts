/**
 * How a quantised input meets an array: the passes of each input coding. A pass drives every row
 * with a digit of its input, reads the columns, converts, and weighs the codes digitally; the
 * passes of one product follow the counts of `targets/schedule.ts`, which the cost model prices.
 *
 * Bit-serial: one slice of bits per pass (ISAAC). Integrated: groups of bits, pulsed bit by bit and
 * added up on the neuron before one conversion, later groups with the bits that are left (NeuRRAM).
 * Pulse width and amplitude: the whole value at once. Digital: rows are read as stored words and
 * multiplied in logic, nothing is converted.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import { UserError } from "../../compiler/errors.ts";
import { integrationGroups } from "../../targets/schedule.ts";
import type { Coding } from "../../targets/schema.ts";

export interface Pass {
  /** The digits of quantised inputs (whole numbers held as floats). */
  digits(b: Builder, x: Value): Value;
  /** Sum of the squares of the pulses that make up a digit: what read noise grows with. */
  power(b: Builder, digits: Value): Value;
  /** Of the codes, in the digital sum. */
  readonly weight: number;
  /** Largest magnitude of a digit, and whether it may be negative. */
  readonly largest: number;
  readonly signed: boolean;
  readonly converterBits: number;
  /** Conversions of one kind share a converter range. */
  readonly kind: number;
  /** Thermal noise of the pass over that of one read with a digit of 1. */
  readonly thermal: number;
}

/** Whole numbers that an input takes. */
export interface InputRange {
  readonly low: number;
  readonly high: number;
}

type Input = CrossbarConfig["input"];

/** Float32 counts to 2^24. */
const MAX_BITS = 24;

const fault = (place: string, message: string, remedy: string): UserError =>
  new UserError(message, { place: `target: ${place}`, remedy });

/** @throws UserError when inputs of so many bits cannot be computed with */
export function inputRange({ bits, sign }: Pick<Input, "bits" | "sign">): InputRange {
  if (bits > MAX_BITS) {
    throw fault("input.bits", `inputs of ${bits} bits are more than devices compute exactly`,
      `Use at most ${MAX_BITS} bits.`);
  }
  if (sign === "unsigned") return { low: 0, high: 2 ** bits - 1 };
  if (sign === "sign-magnitude") {
    const high = 2 ** Math.max(1, bits - 1) - 1;
    return { low: -high, high };
  }
  if (bits < 2) {
    throw fault("input.bits", "one bit of two's complement has no positive number",
      "Use two bits or more, or another sign.");
  }
  return { low: -(2 ** (bits - 1)), high: 2 ** (bits - 1) - 1 };
}

/** A part of the input that is driven by itself: all of it, or one polarity. */
interface Part {
  readonly weight: number;
  readonly signed: boolean;
  of(b: Builder, x: Value): Value;
}

const scaled = (b: Builder, x: Value, factor: number): Value => b.mul(x, b.full(x, factor));
const positivePart = (b: Builder, x: Value): Value => b.max(x, b.full(x, 0));
const square = (b: Builder, x: Value): Value => b.mul(x, x);

/** What is driven apart, by the number of phases of a read. */
function partsOf({ phases, sign }: Input): Part[] {
  if (phases === 1) return [{ weight: 1, signed: sign !== "unsigned", of: (_, x) => x }];
  if (sign !== "sign-magnitude" || (phases !== 2 && phases !== 4)) {
    throw fault("input.phases", `${phases} phases with inputs that are ${sign} have no meaning`,
      "Use 1 phase; or, with sign-magnitude, 2 (signs of inputs apart) or 4 (of cells as well).");
  }
  return [
    { weight: 1, signed: false, of: positivePart },
    { weight: -1, signed: false, of: (b, x) => positivePart(b, b.unary("neg", x)) },
  ];
}

/** Whether the two cells of a pair are read apart: the columns of a pair give a code each. */
export const cellsApart = ({ input, encoding }: CrossbarConfig): boolean =>
  encoding.scheme !== "offset" && (input.phases === 4 || encoding.subtract === "digital");

/** Bits [from, from + count) of the magnitude of whole numbers, with their sign. */
function bitField(b: Builder, x: Value, from: number, count: number, top: boolean): Value {
  // Truncation keeps the sign, so both polarities are cut alike.
  const upper = (shift: number): Value =>
    shift === 0 ? x : b.unary("trunc", scaled(b, x, 2 ** -shift));
  const low = upper(from);
  return top ? low : b.sub(low, scaled(b, upper(from + count), 2 ** count));
}

type Rule = (input: Input, part: Part, converterBits: number) => Pass[];

/** The magnitude of one part has so many bits. */
const magnitudeBits = ({ bits, sign }: Input): number =>
  sign === "unsigned" ? bits : Math.max(1, bits - 1);

const wholeValue = (thermal: (magnitude: number) => number): Rule => (input, part, bits) => {
  const { high } = inputRange(input);
  return [{
    digits: (b, x) => part.of(b, x), power: square, weight: part.weight,
    largest: input.sign === "twos-complement" ? high + 1 : high,
    signed: part.signed, converterBits: bits, kind: 0, thermal: thermal(magnitudeBits(input)),
  }];
};

const rules: Record<Coding, Rule> = {
  "bit-serial": (input, part, converterBits) => {
    const { sliceBits, bits, sign } = input;
    if (sign === "twos-complement") return complementBits(input, part, converterBits);
    const total = sign === "unsigned" ? bits : magnitudeBits(input);
    const slices = Math.ceil(total / sliceBits);
    return Array.from({ length: slices }, (_, s): Pass => {
      const from = s * sliceBits;
      const count = Math.min(sliceBits, total - from);
      const largest = 2 ** count - 1;
      return {
        digits: (b, x) => bitField(b, part.of(b, x), from, count, s === slices - 1),
        power: count === 1 ? (b, d) => b.unary("abs", d) : square,
        weight: part.weight * 2 ** from,
        largest, signed: part.signed, converterBits, kind: 0,
        // A slice of several bits comes as an amplitude of that many steps.
        thermal: 2 ** sliceBits - 1,
      };
    });
  },
  "bit-serial-integrated": (input, part, converterBits) => {
    const complement = input.sign === "twos-complement";
    const total = complement ? input.bits : magnitudeBits(input);
    const groups = integrationGroups(total, input.phaseBits ?? total);
    let [left, bits] = [total, converterBits];
    return groups.flatMap((count, kind): Pass[] => {
      left -= count;
      const from = left;
      const given = bits;
      bits = Math.max(0, bits - count);
      const signed = part.signed;
      // A signed converter spends a bit on the sign; with none left there is no conversion.
      if (given < (signed ? 2 : 1)) return [];
      const top = kind === 0;
      // The sign bit of a two's complement is a pulse of the other polarity.
      const largest = complement && top ? 2 ** (count - 1) : 2 ** count - 1;
      return [{
        digits: (b, x) => complement
          ? complementField(b, x, from, count, top)
          : bitField(b, part.of(b, x), from, count, top),
        power: (b, d) => pulsePower(b, complement && top, d, count),
        weight: part.weight * 2 ** from, largest, signed, converterBits: given, kind,
        thermal: Math.sqrt(Array.from({ length: count }, (_, k) => 4 ** k)
          .reduce((sum, x) => sum + x, 0)),
      }];
    });
  },
  "pulse-width": wholeValue((magnitude) => 2 ** magnitude),
  amplitude: wholeValue((magnitude) => 2 ** magnitude - 1),
  digital: wholeValue(() => 0),
};

/** Whole numbers that are not negative: x, or x + 2^bits below 0. */
const unwrapped = (b: Builder, x: Value, bits: number): Value =>
  b.where(b.binary("lt", x, b.full(x, 0)), b.addition(x, b.full(x, 2 ** bits)), x);

/** Bits of a two's complement; the top group keeps the sign. */
function complementField(
  b: Builder, x: Value, from: number, count: number, top: boolean,
): Value {
  const upper = (shift: number): Value =>
    shift === 0 ? x : b.unary("floor", scaled(b, x, 2 ** -shift));
  return top ? upper(from) : b.sub(upper(from), scaled(b, upper(from + count), 2 ** count));
}

/** Sum over bits k of 4^k bit_k: each bit is one pulse, integrated 2^k times. */
function pulsePower(b: Builder, complement: boolean, digits: Value, count: number): Value {
  const number = complement ? unwrapped(b, digits, count) : b.unary("abs", digits);
  let sum = b.full(digits, 0);
  for (let k = 0; k < count; k++) {
    sum = b.addition(sum, scaled(b, bitField(b, number, k, 1, k === count - 1), 4 ** k));
  }
  return sum;
}

/** Bits of a two's complement one by one; the sign bit counts negatively in the digital sum. */
function complementBits(input: Input, part: Part, converterBits: number): Pass[] {
  const { bits, sliceBits } = input;
  if (sliceBits !== 1) {
    throw fault("input.sliceBits", "two's complement inputs are driven bit by bit",
      "Use sliceBits 1, or sign-magnitude inputs.");
  }
  return Array.from({ length: bits }, (_, k): Pass => ({
    digits: (b, x) => bitField(b, unwrapped(b, x, bits), k, 1, k === bits - 1),
    power: (_, d) => d,
    weight: part.weight * (k === bits - 1 ? -1 : 1) * 2 ** k,
    largest: 1, signed: false, converterBits, kind: 0, thermal: 1,
  }));
}

/**
 * The passes of one product, the least significant first.
 * @throws UserError when the target combines what has no meaning together
 */
export function passesOf({ input, converter, encoding }: CrossbarConfig): Pass[] {
  const parts = partsOf(input);
  if (input.phases === 4 && encoding.scheme === "offset") {
    throw fault("input.phases", "cells with an offset have no signs to be read apart",
      "Use 1 or 2 phases.");
  }
  return parts.flatMap((part) => rules[input.coding](input, part, converter.bits))
    .sort((p, q) => Math.abs(p.weight) - Math.abs(q.weight));
}
