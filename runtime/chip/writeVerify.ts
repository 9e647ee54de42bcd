/**
 * Write-verify: pulse a cell, read it, again until it is near enough or the budget of pulses is
 * spent. Attempts are independent: each lands within the acceptance with the same chance, so the
 * number of pulses is geometric, cut off at the budget. The chance and the budget that a device was
 * measured with follow from its mean pulses per cell m and its share of converged cells c:
 *
 *   chance p = c / m,   budget n with 1 - (1 - p)^n = c.
 *
 * What a converged cell comes to is the measured spread (`targets/deviceModel.ts`), which holds
 * whatever happened after the last pulse. A cell that did not converge stays where its last attempt
 * left it: beyond the acceptance, normal with the deviation that gives each attempt its chance.
 */
import { UserError } from "../../compiler/errors.ts";
import type { Device } from "../../targets/device.ts";
import type { Siemens } from "../../targets/units.ts";
import { keyOf, normalFromWord, uniformAt, type Key } from "./normal.ts";

/** How programming went. */
export interface WriteReport {
  readonly cells: number;
  /** Pulses sent in all, and to the cell that got most. */
  readonly pulses: number;
  readonly mostPulses: number;
  /** Cells that were not within the acceptance when the budget was spent. */
  readonly failed: number;
  /** Share of the stated endurance that this programming wears off; null where none is stated. */
  readonly wear: number | null;
}

/** Of one device in one window. */
export interface WriteRule {
  /** Chance that one attempt is accepted. */
  readonly chance: number;
  /** Pulses after which a cell is given up. */
  readonly budget: number;
  /** Half width that is accepted at a target. */
  acceptance(target: Siemens): Siemens;
}

/**
 * The rule of a device in a window.
 * @param budget pulses per cell; what the device was measured with unless given
 * @throws UserError where the device's file states none
 */
export function writeRule(
  { name, programming: { verify }, window }: Device, gMax: Siemens, budget?: number,
): WriteRule {
  if (!verify) {
    throw new UserError("nothing is known of how its cells are written and verified", {
      place: `device ${name}: programming.verify`,
      remedy: "Leave the pulse budget away, or use a device that states it.",
    });
  }
  const { acceptance, acceptanceRatio, pulses, convergence } = verify;
  const mean = Math.max(pulses.value, 1);
  const chance = Math.min(convergence.value / mean, 1);
  const measured = convergence.value < 1 && chance < 1
    ? Math.round(Math.log(1 - convergence.value) / Math.log(1 - chance)) : Infinity;
  const scale = gMax / window.gMax.value;
  return {
    chance, budget: budget ?? measured,
    acceptance: (target) => (acceptance ? acceptance.value * scale
      : (acceptanceRatio?.value ?? 0) * target) as Siemens,
  };
}

/** Pulses that a cell takes: 1, 2, ... by the geometric law, from a uniform number. */
const pulsesFor = (u: number, chance: number): number =>
  (chance >= 1 ? 1 : Math.ceil(Math.log(1 - u) / Math.log(1 - chance)));

/**
 * Programs cells.
 * @param target siemens
 * @param cells what converged cells come to; those that fail are changed, in place
 * @param key stream of these cells
 * @param stuck conductances of cells that pulses do not move, NaN for the others
 */
export function writeVerify(
  rule: WriteRule, device: Device, target: ArrayLike<number>, cells: Float64Array, key: Key,
  stuck?: ArrayLike<number>,
): WriteReport {
  const count = keyOf(0, key[0], key[1], "write pulses");
  const last = keyOf(0, key[0], key[1], "last attempt");
  let [pulses, mostPulses, failed] = [0, 0, 0];
  for (let i = 0; i < cells.length; i++) {
    const wanted = target[i] as Siemens;
    const held = stuck?.[i] ?? Number.NaN;
    // A stuck cell that happens to be right is found so by its first verification.
    const needed = Number.isNaN(held) ? pulsesFor(uniformAt(count, i), rule.chance)
      : Math.abs(held - wanted) <= rule.acceptance(wanted) ? 1 : Infinity;
    const sent = Math.min(needed, rule.budget);
    pulses += sent;
    mostPulses = Math.max(mostPulses, sent);
    if (needed <= rule.budget) continue;
    failed++;
    const miss = outside(rule.chance, uniformAt(last, i));
    cells[i] = Math.max(0, wanted + rule.acceptance(wanted) * miss);
  }
  const { endurance } = device;
  const wear = endurance && cells.length > 0 ? mostPulses / endurance.value : null;
  return { cells: cells.length, pulses, mostPulses, failed, wear };
}

/**
 * Where an attempt landed that was not accepted, in half widths of the acceptance: a normal number
 * beyond +-1, with the deviation that leaves a share `chance` within.
 * @param u uniform in (0, 1)
 */
function outside(chance: number, u: number): number {
  // The upper half of the words is negative, the rest is the probability of a larger magnitude.
  const magnitude = (p: number): number =>
    normalFromWord(Math.min(Math.floor(p * 2 ** 31), 2 ** 31 - 1));
  const border = magnitude(1 - chance);
  const [sign, share] = u < 0.5 ? [-1, 2 * u] : [1, 2 * u - 1];
  return (sign * magnitude((1 - chance) * share)) / border;
}

/** Several programmings as one. */
export const addReports = (reports: readonly WriteReport[]): WriteReport =>
  reports.reduce((a, b) => ({
    cells: a.cells + b.cells, pulses: a.pulses + b.pulses, failed: a.failed + b.failed,
    mostPulses: Math.max(a.mostPulses, b.mostPulses),
    wear: a.wear === null || b.wear === null ? a.wear ?? b.wear : Math.max(a.wear, b.wear),
  }), { cells: 0, pulses: 0, mostPulses: 0, failed: 0, wear: null });
