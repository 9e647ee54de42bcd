/**
 * Checks a graph's invariants: SSA order, types as inferred, unique names. Run after every pass in
 * tests, and once on what the importer built.
 */
import { InternalError } from "../errors.ts";
import { showType } from "../ops/common.ts";
import { primitiveOf } from "../ops/registry.ts";
import { shapesEqual } from "./dim.ts";
import type { Graph, Node, PrimName, TensorType, Value } from "./graph.ts";
import { operandFault } from "./signature.ts";

/** @throws InternalError naming the node, what was expected and what is there. */
export function verifyGraph(graph: Graph): Graph {
  const defined = new Set<Value>(graph.inputs);
  const names = new Set<string>();
  const claim = (v: Value): void => {
    if (names.has(v.name)) fail(graph, v.name, "a name of its own", "a name used twice");
    names.add(v.name);
  };
  graph.inputs.forEach(claim);
  for (const node of graph.nodes) {
    const [output] = node.outputs;
    if (!output || node.outputs.length !== 1) {
      fail(graph, node.op, "one output", `${node.outputs.length}`);
    }
    for (const v of node.inputs) {
      if (!defined.has(v)) {
        fail(graph, output.name, `operand ${v.name} defined before it`, "a later or foreign value");
      }
    }
    if (output.node !== node) fail(graph, output.name, "a link back to its node", "another node");
    const type = inferred(graph, node);
    if (type.dtype !== output.type.dtype || !shapesEqual(type.shape, output.type.shape)) {
      fail(graph, output.name, showType(type), showType(output.type));
    }
    claim(output);
    defined.add(output);
  }
  const outputs = new Set<string>();
  for (const { name, value } of graph.outputs) {
    if (!defined.has(value)) fail(graph, name, "an output computed in the graph", value.name);
    if (outputs.has(name)) fail(graph, name, "an output name of its own", "a name used twice");
    outputs.add(name);
  }
  return graph;
}

function inferred(graph: Graph, node: Node<PrimName>): TensorType {
  try {
    const fault = operandFault(node.op, node.inputs.length);
    if (fault !== undefined) throw new InternalError(fault);
    return primitiveOf(node.op).infer(node.inputs.map((v) => v.type), node.attrs);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const message = text.replace(/^internal: /, "");
    throw new InternalError(`graph ${graph.name}, value ${node.outputs[0]?.name}: ${message}`);
  }
}

function fail(graph: Graph, place: string, expected: string, actual: string): never {
  throw new InternalError(`graph ${graph.name}, ${place}: expected ${expected}, got ${actual}`);
}
