/**
 * The formulas of section 4 of the crossbar reference, evaluated from a device file: how far a
 * programmed conductance spreads, relaxes and drifts, how noisy a read is, what current flows. Only
 * means and standard deviations; drawing random numbers is the chip simulator's part.
 *
 * A device that is used in another window than it was measured in keeps the shape of its curves in
 * g/gMax, and its spreads scale with gMax (aihwkit's rule, which aihwkit 1.1 misses for Wan 2022).
 */
import type { Curve, CurveArgument, Device } from "./device.ts";
import { DIMENSIONS } from "./units.ts";
import type { Second, Siemens } from "./units.ts";

/** Where a curve is evaluated: conductance and time in SI. */
interface Point {
  readonly g: number;
  readonly t: number;
}

const MICRO = 1e-6;
/** Below this ratio ln and powers are held: a cell at zero has no logarithm. */
const SMALLEST_RATIO = 1e-7;

const ARGUMENTS: Record<CurveArgument, (point: Point, gMax: number) => number> = {
  "g/gMax": ({ g }, gMax) => g / gMax,
  "ln g/gMax": ({ g }, gMax) => Math.log(Math.max(g / gMax, SMALLEST_RATIO)),
  "g/uS": ({ g }) => g / MICRO,
  "log10 g/uS": ({ g }) => Math.log10(Math.max(g, SMALLEST_RATIO * MICRO) / MICRO),
  "log10 g/S": ({ g }) => Math.log10(Math.max(g, SMALLEST_RATIO * MICRO)),
  "ln t/s": ({ t }) => Math.log(t),
};

const FORMS: Record<"polynomial" | "power", (c: readonly number[], x: number) => number> = {
  polynomial: (c, x) => c.reduceRight((acc, ck) => acc * x + ck, 0),
  power: (c, x) => (c[0] ?? 0) * Math.max(x, SMALLEST_RATIO) ** (c[1] ?? 1),
};

/** The curve in SI (siemens, or no dimension) at a point of the device's own window. */
function evaluate(curve: Curve, point: Point, gMax: number): number {
  const r = point.g / gMax;
  const piece =
    curve.pieces.find((p) => p.below === undefined || r < p.below) ?? curve.pieces.at(-1);
  if (piece === undefined) return 0;
  const x = ARGUMENTS[piece.argument](point, gMax);
  const raw = FORMS[piece.form](piece.coefficients, x);
  const clamped = Math.min(Math.max(raw, piece.min ?? -Infinity), piece.max ?? Infinity);
  return clamped * unitFactor(curve.unit);
}

const unitFactor = (unit: string): number =>
  unit === "1" ? 1 : ((DIMENSIONS.S.units as Record<string, number>)[unit] ?? Number.NaN);

const isRatio = (curve: Curve): boolean => curve.unit === "1";

/** Conductances are mapped into the device's own window and results back. */
function scaleTo(device: Device, gMax: number | undefined): number {
  return (gMax ?? device.window.gMax.value) / device.window.gMax.value;
}

/**
 * Standard deviation (half width for a uniform device, sigma of ln g for a log-normal one) of a
 * conductance some time after programming, before relaxation by `relaxation` and `drift`.
 * Between the measured times it is interpolated linearly in ln t, and held outside them.
 * @param g target conductance, siemens
 * @param t seconds since programming
 * @param gMax top of the window in use; the device's own unless given
 * @returns siemens, or the sigma of ln g for a log-normal device
 */
export function programmingSigma(device: Device, g: Siemens, t: Second, gMax?: Siemens): number {
  const scale = scaleTo(device, gMax);
  const top = device.window.gMax.value;
  const own: Point = { g: g / scale, t };
  const sigmaAt = (index: number): number => {
    const entry = device.programming.spread[index];
    if (entry === undefined) return 0;
    const value = Math.max(0, evaluate(entry.sigma, own, top));
    if (device.programming.distribution === "log-normal") return value;
    return isRatio(entry.sigma) ? value * g : value * scale;
  };
  const times = device.programming.spread.map((entry) => entry.time.value);
  const next = times.findIndex((time) => time > t);
  if (next === 0) return sigmaAt(0);
  if (next === -1) return sigmaAt(times.length - 1);
  const before = times[next - 1] as number;
  const after = times[next] as number;
  const weight = Math.log(t / before) / Math.log(after / before);
  return (1 - weight) * sigmaAt(next - 1) + weight * sigmaAt(next);
}

