/** dot and conv against sums written as nested loops over every index. */
import { expect, it } from "vitest";
import { isFloat, type DType } from "../../../compiler/graph/dtype.ts";
import { elementAt, sizeOf, type Tensor } from "../../../compiler/graph/tensor.ts";
import { forEachIndex } from "../../../compiler/ops/common.ts";
import { at, bothWays, elements, expectThreeWays, tensorOf } from "../../support/threeWays.ts";
import { Random } from "../../support/randomGraph.ts";

/** Float64 sums of at most a few hundred products, in another order. */
const ROUNDING = 1e-13;
const random = (r: Random, shape: readonly number[]): Tensor =>
  tensorOf("float32", shape, () => 2 * r.next() - 1);
const sizes = (r: Random, min: number, max: number): number[] =>
  Array.from({ length: r.int(min, max) }, () => (r.next() < 0.05 ? 0 : r.int(1, 4)));

it("dot sums over contracted axes, for every batch, row and column", async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const r = new Random(seed);
    const [batch, m, k, n] = [sizes(r, 0, 2), sizes(r, 0, 2), sizes(r, 0, 2), sizes(r, 0, 2)];
    const [a, b] = [random(r, [...batch, ...m, ...k]), random(r, [...batch, ...k, ...n])];
    const expected = tensorOf("float32", [...batch, ...m, ...n], (o) => {
      const lead = o.slice(0, batch.length);
      const row = o.slice(batch.length, batch.length + m.length);
      const column = o.slice(batch.length + m.length);
      let sum = 0;
      forEachIndex(k, (i) => {
        const [x, y] = [at(a, ...lead, ...row, ...i), at(b, ...lead, ...i, ...column)] as number[];
        sum += (x as number) * (y as number);
      });
      return sum;
    });
    await expectThreeWays([a, b], (g, x, y) => g.dot(x, y, batch.length, k.length), expected,
      ROUNDING, `seed ${seed}`);
  }
});

interface ConvAttrs {
  strides: number[]; dilations: number[]; low: number[]; high: number[]; groups: number;
}

/** Cross-correlation as ONNX Conv states it, one multiplication at a time. */
function convolve(x: Tensor, w: Tensor, attrs: ConvAttrs, dtype: DType = "float32"): Tensor {
  const { strides, dilations, low, high, groups } = attrs;
  const taps = w.shape.slice(2);
  const outs = strides.map((stride, i) => {
    const padded = (x.shape[2 + i] as number) + (low[i] as number) + (high[i] as number);
    const span = ((taps[i] as number) - 1) * (dilations[i] as number) + 1;
    return padded < span ? 0 : Math.floor((padded - span) / stride) + 1;
  });
  const perGroup = (w.shape[0] as number) / groups;
  const channels = w.shape[1] as number;
  return tensorOf(dtype, [x.shape[0] as number, w.shape[0] as number, ...outs], ([n, o, ...y]) => {
    let sum = 0;
    forEachIndex([channels, ...taps], ([c, ...t]) => {
      const place = y.map((p, i) => p * (strides[i] as number) +
        (t[i] as number) * (dilations[i] as number) - (low[i] as number));
      const channel = Math.floor((o as number) / perGroup) * channels + (c as number);
      sum += (at(x, n as number, channel, ...place) ?? 0) *
        (at(w, o as number, c as number, ...t) as number);
    });
    return sum;
  });
}

it("conv with strides, dilations, uneven pads, crops, groups, in 1 to 3 dimensions", async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 80; seed++) {
    const r = new Random(seed);
    const n = r.int(1, 3);
    const each = (f: () => number): number[] => Array.from({ length: n }, f);
    const groups = r.pick([1, 1, 2, 3]);
    const perGroup = r.int(1, 2);
    const x = random(r, [r.int(1, 2), groups * perGroup, ...each(() => r.int(1, n === 3 ? 4 : 6))]);
    const w = random(r, [groups * r.int(1, 2), perGroup, ...each(() => r.int(1, 3))]);
    const attrs = {
      strides: each(() => r.int(1, 3)), dilations: each(() => r.int(1, 2)), groups,
      low: each(() => r.int(-1, 2)), high: each(() => r.int(0, 2)),
    };
    const expected = convolve(x, w, attrs);
    if (sizeOf(expected.shape) > 0) {
      for (const [name, values] of Object.entries(attrs)) seen.add(`${name} ${values}`);
    }
    await expectThreeWays([x, w], (g, a, b) => g.add("conv", [a, b], attrs), expected,
      ROUNDING, `seed ${seed}`);
  }
  expect(seen.size).toBeGreaterThan(60);
});

