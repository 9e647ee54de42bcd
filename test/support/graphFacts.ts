/** A graph as plain data, without ids and cycles: what its text must carry, for `toStrictEqual`. */
import type { Graph, TensorType, Value } from "../../compiler/graph/graph.ts";

interface NodeFacts {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly attrs: object;
  readonly outputs: readonly { readonly name: string; readonly type: TensorType }[];
  readonly origin: readonly string[];
}
interface GraphFacts {
  readonly name: string;
  readonly inputs: readonly { readonly name: string; readonly type: TensorType }[];
  readonly nodes: readonly NodeFacts[];
  readonly outputs: readonly { readonly name: string; readonly value: string }[];
}

const valueFacts = ({ name, type }: Value): { name: string; type: TensorType } => ({ name, type });

export function graphFacts(graph: Graph): GraphFacts {
  return {
    name: graph.name,
    inputs: graph.inputs.map(valueFacts),
    nodes: graph.nodes.map(({ op, inputs, attrs, outputs, origin }) => ({
      op, inputs: inputs.map((v) => v.name), attrs: { ...attrs }, outputs: outputs.map(valueFacts),
      origin: [...origin],
    })),
    outputs: graph.outputs.map(({ name, value }) => ({ name, value: value.name })),
  };
}
