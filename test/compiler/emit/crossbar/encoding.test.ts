/** The writers of cells: against the definition of each scheme, and read back. */
import { describe, expect, it } from "vitest";
import {
  cellWriter, decodeCells, decodingError, encodingOf, withContinuousCells,
} from "../../../../compiler/emit/crossbar/encoding.ts";
import { changedTarget, smallTargets } from "./blocks.ts";

const shares = Array.from({ length: 201 }, (_, i) => (i - 100) / 100)
  .concat([0.4999999, 0.5, -0.5, 1 / 3, -2 / 3]);

describe.each(Object.entries(smallTargets))("%s", (_, target) => {
  const encoding = encodingOf(target);
  const { slices, gMin, gMax, scheme } = encoding;
  const steps = { perSlice: 1, toNegative: slices };
  const cells = new Float32Array(2 * slices);
  const split = (): [Float32Array, Float32Array] =>
    [cells.subarray(0, slices), cells.subarray(slices)];

  it("uses levels of its cells only", () => {
    const write = cellWriter(encoding, steps);
    for (const r of shares) {
      write(r, cells, 0);
      const used = scheme === "offset" ? cells.subarray(0, slices) : cells;
      for (const g of used) {
        const level = ((g - gMin) / (gMax - gMin)) *
          (encoding.bits === "continuous" ? 1 : 2 ** encoding.bits - 1);
        const whole = encoding.bits === "continuous" ? level : Math.round(level);
        expect(Math.abs(level - whole)).toBeLessThan(1e-5);
      }
      if (encoding.sides === "one" && scheme !== "offset") {
        for (let s = 0; s < slices; s++) {
          expect(Math.min(cells[s]!, cells[slices + s]!)).toBe(Math.fround(gMin));
        }
      }
    }
  });

  it("holds every share without rounding where only the levels are lifted", () => {
    const write = cellWriter(withContinuousCells(encoding), steps);
    // Rounding of the stored conductances only, at most one level above gMax.
    const rounding = decodingError({ ...encoding, bits: "continuous" }) * 2;
    for (const r of shares) {
      write(r, cells, 0);
      expect(Math.abs(decodeCells(encoding, ...split()) - r)).toBeLessThanOrEqual(rounding);
    }
  });

  it("weighs the reference column as the weight 0, where pairs do not subtract", () => {
    if (scheme !== "offset") return;
    cellWriter(encoding, steps)(0, cells, 0);
    const zero = decodeCells(encoding, ...split());
    const below = encoding.reference;
    const rest = Math.abs(decodeCells(encoding, below, below));
    if (encoding.subtract === "analog") expect(rest).toBeLessThan(1e-12);
    else expect(below.every((g) => g === gMin)).toBe(true);
    expect(Math.abs(zero)).toBeLessThanOrEqual(decodingError(encoding));
  });
});

describe("ISAAC's weights", () => {
  it("are 16-bit numbers with a bias of 2^15, two bits per cell", () => {
    const target = changedTarget("isaac-rram", {});
    const encoding = encodingOf(target);
    const cells = new Float32Array(8);
    const levels = (r: number): number[] => {
      cellWriter(encoding, { perSlice: 1, toNegative: 0 })(r, cells, 0);
      return Array.from(cells, (g) => Math.round(Math.abs(g - 50e-6) / (175e-6 / 3)));
    };
    expect(levels(0)).toEqual([0, 0, 0, 0, 0, 0, 0, 2]);
    expect(levels(1)).toEqual([3, 3, 3, 3, 3, 3, 3, 3]);
    expect(levels(-1)).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
    expect(levels(5 / 32767)).toEqual([1, 1, 0, 0, 0, 0, 0, 2]);
  });

  it("of more than 52 bits are refused", () => {
    const target = changedTarget("isaac-rram", { "encoding.slices": 14, "cell.bits": 4 });
    expect(() => encodingOf(target)).toThrow(/encoding\.slices: a weight of 14 slices of 4 bits/);
  });

  it("of more than 31 bits go the plain way, to the same precision", () => {
    const wide = encodingOf(changedTarget("isaac-rram", { "encoding.slices": 20 }));
    const cells = new Float32Array(20);
    const write = cellWriter(wide, { perSlice: 1, toNegative: 0 });
    for (const r of shares) {
      write(r, cells, 0);
      expect(Math.abs(decodeCells(wide, cells, cells) - r)).toBeLessThanOrEqual(
        decodingError(wide));
    }
  });
});
