/**
 * Noise as processes in time: how large, how fast it is forgotten, and how it is spread over
 * frequencies. Every process here is stationary with mean 0 and is made of one kind of part: a
 * value that is drawn anew at the events of a Poisson process and held in between, so that its
 * correlation falls as exp(-rate lag) and its spectrum is a Lorentzian.
 *
 * Formulas alone; drawing from them is `runtime/chip/noiseInTime.ts`. Sources: Machlup, "Noise in
 * semiconductors: spectrum of a two-parameter random signal", J. Appl. Phys. 25, 341 (1954), for
 * telegraph noise; McWhorter, "1/f noise and germanium surface properties" (1957), for 1/f noise as
 * a sum of Lorentzians whose corners are evenly spread over the logarithm of frequency.
 */

import type { Device } from "./device.ts";
import type { Second } from "./units.ts";

/** Variances are in the square of whatever fluctuates, times in seconds, frequencies in hertz. */
export type NoiseProcess =
  /** Thermal or shot noise behind a bandwidth: held for 1 / (2 bandwidth), then forgotten. */
  | { readonly kind: "white"; readonly variance: number; readonly bandwidth: number }
  /** Density variance / (ln(high / low) f) between two frequencies. */
  | {
      readonly kind: "flicker"; readonly variance: number;
      readonly low: number; readonly high: number;
    }
  /** Two levels, `step` apart: `upTime` is spent in the upper one at a time, on average. */
  | {
      readonly kind: "telegraph"; readonly step: number;
      readonly upTime: number; readonly downTime: number;
    };

/** A part of a process: drawn anew `rate` times a second on average, independent of the others. */
export interface NoisePart {
  readonly rate: number;
  readonly variance: number;
}

/**
 * Read noise of a device's cells in time, with variance 1: 1/f noise between the age of the cells
 * and the read time (what `readSigma` of `deviceModel.ts` adds up), or forgotten from read to read.
 * @param t seconds from programming to reading
 */
export function readNoise({ read }: Device, t: Second): NoiseProcess {
  const white: NoiseProcess = { kind: "white", variance: 1, bandwidth: Infinity };
  if (read.kind !== "flicker") return white;
  const tr = read.readTime.value;
  const [low, high] = [1 / (t + tr), 1 / (2 * tr)];
  return low < high ? { kind: "flicker", variance: 1, low, high } : white;
}

/** Telegraph noise of a cell that has it, levels 1 apart; undefined where the device has none. */
export function telegraphNoise({ telegraph }: Device): NoiseProcess | undefined {
  if (!telegraph) return undefined;
  const { highTime, lowTime } = telegraph;
  return { kind: "telegraph", step: 1, upTime: highTime.value, downTime: lowTime.value };
}

/**
 * Parts per decade of flicker noise. A decade and more inside the band their sum has its density
 * within 0.3 %; its correlation is within 0.002 at any lag.
 */
const PER_DECADE = 2;

interface Rule<P extends NoiseProcess> {
  variance(p: P): number;
  /** Of the values at two times that lie `lag` >= 0 seconds apart; 1 at lag 0. */
  correlation(p: P, lag: number): number;
  /** One-sided power density at a frequency. */
  density(p: P, frequency: number): number;
  /** Undefined where the process is not made of parts. */
  parts(p: P): NoisePart[] | undefined;
}
type Rules = { readonly [K in NoiseProcess["kind"]]: Rule<Extract<NoiseProcess, { kind: K }>> };

const lorentzian = ({ rate, variance }: NoisePart, frequency: number): number =>
  (4 * variance * rate) / (rate ** 2 + (2 * Math.PI * frequency) ** 2);

/** Share of the time in the upper level. */
const upShare = ({ upTime, downTime }: { upTime: number; downTime: number }): number =>
  upTime / (upTime + downTime);
const telegraphPart = (p: Extract<NoiseProcess, { kind: "telegraph" }>): NoisePart => ({
  rate: 1 / p.upTime + 1 / p.downTime,
  variance: p.step ** 2 * upShare(p) * (1 - upShare(p)),
});

const rules: Rules = {
  white: {
    variance: (p) => p.variance,
    correlation: (p, lag) => Math.max(0, 1 - 2 * p.bandwidth * lag),
    density({ variance, bandwidth }, frequency) {
      const x = (Math.PI * frequency) / (2 * bandwidth);
      return (variance / bandwidth) * (x === 0 ? 1 : (Math.sin(x) / x) ** 2);
    },
    parts: () => undefined,
  },
  flicker: {
    variance: (p) => p.variance,
    correlation({ low, high }, lag) {
      if (lag === 0) return 1;
      const [slow, fast] = [2 * Math.PI * low * lag, 2 * Math.PI * high * lag];
      return (exponentialIntegral(slow) - exponentialIntegral(fast)) / Math.log(high / low);
    },
    density({ variance, low, high }, frequency) {
      // The integral of Lorentzians over the logarithm of their corners.
      const share = (2 / Math.PI) * (Math.atan(high / frequency) - Math.atan(low / frequency));
      return (variance * share) / (Math.log(high / low) * frequency);
    },
    parts({ variance, low, high }) {
      const count = Math.max(1, Math.ceil(PER_DECADE * Math.log10(high / low)));
      return Array.from({ length: count }, (_, i) => ({
        rate: 2 * Math.PI * low * (high / low) ** ((i + 0.5) / count), variance: variance / count,
      }));
    },
  },
  telegraph: {
    variance: (p) => telegraphPart(p).variance,
    correlation: (p, lag) => Math.exp(-telegraphPart(p).rate * lag),
    density: (p, frequency) => lorentzian(telegraphPart(p), frequency),
    parts: (p) => [telegraphPart(p)],
  },
};

const ruleOf = <P extends NoiseProcess>(p: P): Rule<P> => rules[p.kind] as unknown as Rule<P>;

export const noiseVariance = (p: NoiseProcess): number => ruleOf(p).variance(p);
/** Correlation of two values `lag` seconds apart. */
export const noiseCorrelation = (p: NoiseProcess, lag: number): number =>
  ruleOf(p).correlation(p, Math.abs(lag));
/** One-sided power density at a frequency above 0: its integral over frequency is the variance. */
export const noiseDensity = (p: NoiseProcess, frequency: number): number =>
  ruleOf(p).density(p, frequency);
/** What the process is the sum of; undefined for white noise. */
export const noiseParts = (p: NoiseProcess): readonly NoisePart[] | undefined => ruleOf(p).parts(p);

/**
 * E1(x), x > 0: the power series below 1, Lentz's continued fraction above (Abramowitz and Stegun,
 * 5.1.11 and 5.1.22), to 1e-14.
 */
export function exponentialIntegral(x: number): number {
  if (x > 700) return 0;
  if (x <= 1) {
    let [sum, term] = [-0.5772156649015329 - Math.log(x), -1];
    for (let k = 1; k <= 25; k++) {
      term *= -x / k;
      sum += term / k;
    }
    return sum;
  }
  let b = x + 1;
  let c = 1e300;
  let d = 1 / b;
  let h = d;
  for (let i = 1; i <= 200; i++) {
    b += 2;
    d = 1 / (b - i * i * d);
    c = b - (i * i) / c;
    h *= c * d;
    if (Math.abs(c * d - 1) < 1e-15) break;
  }
  return h * Math.exp(-x);
}
