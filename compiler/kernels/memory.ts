/**
 * Memory plan: intermediate values share slots when their lifetimes do not overlap. Slots are whole
 * buffers, because WebGPU forbids reading and writing one buffer in a dispatch, even at disjoint
 * offsets; a value is never given the slot of something its own kernel reads.
 *
 * Sizes may be symbolic. A slot is reused only when one size provably covers the other for every
 * value of the symbols, so the plan is made once, at compile time.
 */
import { addDims, dimAtLeast, type Dim } from "../graph/dim.ts";

export interface Lifetime {
  /** Elements. */
  readonly size: Dim;
  /** Dispatch that writes it, and the last one that reads it. */
  readonly from: number;
  readonly to: number;
}

export interface MemoryPlan {
  /** Elements of each slot. */
  readonly slots: readonly Dim[];
  /** Slot of each lifetime, in order. */
  readonly slotOf: readonly number[];
  /** Sum of all sizes, what the slots take, and the largest sum alive at once. */
  readonly unshared: Dim;
  readonly planned: Dim;
  readonly lowerBound: Dim;
}

/** Lifetimes must be given in order of `from`. */
export function planMemory(lifetimes: readonly Lifetime[]): MemoryPlan {
  const slots: Dim[] = [];
  const busyUntil: number[] = [];
  const slotOf = lifetimes.map(({ size, from, to }) => {
    const free = slots.flatMap((held, i) => ((busyUntil[i] as number) < from ? [{ held, i }] : []));
    const covers = free.filter(({ held }) => dimAtLeast(held, size));
    // Best fit: the smallest slot that covers; else the largest that can grow.
    const fit = covers.reduce<(typeof covers)[number] | undefined>(
      (best, s) => (!best || dimAtLeast(best.held, s.held) ? s : best),
      undefined,
    );
    const grow = free
      .filter(({ held }) => dimAtLeast(size, held))
      .reduce<(typeof free)[number] | undefined>(
        (best, s) => (!best || dimAtLeast(s.held, best.held) ? s : best),
        undefined,
      );
    const chosen = fit ?? grow;
    const slot = chosen ? chosen.i : slots.push(size) - 1;
    if (!fit && chosen) slots[slot] = size;
    busyUntil[slot] = to;
    return slot;
  });
  const sum = (sizes: readonly Dim[]): Dim => sizes.reduce(addDims, 0 as Dim);
  let lowerBound: Dim = 0;
  for (const { from } of lifetimes) {
    const alive = sum(lifetimes.filter((l) => l.from <= from && l.to >= from).map((l) => l.size));
    if (dimAtLeast(alive, lowerBound)) lowerBound = alive;
  }
  return {
    slots,
    slotOf,
    unshared: sum(lifetimes.map((l) => l.size)),
    planned: sum(slots),
    lowerBound,
  };
}
