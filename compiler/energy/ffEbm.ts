/**
 * The feedforward-tied energy-based model: digital segments and blocks in the order in which they
 * run, over one table of named values (Nest & Ernoult, arXiv 2409.03306). Everything is wired by
 * name: a graph input is a parameter, the model's input, or a value written earlier; a block reads
 * the value named as its current and writes the one named as its output state. A chain is the
 * common case; skips across blocks are allowed.
 *
 * The loss is the digital segment that ends the model, so that the last block can be nudged by the
 * true cost. This is what is trained; what is placed on hardware is `partition/hybrid.ts`.
 */
import { InternalError } from "../errors.ts";
import type { Graph } from "../graph/graph.ts";
import { isOp, type Node, type Value } from "../graph/graph.ts";
import type { ParameterSpec } from "./block.ts";
import { stateName, type Block } from "./field.ts";

export interface DigitalStage {
  readonly kind: "digital";
  readonly name: string;
  /** As it runs in training. Outputs are values, and the statistics that `running` names. */
  readonly graph: Graph;
  /** As it runs after training, where that differs: batch-norm with running statistics. */
  readonly inference?: Graph | undefined;
  readonly running?: readonly RunningStatistic[] | undefined;
}

/** After a training step: statistic <- (1 - momentum)*statistic + momentum*output. */
export interface RunningStatistic {
  readonly statistic: string;
  readonly output: string;
  readonly momentum: number;
}

export interface AnalogStage {
  readonly kind: "analog";
  readonly name: string;
  readonly block: Block;
}
export type Stage = DigitalStage | AnalogStage;

/** A named tensor of the model; `shape` is that of one sample for values. */
export interface Port {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface FfEbm {
  readonly name: string;
  readonly input: Port;
  /** What the loss compares with: [classes], one-hot or any distribution. */
  readonly target: Port;
  /** Everything that is trained. */
  readonly parameters: readonly ParameterSpec[];
  /** Running statistics: saved with the parameters, moved by training, without gradient. */
  readonly statistics: readonly ParameterSpec[];
  readonly stages: readonly Stage[];
  /** Outputs "loss" [N] and "logits" [N, classes]. */
  readonly loss: DigitalStage;
}

export const outputName = (block: Block): string => stateName(block, block.output);

/** The blocks in the order in which they run. */
export const blocksOf = (model: FfEbm): Block[] =>
  model.stages.flatMap((stage) => (stage.kind === "analog" ? [stage.block] : []));

/** Names of what a stage reads, parameters included. */
export const readsOf = (stage: Stage): string[] => (stage.kind === "digital"
  ? stage.graph.inputs.map(({ name }) => name)
  : [stage.block.current.name, ...stage.block.parameters.map(({ name }) => name)]);

/**
 * The block that the true cost may nudge: the last one, if only the loss reads it. The others are
 * nudged by their error. Undefined when there is no such block.
 */
export function costBlock(model: FfEbm): Block | undefined {
  const last = blocksOf(model).at(-1);
  if (!last) return undefined;
  const name = outputName(last);
  const elsewhere = model.stages.some((stage) => readsOf(stage).includes(name));
  return !elsewhere && readsOf(model.loss).includes(name) ? last : undefined;
}

/**
 * Whether samples may influence each other in a graph: anything reduced, contracted or moved along
 * a symbolic axis. Batch-norm in training is. Conservative: an unusual operation counts as mixing.
 */
export function mixesSamples(graph: Graph): boolean {
  const symbolic = (v: Value | undefined, axis: number): boolean =>
    typeof v?.type.shape[axis] === "object";
  return graph.nodes.some((node: Node) => {
    const [x, y] = node.inputs;
    if (isOp(node, "reduce")) return node.attrs.axes.some((axis) => symbolic(x, axis));
    if (isOp(node, "cumulate")) return symbolic(x, node.attrs.axis);
    if (isOp(node, "flip")) return node.attrs.axes.some((axis) => symbolic(x, axis));
    if (isOp(node, "concat")) return symbolic(x, node.attrs.axis);
    if (isOp(node, "gather")) return symbolic(x, node.attrs.axis);
    if (isOp(node, "argsort")) return symbolic(x, (x as Value).type.shape.length - 1);
    if (isOp(node, "dot")) {
      const rank = (x as Value).type.shape.length;
      return Array.from({ length: node.attrs.contract }, (_, i) => rank - 1 - i)
        .some((axis) => symbolic(x, axis));
    }
    if (isOp(node, "conv")) return symbolic(y, 0) || symbolic(y, 1);
    return node.op === "scatter";
  });
}

/** @throws InternalError when something is read before it is written, or written twice. */
export function verifyFfEbm(model: FfEbm): FfEbm {
  const known = new Set([model.input.name, model.target.name,
    ...model.parameters.map(({ name }) => name), ...model.statistics.map(({ name }) => name)]);
  const write = (name: string, by: string): void => {
    if (known.has(name)) throw new InternalError(`${by} writes ${name}, which there is already`);
    known.add(name);
  };
  for (const stage of [...model.stages, model.loss]) {
    for (const name of readsOf(stage)) {
      if (known.has(name)) continue;
      throw new InternalError(`${stage.name} reads ${name} before it is there`);
    }
    if (stage.kind === "analog") write(outputName(stage.block), stage.name);
    else for (const { name } of stage.graph.outputs) write(name, stage.name);
  }
  return model;
}
