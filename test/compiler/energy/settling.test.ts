/** Merged ReLU layers: coupling norms against explicit matrices, and blocks that settle. */
import { describe, expect, it } from "vitest";
import { ffEbmFromGraph } from "../../../compiler/energy/fromGraph.ts";
import { couplingNorm, isAffine, settlingScales } from "../../../compiler/energy/settling.ts";
import { relu, tanhUnit } from "../../../compiler/energy/units.ts";
import { unrolledModel } from "../../../compiler/energy/unroll.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { costRules } from "../../../models/ffEbm.ts";
import { normalStream } from "../../../models/init.ts";

const batch = symbol("N");
const random = (name: string, shape: readonly number[], size = 1): Tensor => {
  const normal = normalStream(1, name);
  const length = shape.reduce((p, d) => p * d, 1);
  return tensor("float32", shape, Float32Array.from({ length }, (_, i) => size * normal(i)));
};

/** pre = W*s + b for a convolution; s [N, 2, 5, 5]. */
function convolution(maxPooled: boolean): Graph {
  const b = new Builder("coupling");
  const s = b.input("s", { dtype: "float32", shape: [batch, 2, 5, 5] });
  const w = b.input("w", { dtype: "float32", shape: [3, 2, 3, 3] });
  const kinked = maxPooled ? b.max(s, b.flip(s, [3])) : s;
  const pre = b.add("conv", [kinked, w],
    { strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1 });
  return b.finish([{ name: "pre", value: pre }]);
}

/** Largest singular value of the matrix of a linear map R^n -> R^m, by Jacobi rotations. */
function largestSingularValue(columns: readonly Float64Array[]): number {
  const a = columns.map((c) => Float64Array.from(c));
  const dot = (x: Float64Array, y: Float64Array): number =>
    x.reduce((sum, v, i) => sum + v * (y[i] as number), 0);
  for (let round = 0; round < 30; round++) {
    for (let p = 0; p < a.length; p++) {
      for (let q = p + 1; q < a.length; q++) {
        const [x, y] = [a[p] as Float64Array, a[q] as Float64Array];
        const [xx, yy, xy] = [dot(x, x), dot(y, y), dot(x, y)];
        if (Math.abs(xy) < 1e-14 * Math.sqrt(xx * yy)) continue;
        const zeta = (yy - xx) / (2 * xy);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const c = 1 / Math.hypot(1, t);
        for (let i = 0; i < x.length; i++) {
          const [u, v] = [x[i] as number, y[i] as number];
          x[i] = c * (u - t * v);
          y[i] = c * (v + t * u);
        }
      }
    }
  }
  return Math.max(...a.map((c) => Math.sqrt(dot(c, c))));
}

describe("the norm of a coupling", () => {
  const weights = new Map([["w", random("w", [3, 2, 3, 3])]]);
  const map = { graph: convolution(false), from: "s", to: "pre" };

  it("is the largest singular value of its matrix, from below and by less than a tenth", () => {
    const columns = Array.from({ length: 50 }, (_, i) => {
      const unit = new Float64Array(50);
      unit[i] = 1;
      const inputs = new Map([...weights, ["s", tensor("float32", [1, 2, 5, 5], unit)] as const]);
      const { data } = evaluateGraph(map.graph, inputs, "f64").get("pre") as Tensor;
      return Float64Array.from(data as Float64Array);
    });
    const truth = largestSingularValue(columns);
    const found = couplingNorm(map, weights);
    expect(found).toBeLessThan(truth * (1 + 1e-5));
    expect(found).toBeGreaterThan(0.9 * truth);
  });

  it("scales ReLU layers by it, and leaves bounded units alone", () => {
    const norm = couplingNorm(map, weights);
    expect(settlingScales([relu, relu], [map], weights)).toEqual([norm / 0.45, 1]);
    expect(settlingScales([tanhUnit, relu], [map], weights)).toEqual([1, 1]);
  });

  it("only an affine coupling has one everywhere", () => {
    expect(isAffine(map)).toBe(true);
    expect(isAffine({ ...map, graph: convolution(true) })).toBe(false);
  });
});

describe("merged ReLU layers of strong weights", () => {
  /** Three ReLU layers of norm around 4, logits behind them. */
  function strong(): Graph {
    const b = new Builder("strong");
    let v: Value = b.input("x", { dtype: "float32", shape: [symbol("B"), 6] });
    for (const [l, [inputs, outputs]] of ([[6, 8], [8, 8], [8, 8], [8, 3]] as const).entries()) {
      const w = b.constant(random(`w${l}`, [inputs, outputs]), `w${l}`);
      v = b.dot(v, w, 0, 1);
      if (l < 3) v = b.max(v, b.full(v, 0));
    }
    return b.finish([{ name: "y", value: v }]);
  }
  const graph = strong();
  const { model, parameters, blocks } = ffEbmFromGraph(graph,
    { blockSize: 3, loss: costRules["cross-entropy"] });
  const input = random("x", [5, 6]);
  const after = (sweeps: number): number[] => {
    const unrolled = unrolledModel(model, parameters, { order: "asynchronous", sweeps });
    const found = evaluateGraph(unrolled, new Map([["x", input]]), "f64");
    const { data } = found.get("logits") as Tensor;
    return Array.from(data as Float64Array);
  };

  it("come to rest, at values like the network's", () => {
    expect(blocks.map(({ layers }) => layers.length)).toEqual([3]);
    const [some, more] = [after(60), after(120)];
    const size = Math.max(...more.map(Math.abs));
    expect(Math.max(...more.map((x, i) => Math.abs(x - (some[i] as number))))).toBeLessThan(
      1e-9 * size);
    const feedforward = evaluateGraph(graph, new Map([["x", input]]), "f64").get("y") as Tensor;
    const cosine = (x: readonly number[], y: readonly number[]): number => {
      const dot = (p: readonly number[], q: readonly number[]): number =>
        p.reduce((sum, v, i) => sum + v * (q[i] as number), 0);
      return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
    };
    expect(cosine(more, Array.from(feedforward.data as Float64Array))).toBeGreaterThan(0.9);
  });
});