it("depthwise and pointwise convolutions are cases of it", async () => {
  const r = new Random(5);
  const x = random(r, [2, 6, 5, 5]);
  const plain = { strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1] };
  const depthwise = random(r, [6, 1, 3, 3]);
  await expectThreeWays([x, depthwise], (g, a, b) => g.add("conv", [a, b], { ...plain, groups: 6 }),
    convolve(x, depthwise, { ...plain, groups: 6 }), ROUNDING);
  const pointwise = random(r, [4, 6, 1, 1]);
  const none = { ...plain, low: [0, 0], high: [0, 0], groups: 1 };
  await expectThreeWays([x, pointwise], (g, a, b) => g.add("conv", [a, b], none),
    convolve(x, pointwise, none), ROUNDING);
});

it("a convolution of zeros is zero without looking, and a splat counts every element", async () => {
  const attrs = { strides: [1], dilations: [1], low: [1], high: [1], groups: 1 };
  for (const value of [0, 2]) {
    const dense = tensorOf("float32", [1, 2, 4], () => value);
    const held: Tensor = { ...dense, data: dense.data.slice(0, 1), splat: true };
    const w = random(new Random(1), [1, 2, 3]);
    const { evaluated } = await bothWays([w], (b, v) =>
      b.add("conv", [b.constant(held), v], attrs));
    const expected = elements(convolve(dense, w, attrs));
    elements(evaluated).forEach((e, i) => expect(e).toBeCloseTo(expected[i] as number, 12));
  }
});

it("integer sums of products wrap, whatever the size of the products", async () => {
  const types = ["int8", "uint8", "int16", "uint16", "int32", "uint32"] as const;
  const r = new Random(9);
  for (const dtype of types) {
    const bits = Number(/\d+/.exec(dtype)?.[0]);
    expect(isFloat(dtype)).toBe(false);
    const any = (): number => {
      const word = Math.floor(r.next() * 2 ** bits);
      return dtype.startsWith("u") ? word : word - 2 ** (bits - 1);
    };
    const [a, b] = [tensorOf(dtype, [3, 7], any), tensorOf(dtype, [7, 4], any)];
    const wrap = dtype.startsWith("u") ? BigInt.asUintN : BigInt.asIntN;
    const expected = tensorOf(dtype, [3, 4], ([i, j]) => {
      let sum = 0n;
      for (let k = 0; k < 7; k++) {
        sum += BigInt(at(a, i as number, k) as number) * BigInt(at(b, k, j as number) as number);
      }
      return Number(wrap(bits, sum));
    });
    await expectThreeWays([a, b], (g, x, y) => g.dot(x, y, 0, 1), expected, 0, dtype);
    const x = { ...a, shape: [1, 3, 7] };
    const w = tensorOf(dtype, [2, 3, 2], any);
    const attrs = { strides: [1], dilations: [1], low: [0], high: [0], groups: 1 };
    const sums = tensorOf(dtype, [1, 2, 6], ([, o, y]) => {
      let sum = 0n;
      for (let c = 0; c < 3; c++) {
        for (let t = 0; t < 2; t++) {
          sum += BigInt(elementAt(x, c * 7 + (y as number) + t)) *
            BigInt(at(w, o as number, c, t) as number);
        }
      }
      return Number(wrap(bits, sum));
    });
    await expectThreeWays([x, w], (g, p, q) => g.add("conv", [p, q], attrs), sums, 0, dtype);
  }
});
