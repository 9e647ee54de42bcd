/**
 * What the quality model needs to know of a unit besides its shape: a sample of its weights and of
 * its inputs as shares of their full scales, and how strongly errors of each kind reach the model's
 * output. Plain data, small, the same for every target.
 */
import { columnScales } from "../../emit/crossbar/scales.ts";
import type { ContractionShape } from "../cost/cost.ts";
import { weightAt, type WeightMatrix } from "../units.ts";

/** How full scale is chosen for weights: one scale per column, or one for the whole tensor. */
export type Scaling = "column" | "tensor";

/**
 * Noise at the model's output (error power over signal power) per unit of error variance. Variances
 * are in shares: of a weight's full scale, of an input's full scale, and of their product.
 */
export interface Gains {
  /** Errors of single weights that stay for as long as they are programmed. */
  readonly weights: number;
  /** Fresh errors of single outputs. */
  readonly products: number;
  /** Fresh errors of single inputs. */
  readonly inputs: number;
}

export interface UnitQuality {
  readonly shape: Pick<ContractionShape, "name" | "rowsK" | "colsN" | "groups">;
  /** w / scale of a sample of weights. */
  readonly weights: Readonly<Record<Scaling, Float32Array>>;
  /** x / largest |x| of a sample of inputs. */
  readonly inputs: Float32Array;
  readonly gains: Readonly<Record<Scaling, Gains>>;
  /** Mean square of an output in shares: of weight scale times input scale. */
  readonly signal: Readonly<Record<Scaling, number>>;
}

/** Elements of a sample. */
export const SAMPLE = 256;

/** Fraction of the golden ratio: multiples of it, modulo one, fill an interval evenly. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Up to `count` indices spread over 0..length, without the period that a fixed step would have. */
export function spreadIndices(length: number, count: number = SAMPLE): Uint32Array {
  if (length <= count) return Uint32Array.from({ length }, (_, i) => i);
  return Uint32Array.from({ length: count }, (_, i) =>
    Math.min(length - 1, Math.floor((((i + 0.5) * GOLDEN) % 1) * length)));
}

/** Full scale of every column, flat over (group, output), under both scalings. */
export const scalesOf = (matrix: WeightMatrix): Record<Scaling, Float32Array> =>
  ({ column: columnScales(matrix, true), tensor: columnScales(matrix, false) });

/** A sample of a weight matrix in shares of its scales; columns of zeros are shares of zero. */
export function sampleWeights(
  matrix: WeightMatrix, scales: Record<Scaling, Float32Array>,
): UnitQuality["weights"] {
  const { groups, rowsK, colsN } = matrix;
  const indices = spreadIndices(groups * rowsK * colsN);
  const shares = (scaling: Scaling): Float32Array =>
    Float32Array.from(indices, (at) => {
      const column = Math.floor(at / rowsK);
      const scale = scales[scaling][column] as number;
      if (scale === 0) return 0;
      return weightAt(matrix, Math.floor(column / colsN), at % rowsK, column % colsN) / scale;
    });
  return { column: shares("column"), tensor: shares("tensor") };
}

/** A sample of inputs as shares of the largest magnitude among all of them, which is `largest`. */
export function sampleInputs(values: ArrayLike<number>, largest: number): Float32Array {
  const scale = largest > 0 ? largest : 1;
  return Float32Array.from(spreadIndices(values.length), (at) => (values[at] as number) / scale);
}

/** Mean of f over a sample; 0 over none. */
export function meanOf(sample: ArrayLike<number>, f: (x: number) => number): number {
  let sum = 0;
  for (let i = 0; i < sample.length; i++) sum += f(sample[i] as number);
  return sample.length === 0 ? 0 : sum / sample.length;
}
