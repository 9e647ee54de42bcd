import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Arena } from "../../../../runtime/device/wasm/arena.ts";

describe("Arena", () => {
  it("gives disjoint aligned stretches, whatever is freed in between", () => {
    fc.assert(fc.property(
      fc.array(fc.record({ bytes: fc.nat(1000), free: fc.nat() }), { maxLength: 60 }),
      (steps) => {
        let reach = 0;
        const arena = new Arena(100, (end) => {
          reach = Math.max(reach, end);
        });
        const held = new Map<number, number>();
        for (const { bytes, free } of steps) {
          const from = arena.allocate(bytes);
          expect(from % 64).toBe(0);
          expect(from).toBeGreaterThanOrEqual(128);
          expect(from + bytes).toBeLessThanOrEqual(reach);
          for (const [other, size] of held) {
            expect(from + bytes <= other || other + size <= from).toBe(true);
          }
          expect(held.has(from)).toBe(false);
          held.set(from, Math.max(bytes, 1));
          if (free % 2 === 0) continue;
          const victim = [...held.keys()][free % held.size] as number;
          arena.free(victim);
          held.delete(victim);
        }
        for (const address of held.keys()) arena.free(address);
        expect(arena.used).toBe(0);
        // All is one gap again: what was ever given fits without growing.
        const before = reach;
        arena.allocate(Math.max(reach - 128, 1));
        expect(reach).toBe(before || 192);
      }), { numRuns: 200, seed: 1 });
  });

  it("takes the smallest gap that fits", () => {
    const arena = new Arena(0, () => undefined);
    const [large, , small] = [arena.allocate(640), arena.allocate(64), arena.allocate(128),
      arena.allocate(64)] as [number, number, number, number];
    arena.free(large);
    arena.free(small);
    expect(arena.allocate(100)).toBe(small);
    expect(arena.allocate(200)).toBe(large);
  });

  it("keeps its state when growing is refused", () => {
    const arena = new Arena(0, (end) => {
      if (end > 1024) throw new Error("refused");
    });
    const first = arena.allocate(512);
    expect(() => arena.allocate(1024)).toThrow("refused");
    expect(arena.used).toBe(512);
    arena.free(first);
    expect(arena.allocate(960)).toBe(first);
  });

  it("refuses to free what it did not give", () => {
    expect(() => new Arena(0, () => undefined).free(64)).toThrow("internal:");
  });
});
