/**
 * The error power that a unit makes, from the target's and its device's figures and a sample of
 * the unit's weights and inputs: no simulation, no random number. Variances are in shares of full
 * scale (see `sample.ts`) and belong to one of three kinds by how they reach the output: errors of
 * weights last, errors of products and inputs are fresh.
 *
 *   levels       E[(decode(encode(r)) - r)^2]                       of the weights' sample
 *   programming  gain^2 sum_s sig_s^2 E[(g - target)^2] / span^2    first spread of the device file
 *   stuck        the same with the second moment of a stuck cell
 *   read noise   gain^2 K sum_p w_p^2 E[power_p] sum_s sig_s^2 E[sigma_read^2] / span^2
 *   thermal      4 k T B g / (V span)^2 per conversion
 *   converters   gain^2 sum over conversions of (w_p sig_s)^2 (rounding + clipping)
 *   inputs       E[(x - quantised x)^2]                             of the inputs' sample
 *
 * K inputs, passes p with weight w_p, slices s of significance sig_s, span gMax - gMin. Rounding
 * of a normal current after Widrow and Kollar, Quantization Noise (2008); converter ranges after
 * CrossSim (max, calibrated, granular). Column currents are taken as normal. Where one code is one
 * level of a cell, rounding takes small noise away again, which `squareRounded` accounts for.
 *
 * Not predicted: wire resistance, ageing, and what converters differ from each other.
 */
import type { Device } from "../../../targets/device.ts";
import type { HybridTarget, Target } from "../../../targets/schema.ts";
import { encodingOf } from "../../emit/crossbar/encoding.ts";
import { cellsApart, momentsOf, type Cells, type SliceMoments } from "./cellMoments.ts";
import { conversionErrors, driveOf, thermalPower } from "./conversions.ts";
import { readPasses } from "./passes.ts";
import { meanOf, type Scaling, type UnitQuality } from "./sample.ts";

export type ErrorKind = "weights" | "products" | "inputs";

export interface ErrorTerm {
  readonly name: string;
  readonly kind: ErrorKind;
  /** Variance in shares. */
  readonly power: number;
}

export interface UnitErrors {
  /** Which of a unit's gains and signals hold. */
  readonly scaling: Scaling;
  readonly terms: readonly ErrorTerm[];
}

/** Error power of a unit on the arrays of a target. */
export function analogErrors(unit: UnitQuality, target: HybridTarget, device: Device): UnitErrors {
  const scaling: Scaling = target.encoding.perColumnScale ? "column" : "tensor";
  const encoding = encodingOf(target);
  const cells: Cells = { encoding, device, target, apart: cellsApart(target) };
  const weights = unit.weights[scaling];
  const { slices, levels } = momentsOf(cells, weights);
  const passes = readPasses(target);
  const { driven, missed, high } = driveOf(target, unit.inputs, passes);
  const always: ErrorTerm[] = [
    { name: "levels", kind: "weights", power: levels },
    { name: "inputs", kind: "inputs", power: missed },
  ];
  if (target.input.coding === "digital") {
    return { scaling, terms: [...always, sensingTerm(cells, weights)] };
  }
  const over = { unit, scaling, cells, slices, driven, high };
  const { kept, power } = conversionErrors(over);
  const gain2 = encoding.gain ** 2;
  const perSlice = (of: (slice: SliceMoments) => number): number =>
    slices.reduce((sum, slice, s) =>
      sum + (encoding.significance[s] as number) ** 2 * of(slice), 0);
  const pulses = driven.reduce((sum, { pass, power: p }) => sum + pass.weight ** 2 * p, 0);
  const terms: ErrorTerm[] = [
    ...always,
    { name: "programming", kind: "weights", power: kept * gain2 * perSlice((s) => s.programming) },
    { name: "stuck cells", kind: "weights", power: gain2 * perSlice((s) => s.stuck) },
    {
      name: "read noise", kind: "products",
      power: (kept * gain2 * unit.shape.rowsK * pulses * perSlice((s) => s.read)) / high ** 2,
    },
    { name: "thermal noise", kind: "products", power: kept * thermalPower(over) },
    { name: "converters", kind: "products", power },
  ];
  return { scaling, terms };
}

/** Ternary cells read as stored words: a digit is right or wrong for as long as it is stored. */
function sensingTerm({ device, encoding }: Cells, weights: Float32Array): ErrorTerm {
  const errors = device.sensing?.errors;
  const power = errors === undefined ? 0 : encoding.gain ** 2 * meanOf(weights, (r) => {
    const stored = Math.round(r);
    const row = errors[stored + 1] as readonly number[];
    return row.reduce((sum, p, i) => sum + p * (i - 1 - stored) ** 2, 0);
  });
  return { name: "sensing", kind: "weights", power };
}

/** Significant bits, or bits of a symmetric integer, of the digital side's numbers. */
const PRECISIONS: Record<Target["digital"]["precision"], { floating: boolean; bits: number }> = {
  int8: { floating: false, bits: 8 },
  int16: { floating: false, bits: 16 },
  fp16: { floating: true, bits: 11 },
  fp32: { floating: true, bits: 24 },
};

/**
 * Error power of a unit on the digital side: weights and inputs rounded to its precision, integers
 * with one scale per tensor; a floating-point number is off by at most half a unit in its last
 * place. Accumulation is taken as exact.
 */
export function digitalErrors(unit: UnitQuality, target: Target): UnitErrors {
  const { floating, bits } = PRECISIONS[target.digital.precision];
  const top = 2 ** (bits - 1) - 1;
  const missed = (x: number): number =>
    floating ? (x * 2 ** -bits) ** 2 / 3 : (x - Math.round(x * top) / top) ** 2;
  return {
    scaling: "tensor",
    terms: [
      { name: "levels", kind: "weights", power: meanOf(unit.weights.tensor, missed) },
      { name: "inputs", kind: "inputs", power: meanOf(unit.inputs, missed) },
    ],
  };
}
