/**
 * A digital segment's backward pass as a graph: its inputs and the cotangents `d.NAME` of its
 * outputs in, cotangents of its inputs out. Parameters get the batch mean, values per sample the
 * gradient of the summed loss, which is what batch-norm needs and what nudges a block.
 */
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { vjp } from "../passes/gradient.ts";
import { batchDim } from "./block.ts";
import { finish, inlineGraph, valueOf } from "./inline.ts";

/** Name of the cotangent of a value. */
export const pullName = (value: string): string => `d.${value}`;

export interface BackwardOptions {
  /** Outputs that cotangents arrive for. */
  readonly outputs: readonly string[];
  /** Inputs to differentiate by: means over the batch. */
  readonly parameters: readonly string[];
  /** Inputs to differentiate by, sample by sample. */
  readonly values: readonly string[];
}

/** Outputs carry the names of the inputs that they are the gradients of. */
export function segmentBackward(graph: Graph, options: BackwardOptions): Graph {
  const { outputs, parameters, values } = options;
  const b = new Builder(`${graph.name}.backward`);
  const inputs = new Map(graph.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  const results = inlineGraph(b, graph, inputs);
  const ends = outputs.map((name) => valueOf(results, name));
  const cotangents = outputs.map((name, i) => b.input(pullName(name), (ends[i] as Value).type));
  const names = [...parameters, ...values];
  const parts = vjp(b, ends, cotangents, names.map((name) => valueOf(inputs, name)));
  return finish(b, names.map((name, i) => {
    const part = parts[i] as Value;
    return [name, i < parameters.length
      ? b.div(part, b.cast(b.size(batchDim, "int32"), part.type.dtype)) : part];
  }));
}
