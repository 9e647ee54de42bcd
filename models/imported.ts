/**
 * Imported feedforward models as ff-EBMs: which constants are trained, which loss they get, and
 * settings to start training with. How layers become blocks is `compiler/energy/fromGraph.ts`.
 */
import { ffEbmFromGraph, type Conversion } from "../compiler/energy/fromGraph.ts";
import type { Graph } from "../compiler/graph/graph.ts";
import type { Model } from "../compiler/onnx/model.ts";
import { costRules } from "./ffEbm.ts";
import type { RecipeTraining } from "./recipes.ts";

/** Small steps around trained weights. */
export const importedTraining: RecipeTraining = {
  beta: 0.2, freeSweeps: 15, nudgedSweeps: 10, learningRate: 1e-4, decay: 0, batch: 64, epochs: 1,
};

/**
 * @param graph what `model` was imported as
 * @throws UserError when it is no classifier, or has no layer that can be a block
 */
export function importedFfEbm(model: Model, graph: Graph, blockSize: number): Conversion {
  // The statistics that a batch-norm was trained with are no weights.
  const statistics = new Set(model.graph.nodes.flatMap(({ operator, inputs }) =>
    (operator === "BatchNormalization" ? inputs.slice(3, 5) : [])));
  return ffEbmFromGraph(graph, {
    blockSize, loss: costRules["cross-entropy"], isFrozen: (name) => statistics.has(name),
  });
}
