/**
 * Turns a convolution followed by sum pooling into one convolution of the pooled size. Summing
 * q x q outputs of a k x k kernel is a (k+q-1) x (k+q-1) kernel at stride q; cut into q x q phases
 * of the image, which become channels, it is a small kernel at stride 1 again, of which the
 * gradient is one too. For k = 3, q = 2 that is 16 products per output instead of 36, and no
 * pooling or unpooling is left.
 *
 *   sum_(a,b<q) (w * x)[q*i + a, q*j + b] = sum_(u,v) (sum_(a,b<q) w[u - a, v - b]) x[q*i + u, ..]
 *
 * Sums are taken in another order, so results differ by rounding. Not among the passes of
 * `compile.ts`: a crossbar holds the kernel as it is. It is for energies about to be differentiated
 * and relaxed on a digital device, where sweeps repeat it.
 */
import type { Builder } from "../graph/builder.ts";
import { mulDims, type Dim } from "../graph/dim.ts";
import { isOp, type Node, type Value } from "../graph/graph.ts";
import { rewrite, type Pass } from "./rewrite.ts";

interface Pooled {
  readonly conv: Node<"conv">;
  /** Side of the pooling windows. */
  readonly q: number;
}

const all = (values: readonly number[], value: number): boolean =>
  values.every((v) => v === value);

/** A sum over windows that tile the outputs of a plain two-dimensional convolution. */
function pooledConvolution(node: Node): Pooled | undefined {
  if (!isOp(node, "reduce") || node.attrs.kind !== "sum") return undefined;
  if (node.attrs.axes.join() !== "4,5") return undefined;
  const cut = node.inputs[0]?.node;
  if (!isOp(cut, "window")) return undefined;
  const { sizes, strides, dilations } = cut.attrs;
  const [q] = sizes as [number];
  const tiles = sizes.length === 2 && all([...sizes, ...strides], q) && all(dilations, 1);
  const conv = cut.inputs[0]?.node;
  if (!tiles || !isOp(conv, "conv")) return undefined;
  const plain = conv.attrs.groups === 1 && conv.attrs.strides.length === 2 &&
    all([...conv.attrs.strides, ...conv.attrs.dilations], 1);
  return plain ? { conv, q } : undefined;
}

export const poolConvolutions: Pass = {
  name: "pool-convolutions",
  run: (graph) => {
    const copies = new Map<Node, readonly Value[]>();
    return rewrite(graph, ({ b, node, inputs }) => {
      if (isOp(node, "conv")) copies.set(node as Node, inputs);
      const found = pooledConvolution(node);
      if (!found) return undefined;
      const { attrs } = found.conv;
      const [x, w] = copies.get(found.conv as Node) as readonly [Value, Value];
      const outs = (node.outputs[0] as Value).type.shape.slice(2) as number[];
      return strided(b, x, w, found.q, attrs.low, outs, (node.outputs[0] as Value).name);
    });
  },
};

function strided(
  b: Builder, x: Value, w: Value, q: number, low: readonly number[], outs: readonly number[],
  name: string,
): Value {
  const taps = w.type.shape.slice(2) as number[];
  // Phases that the summed kernel spans, per axis.
  const spans = taps.map((k) => Math.ceil((k + q - 1) / q));
  const zeros = [0, 0];
  const reach = taps.map((k, i) => (spans[i] as number) * q - k);
  const wide = b.pad(w, [...zeros, q - 1, q - 1], [...zeros, ...reach], 0);
  const summed = b.reduce("sum",
    b.add("window", [wide], { sizes: [q, q], strides: [1, 1], dilations: [1, 1] }), [4, 5]);
  const extents = outs.map((out, i) => out + (spans[i] as number) - 1);
  const image = phases(b, framed(b, x, low, extents.map((e) => e * q)), q, extents);
  return b.add("conv", [image, phases(b, summed, q, spans)],
    { strides: [1, 1], dilations: [1, 1], low: zeros, high: zeros, groups: 1 }, name);
}

/** Zeros in front, and zeros or a cut behind, so that the image has the given sides. */
function framed(b: Builder, x: Value, low: readonly number[], sides: readonly number[]): Value {
  const extents = x.type.shape.slice(2) as number[];
  const missing = sides.map((side, i) => side - (extents[i] as number) - (low[i] as number));
  const padded = b.pad(x, [0, 0, ...low], [0, 0, ...missing.map((m) => Math.max(m, 0))], 0);
  return b.slice(padded, [0, 0, 0, 0], [...x.type.shape.slice(0, 2), ...sides]);
}

/** [A, C, q*h, q*w] -> [A, C*q*q, h, w]: every q-th pixel of every q-th row a channel. */
function phases(b: Builder, x: Value, q: number, [h, w]: readonly number[]): Value {
  const [first, channels] = x.type.shape as readonly [Dim, Dim];
  const split = b.reshape(x, [first, channels, h as number, q, w as number, q]);
  return b.reshape(b.transpose(split, [0, 1, 3, 5, 2, 4]),
    [first, mulDims(channels, q * q), h as number, w as number]);
}
