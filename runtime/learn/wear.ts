/**
 * How far training wears the cells that it writes: pulses per cell against what a cell stands. By
 * pulses that were counted where weights move by them; by the pulses that the device's cells take
 * on average where one chip is written and verified anew at every step. Where every step meets
 * another chip no cell is written twice, and there is nothing to say.
 */
import type { Device } from "../../targets/device.ts";

export interface CellWear {
  readonly meanPulses: number;
  /** Of the cell that got most; null where only the mean is known. */
  readonly mostPulses: number | null;
  /** Pulses that a cell stands; null where nobody has published it. */
  readonly endurance: number | null;
  /** Share of the endurance that the worst cell (the mean one, if unknown) has used. */
  readonly wear: number | null;
  /** Whether that is more than all of it: such a chip would not have lived to the end. */
  readonly isWornOut: boolean;
}

function cellWear(
  meanPulses: number, mostPulses: number | null, endurance: number | null,
): CellWear {
  const wear = endurance === null ? null : (mostPulses ?? meanPulses) / endurance;
  return { meanPulses, mostPulses, endurance, wear, isWornOut: wear !== null && wear > 1 };
}

/** @param counts pulses of every cell, array by array */
export function countedWear(
  counts: readonly Float32Array[], endurance: number | null,
): CellWear {
  let [sum, most, cells] = [0, 0, 0];
  for (const own of counts) {
    cells += own.length;
    for (const pulses of own) {
      sum += pulses;
      most = Math.max(most, pulses);
    }
  }
  return cellWear(cells === 0 ? 0 : sum / cells, most, endurance);
}

/** Of one chip written `times`; undefined where nothing is known of how its cells are written. */
export function rewritingWear(
  { programming: { verify }, endurance }: Device, times: number, given?: number,
): CellWear | undefined {
  return verify && cellWear(verify.pulses.value * times, null, given ?? endurance?.value ?? null);
}
