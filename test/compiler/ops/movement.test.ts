/** Movement primitives against index formulas written by hand; every element has its own number. */
import { describe, it } from "vitest";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { at, expectThreeWays, tensorOf } from "../../support/threeWays.ts";
import { Random } from "../../support/randomGraph.ts";

/** Elements 1, 2, 3, ...: every one differs. */
const numbered = (shape: readonly number[]): Tensor => {
  let n = 0;
  return tensorOf("float32", shape, () => ++n);
};
const cases = (count: number, body: (r: Random, seed: number) => Promise<void>) =>
  async (): Promise<void> => {
    for (let seed = 1; seed <= count; seed++) await body(new Random(seed), seed);
  };
const shapeOf = (r: Random, min: number, max: number, most = 4): number[] =>
  Array.from({ length: r.int(min, max) }, () => (r.next() < 0.04 ? 0 : r.int(1, most)));

describe("movement", () => {
  it("reshape keeps the row-major order", cases(20, async (r, seed) => {
    const a = r.int(1, 4), b = r.int(1, 4), c = r.int(1, 3);
    const x = numbered([a * b, c]);
    const expected = { ...x, shape: [a, 1, b * c] };
    await expectThreeWays([x], (g, v) => g.reshape(v, [a, 1, b * c]), expected, 0, `${seed}`);
  }));

  it("transpose puts input axis perm[i] at output axis i", cases(30, async (r, seed) => {
    const x = numbered(shapeOf(r, 1, 4));
    const perm = [...x.shape.keys()].sort(() => r.next() - 0.5);
    const expected = tensorOf("float32", perm.map((p) => x.shape[p] as number), (o) => {
      const index: number[] = [];
      perm.forEach((p, i) => { index[p] = o[i] as number; });
      return at(x, ...index) as number;
    });
    await expectThreeWays([x], (g, v) => g.transpose(v, perm), expected, 0, `${seed}`);
  }));

  it("broadcast repeats axes of size 1 and adds leading ones", cases(30, async (r, seed) => {
    const x = numbered(shapeOf(r, 0, 3).map((d) => (r.next() < 0.5 ? 1 : d)));
    const shape = [...shapeOf(r, 0, 2), ...x.shape.map((d) => (d === 1 ? r.int(1, 3) : d))];
    const lead = shape.length - x.shape.length;
    const expected = tensorOf("float32", shape, (o) =>
      at(x, ...x.shape.map((d, i) => (d === 1 ? 0 : o[lead + i] as number))) as number);
    await expectThreeWays([x], (g, v) => g.broadcast(v, shape), expected, 0, `${seed}`);
  }));

  it("slice takes every step-th element from start", cases(40, async (r, seed) => {
    const x = numbered(shapeOf(r, 1, 3, 6));
    const steps = x.shape.map(() => r.int(1, 3));
    const starts = x.shape.map((d) => r.int(0, Math.max(0, d - 1)));
    const sizes = x.shape.map((d, i) => r.int(0,
      Math.ceil((d - (starts[i] as number)) / (steps[i] as number))));
    const expected = tensorOf("float32", sizes, (o) =>
      at(x, ...o.map((v, i) => (starts[i] as number) + v * (steps[i] as number))) as number);
    await expectThreeWays([x], (g, v) => g.slice(v, starts, sizes, steps), expected, 0, `${seed}`);
  }));

  it("flip reverses axes", cases(20, async (r, seed) => {
    const x = numbered(shapeOf(r, 1, 3));
    const axes = [...x.shape.keys()].filter(() => r.next() < 0.6);
    const expected = tensorOf("float32", x.shape, (o) => at(x, ...o.map((v, i) =>
      (axes.includes(i) ? (x.shape[i] as number) - 1 - v : v))) as number);
    await expectThreeWays([x], (g, v) => g.flip(v, axes), expected, 0, `${seed}`);
  }));

  it("pad puts elements before, after and between, and crops where negative",
    cases(60, async (r, seed) => {
      const x = numbered(shapeOf(r, 1, 3));
      const interior = x.shape.map(() => (r.next() < 0.4 ? r.int(1, 2) : 0));
      const spread = x.shape.map((d, i) => (d === 0 ? 0 : d + (d - 1) * (interior[i] as number)));
      const low = spread.map((d) => r.int(-Math.min(d, 2), 3));
      const high = spread.map((d, i) => Math.max(r.int(-2, 3), -(d + (low[i] as number))));
      const shape = spread.map((d, i) => d + (low[i] as number) + (high[i] as number));
      const expected = tensorOf("float32", shape, (o) => {
        const places = o.map((v, i) => (v - (low[i] as number)) / ((interior[i] as number) + 1));
        return places.every(Number.isInteger) ? at(x, ...places) ?? -7 : -7;
      });
      const build = { low, high, interior };
      await expectThreeWays([x], (g, v) => g.pad(v, build.low, build.high, -7, build.interior),
        expected, 0, `${seed} [${x.shape}] ${low} ${high} ${interior}`);
    }));

  it("concat puts parts of any size one behind the other", cases(30, async (r, seed) => {
    const shape = shapeOf(r, 1, 3);
    const axis = r.int(0, shape.length - 1);
    const parts = Array.from({ length: r.int(1, 4) }, (_, n) => {
      const own = shape.map((d, i) => (i === axis ? r.int(0, 3) : d));
      return tensorOf("float32", own, (o) => 1000 * n + o.reduce((s, v) => 10 * s + v, 0));
    });
    const total = parts.reduce((sum, p) => sum + (p.shape[axis] as number), 0);
    const whole = shape.map((d, i) => (i === axis ? total : d));
    const expected = tensorOf("float32", whole, (o) => {
      let place = o[axis] as number;
      for (const part of parts) {
        const size = part.shape[axis] as number;
        if (place < size) return at(part, ...o.map((v, i) => (i === axis ? place : v))) as number;
        place -= size;
      }
      throw new Error("beyond the last part");
    });
    await expectThreeWays(parts, (g, ...vs) => g.concat(vs, axis), expected, 0, `${seed}`);
  }));
});

