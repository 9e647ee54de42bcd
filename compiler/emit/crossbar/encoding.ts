/**
 * How a weight becomes the conductances of the cells that hold it, and back: the numbers of one
 * encoding, worked out once per target. Placing cells on tiles is `compiler/partition/tiling.ts`;
 * what happens to a conductance on a chip is the chip simulation's business.
 *
 * A weight is a share r = w / scale of its column's scale, |r| <= 1. Differential schemes hold r as
 * signed digits, a digit being the difference of two cells; the offset scheme holds r shifted by
 * half the range (ISAAC's bias, Shafiee et al., ISCA 2016) as unsigned digits. Slice s has the
 * significance L^s, L levels per cell. Decoding is the same sum for every scheme:
 *
 *   r = gain (sum_s significance_s x_s - zero),
 *   x_s = (g+ - g-) / (gMax - gMin), or (g - gMin) / (gMax - gMin) with an offset.
 */
import { UserError } from "../../errors.ts";
import type { HybridTarget } from "../../../targets/schema.ts";
import type { Siemens } from "../../../targets/units.ts";

/** Conductances in siemens. */
export interface Encoding {
  readonly scheme: HybridTarget["encoding"]["scheme"];
  /** one: the other cell of a pair stays at gMin. two: both move about the middle. */
  readonly sides: "one" | "two";
  readonly slices: number;
  /** Bits per cell; "continuous" cells take any conductance between gMin and gMax. */
  readonly bits: number | "continuous";
  readonly subtract: "analog" | "digital";
  readonly gMin: Siemens;
  readonly gMax: Siemens;
  /** Per slice, least significant first; a full weight has all x_s = 1, and they sum to 1. */
  readonly significance: readonly number[];
  readonly gain: number;
  readonly zero: number;
  /**
   * Per slice: the conductance whose current is taken from every cell's before conversion (a
   * trimmed reference column). gMin where columns are converted singly, the cell of weight 0 where
   * an offset is subtracted in the analog domain; 0 where a pair subtracts.
   */
  readonly reference: readonly Siemens[];
  /** Per slice: cells between the groups of a packed tile, which must add nothing to an output. */
  readonly idle: readonly Siemens[];
}

/** Digits are computed in float64. */
const MAX_BITS = 52;

/**
 * The encoding of a target.
 * @throws UserError when a weight would have more bits than float64 holds
 */
export function encodingOf(target: HybridTarget): Encoding {
  const { scheme, sides, slices, subtract } = target.encoding;
  const { gMin, gMax } = target.cell;
  const bits = target.cell.bits === "continuous" ? "continuous" : target.cell.bits.value;
  const count = slices.value;
  const weightBits = bits === "continuous" ? 0 : bits * count;
  if (weightBits > MAX_BITS) {
    throw new UserError(`a weight of ${count} slices of ${bits} bits has more than ${MAX_BITS}`, {
      place: `target ${target.name}: encoding.slices`,
      remedy: "Use fewer slices or fewer bits per cell.",
    });
  }
  const levels = bits === "continuous" ? 2 : 2 ** bits;
  const top = levels ** count - 1;
  const significance = Array.from({ length: count }, (_, s) => (levels ** s * (levels - 1)) / top);
  const offset = scheme === "offset";
  const half = offset ? zeroLevel(bits, count) : 0;
  const digits = new Float64Array(count);
  splitDigits(half, levels, digits);
  const conductance = (level: number): Siemens =>
    (gMin.value + (level * (gMax.value - gMin.value)) / (levels - 1)) as Siemens;
  const atZero = Array.from(digits, conductance);
  const atMinimum = atZero.map(() => gMin.value);
  const single = offset && subtract === "analog" ? atZero : atMinimum;
  return {
    scheme, sides, slices: count, bits, subtract, gMin: gMin.value, gMax: gMax.value,
    significance,
    gain: offset ? top / (top - half) : 1,
    zero: half / top,
    reference: offset || subtract === "digital" ? single : atMinimum.map(() => 0 as Siemens),
    idle: offset ? single : atMinimum,
  };
}

/**
 * The unsigned number that stands for 0 with an offset: 2^(B-1), so that the range below it has one
 * step that is not used. One bit, and continuous cells, have their zero in the middle.
 */
function zeroLevel(bits: number | "continuous", slices: number): number {
  const all = bits === "continuous" ? 1 : bits * slices;
  return all === 1 ? 0.5 : 2 ** (all - 1);
}

/** Digits of `number` in base `levels`; whatever is not whole stays in the least significant. */
function splitDigits(number: number, levels: number, digits: Float64Array): void {
  let rest = number;
  let weight = levels ** (digits.length - 1);
  for (let s = digits.length - 1; s > 0; s--, weight /= levels) {
    const digit = Math.floor(rest / weight);
    digits[s] = digit;
    rest -= digit * weight;
  }
  digits[0] = rest;
}

/** The same encoding with cells that hold any conductance: what level quantisation is judged by. */
export const withContinuousCells = (e: Encoding): Encoding & { readonly exact: true } =>
  ({ ...e, exact: true });

/** Where the cells of one weight lie in an array of conductances. */
export interface CellSteps {
  readonly perSlice: number;
  /** From a pair's positive cell to its negative one; 0 with an offset. */
  readonly toNegative: number;
}

/** Writes the conductances of a weight of share r; its first cell is `cells[first]`. */
export type CellWriter = (r: number, cells: Float32Array, first: number) => void;

