/**
 * SI quantities as branded numbers: a `Joule` cannot be passed where a `Second` is wanted, yet
 * costs no more than a number at run time. A file may write a figure with a prefix ("pJ", "um2");
 * the table below is the only place where a prefix becomes a factor. Not a units algebra: the
 * products that the cost model needs are the few functions at the end. The idea answers the unit
 * and scaling faults found in five published simulators.
 */
import { UserError } from "./errors.ts";

declare const brand: unique symbol;

/** A number known to be in the SI unit `U`. */
export type Quantity<U extends string> = number & { readonly [brand]: U };

export type Siemens = Quantity<"S">;
export type Ohm = Quantity<"ohm">;
export type Volt = Quantity<"V">;
export type Ampere = Quantity<"A">;
export type Joule = Quantity<"J">;
export type Second = Quantity<"s">;
export type SquareMetre = Quantity<"m2">;
export type Watt = Quantity<"W">;
export type Farad = Quantity<"F">;
export type Hertz = Quantity<"Hz">;
export type Kelvin = Quantity<"K">;
/** A mean square of a noisy current. */
export type SquareAmpere = Quantity<"A2">;
export type Bit = Quantity<"bit">;
/** A whole number of things: rows, tiles, pulses. */
export type Count = Quantity<"count">;
/** A dimensionless number: a fraction, an exponent. */
export type Ratio = Quantity<"1">;

interface Dimension {
  /** Every unit a file may use, as a factor to the SI unit. */
  readonly units: Readonly<Record<string, number>>;
  /** What the number must be, beyond finite. */
  readonly domain: "any" | "non-negative" | "positive" | "whole";
}

/** SI unit -> what a file may write for it. The keys are the brands. */
export const DIMENSIONS = {
  S: { units: { S: 1, mS: 1e-3, uS: 1e-6, nS: 1e-9 }, domain: "non-negative" },
  ohm: { units: { ohm: 1, kohm: 1e3, Mohm: 1e6 }, domain: "non-negative" },
  V: { units: { V: 1, mV: 1e-3 }, domain: "any" },
  A: { units: { A: 1, mA: 1e-3, uA: 1e-6, nA: 1e-9 }, domain: "any" },
  J: {
    units: { J: 1, mJ: 1e-3, uJ: 1e-6, nJ: 1e-9, pJ: 1e-12, fJ: 1e-15 },
    domain: "non-negative",
  },
  s: { units: { s: 1, ms: 1e-3, us: 1e-6, ns: 1e-9, ps: 1e-12 }, domain: "non-negative" },
  m2: { units: { m2: 1, mm2: 1e-6, um2: 1e-12 }, domain: "non-negative" },
  W: { units: { W: 1, mW: 1e-3, uW: 1e-6, nW: 1e-9 }, domain: "non-negative" },
  F: { units: { F: 1, nF: 1e-9, pF: 1e-12, fF: 1e-15 }, domain: "non-negative" },
  Hz: { units: { Hz: 1, kHz: 1e3, MHz: 1e6, GHz: 1e9 }, domain: "positive" },
  m: { units: { m: 1, um: 1e-6, nm: 1e-9 }, domain: "positive" },
  K: { units: { K: 1 }, domain: "positive" },
  bit: { units: { bit: 1 }, domain: "whole" },
  "op/s": { units: { "op/s": 1, "Gop/s": 1e9, "Top/s": 1e12 }, domain: "positive" },
  "B/s": { units: { "B/s": 1, "GB/s": 1e9 }, domain: "positive" },
  "J/op": { units: { "J/op": 1, "pJ/op": 1e-12, "fJ/op": 1e-15 }, domain: "non-negative" },
  "J/B": { units: { "J/B": 1, "pJ/B": 1e-12, "fJ/B": 1e-15 }, domain: "non-negative" },
  count: { units: { count: 1 }, domain: "whole" },
  "1": { units: { "1": 1 }, domain: "any" },
} as const satisfies Record<string, Dimension>;

export type Unit = keyof typeof DIMENSIONS;

const DOMAIN_WORDS: Record<Dimension["domain"], { test: (x: number) => boolean; words: string }> = {
  any: { test: () => true, words: "a finite number" },
  "non-negative": { test: (x) => x >= 0, words: "a finite number >= 0" },
  positive: { test: (x) => x > 0, words: "a finite number > 0" },
  whole: { test: (x) => x >= 0 && Number.isInteger(x), words: "a whole number >= 0" },
};

/** What a number in this unit must be, in words; undefined when `value` is fine. */
export function domainFault(value: number, unit: Unit): string | undefined {
  const domain = DOMAIN_WORDS[DIMENSIONS[unit].domain];
  return Number.isFinite(value) && domain.test(value) ? undefined : domain.words;
}

/**
 * A checked quantity.
 * @throws UserError naming `field` when the number is not finite or outside the unit's domain
 */
export function quantity<U extends Unit>(value: number, unit: U, field: string): Quantity<U> {
  const fault = domainFault(value, unit);
  if (fault !== undefined) {
    throw new UserError(`expected ${fault} in ${unit}, got ${value}`, {
      place: field,
      remedy: `Give ${field} a value that is ${fault}.`,
    });
  }
  return value as Quantity<U>;
}

const constructor =
  <U extends Unit>(unit: U) =>
  (value: number, field = "quantity"): Quantity<U> =>
    quantity(value, unit, field);

export const siemens = constructor("S");
export const ohm = constructor("ohm");
export const volt = constructor("V");
export const ampere = constructor("A");
export const joule = constructor("J");
export const second = constructor("s");
export const squareMetre = constructor("m2");
export const watt = constructor("W");
export const farad = constructor("F");
export const hertz = constructor("Hz");
export const bit = constructor("bit");
export const count = constructor("count");
export const ratio = constructor("1");

/** P t: the energy of a power held for a time. */
export const energyOverTime = (power: Watt, time: Second): Joule => (power * time) as Joule;

/** E[V^2] G t: what a conductance dissipates in a time; `meanSquare` in volt squared. */
export const dissipation = (meanSquare: number, conductance: Siemens, time: Second): Joule =>
  (meanSquare * conductance * time) as Joule;

/** C V^2: drawn from the supply to charge a capacitance through a full swing. */
export const switchingEnergy = (capacitance: Farad, swing: Volt): Joule =>
  (capacitance * swing * swing) as Joule;
