/**
 * Folds per-channel constants behind a contraction with constant weights: batch-norm after a
 * convolution becomes part of its weights and bias. Three rules suffice, applied to a fixpoint:
 *
 *   (W*x) . s          ->  (W . s)*x
 *   (W*x + k) . s      ->  (W . s)*x + k . s        (s, k constants)
 *   (W*x + k1) + k2    ->  W*x + (k1 + k2)
 *
 * Left alone is what would not pay: a scale that varies over anything but output channels, weights
 * that another node reads as well (they would be there twice), and a result that is read twice.
 */
import { InternalError } from "../errors.ts";
import { broadcastShapes, type Builder } from "../graph/builder.ts";
import { isFloat } from "../graph/dtype.ts";
import { countUses } from "../graph/evaluate.ts";
import { constantOf, isOp, type Graph, type Node, type Value } from "../graph/graph.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { primitiveOf } from "../ops/registry.ts";
import { rewrite, type Pass } from "./rewrite.ts";

/** A constant, possibly repeated: reshaped to the rank of the result, size 1 where it repeats. */
function repeatedConstant(v: Value): Tensor | undefined {
  const source = isOp(v.node, "broadcast") ? (v.node.inputs[0] as Value) : v;
  const tensor = constantOf(source);
  if (!tensor) return undefined;
  const lead = v.type.shape.length - tensor.shape.length;
  return { ...tensor, shape: [...new Array<number>(lead).fill(1), ...tensor.shape] };
}

interface Split {
  readonly constant: Tensor;
  readonly other: Value;
  /** Which operand is the constant one. */
  readonly at: 0 | 1;
}

/** The constant operand of a commutative node, and the other one. */
function split(inputs: readonly Value[]): Split | undefined {
  for (const at of [1, 0] as const) {
    const constant = repeatedConstant(inputs[at] as Value);
    if (constant) return { constant, other: inputs[1 - at] as Value, at };
  }
  return undefined;
}

/** a op b, elementwise with repetition. */
function combined(op: "add" | "mul", a: Tensor, b: Tensor): Tensor {
  const joined = broadcastShapes(a.shape, b.shape);
  if ("conflict" in joined) throw new InternalError(`fold-scale: ${joined.conflict}`);
  const { shape } = joined;
  const full = (t: Tensor): Tensor => primitiveOf("broadcast").evaluate([t], { shape }, "f32");
  return primitiveOf(op).evaluate([full(a), full(b)], {}, "f32");
}

type Contraction = Node<"conv"> | Node<"dot">;
const isContraction = (node: Node | undefined): node is Contraction =>
  isOp(node, "conv") || isOp(node, "dot");

/** The scale in the weights' own axes; undefined when it is not one per output channel. */
function alongWeights(node: Contraction, scale: Tensor): Tensor | undefined {
  const weights = (node.inputs[1] as Value).type.shape;
  const varies = scale.shape.flatMap((d, i) => (d === 1 ? [] : [i]));
  if (isOp(node, "conv")) {
    // Result axes are N, O, spatial: only O may vary, and that is the weights' first axis.
    if (varies.some((i) => i !== 1)) return undefined;
    return { ...scale, shape: [scale.shape[1] as number, ...weights.slice(1).map(() => 1)] };
  }
  const { batch, contract } = node.attrs;
  const rank = scale.shape.length;
  const columns = weights.length - batch - contract;
  if (batch > 0 || varies.some((i) => i < rank - columns)) return undefined;
  return {
    ...scale,
    shape: [...new Array<number>(contract).fill(1), ...scale.shape.slice(rank - columns)],
  };
}

/** The contraction with the scale in its weights; undefined when it does not fit there. */
function scaled(
  b: Builder, old: Contraction, now: Value, scale: Tensor, node: Node, name: string,
): Value | undefined {
  const weights = constantOf(old.inputs[1] as Value);
  const along = alongWeights(old, scale);
  if (!weights || !along) return undefined;
  const held = b.constant(combined("mul", weights, along), (old.inputs[1] as Value).name);
  const x = now.node?.inputs[0] as Value;
  return b.from([...old.origin, ...node.origin], () => b.add(old.op, [x, held], old.attrs, name));
}

function once(graph: Graph): { graph: Graph; changed: boolean } {
  const uses = countUses(graph);
  const isSole = (v: Value): boolean => uses.get(v) === 1;
  /** Values that this round has already replaced: what is built on them waits for the next. */
  const replaced = new Set<Value>();
  const foldable = (v: Value): Contraction | undefined => {
    const { node } = v;
    if (!isContraction(node) || !isSole(v) || replaced.has(v)) return undefined;
    const weights = node.inputs[1] as Value;
    return constantOf(weights) && isSole(weights) ? node : undefined;
  };
  const next = rewrite(graph, ({ b, node, inputs }) => {
    const out = node.outputs[0] as Value;
    if (!isFloat(out.type.dtype) || (node.op !== "mul" && node.op !== "add")) return undefined;
    const outer = split(node.inputs);
    if (!outer || !isSole(outer.other) || replaced.has(outer.other)) return undefined;
    const now = inputs[1 - outer.at] as Value;
    const made = node.op === "mul" ? multiplied(b, node, outer, now) : undefined;
    const result = made ?? distributed(b, node, outer, now);
    if (result) replaced.add(out);
    return result;
  });

  function multiplied(b: Builder, node: Node, { constant, other }: Split, now: Value) {
    const contraction = foldable(other);
    return contraction &&
      scaled(b, contraction, now, constant, node, (node.outputs[0] as Value).name);
  }

  function distributed(b: Builder, node: Node, { constant, other }: Split, now: Value) {
    const inner = isOp(other.node, "add") ? split(other.node.inputs) : undefined;
    const contraction = inner && foldable(inner.other);
    if (!inner || !contraction) return undefined;
    const bias = combined(node.op as "add" | "mul", inner.constant, constant);
    const largest = Math.max(sizeOf(inner.constant.shape), sizeOf(constant.shape));
    if (sizeOf(bias.shape) > largest) return undefined;
    const product = now.node?.inputs[1 - inner.at] as Value;
    const u = node.op === "add" ? product
      : scaled(b, contraction, product, constant, node, inner.other.name);
    const origin = [...(other.node as Node).origin, ...node.origin];
    const { name, type } = node.outputs[0] as Value;
    return u && b.from(origin, () => {
      const held = b.constant(bias, `${inner.other.name}.bias`);
      return b.add("add", [u, b.broadcast(held, type.shape)], {}, name);
    });
  }
  return { graph: next, changed: replaced.size > 0 };
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
