/**
 * How a pass is written: a function that sees each node, its operands already rewritten, and either
 * returns what replaces it or leaves it. Nodes that nothing needs any more are dropped.
 */
import { Builder } from "../graph/builder.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { ancestors } from "./gradient.ts";

export interface RewriteContext {
  readonly b: Builder;
  /** The node as it was, and its operands in the new graph. */
  readonly node: Node;
  readonly inputs: readonly Value[];
}

export interface Pass {
  readonly name: string;
  run(graph: Graph): Graph;
}

/** Copies a node onto new operands. */
export function copyNode(b: Builder, node: Node, inputs: readonly Value[]): Value {
  const output = node.outputs[0] as Value;
  return b.from(node.origin, () => node.op === "constant"
    ? b.constant((node as Node<"constant">).attrs.tensor, output.name)
    : b.add(node.op, inputs, node.attrs, output.name));
}

export function rewrite(
  graph: Graph, rule: (ctx: RewriteContext) => Value | undefined,
): Graph {
  const b = new Builder(graph.name);
  const mapped = new Map<Value, Value>();
  for (const v of graph.inputs) mapped.set(v, b.input(v.name, v.type));
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((v) => mapped.get(v) as Value);
    const replaced = b.from(node.origin, () => rule({ b, node, inputs }));
    mapped.set(node.outputs[0] as Value, replaced ?? copyNode(b, node, inputs));
  }
  const outputs = graph.outputs.map(({ name, value }) =>
    ({ name, value: mapped.get(value) as Value }));
  return prune(b.finish(outputs));
}

/** Drops nodes that no output depends on; inputs stay, they are the graph's signature. */
export function prune(graph: Graph): Graph {
  const needed = new Set(ancestors(graph.outputs.map((o) => o.value)));
  const nodes = graph.nodes.filter((node) => needed.has(node));
  return nodes.length === graph.nodes.length ? graph : { ...graph, nodes };
}

export const deadCode: Pass = { name: "dead-code", run: prune };