interface Windowing { sizes: number[]; strides: number[]; dilations: number[] }
const windowing = (r: Random, n: number): Windowing => ({
  sizes: Array.from({ length: n }, () => r.int(1, 3)),
  strides: Array.from({ length: n }, () => r.int(1, 3)),
  dilations: Array.from({ length: n }, () => r.int(1, 2)),
});
const countsOf = (shape: readonly number[], { sizes, strides, dilations }: Windowing): number[] =>
  sizes.map((k, i) => {
    const room = (shape[shape.length - sizes.length + i] as number) -
      ((k - 1) * (dilations[i] as number) + 1);
    return room < 0 ? 0 : Math.floor(room / (strides[i] as number)) + 1;
  });

describe("windows", () => {
  it("window copies what each position covers", cases(40, async (r, seed) => {
    const x = numbered(shapeOf(r, 2, 3, 7));
    const attrs = windowing(r, r.int(1, 2));
    const n = attrs.sizes.length;
    const lead = x.shape.length - n;
    const shape = [...x.shape.slice(0, lead), ...countsOf(x.shape, attrs), ...attrs.sizes];
    const expected = tensorOf("float32", shape, (o) => at(x, ...o.slice(0, lead),
      ...attrs.sizes.map((_, i) => (o[lead + i] as number) * (attrs.strides[i] as number) +
        (o[lead + n + i] as number) * (attrs.dilations[i] as number))) as number);
    await expectThreeWays([x], (g, v) => g.add("window", [v], attrs), expected, 0, `${seed}`);
  }));

  it("unwindow adds every copy back to where it came from", cases(40, async (r, seed) => {
    const shape = shapeOf(r, 2, 3, 7);
    const attrs = windowing(r, r.int(1, 2));
    const n = attrs.sizes.length;
    const lead = shape.length - n;
    const counts = countsOf(shape, attrs);
    const x = numbered([...shape.slice(0, lead), ...counts, ...attrs.sizes]);
    const expected = tensorOf("float32", shape, (o) => {
      let sum = 0;
      const visit = (axis: number, positions: number[], offsets: number[]): void => {
        if (axis === n) {
          sum += at(x, ...o.slice(0, lead), ...positions, ...offsets) as number;
          return;
        }
        for (let y = 0; y < (counts[axis] as number); y++) {
          for (let t = 0; t < (attrs.sizes[axis] as number); t++) {
            const [stride, dilation] = [attrs.strides[axis], attrs.dilations[axis]] as number[];
            const place = y * (stride as number) + t * (dilation as number);
            if (place === o[lead + axis]) visit(axis + 1, [...positions, y], [...offsets, t]);
          }
        }
      };
      visit(0, [], []);
      return sum;
    });
    await expectThreeWays([x], (g, v) => g.add("unwindow", [v], { ...attrs, shape }), expected, 0,
      `${seed}`);
  }));
});

it("moves integers, flags and NaN as they are", async () => {
  const types = ["int8", "uint8", "int32", "uint32", "bool", "float32"] as const;
  for (const dtype of types) {
    const values = dtype === "bool" ? [0, 1, 1, 0] : dtype === "float32" ? [NaN, -0, Infinity, 1]
      : dtype.startsWith("u") ? [0, 255, 7, 1] : [-128, 127, 0, -1];
    const x = tensorOf(dtype, [4], ([i]) => values[i as number] as number);
    const crossed = [values[0], values[2], values[1], values[3]] as number[];
    const expected = tensorOf(dtype, [2, 2], ([i, j]) =>
      crossed[2 * (i as number) + (j as number)] as number);
    await expectThreeWays([x], (g, v) => g.transpose(g.reshape(v, [2, 2]), [1, 0]), expected);
  }
});
