/**
 * Predicted quality: how much error power a unit adds at the model's output on each side, its own
 * errors times how strongly they get there. Errors of different units and kinds are independent, so
 * powers add, and a placement's noise is a sum over its units like energy is.
 *
 * Two ways to the gains. `measuredQuality`: from the sums of `sensitivity.ts` on samples.
 * `assumedQuality`: without any run, every layer passes relative error on as it is, so that the
 * noise-to-signal ratios of the layers add up (Lin, Talathi and Annapureddy, Fixed Point
 * Quantization of Deep Convolutional Networks, ICML 2016, equation 10); inputs are then taken as
 * normal with full scale at 99.9 % of their magnitudes.
 */
import type { Device } from "../../../targets/device.ts";
import type { Target } from "../../../targets/schema.ts";
import type { UnitNoise } from "../price.ts";
import type { AnalogForm } from "../units.ts";
import { analogErrors, digitalErrors, type UnitErrors } from "./errors.ts";
import { quantile } from "./normal.ts";
import {
  SAMPLE, meanOf, sampleInputs, sampleWeights, scalesOf,
  type Gains, type Scaling, type UnitQuality,
} from "./sample.ts";

/** What the runs of a sensitivity graph gave for a unit, added up over samples. */
export interface Sensitivity {
  /** Flat over (group, output). */
  readonly weights: ArrayLike<number>;
  readonly products: ArrayLike<number>;
  readonly outputs: ArrayLike<number>;
  readonly inputs: number;
  /** Largest magnitude of the inputs, and a sample of them. */
  readonly largest: number;
  readonly drive: ArrayLike<number>;
}

const both = <T>(of: (scaling: Scaling) => T): Record<Scaling, T> => ({
  column: of("column"), tensor: of("tensor"),
});

const shapeOf = ({ name, rowsK, colsN, groups }: UnitQuality["shape"]): UnitQuality["shape"] =>
  ({ name, rowsK, colsN, groups });

/**
 * Quality facts of a unit from its sensitivities.
 * @param runs how many samples were run, and the sum of the squares of the model's outputs
 */
export function measuredQuality(
  { matrix, shape }: AnalogForm,
  sums: Sensitivity,
  runs: { readonly samples: number; readonly signal: number },
): UnitQuality {
  const scales = scalesOf(matrix);
  const inputs2 = sums.largest ** 2;
  const perColumn = shape.vectors * runs.samples;
  /** Sum over columns, in units of their scales squared (power 1) or the other way (power -1). */
  const weighed = (of: ArrayLike<number>, scaling: Scaling, power: 1 | -1): number => {
    let sum = 0;
    scales[scaling].forEach((scale, i) => {
      if (scale !== 0) sum += (of[i] as number) * scale ** (2 * power);
    });
    return sum;
  };
  return {
    shape: shapeOf(shape),
    weights: sampleWeights(matrix, scales),
    inputs: sampleInputs(sums.drive, sums.largest),
    gains: both((scaling): Gains => ({
      weights: weighed(sums.weights, scaling, 1) / runs.signal,
      products: (weighed(sums.products, scaling, 1) * inputs2) / runs.signal,
      inputs: (sums.inputs * inputs2) / runs.signal,
    })),
    signal: both((scaling) => {
      const used = scales[scaling].reduce((count, scale) => count + Number(scale !== 0), 0);
      if (used === 0 || inputs2 === 0) return 0;
      return weighed(sums.outputs, scaling, -1) / (inputs2 * used * perColumn);
    }),
  };
}

/** Magnitudes of normal numbers that stay below full scale. */
const WITHIN = 0.999;

/** Quality facts of a unit without running anything: inputs assumed, relative errors passed on. */
export function assumedQuality({ matrix, shape }: AnalogForm): UnitQuality {
  const weights = sampleWeights(matrix, scalesOf(matrix));
  const top = quantile((1 + WITHIN) / 2);
  const inputs = Float32Array.from({ length: SAMPLE }, (_, i) =>
    Math.min(1, Math.max(-1, quantile((i + 0.5) / SAMPLE) / top)));
  const inputPower = meanOf(inputs, (x) => x * x);
  const over = (power: number): number => (power === 0 ? 0 : 1 / power);
  const weightPower = both((scaling) => meanOf(weights[scaling], (r) => r * r));
  const signal = both((scaling) => shape.rowsK * weightPower[scaling] * inputPower);
  return {
    shape: shapeOf(shape),
    weights,
    inputs,
    gains: both((scaling): Gains => ({
      weights: over(weightPower[scaling]),
      products: over(signal[scaling]),
      inputs: over(inputPower),
    })),
    signal,
  };
}

/** Noise at the model's output of errors in a unit. */
export const noiseOf = (unit: UnitQuality, { scaling, terms }: UnitErrors): number =>
  terms.reduce((sum, { kind, power }) => sum + power * unit.gains[scaling][kind], 0);

/**
 * Unit id -> noise on each side of a target.
 * @param device of the target's cells; undefined for a digital target
 */
export function unitNoises(
  units: ReadonlyMap<string, UnitQuality>, target: Target, device: Device | undefined,
): Map<string, UnitNoise> {
  return new Map([...units].map(([id, unit]) => {
    const digital = noiseOf(unit, digitalErrors(unit, target));
    const analog = target.kind === "hybrid" && device !== undefined
      ? noiseOf(unit, analogErrors(unit, target, device)) : digital;
    return [id, { digital, analog }];
  }));
}

/** Decibels of signal over noise; null where there is no noise at all. */
export const snrDb = (noise: number): number | null =>
  noise > 0 ? -10 * Math.log10(noise) : null;
