/**
 * Ranges of the analog-to-digital converters of a block: what one code stands for, per kind of
 * conversion and slice. Three policies: the worst case, a percentile of what samples really give,
 * or one code per level of a cell (CrossSim's names for them: MAX, CALIBRATED, GRANULAR). A code is
 * clip(round(v / lsb)); converters of signed values have codes of both signs, one fewer bit each.
 * How converters differ from each other is in `converterBank.ts`.
 */
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import type { Encoding } from "../../compiler/emit/crossbar/encoding.ts";
import { UserError } from "../../compiler/errors.ts";
import type { BlockLayout } from "./layout.ts";
import { cellsApart, type Pass } from "./passes.ts";
import { levelStep } from "./tileMatrix.ts";

/** Codes of a converter. */
export interface CodeRange {
  readonly low: number;
  readonly high: number;
}

/** Whether the current of a column may have either sign. */
export const signedColumns = (config: CrossbarConfig): boolean =>
  config.encoding.scheme === "offset" ? config.encoding.subtract === "analog"
    : !cellsApart(config);

/** @throws UserError when a signed converter has one bit */
export function codeRange(config: CrossbarConfig, pass: Pass): CodeRange {
  const bits = pass.converterBits;
  if (!pass.signed && !signedColumns(config)) return { low: 0, high: 2 ** bits - 1 };
  const high = 2 ** (bits - 1) - 1;
  if (high >= 1) return { low: -high, high };
  throw new UserError("a converter of signed currents needs at least 2 bits", {
    place: `target ${config.target.name}: adc.bits`, remedy: "Raise adc.bits to 2 or more.",
  });
}

/** Largest magnitude that a cell's share of a column current has, in levels, per slice. */
function swings(config: CrossbarConfig, encoding: Encoding): number[] {
  const step = levelStep(encoding);
  const { gMin, gMax, scheme } = encoding;
  const isDifference = scheme !== "offset" && !cellsApart(config);
  return encoding.reference.map((below) => isDifference ? (gMax - gMin) / step
    : Math.max(gMax - below, below - gMin) / step);
}

/** Value of one code per kind of conversion and slice, in levels times digits. */
export type Lsbs = readonly (readonly number[])[];

/** Largest number of rows that one read of a block drives. */
function fullestRead(layout: BlockLayout): number {
  const inputs = Math.max(...layout.rowTiles.map((t) => t.count)) * layout.groupsPerPack;
  return Math.min(inputs, layout.rows);
}

/**
 * Values of one code by policy.
 * @param observed magnitude per kind and slice that the calibration found; for "calibrated" only
 * @throws UserError when cells without levels are to be converted level by level
 */
export function converterLsbs(
  config: CrossbarConfig, encoding: Encoding, layout: BlockLayout, passes: readonly Pass[],
  observed: readonly (readonly number[])[],
): Lsbs {
  const kinds = Math.max(...passes.map((p) => p.kind)) + 1;
  const { policy } = config.converter.range;
  if (policy === "granular" && encoding.bits === "continuous") {
    throw new UserError("cells without levels have no level per code", {
      place: `target ${config.target.name}: adc.range.policy`,
      remedy: "Use max or calibrated, or cells with bits.",
    });
  }
  const bySlice = swings(config, encoding);
  const rows = fullestRead(layout);
  return Array.from({ length: kinds }, (_, kind) => {
    const own = passes.filter((p) => p.kind === kind);
    const high = Math.max(...own.map((p) => codeRange(config, p).high), 1);
    const largest = Math.max(...own.map((p) => p.largest), 1);
    return bySlice.map((swing, slice) => {
      if (policy === "granular") return 1;
      const full = policy === "max" ? largest * rows * swing : observed[kind]?.[slice] ?? 0;
      // Nothing flowed: any range will do.
      return full > 0 ? full / high : 1;
    });
  });
}
