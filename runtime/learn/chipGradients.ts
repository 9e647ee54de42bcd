/**
 * What a chip does to gradients: those taken on it against the truth without one, with all of its
 * imperfections and with each alone. Of a block, its boundary: what it tells the stages before it.
 */
import type { Imperfection } from "../chip/imperfections.ts";
import { imperfections } from "../chip/imperfections.ts";
import { gradientChecker, type CheckRequest, type GradientCheck } from "./check.ts";
import { inTheLoop } from "./chipRequest.ts";
import type { Agreement } from "./compare.ts";
import type { LearningChip } from "./onChip.ts";

/** Gradients with one imperfection only; "none" is the estimator's own error. */
export interface AloneCheck {
  readonly imperfection: Imperfection | "none";
  readonly overall: Agreement;
  readonly blocks: GradientCheck["boundaries"];
}

export interface ChipCheck extends GradientCheck {
  /** On a simulated chip only. */
  readonly alone?: readonly AloneCheck[];
}

/** @throws UserError where a relaxation diverges */
export async function checkOnChip(
  request: CheckRequest, chip: LearningChip | undefined,
): Promise<ChipCheck> {
  const check = await gradientChecker(request);
  const all = await check(chip);
  if (!chip) return all;
  const alone: AloneCheck[] = [];
  for (const imperfection of ["none", ...inTheLoop] as const) {
    if (imperfection !== "none" && !chip.chip.imperfections[imperfection]) continue;
    const only = imperfections(imperfection === "none" ? [] : [imperfection]);
    const { overall, boundaries } =
      await check({ ...chip, chip: { ...chip.chip, imperfections: only } });
    alone.push({ imperfection, overall, blocks: boundaries });
  }
  return { ...all, alone };
}
