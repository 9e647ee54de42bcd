/**
 * The passes of a product as numbers: which digit of a quantised input each read drives a row
 * with, and what its converter is. What the chip simulation does with tensors, here for single
 * values, so that a target's error can be predicted from a sample of inputs.
 */
import type { Coding, HybridTarget } from "../../../targets/schema.ts";
import { inputMagnitudeBits, integrationGroups } from "../../../targets/schedule.ts";

export interface ReadPass {
  /** The part of a whole number that this pass drives a row with. */
  digit(whole: number): number;
  /** Sum of the squares of the pulses that make up a digit: what read noise grows with. */
  power(digit: number): number;
  /** Of the codes, in the digital sum. */
  readonly weight: number;
  readonly largest: number;
  readonly signed: boolean;
  readonly converterBits: number;
  /** Conversions of one kind share a range. */
  readonly kind: number;
  /** Thermal noise over that of one read with a digit of 1. */
  readonly thermal: number;
}

/** Whole numbers that an input takes. */
export function inputLimits({ input }: HybridTarget): { low: number; high: number } {
  const bits = input.bits.value;
  if (input.sign === "unsigned") return { low: 0, high: 2 ** bits - 1 };
  if (input.sign === "twos-complement") {
    return { low: -(2 ** (bits - 1)), high: 2 ** (bits - 1) - 1 };
  }
  const high = 2 ** Math.max(1, bits - 1) - 1;
  return { low: -high, high };
}

/** A part of the input that is driven by itself: all of it, or one polarity. */
interface Part {
  readonly weight: number;
  readonly signed: boolean;
  of(whole: number): number;
}

function partsOf({ input }: HybridTarget): Part[] {
  const signed = input.sign !== "unsigned";
  if (input.phases.value === 1) return [{ weight: 1, signed, of: (x) => x }];
  return [
    { weight: 1, signed: false, of: (x) => Math.max(x, 0) },
    { weight: -1, signed: false, of: (x) => Math.max(-x, 0) },
  ];
}

/** Bits [from, from + count) of a magnitude, with its sign; the last field takes what is left. */
function field(x: number, from: number, count: number, top: boolean): number {
  const low = Math.trunc(x / 2 ** from);
  return top ? low : low - Math.trunc(x / 2 ** (from + count)) * 2 ** count;
}

/** The same of a two's complement: rounded down, and the top field keeps the sign. */
function complementField(x: number, from: number, count: number, top: boolean): number {
  const low = Math.floor(x / 2 ** from);
  return top ? low : low - Math.floor(x / 2 ** (from + count)) * 2 ** count;
}

const square = (x: number): number => x * x;

type Rule = (target: HybridTarget, part: Part) => ReadPass[];

const wholeValue = (thermal: (magnitude: number) => number): Rule => (target, part) => {
  const { high } = inputLimits(target);
  const { sign } = target.input;
  return [{
    digit: part.of, power: square, weight: part.weight,
    largest: sign === "twos-complement" ? high + 1 : high,
    signed: part.signed, converterBits: target.adc.bits.value, kind: 0,
    thermal: thermal(sign === "unsigned" ? target.input.bits.value
      : Math.max(1, target.input.bits.value - 1)),
  }];
};

const RULES: Record<Coding, Rule> = {
  "bit-serial": (target, part) => {
    const { input, adc } = target;
    const [bits, slice] = [input.bits.value, input.sliceBits.value];
    const base = { converterBits: adc.bits.value, kind: 0 };
    if (input.sign === "twos-complement") {
      return Array.from({ length: bits }, (_, k): ReadPass => ({
        ...base, digit: (x) => field(x < 0 ? x + 2 ** bits : x, k, 1, k === bits - 1),
        power: (d) => d, weight: part.weight * (k === bits - 1 ? -1 : 1) * 2 ** k,
        largest: 1, signed: false, thermal: 1,
      }));
    }
    const total = inputMagnitudeBits(target);
    const slices = Math.ceil(total / slice);
    return Array.from({ length: slices }, (_, s): ReadPass => {
      const from = s * slice;
      const count = Math.min(slice, total - from);
      return {
        ...base, digit: (x) => field(part.of(x), from, count, s === slices - 1),
        power: count === 1 ? Math.abs : square, weight: part.weight * 2 ** from,
        largest: 2 ** count - 1, signed: part.signed, thermal: 2 ** slice - 1,
      };
    });
  },
  "bit-serial-integrated": (target, part) => {
    const { input, adc } = target;
    const complement = input.sign === "twos-complement";
    const total = inputMagnitudeBits(target);
    let left = total;
    let bits: number = adc.bits.value;
    const groups = integrationGroups(total, input.phaseBits?.value ?? total);
    return groups.flatMap((count, kind): ReadPass[] => {
      left -= count;
      const [from, given, top] = [left, bits, kind === 0];
      bits = Math.max(0, bits - count);
      // A signed converter spends a bit on the sign; with none left there is no conversion.
      if (given < (part.signed ? 2 : 1)) return [];
      return [{
        digit: (x) => complement
          ? complementField(x, from, count, top) : field(part.of(x), from, count, top),
        power: (d) => pulsePower(complement && top && d < 0 ? d + 2 ** count : Math.abs(d), count),
        weight: part.weight * 2 ** from,
        largest: complement && top ? 2 ** (count - 1) : 2 ** count - 1,
        signed: part.signed, converterBits: given, kind,
        thermal: Math.sqrt((4 ** count - 1) / 3),
      }];
    });
  },
  "pulse-width": wholeValue((magnitude) => 2 ** magnitude),
  amplitude: wholeValue((magnitude) => 2 ** magnitude - 1),
  digital: wholeValue(() => 0),
};

/** Sum over bits k of 4^k bit_k: each bit is one pulse, integrated 2^k times. */
function pulsePower(number: number, count: number): number {
  let sum = 0;
  for (let k = 0; k < count; k++) sum += 4 ** k * field(number, k, 1, k === count - 1);
  return sum;
}

/** The passes of one product. */
export const readPasses = (target: HybridTarget): ReadPass[] =>
  partsOf(target).flatMap((part) => RULES[target.input.coding](target, part));
