/**
 * Evaluates nodes whose operands are all constants, and small integer nodes whose elements follow
 * from shapes. Repetition is left alone: a broadcast constant costs nothing inside a kernel and
 * much as memory; it is only expanded where it meets a constant of full size.
 */
import { isStatic } from "../graph/dim.ts";
import { isInteger } from "../graph/dtype.ts";
import { constantOf, isOp, isRandom, type Node, type Value } from "../graph/graph.ts";
import { KnownValues } from "../graph/known.ts";
import { sizeOf, tensor, type Tensor } from "../graph/tensor.ts";
import { primitiveOf } from "../ops/registry.ts";
import { copyNode, rewrite, type Pass } from "./rewrite.ts";

/** Nodes whose result may be many times larger than their operands. */
const growing = new Set<string>(["broadcast", "iota", "random", "normal", "window", "pad"]);
const SMALL = 4096;

function isStaticNode(node: Node): boolean {
  const attrs = Object.values(node.attrs as Record<string, unknown>);
  const symbolic = attrs.some((a) =>
    Array.isArray(a)
      ? a.some((d) => typeof d === "object")
      : typeof a === "object" && a !== null && "terms" in a,
  );
  return !symbolic && isStatic((node.outputs[0] as Value).type.shape);
}

/** The repetition of a constant, expanded. */
function expanded(v: Value): Tensor | undefined {
  if (!isOp(v.node, "broadcast") || !isStatic(v.type.shape)) return undefined;
  const held = constantOf(v.node.inputs[0] as Value);
  return held && primitiveOf("broadcast").evaluate([held], v.node.attrs, "f32");
}

/** Constant operands, or undefined when one is computed or the result should not be held. */
function operandsOf(node: Node, inputs: readonly Value[]): Tensor[] | undefined {
  if (node.op === "constant" || isRandom(node) || !isStaticNode(node)) return undefined;
  const held = inputs.map(constantOf);
  const size = sizeOf((node.outputs[0] as Value).type.shape as readonly number[]);
  if (growing.has(node.op)) {
    const cheap = held.some((t) => t?.splat) || size <= SMALL;
    return cheap && held.every((t) => t !== undefined) ? held : undefined;
  }
  const hasFull = held.some((t) => t && !t.splat && sizeOf(t.shape) >= size);
  const all = hasFull ? inputs.map((v, i) => held[i] ?? expanded(v)) : held;
  return all.every((t) => t !== undefined) ? all : undefined;
}

export const foldConstants: Pass = {
  name: "fold-constants",
  run(graph) {
    const known = new KnownValues();
    return rewrite(graph, ({ b, node, inputs }) => {
      const { name, type } = node.outputs[0] as Value;
      const operands = operandsOf(node, inputs);
      if (operands) {
        const value = primitiveOf(node.op).evaluate(operands, node.attrs, "f32");
        return b.constant(value, name);
      }
      if (node.op === "constant" || !isInteger(type.dtype) || !isStatic(type.shape)) {
        return undefined;
      }
      const copy = copyNode(b, node, inputs);
      const elements = known.numbers(copy);
      return elements ? b.constant(tensor(type.dtype, type.shape, elements)) : copy;
    });
  },
};
