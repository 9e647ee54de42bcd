/** The memory plan against brute force; no dispatch reads what it writes or loses a value. */
import { describe, expect, it } from "vitest";
import {
  addDims, evalDim, evalShape, mulDims, symbol, type Dim,
} from "../../../compiler/graph/dim.ts";
import { sizeOf } from "../../../compiler/graph/tensor.ts";
import { planMemory, type Lifetime } from "../../../compiler/kernels/memory.ts";
import { buildProgram, type Program } from "../../../compiler/kernels/program.ts";
import { Random, randomGraph } from "../../support/randomGraph.ts";

const N = symbol("N");
const size = (r: Random, symbolic: boolean): Dim => {
  const n = r.int(1, 9);
  if (!symbolic || r.next() < 0.3) return n;
  return r.next() < 0.5 ? mulDims(N, n) : addDims(mulDims(N, n), 2);
};
function randomLifetimes(r: Random, count: number, symbolic: boolean): Lifetime[] {
  const all = Array.from({ length: count }, () => {
    const from = r.int(0, 7);
    return { size: size(r, symbolic), from, to: from + r.int(0, 4) };
  });
  return all.sort((a, b) => a.from - b.from);
}
const overlap = (a: Lifetime, b: Lifetime): boolean => a.from <= b.to && b.from <= a.to;

/** Least total of any assignment to slots, by trying all of them. */
function optimum(lifetimes: readonly Lifetime[]): number {
  let best = Infinity;
  const place = (i: number, slots: Lifetime[][], total: number): void => {
    if (total >= best) return;
    const lifetime = lifetimes[i];
    if (!lifetime) {
      best = total;
      return;
    }
    const own = lifetime.size as number;
    slots.forEach((slot) => {
      if (slot.some((other) => overlap(other, lifetime))) return;
      const held = Math.max(...slot.map((other) => other.size as number));
      slot.push(lifetime);
      place(i + 1, slots, total + Math.max(0, own - held));
      slot.pop();
    });
    slots.push([lifetime]);
    place(i + 1, slots, total + own);
    slots.pop();
  };
  place(0, [], 0);
  return best;
}

describe.each([false, true])("the plan, symbolic sizes: %s", (symbolic) => {
  it("gives lifetimes that overlap slots of their own, large enough for every size", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const lifetimes = randomLifetimes(new Random(seed), 9, symbolic);
      const plan = planMemory(lifetimes);
      lifetimes.forEach((a, i) => {
        const slot = plan.slots[plan.slotOf[i] as number] as Dim;
        for (const n of [0, 1, 2, 7]) {
          expect(evalDim(slot, { N: n })).toBeGreaterThanOrEqual(evalDim(a.size, { N: n }));
        }
        lifetimes.slice(i + 1).forEach((b, j) => {
          if (overlap(a, b)) expect(plan.slotOf[i]).not.toBe(plan.slotOf[i + 1 + j]);
        });
      });
      for (const n of [1, 5]) {
        const at = (d: Dim): number => evalDim(d, { N: n });
        expect(at(plan.planned)).toBe(plan.slots.reduce<number>((sum, s) => sum + at(s), 0));
        expect(at(plan.unshared)).toBe(lifetimes.reduce((sum, l) => sum + at(l.size), 0));
        expect(at(plan.planned)).toBeGreaterThanOrEqual(at(plan.lowerBound));
        expect(at(plan.planned)).toBeLessThanOrEqual(at(plan.unshared));
      }
    }
  });
});

it("is mostly the best one, and never far from it", () => {
  let [best, total, least] = [0, 0, 0];
  for (let seed = 1; seed <= 200; seed++) {
    const lifetimes = randomLifetimes(new Random(seed), 7, false);
    const plan = planMemory(lifetimes);
    const possible = optimum(lifetimes);
    expect(possible).toBeGreaterThanOrEqual(plan.lowerBound as number);
    expect(plan.planned).toBeGreaterThanOrEqual(possible);
    expect(plan.planned).toBeLessThanOrEqual(2 * possible);
    if (plan.planned === possible) best++;
    total += plan.planned as number;
    least += possible;
  }
  expect(best).toBeGreaterThan(100);
  expect(total / least).toBeLessThan(1.1);
});

it("reuses a slot only after the last reader, and lets one grow", () => {
  const plan = planMemory([
    { size: 4, from: 0, to: 1 }, { size: 2, from: 1, to: 2 }, { size: 8, from: 2, to: 3 },
    { size: 1, from: 3, to: 3 },
  ]);
  expect(plan.slotOf).toEqual([0, 1, 0, 1]);
  expect(plan.slots).toEqual([8, 2]);
  expect(plan).toMatchObject({ unshared: 15, planned: 10, lowerBound: 10 });
});

/** Memory of a buffer: its slot, or itself. */
const memoryOf = (program: Program, buffer: number): string => {
  const { slot } = program.buffers[buffer] as Program["buffers"][number];
  return slot === undefined ? `buffer ${buffer}` : `slot ${slot}`;
};

it("no dispatch of random graphs writes memory that it reads, or that is read later", () => {
  let shared = 0;
  for (let seed = 1; seed <= 250; seed++) {
    const program = buildProgram(randomGraph(seed, 16).graph, { maxBuffers: seed % 2 ? 8 : 4 });
    // Which buffer's contents each piece of memory holds as the dispatches run.
    const holds = new Map<string, number>();
    program.buffers.forEach(({ role }, i) => {
      if (role === "input" || role === "constant") holds.set(memoryOf(program, i), i);
    });
    for (const { kernel, buffers } of program.dispatches) {
      const args = program.kernels[kernel]?.arguments ?? [];
      const reads = buffers.filter((_, n) => args[n]?.access === "read");
      const writes = buffers.filter((_, n) => args[n]?.access === "write");
      for (const buffer of reads) {
        expect(holds.get(memoryOf(program, buffer)), `seed ${seed}`).toBe(buffer);
        for (const target of writes) {
          expect(memoryOf(program, target)).not.toBe(memoryOf(program, buffer));
        }
      }
      expect(writes.length).toBe(1);
      for (const target of writes) {
        const { slot, shape } = program.buffers[target] as Program["buffers"][number];
        holds.set(memoryOf(program, target), target);
        if (slot === undefined) continue;
        expect(evalDim(program.memory.slots[slot] as Dim, {}))
          .toBeGreaterThanOrEqual(sizeOf(evalShape(shape, {})));
      }
    }
    for (const { buffer } of program.outputs) {
      expect(holds.get(memoryOf(program, buffer))).toBe(buffer);
    }
    const slots = program.buffers.filter((b) => b.role === "slot").length;
    shared += slots - program.memory.slots.length;
  }
  expect(shared).toBeGreaterThan(50);
});
