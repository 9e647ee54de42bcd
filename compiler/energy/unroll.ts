/**
 * Relaxations as feedforward graphs: a fixed number of sweeps from zero states, one after the
 * other. This is what a runtime without a solver executes: the body of a block's function in an
 * ff-EBM file, and what a model of merged blocks is compiled to.
 *
 * The sweeps are those of `sweep.ts`; the numbers of training and of the unrolled graph are the
 * same up to rounding.
 */
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { scalar, type Tensor } from "../graph/tensor.ts";
import { floatType, perSample } from "./block.ts";
import { outputName, type DigitalStage, type FfEbm } from "./ffEbm.ts";
import type { Block } from "./field.ts";
import { finish, inlineGraph, valueOf } from "./inline.ts";
import { free } from "./nudge.ts";
import { sweepGraph, type Order } from "./sweep.ts";

export interface Relaxation {
  readonly order: Order;
  readonly sweeps: number;
  /** eta of layers that no formula minimises. */
  readonly damping?: number | undefined;
}

/** Current and parameters in, output state out. */
export function unrolledBlock(block: Block, relaxation: Relaxation): Graph {
  const { order, sweeps, damping } = relaxation;
  const sweep = sweepGraph(block, { nudge: free, order, start: "input", damping });
  const b = new Builder(block.name);
  const fixed = new Map<string, Value>();
  for (const { name, shape } of [{ ...block.current, shape: perSample(block.current.shape) },
    ...block.parameters]) {
    fixed.set(name, b.input(name, floatType(shape)));
  }
  const zero = b.constant(scalar("float32", 0));
  let states: ReadonlyMap<string, Value> = new Map(block.states.map(({ name, shape }) =>
    [name, b.broadcast(zero, perSample(shape))]));
  for (let t = 0; t < sweeps; t++) states = inlineGraph(b, sweep, new Map([...fixed, ...states]));
  const output = outputName(block);
  return finish(b, [[output, valueOf(states, output)]]);
}

/** How a stage runs after training. */
export const inferenceGraph = (stage: DigitalStage): Graph => stage.inference ?? stage.graph;

/** The part of the last segment that needs no target: logits alone. */
export function logitsGraph({ loss }: FfEbm): Graph {
  const graph = inferenceGraph(loss);
  const b = new Builder(loss.name);
  const inputs = new Map(graph.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  const found = inlineGraph(b, graph, inputs, {}, new Set(["logits"]));
  const made = finish(b, found);
  const read = new Set(made.nodes.flatMap((node) => node.inputs));
  const isRead = (v: Value): boolean => read.has(v) || made.outputs.some((o) => o.value === v);
  return { ...made, inputs: made.inputs.filter(isRead) };
}

/**
 * The whole model after training as one graph from its input to logits, its parameters and running
 * statistics as constants under their names.
 */
export function unrolledModel(
  model: FfEbm, tensors: ReadonlyMap<string, Tensor>, relaxation: Relaxation,
): Graph {
  const b = new Builder(model.name);
  const input = b.input(model.input.name, floatType(perSample(model.input.shape)));
  const values = new Map<string, Value>([[model.input.name, input]]);
  for (const { name } of [...model.parameters, ...model.statistics]) {
    const found = tensors.get(name);
    if (found) values.set(name, b.constant(found, name));
  }
  for (const stage of model.stages) {
    const graph = stage.kind === "digital" ? inferenceGraph(stage)
      : unrolledBlock(stage.block, relaxation);
    b.from([stage.name], () =>
      inlineGraph(b, graph, values).forEach((v, name) => values.set(name, v)));
  }
  const { logits } = Object.fromEntries(inlineGraph(b, logitsGraph(model), values));
  return finish(b, [["logits", logits as Value]]);
}
