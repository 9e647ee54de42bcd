/** Cuts a part out of a graph as a graph of its own: a unit, a segment. */
import { Builder } from "./builder.ts";
import { InternalError } from "../errors.ts";
import type { Graph, Node, Value } from "./graph.ts";
import { copyNode } from "../passes/rewrite.ts";

/**
 * The graph of `nodes` (in graph order): `inputs` become its inputs under their names, `outputs`
 * its outputs. Constants and size nodes that the nodes read are copied in.
 * @throws InternalError when a node reads something that is neither inside nor an input
 */
export function subgraph(
  name: string, nodes: readonly Node[], inputs: readonly Value[], outputs: readonly Value[],
): Graph {
  const b = new Builder(name);
  const mapped = new Map<Value, Value>();
  for (const v of inputs) mapped.set(v, b.input(v.name, v.type));
  const inside = (v: Value): Value => {
    const known = mapped.get(v);
    if (known) return known;
    if (!v.node || v.node.inputs.length > 0) {
      throw new InternalError(`${name} reads ${v.name}, which is outside of it`);
    }
    const copy = copyNode(b, v.node, []);
    mapped.set(v, copy);
    return copy;
  };
  for (const node of nodes) {
    const output = node.outputs[0] as Value;
    if (!mapped.has(output)) mapped.set(output, copyNode(b, node, node.inputs.map(inside)));
  }
  return b.finish(outputs.map((v) => ({ name: v.name, value: inside(v) })));
}