/** Levels of the two cells of a pair that differ by `v`. */
type Pair = (v: number, span: number, exact: boolean) => readonly [number, number];
const pairs: Record<"one" | "two", Pair> = {
  one: (v) => (v < 0 ? [0, -v] : [v, 0]),
  two: (v, span, exact) => {
    const positive = exact ? (span + v) / 2 : Math.ceil((span + v) / 2);
    return [positive, positive - v];
  },
};

/**
 * The writer of weights r in [-1, 1]. Rounds r to the nearest number the digits hold, unless the
 * cells are continuous. Where only the levels are lifted (`exact`) the least significant cell holds
 * what is left of the weight, at most one level more than gMax.
 */
export function cellWriter(
  encoding: Encoding & { readonly exact?: true }, steps: CellSteps,
): CellWriter {
  const { bits, slices } = encoding;
  const exact = encoding.exact === true || bits === "continuous";
  // Digits of up to 31 bits are split by shifts: six times as fast.
  return exact || bits * slices > 31 ? plainWriter(encoding, steps, exact)
    : shiftingWriter(encoding, steps, bits);
}

interface Digits {
  readonly levels: number;
  readonly span: number;
  readonly top: number;
  /** The number that stands for 0, and how many numbers there are to one side of it. */
  readonly half: number;
  readonly scale: number;
  conductance(level: number): number;
}

function digitsOf({ scheme, bits, slices, gMin, gMax }: Encoding): Digits {
  const levels = bits === "continuous" ? 2 : 2 ** bits;
  const [span, top] = [levels - 1, levels ** slices - 1];
  const half = scheme === "offset" ? zeroLevel(bits, slices) : 0;
  const conductance = (level: number): number => gMin + (level * (gMax - gMin)) / span;
  return { levels, span, top, half, scale: top - half, conductance };
}

function plainWriter(encoding: Encoding, steps: CellSteps, exact: boolean): CellWriter {
  const { levels, span, top, half, scale, conductance } = digitsOf(encoding);
  const { perSlice, toNegative } = steps;
  const digits = new Float64Array(encoding.slices);
  if (encoding.scheme === "offset") {
    return (r, cells, first) => {
      const shifted = r * scale + half;
      // Half a level up, not to even: one bit has no level in the middle.
      splitDigits(exact ? shifted : Math.min(Math.floor(shifted + 0.5), top), levels, digits);
      for (let s = 0, cell = first; s < digits.length; s++, cell += perSlice) {
        cells[cell] = conductance(digits[s] as number);
      }
    };
  }
  const pair = pairs[encoding.sides];
  return (r, cells, first) => {
    const magnitude = Math.abs(r) * scale;
    splitDigits(exact ? magnitude : Math.round(magnitude), levels, digits);
    for (let s = 0, cell = first; s < digits.length; s++, cell += perSlice) {
      const digit = digits[s] as number;
      const [up, down] = pair(r < 0 ? -digit : digit, span, exact);
      cells[cell] = conductance(up);
      cells[cell + toNegative] = conductance(down);
    }
  };
}

/** The same numbers for levels of which there are few: conductances from a table of digits. */
function shiftingWriter(encoding: Encoding, steps: CellSteps, bits: number): CellWriter {
  const { levels, span, top, half, scale, conductance } = digitsOf(encoding);
  const { slices, sides } = encoding;
  const { perSlice, toNegative } = steps;
  const mask = levels - 1;
  if (encoding.scheme === "offset") {
    const table = Float32Array.from({ length: levels }, (_, level) => conductance(level));
    return (r, cells, first) => {
      let number = Math.min(Math.floor(r * scale + half + 0.5), top) | 0;
      for (let s = 0, cell = first; s < slices; s++, cell += perSlice, number >>>= bits) {
        cells[cell] = table[number & mask] as number;
      }
    };
  }
  // One table per sign of the weight, and per cell of the pair.
  const tableOf = (sign: number, which: 0 | 1): Float32Array =>
    Float32Array.from({ length: levels }, (_, digit) =>
      conductance(pairs[sides](sign * digit, span, false)[which]));
  const up = [tableOf(1, 0), tableOf(-1, 0)] as const;
  const down = [tableOf(1, 1), tableOf(-1, 1)] as const;
  return (r, cells, first) => {
    const side = r < 0 ? 1 : 0;
    const [positive, negative] = [up[side], down[side]];
    let number = Math.round(Math.abs(r) * scale) | 0;
    for (let s = 0, cell = first; s < slices; s++, cell += perSlice, number >>>= bits) {
      const digit = number & mask;
      cells[cell] = positive[digit] as number;
      cells[cell + toNegative] = negative[digit] as number;
    }
  };
}

/** The share r that cells hold, read back from their conductances. */
export function decodeCells(
  encoding: Encoding, positive: ArrayLike<number>, negative: ArrayLike<number>,
): number {
  const { scheme, significance, gain, zero, gMin, gMax } = encoding;
  let sum = 0;
  for (let s = 0; s < significance.length; s++) {
    const below = scheme === "offset" ? gMin : negative[s] as number;
    sum += significance[s] as number * ((positive[s] as number) - below);
  }
  return gain * (sum / (gMax - gMin) - zero);
}

/** Largest |r - decode(encode(r))|: half a step of the digits, and float32's rounding of cells. */
export function decodingError(encoding: Encoding): number {
  const { scheme, bits, slices, gain, gMin, gMax } = encoding;
  // Each stored conductance is off by half a unit in its last place.
  const rounding = 2 * gain * (gMax / (gMax - gMin)) * 2 ** -24;
  if (bits === "continuous") return rounding;
  const top = 2 ** (bits * slices) - 1;
  const half = scheme === "offset" ? zeroLevel(bits, slices) : 0;
  return 0.5 / (top - half) + rounding;
}
