/**
 * Folds per-channel constants behind a contraction with constant weights: batch-norm after a
 * convolution becomes part of its weights and bias. Three rules suffice, applied to a fixpoint:
 *
 *   (W*x) . s          ->  (W . s)*x
 *   (u + k) . s        ->  u . s + k . s        (s, k constants)
 *   (u + k1) + k2      ->  u + (k1 + k2)
 */
import { InternalError } from "../errors.ts";
import type { Builder } from "../graph/builder.ts";
import { isFloat } from "../graph/dtype.ts";
import { constantOf, isOp, type Graph, type Value } from "../graph/graph.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { rewrite, type Pass } from "./rewrite.ts";

/** A constant, possibly repeated: its elements and the rank it is aligned to. */
interface Repeated {
  /** Constant reshaped to the rank of the result, size 1 where it repeats. */
  readonly shape: readonly number[];
  readonly tensor: Tensor;
}

function repeatedConstant(v: Value): Repeated | undefined {
  const source = isOp(v.node, "broadcast") ? v.node.inputs[0] as Value : v;
  const tensor = constantOf(source);
  if (!tensor) return undefined;
  const lead = v.type.shape.length - tensor.shape.length;
  return { tensor, shape: [...new Array<number>(lead).fill(1), ...tensor.shape] };
}

/** The constant operand of a commutative node, and the other one. */
function split(
  inputs: readonly Value[],
): { constant: Repeated; other: Value; at: number } | undefined {
  for (const at of [1, 0]) {
    const constant = repeatedConstant(inputs[at] as Value);
    if (constant) return { constant, other: inputs[1 - at] as Value, at };
  }
  return undefined;
}

/** The constant as a value of the shape it repeats over, without the repetition. */
const asValue = (b: Builder, { tensor, shape }: Repeated): Value =>
  b.reshape(b.constant(tensor), shape);

/** Weights with the scale multiplied in, or undefined when the scale is not per output channel. */
function scaledWeights(b: Builder, contraction: Value, scale: Repeated): Value | undefined {
  const { node } = contraction;
  if (!isOp(node, "conv") && !isOp(node, "dot")) return undefined;
  const weights = node.inputs[1] as Value;
  if (!constantOf(weights)) return undefined;
  const varies = scale.shape.flatMap((d, i) => (d === 1 ? [] : [i]));
  if (isOp(node, "conv")) {
    // Result axes are N, O, spatial: only O may vary, and that is the weights' first axis.
    if (varies.some((i) => i !== 1)) return undefined;
    const channels = scale.shape[1] as number;
    const shape = [channels, ...weights.type.shape.slice(1).map(() => 1)];
    return b.mul(weights, b.reshape(b.constant(scale.tensor), shape));
  }
  const { batch, contract } = node.attrs;
  const rank = contraction.type.shape.length;
  const columns = weights.type.shape.length - batch - contract;
  if (batch > 0 || varies.some((i) => i < rank - columns)) return undefined;
  const shape = [...new Array<number>(contract).fill(1), ...scale.shape.slice(rank - columns)];
  return b.mul(weights, b.reshape(b.constant(scale.tensor), shape));
}

function once(graph: Graph): { graph: Graph; changed: boolean } {
  let changed = false;
  const next = rewrite(graph, ({ b, node, inputs, isSoleReader }) => {
    if (!isFloat((node.outputs[0] as Value).type.dtype)) return undefined;
    if (node.op !== "mul" && node.op !== "add") return undefined;
    const parts = split(inputs);
    if (!parts || !isSoleReader(1 - parts.at)) return undefined;
    const { constant, other } = parts;
    const { shape } = (node.outputs[0] as Value).type;
    const full = (v: Value): Value => b.broadcast(v, shape);
    if (node.op === "mul") {
      const weights = scaledWeights(b, other, constant);
      if (weights && other.node) {
        changed = true;
        const { op, attrs, inputs: [x], origin } = other.node;
        return b.from([...origin, ...node.origin], () =>
          b.add(op, [x as Value, weights], attrs, (node.outputs[0] as Value).name));
      }
    }
    if (!isOp(other.node, "add")) return undefined;
    const inner = split(other.node.inputs);
    if (!inner || !leadsToContraction(inner.other)) return undefined;
    changed = true;
    const [k, s] = [asValue(b, inner.constant), asValue(b, constant)];
    if (node.op === "add") return b.addition(inner.other, full(b.addition(k, s)));
    return b.addition(b.mul(inner.other, full(s)), full(b.mul(k, s)));
  });
  return { graph: next, changed };
}

/** Distribution only pays when the product can go on into weights. */
function leadsToContraction(v: Value): boolean {
  if (!isOp(v.node, "conv") && !isOp(v.node, "dot")) return false;
  const weights = constantOf(v.node.inputs[1] as Value);
  return weights !== undefined && sizeOf(weights.shape) > 0;
}

export const foldScale: Pass = {
  name: "fold-scale",
  run(graph) {
    let current = graph;
    // Every change moves a constant closer to a contraction: the number of nodes bounds the rounds.
    for (let round = 0; round <= graph.nodes.length; round++) {
      const { graph: next, changed } = once(current);
      current = next;
      if (!changed) return current;
    }
    throw new InternalError("fold-scale did not come to an end");
  },
};
