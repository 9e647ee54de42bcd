/** What the working cells of a weight make up for, against a search over all they can do. */
import { describe, expect, it } from "vitest";
import { encodingOf, type Encoding } from "../../../../compiler/emit/crossbar/encoding.ts";
import { compensateWeight, type WeightCells } from "../../../../runtime/chip/repair/compensate.ts";
import { Random } from "../../../support/randomGraph.ts";
import { testTarget } from "../blocks.ts";

const encodings: Readonly<Record<string, Encoding>> = {
  "pairs of one slice": encodingOf(testTarget("neurram-rram").target),
  "pairs about the middle":
    encodingOf(testTarget("hermes-pcm", { "encoding.sides": "two" }).target),
  "pairs of three slices": encodingOf(testTarget("isaac-rram", {
    "encoding.scheme": "differential-columns", "encoding.slices": 3,
  }).target),
  "an offset of eight slices": encodingOf(testTarget("isaac-rram").target),
};

const share = (e: Encoding, { plus, minus }: WeightCells): number =>
  e.significance.reduce((sum, w, s) => sum + (w * (plus[s]! -
    (e.scheme === "offset" ? e.gMin : minus[s]!))) / (e.gMax - e.gMin), 0) * e.gain;

describe.each(Object.entries(encodings))("%s", (_, e) => {
  const isPair = e.scheme !== "offset";
  it("come as near to the weight as their window allows, and touch no stuck cell", () => {
    const r = new Random(9);
    const [span, { length: slices }] = [e.gMax - e.gMin, e.significance];
    let exact = 0;
    for (let round = 0; round < 500; round++) {
      const random = (p: number): Float64Array => Float64Array.from({ length: slices }, () =>
        r.int(0, 999) < 1000 * p ? e.gMin + (span * r.int(0, 20)) / 20 : Number.NaN);
      const cells = { plus: random(1), minus: random(1) };
      const stuck = { plus: random(0.3), minus: isPair ? random(0.3) : random(0) };
      const wanted = share(e, cells);
      const left = compensateWeight(e, cells, stuck);
      expect(left).toBeCloseTo(share(e, cells) - wanted, 12);
      const all = [...cells.plus, ...(isPair ? cells.minus : [])];
      expect(all.every((g) => g >= e.gMin * (1 - 1e-12) && g <= e.gMax * (1 + 1e-12))).toBe(true);
      // The reachable weights are an interval.
      const ends = [-1, 1].map((side) => e.significance.reduce((sum, w, s) => {
        const end = (fixed: number, up: boolean): number =>
          Number.isNaN(fixed) ? (up ? e.gMax : e.gMin) : fixed;
        const high = end(stuck.plus[s]!, side > 0);
        const low = isPair ? end(stuck.minus[s]!, side < 0) : e.gMin;
        return sum + (w * (high - low)) / span;
      }, 0) * e.gain) as [number, number];
      const nearest = Math.min(Math.max(wanted, ends[0]), ends[1]);
      expect(Math.abs(share(e, cells) - nearest)).toBeLessThan(1e-9);
      if (Math.abs(left) < 1e-9) exact++;
      (["plus", "minus"] as const).forEach((side) => stuck[side].forEach((g, s) => {
        if (!Number.isNaN(g)) expect(cells[side][s]).toBe(g);
      }));
    }
    expect(exact).toBeGreaterThan(100);
  });
});
