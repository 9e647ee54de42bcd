/**
 * What a chip does to gradients: those taken on it against the truth without one, with all of its
 * imperfections and with each alone. Of a block, its boundary: what it tells the stages before it.
 */
import type { Imperfection } from "../chip/imperfections.ts";
import { imperfectionNames, imperfections } from "../chip/imperfections.ts";
import { gradientChecker, type CheckRequest, type GradientCheck } from "./check.ts";
import type { Agreement } from "./compare.ts";
import type { LearningChip } from "./onChip.ts";

/** Gradients with one imperfection only; "none" is the estimator's own error. */
export interface AloneCheck {
  readonly imperfection: Imperfection | "none";
  readonly overall: Agreement;
  readonly blocks: GradientCheck["boundaries"];
}

/** Gradients with converters only, of this resolution. */
export interface PrecisionCheck {
  /** Of inputs and outputs. */
  readonly bits: number;
  readonly overall: Agreement;
  readonly blocks: GradientCheck["boundaries"];
}

export interface ChipCheck extends GradientCheck {
  /** On a simulated chip only. */
  readonly alone?: readonly AloneCheck[];
  /** On a simulated chip with converters only. */
  readonly precision?: readonly PrecisionCheck[];
  /**
   * Fewest of these bits from which on converters alone turn no gradient away: what the nudge
   * needs. Null where none do.
   */
  readonly neededBits?: number | null;
}

/** Bits that are tried: from too few for any nudge to enough for those in use. */
export const triedBits = [4, 6, 8, 10, 12, 16] as const;
/** Loss of cosine that counts as none. */
const SLIGHT = 0.01;

/** @throws UserError where a relaxation diverges */
export async function checkOnChip(
  request: CheckRequest, chip: LearningChip | undefined,
): Promise<ChipCheck> {
  const check = await gradientChecker(request);
  const all = await check(chip);
  if (!chip) return all;
  const only = (...names: Imperfection[]): LearningChip =>
    ({ ...chip, chip: { ...chip.chip, imperfections: imperfections(names) } });
  const alone: AloneCheck[] = [];
  for (const imperfection of ["none", ...imperfectionNames] as const) {
    if (imperfection !== "none" && !chip.chip.imperfections[imperfection]) continue;
    const isLinear = chip.chip.cells.currentVoltage.kind === "linear";
    if (imperfection === "nonlinearity" && isLinear) continue;
    const { overall, boundaries } =
      await check(imperfection === "none" ? only() : only(imperfection));
    alone.push({ imperfection, overall, blocks: boundaries });
  }
  if (!chip.chip.imperfections.converters) return { ...all, alone };
  const precision: PrecisionCheck[] = [];
  for (const bits of triedBits) {
    const { overall, boundaries } = await check({ ...only("converters"), bits });
    precision.push({ bits, overall, blocks: boundaries });
  }
  return { ...all, alone, precision, neededBits: neededBits(precision, alone[0] as AloneCheck) };
}

type Cosines = Pick<PrecisionCheck, "overall" | "blocks">;

/** The fewest bits from which on every gradient is as near the truth as `without` converters. */
export function neededBits(precision: readonly PrecisionCheck[], without: Cosines): number | null {
  const all = ({ overall, blocks }: Cosines): number[] =>
    [overall, ...blocks].map(({ cosine }) => cosine);
  const best = all(without);
  const far = precision.findLastIndex((row) =>
    all(row).some((cosine, i) => cosine < (best[i] as number) - SLIGHT));
  return precision[far + 1]?.bits ?? null;
}
