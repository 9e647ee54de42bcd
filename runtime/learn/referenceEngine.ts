/** The reference: graphs evaluated node by node in float64 (or float32), nothing shared. */
import { InternalError } from "../../compiler/errors.ts";
import { evaluateGraph } from "../../compiler/graph/evaluate.ts";
import type { FloatMode, Tensor } from "../../compiler/graph/tensor.ts";
import type { Engine, Held, HeldMap, Prepared } from "./engine.ts";

/** Tensors are immutable here, so a held tensor is the tensor. */
const tensorOf = (held: Held): Tensor => held as Tensor;

export function referenceEngine(float: FloatMode = "f64"): Engine {
  return {
    description: `reference evaluator (${float})`,
    float,
    async prepare(graph): Promise<Prepared> {
      return {
        graph,
        async run(inputs: HeldMap) {
          const given = graph.inputs.map(({ name }) => {
            const held = inputs.get(name);
            if (!held) throw new InternalError(`${graph.name} was run without ${name}`);
            return [name, tensorOf(held)] as const;
          });
          return evaluateGraph(graph, new Map(given), float);
        },
      };
    },
    hold: (tensor) => tensor,
    read: async (held) => tensorOf(held),
    release: () => undefined,
  };
}
