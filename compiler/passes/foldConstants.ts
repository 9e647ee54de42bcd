/**
 * Evaluates nodes whose operands are all constants. Repetition is left alone: a broadcast constant
 * costs nothing inside a kernel and much as memory.
 */
import { isStatic } from "../graph/dim.ts";
import { constantOf, type Node, type Value } from "../graph/graph.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { primitiveOf } from "../ops/registry.ts";
import { rewrite, type Pass } from "./rewrite.ts";

/** Nodes whose result may be many times larger than their operands. */
const growing = new Set<string>(["broadcast", "iota", "random", "window", "pad"]);
const SMALL = 4096;

function canFold(node: Node, operands: readonly (Tensor | undefined)[]): boolean {
  if (node.op === "constant" || node.op === "random" || operands.some((t) => !t)) return false;
  const output = node.outputs[0] as Value;
  if (!isStatic(output.type.shape)) return false;
  const attrs = Object.values(node.attrs as Record<string, unknown>);
  const symbolic = attrs.some((a) => Array.isArray(a) ? a.some((d) => typeof d === "object")
    : typeof a === "object" && a !== null && "terms" in a);
  if (symbolic) return false;
  if (!growing.has(node.op)) return true;
  return (operands as Tensor[]).some((t) => t.splat) || sizeOf(output.type.shape) <= SMALL;
}

export const foldConstants: Pass = {
  name: "fold-constants",
  run: (graph) => rewrite(graph, ({ b, node, inputs }) => {
    const operands = inputs.map(constantOf);
    if (!canFold(node, operands)) return undefined;
    const value = primitiveOf(node.op).evaluate(operands as Tensor[], node.attrs, "f32");
    return b.constant(value, (node.outputs[0] as Value).name);
  }),
};
