/**
 * What the cells of a weight do on average over a sample of weights: the moments of the currents
 * they draw, and how far programming, faults and reads take them from what was wanted. Formulas of
 * single devices are in `targets/deviceModel.ts`.
 */
import type { Device } from "../../../targets/device.ts";
import { programmingSigma, readSigma } from "../../../targets/deviceModel.ts";
import type { HybridTarget } from "../../../targets/schema.ts";
import type { Second, Siemens } from "../../../targets/units.ts";
import { cellWriter, decodeCells, type Encoding } from "../../emit/crossbar/encoding.ts";
import { squareClipped } from "./normal.ts";

/** What one slice of the cells of a weight does, averaged over the sample of weights. */
export interface SliceMoments {
  /** Converted columns: the slice's cell or pair, or the two cells of a pair apart. */
  readonly columns: readonly { readonly mean: number; readonly square: number }[];
  /** Variances over span^2. */
  readonly programming: number;
  readonly stuck: number;
  readonly read: number;
  /** Sum of the conductances on a column, siemens. */
  readonly conductance: number;
}

/** The cells of a unit: how weights are held, by which devices. */
export interface Cells {
  readonly encoding: Encoding;
  readonly device: Device;
  readonly target: HybridTarget;
  readonly apart: boolean;
}

/** Whether the two cells of a pair are read apart: the columns of a pair give a code each. */
export const cellsApart = ({ encoding, input }: HybridTarget): boolean =>
  encoding.scheme !== "offset" && (input.phases.value === 4 || encoding.subtract === "digital");

/** Second moment of what programming misses a conductance by. */
function missedBy({ device, encoding }: Cells, g: number): number {
  const start = device.programming.spread[0]?.time.value ?? 0;
  const sigma = programmingSigma(device, g as Siemens, start as Second, encoding.gMax as Siemens);
  const { distribution } = device.programming;
  if (distribution === "normal") return squareClipped(g, sigma);
  if (distribution === "uniform") return sigma ** 2 / 3;
  return g ** 2 * (Math.exp(2 * sigma ** 2) - 2 * Math.exp(sigma ** 2 / 2) + 1);
}

/** Second moment of what stuck cells miss a conductance by, over all cells. */
function stuckBy({ device, encoding: { gMin, gMax } }: Cells, g: number): number {
  const { low, high, random } = device.stuck;
  const span = gMax - gMin;
  const anywhere = ((gMax - g) ** 3 + (g - gMin) ** 3) / (3 * span);
  return low.value * (g - gMin) ** 2 + high.value * (gMax - g) ** 2 + random.value * anywhere;
}

function readBy({ device, encoding, target }: Cells, g: number): number {
  const start = device.programming.spread[0]?.time.value ?? 0;
  const own = readSigma(device, g as Siemens, start as Second, encoding.gMax as Siemens);
  return own ** 2 + (target.noise.read.value * g) ** 2;
}

/** Averages over the sample; and the mean square of what the levels of the cells leave over. */
export function momentsOf(
  cells: Cells, weights: Float32Array,
): { slices: SliceMoments[]; levels: number } {
  const { encoding, apart } = cells;
  const isPair = encoding.scheme !== "offset";
  const span = encoding.gMax - encoding.gMin;
  const steps = isPair ? { perSlice: 2, toNegative: 1 } : { perSlice: 1, toNegative: 0 };
  const write = cellWriter(encoding, steps);
  const written = new Float32Array(encoding.slices * steps.perSlice);
  const positive = new Float64Array(encoding.slices);
  const negative = new Float64Array(encoding.slices);
  const sums = Array.from({ length: encoding.slices }, () => ({
    columns: [{ mean: 0, square: 0 }, { mean: 0, square: 0 }],
    programming: 0, stuck: 0, read: 0, conductance: 0,
  }));
  // Cells hold few levels, or at least many the same.
  const known = new Map<number, { programming: number; stuck: number; read: number }>();
  const ofCell = (g: number): { programming: number; stuck: number; read: number } => {
    const held = known.get(g);
    if (held !== undefined) return held;
    const made = {
      programming: missedBy(cells, g) / span ** 2,
      stuck: stuckBy(cells, g) / span ** 2,
      read: readBy(cells, g) / span ** 2,
    };
    known.set(g, made);
    return made;
  };
  let levels = 0;
  const n = Math.max(1, weights.length);
  for (const r of weights) {
    write(r, written, 0);
    sums.forEach((sum, s) => {
      const up = written[s * steps.perSlice] as number;
      const down = isPair ? (written[s * 2 + 1] as number) : undefined;
      positive[s] = up;
      negative[s] = down ?? 0;
      const reference = encoding.reference[s] as number;
      const shares = down === undefined ? [up - reference]
        : apart ? [up - reference, down - reference] : [up - down];
      shares.forEach((share, side) => {
        const column = sum.columns[side] as { mean: number; square: number };
        column.mean += share / span / n;
        column.square += (share / span) ** 2 / n;
      });
      for (const g of down === undefined ? [up] : [up, down]) {
        const { programming, stuck, read } = ofCell(g);
        sum.programming += programming / n;
        sum.stuck += stuck / n;
        sum.read += read / n;
        sum.conductance += g / n;
      }
    });
    levels += (decodeCells(encoding, positive, negative) - r) ** 2 / n;
  }
  const count = isPair && apart ? 2 : 1;
  return {
    slices: sums.map((sum) => ({ ...sum, columns: sum.columns.slice(0, count) })), levels,
  };
}
