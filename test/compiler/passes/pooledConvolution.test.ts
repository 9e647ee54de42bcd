/** pool-convolutions: the same sums, with a fraction of the products. */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evalDim, productOf, symbol, type Dim } from "../../../compiler/graph/dim.ts";
import { isOp, type Graph } from "../../../compiler/graph/graph.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { vjp } from "../../../compiler/passes/gradient.ts";
import { poolConvolutions } from "../../../compiler/passes/pooledConvolution.ts";
import { expectSame } from "../../support/passes.ts";
import { Random } from "../../support/randomGraph.ts";

interface Shape {
  readonly channels: number; readonly out: number; readonly side: readonly [number, number];
  readonly taps: readonly [number, number]; readonly low: readonly number[];
  readonly high: readonly number[]; readonly q: number;
}

/** sum of q x q windows of conv(x, w), and its gradients by x and w with cotangent d. */
function pooled({ channels, out, side, taps, low, high, q }: Shape): Graph {
  const b = new Builder("pooled");
  const f = (shape: readonly Dim[]): { dtype: "float32"; shape: readonly Dim[] } =>
    ({ dtype: "float32", shape });
  const x = b.input("x", f([symbol("N"), channels, ...side]));
  const w = b.input("w", f([out, channels, ...taps]));
  const wide = b.add("conv", [x, w],
    { strides: [1, 1], dilations: [1, 1], low, high, groups: 1 });
  const windows = b.add("window", [wide], { sizes: [q, q], strides: [q, q], dilations: [1, 1] });
  const y = b.reduce("sum", windows, [4, 5]);
  return b.finish([{ name: "y", value: y }]);
}

function withGradients(graph: Graph): Graph {
  const b = new Builder("gradients");
  const inputs = graph.inputs.map(({ name, type }) => b.input(name, type));
  const values = new Map(graph.inputs.map((v, i) => [v, inputs[i]] as const));
  for (const node of graph.nodes) {
    const operands = node.inputs.map((v) => values.get(v) as NonNullable<typeof inputs[0]>);
    values.set(node.outputs[0] as typeof inputs[0], node.op === "constant"
      ? b.add("constant", [], node.attrs as never) : b.add(node.op, operands, node.attrs));
  }
  const y = values.get(graph.outputs[0]?.value as never) as NonNullable<typeof inputs[0]>;
  const d = b.input("d", y.type);
  const [dx, dw] = vjp(b, [y], [d], inputs);
  return b.finish([["y", y], ["dx", dx], ["dw", dw]].map(([name, value]) =>
    ({ name, value }) as Graph["outputs"][number]));
}

/** Products of all convolutions for one image. */
const products = (graph: Graph): number => graph.nodes.reduce((sum, node) => {
  if (!isOp(node, "conv")) return sum;
  const [out, kernel] = [node.outputs[0]?.type.shape, node.inputs[1]?.type.shape];
  return sum + evalDim(productOf([...out ?? [], ...kernel?.slice(1) ?? []]), { N: 1 });
}, 0);

function randomShape(seed: number): Shape {
  const r = new Random(seed);
  const pair = (from: number, to: number): [number, number] => [r.int(from, to), r.int(from, to)];
  const q = r.int(2, 3);
  const taps = pair(1, 4);
  return {
    channels: r.int(1, 3), out: r.int(1, 3), q, taps, low: pair(0, 2), high: pair(0, 2),
    side: [r.int(taps[0] + q, 9), r.int(taps[1] + q, 9)],
  };
}

/** A few dozen products of numbers below 2 in size, summed in two orders in float32. */
const ROUNDED = 1e-4;

describe("pool-convolutions", () => {
  it("keeps values and both gradients, whatever the kernel, padding and remainder", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const graph = pooled(randomShape(seed));
      const passed = verifyGraph(poolConvolutions.run(graph));
      const reduced = passed.nodes.filter((node) => isOp(node, "reduce"));
      expect(reduced.map((node) => node.inputs[0]?.type.shape[0]), "only weights are summed")
        .toEqual([graph.outputs[0]?.value.type.shape[1]]);
      expectSame(withGradients(graph), withGradients(passed), ROUNDED, `seed ${seed}`);
    }
  });

  it("takes 16 products instead of 36 for 3x3 kernels under 2x2 pooling", () => {
    const graph = pooled({
      channels: 4, out: 5, side: [8, 8], taps: [3, 3], low: [1, 1], high: [1, 1], q: 2,
    });
    expect(products(graph)).toBe(36 * 4 * 5 * 16);
    expect(products(poolConvolutions.run(graph))).toBe(16 * 4 * 5 * 16);
  });

  it("leaves maxima and overlapping windows alone", () => {
    const make = (kind: "max" | "sum", stride: number): Graph => {
      const b = new Builder("other");
      const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 1, 6, 6] });
      const w = b.input("w", { dtype: "float32", shape: [1, 1, 3, 3] });
      const wide = b.add("conv", [x, w],
        { strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1 });
      const windows = b.add("window", [wide],
        { sizes: [2, 2], strides: [stride, stride], dilations: [1, 1] });
      return b.finish([{ name: "y", value: b.reduce(kind, windows, [4, 5]) }]);
    };
    for (const graph of [make("max", 2), make("sum", 1)]) {
      expect(poolConvolutions.run(graph).nodes.map(({ op }) => op))
        .toEqual(["conv", "window", "reduce"]);
    }
  });
});
