/**
 * Splits weights that one binding of a device cannot hold (a classifier of VGG-19 has 411 MB, an
 * embedding of a language model 154 MB, every WebGPU device binds 128 MiB): the operation is done
 * with each part of the weights, and the results are concatenated. Every part yields its own share
 * of the output, so nothing is added up in another order.
 *
 * Not for activations: what a device cannot hold of those, its allocation refuses by name.
 */
import type { DType } from "../graph/dtype.ts";
import {
  constantOf, rankOf, type Node, type PrimAttrs, type PrimName, type Value,
} from "../graph/graph.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { stridesOf } from "../ops/common.ts";
import { rewrite, type Pass } from "./rewrite.ts";

/** An operand that may be cut along `axis`, which is `result` of the output. */
interface Cut {
  readonly operand: number;
  readonly axis: number;
  readonly result: number;
}

type Ranks = readonly number[];
type Rules = { readonly [O in PrimName]?: (attrs: PrimAttrs[O], ranks: Ranks) => readonly Cut[] };

const count = (from: number, to: number): number[] =>
  Array.from({ length: Math.max(to - from, 0) }, (_, i) => from + i);

const rules: Rules = {
  // Free axes of a come behind the shared ones, those of b behind what meets a.
  dot: ({ batch, contract }, [a = 0, b = 0]) => [
    ...count(batch, a - contract).map((axis) => ({ operand: 0, axis, result: axis })),
    ...count(batch + contract, b).map((axis) => ({
      operand: 1, axis, result: a - contract + axis - batch - contract,
    })),
  ],
  conv: ({ groups }) => (groups === 1 ? [{ operand: 1, axis: 0, result: 1 }] : []),
  gather: ({ axis: chosen }, [data = 0, indices = 0]) => count(0, data)
    .filter((axis) => axis !== chosen)
    .map((axis) => ({ operand: 0, axis, result: axis < chosen ? axis : axis - 1 + indices })),
};

/** Devices hold float16 weights as halves, everything else in words. */
const bytesOf = (dtype: DType): number => (dtype === "float16" ? 2 : 4);

/** Elements [from, to) of an axis. */
function part(t: Tensor, axis: number, from: number, to: number): Tensor {
  const shape = t.shape.map((d, i) => (i === axis ? to - from : d));
  const strides = stridesOf(t.shape);
  const inner = strides[axis] as number;
  const [run, whole] = [(to - from) * inner, (t.shape[axis] as number) * inner];
  const make = t.data.constructor as new (length: number) => Tensor["data"];
  const data = new make(sizeOf(shape));
  for (let outer = 0; outer * run < data.length; outer++) {
    const start = outer * whole + from * inner;
    data.set(t.data.subarray(start, start + run), outer * run);
  }
  return { dtype: t.dtype, shape, data, splat: false };
}

/** Where to cut a node's weights, and into how many parts; undefined where they are small. */
function cutFor(
  node: Node, inputs: readonly Value[], limit: number,
): { readonly cut: Cut; readonly parts: number; readonly weights: Tensor } | undefined {
  const rule = rules[node.op] as ((attrs: object, ranks: Ranks) => readonly Cut[]) | undefined;
  for (const cut of rule?.(node.attrs, inputs.map(rankOf)) ?? []) {
    const weights = constantOf(inputs[cut.operand] as Value);
    if (!weights || weights.splat) continue;
    const parts = Math.ceil(sizeOf(weights.shape) * bytesOf(weights.dtype) / limit);
    if (parts > 1 && parts <= (weights.shape[cut.axis] as number)) return { cut, parts, weights };
  }
  return undefined;
}

/** @param limit bytes of a binding; weights without an axis to cut along stay as they are */
export const splitLarge = (limit: number): Pass => ({
  name: "split-large",
  run: (graph) => rewrite(graph, ({ b, node, inputs }) => {
    const found = cutFor(node, inputs, limit);
    if (!found) return undefined;
    const { cut: { operand, axis, result }, weights } = found;
    const size = weights.shape[axis] as number;
    // Rounding up may leave fewer parts than asked for, none larger.
    const each = Math.floor(size / found.parts);
    const { name } = inputs[operand] as Value;
    const results = count(0, Math.ceil(size / each)).map((i) => {
      const own = part(weights, axis, i * each, Math.min((i + 1) * each, size));
      const held = b.constant(own, `${name}.part${i}`);
      return b.add(node.op, inputs.map((v, n) => (n === operand ? held : v)), node.attrs);
    });
    return b.concat(results, result, (node.outputs[0] as Value).name);
  }),
});