/** Shift of the mean and its spread between devices since programming, siemens. */
export interface Relaxation {
  readonly shift: number;
  readonly spread: number;
}

/** Relaxation of a log-time device at time t; zero for the other kinds. */
export function relaxation(device: Device, g: Siemens, t: Second, gMax?: Siemens): Relaxation {
  if (device.time.kind !== "log-time" || t <= 0) return { shift: 0, spread: 0 };
  const scale = scaleTo(device, gMax);
  const point: Point = { g: g / scale, t };
  const top = device.window.gMax.value;
  return {
    shift: evaluate(device.time.shift, point, top) * scale,
    spread: Math.max(0, evaluate(device.time.spread, point, top)) * scale,
  };
}

/** Mean and spread of the drift exponent nu, and the time the power law starts from. */
export interface DriftExponent {
  readonly start: Second;
  readonly mean: number;
  readonly spread: number;
}

/** g(t) = g (t/start)^-|mean + spread N| after start; undefined when the device does not drift. */
export function driftExponent(
  device: Device,
  g: Siemens,
  gMax?: Siemens,
): DriftExponent | undefined {
  if (device.time.kind !== "power-law") return undefined;
  const point: Point = { g: g / scaleTo(device, gMax), t: 1 };
  const top = device.window.gMax.value;
  return {
    start: device.time.start.value,
    mean: evaluate(device.time.nuMean, point, top),
    spread: evaluate(device.time.nuSpread, point, top),
  };
}

/**
 * Standard deviation of one read at time t after programming, siemens.
 * Flicker noise grows as sqrt(ln((t + tr) / (2 tr))), tr the read time (Nandakumar, ICECS 2019).
 */
export function readSigma(device: Device, g: Siemens, t: Second, gMax?: Siemens): number {
  const { read } = device;
  if (read.kind === "none") return 0;
  if (read.kind === "relative") return read.sigma.value * g;
  const scale = scaleTo(device, gMax);
  const point: Point = { g: g / scale, t };
  const amplitude = Math.max(0, evaluate(read.amplitude, point, device.window.gMax.value));
  const tr = read.readTime.value;
  const growth = Math.sqrt(Math.max(0, Math.log((t + tr) / (2 * tr))));
  return amplitude * growth * (isRatio(read.amplitude) ? g : scale);
}

/**
 * Distance of the two levels of a cell that has telegraph noise, siemens; 0 where the device has
 * none. Which cells have it is for the chip simulator to draw.
 */
export function telegraphStep(device: Device, g: Siemens, gMax?: Siemens): number {
  if (!device.telegraph) return 0;
  const { amplitude } = device.telegraph;
  const scale = scaleTo(device, gMax);
  const point: Point = { g: g / scale, t: 1 };
  const step = Math.max(0, evaluate(amplitude, point, device.window.gMax.value));
  return step * (isRatio(amplitude) ? g : scale);
}

/** Current and its derivative with respect to voltage. */
export interface CellCurrent {
  readonly ampere: number;
  readonly siemens: number;
}

const polynomial = FORMS.polynomial;

/** A term c(g) V^n of a law, n above 1. */
export interface CurrentTerm {
  readonly power: number;
  /** Ampere per volt^n. */
  coefficient(g: Siemens): number;
}

/** What a device's current-voltage law adds to g V; every law is a polynomial in V. */
export function currentTerms(device: Device): readonly CurrentTerm[] {
  const law = device.currentVoltage;
  if (law.kind === "linear") return [];
  if (law.kind === "cubic") return [{ power: 3, coefficient: (g) => g * law.k3.value }];
  const fit = (values: readonly number[]) => (g: Siemens): number =>
    polynomial(values, Math.log10(Math.max(g, SMALLEST_RATIO * MICRO)));
  return [
    { power: 2, coefficient: fit(law.a2.values) }, { power: 3, coefficient: fit(law.a3.values) },
  ];
}

/** Current of a cell at a voltage, by the device's current-voltage law (V signed, volts). */
export function cellCurrent(device: Device, g: Siemens, v: number): CellCurrent {
  let [ampere, siemens] = [g * v, g as number];
  for (const { power, coefficient } of currentTerms(device)) {
    const c = coefficient(g);
    ampere += c * v ** power;
    siemens += power * c * v ** (power - 1);
  }
  return { ampere, siemens };
}
