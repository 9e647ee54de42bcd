/**
 * Builds ff-EBMs: feeds and Hopfield blocks in turn, a readout and a cost. What comes out is the
 * model as data (`compiler/energy/ffEbm.ts`) and how each of its parameters starts.
 */
import type { ParameterSpec } from "../compiler/energy/block.ts";
import { batchDim, floatType, perSample, sumPerSample } from "../compiler/energy/block.ts";
import {
  outputName, verifyFfEbm, type DigitalStage, type FfEbm, type Port, type RunningStatistic,
  type Stage,
} from "../compiler/energy/ffEbm.ts";
import { finish, valueOf } from "../compiler/energy/inline.ts";
import { UserError } from "../compiler/errors.ts";
import { Builder } from "../compiler/graph/builder.ts";
import type { Graph, Value } from "../compiler/graph/graph.ts";
import {
  digitalRule, flat, type DigitalLayer, type LayerContext, type LayerParameter,
} from "./digital.ts";
import { hopfieldBlock, type HopfieldLayer } from "./hopfield.ts";
import { initialValues } from "./init.ts";

export interface BlockPlan {
  /** F: from the image or the block before to the current; the last shape is the first layer's. */
  readonly feed: readonly DigitalLayer[];
  readonly layers: readonly HopfieldLayer[];
}

export const costs = ["cross-entropy", "squared-error"] as const;
export type CostKind = (typeof costs)[number];

export interface FfEbmPlan {
  readonly name: string;
  /** Shape of one input sample. */
  readonly input: readonly number[];
  readonly blocks: readonly BlockPlan[];
  /** Digital layers behind the last block; none when its output is compared with the target. */
  readonly readout: readonly DigitalLayer[];
  readonly cost: CostKind;
}

export interface BuiltFfEbm {
  readonly model: FfEbm;
  /** Parameters and running statistics with their starts. */
  readonly starts: readonly LayerParameter[];
}

export const inputName = "x";
export const targetName = "target";
export const logitsName = "logits";

/** C [N] from logits and target [N, classes]. */
export const costRules: Record<CostKind, (b: Builder, logits: Value, target: Value) => Value> = {
  // -sum_k y_k log softmax(z)_k. Shifting by a whole number near the maximum changes nothing, and
  // its derivative is zero: no term for it appears in gradients.
  "cross-entropy"(b, logits, target) {
    const shift = b.unary("ceil", b.reduce("max", logits, [1], true));
    const shifted = b.sub(logits, shift);
    const total = b.reduce("sum", b.unary("exp", shifted), [1], true);
    const logSoftmax = b.sub(shifted, b.unary("log", total));
    return b.unary("neg", sumPerSample(b, b.mul(target, logSoftmax)));
  },
  // |z - y|^2/2
  "squared-error"(b, logits, target) {
    const difference = b.sub(logits, target);
    return sumPerSample(b, b.mul(b.full(difference, 0.5), b.mul(difference, difference)));
  },
};

interface Applied {
  readonly stage: DigitalStage;
  readonly parameters: readonly LayerParameter[];
  readonly statistics: readonly LayerParameter[];
}

type Ending = (b: Builder, out: Value, inputs: Map<string, Value>) => (readonly [string, Value])[];

/** A run of digital layers as a stage; `end` makes its outputs from the last layer's value. */
function digitalStage(
  name: string, layers: readonly DigitalLayer[], source: Port, end: Ending,
): Applied {
  const parameters: LayerParameter[] = [];
  const statistics: LayerParameter[] = [];
  let shape = source.shape;
  const prefixed = (layer: DigitalLayer, i: number, own: string): string =>
    `${layer.prefix ?? (layers.length === 1 ? name : `${name}.${i}`)}.${own}`;
  layers.forEach((layer, i) => {
    const rule = digitalRule(layer);
    const rename = (p: LayerParameter): LayerParameter =>
      ({ ...p, name: prefixed(layer, i, p.name) });
    parameters.push(...rule.parameters(layer as never, shape).map(rename));
    statistics.push(...rule.statistics(layer as never, shape).map(rename));
    shape = rule.shape(layer as never, shape);
  });
  const build = (isTraining: boolean): { graph: Graph; running: RunningStatistic[] } => {
    const b = new Builder(name);
    const first = b.input(source.name, floatType(perSample(source.shape)));
    const inputs = new Map([[source.name, first]]);
    for (const p of [...parameters, ...isTraining ? [] : statistics]) {
      inputs.set(p.name, b.input(p.name, floatType(p.shape)));
    }
    const running: RunningStatistic[] = [];
    const reports: (readonly [string, Value])[] = [];
    let x = first;
    layers.forEach((layer, i) => {
      const context: LayerContext = {
        b, isTraining,
        parameter: (own) => valueOf(inputs, prefixed(layer, i, own)),
        report(own, value, momentum) {
          const statistic = prefixed(layer, i, own);
          running.push({ statistic, output: `batch.${statistic}`, momentum });
          reports.push([`batch.${statistic}`, value]);
        },
      };
      x = digitalRule(layer).apply(context, x, layer as never);
    });
    return { graph: finish(b, [...end(b, x, inputs), ...reports]), running };
  };
  const training = build(true);
  const stage: DigitalStage = statistics.length === 0
    ? { kind: "digital", name, graph: training.graph }
    : { kind: "digital", name, ...training, inference: build(false).graph };
  return { stage, parameters, statistics };
}

/** @throws UserError when shapes do not meet; the message names the block. */
export function buildFfEbm(plan: FfEbmPlan): BuiltFfEbm {
  const starts: LayerParameter[] = [];
  const statistics: LayerParameter[] = [];
  const stages: Stage[] = [];
  let source: Port = { name: inputName, shape: plan.input };
  plan.blocks.forEach(({ feed, layers }, k) => {
    const { block, parameters } = hopfieldBlock(`block${k}`, layers);
    const { current } = block;
    const made = shapeBehind(feed, source.shape);
    if (made.join() !== current.shape.join()) {
      throw new UserError(
        `Its feed makes [${made}] and its first layer has [${current.shape}]`,
        { place: `block ${k}`, remedy: "change the feed or the layer" });
    }
    const fed = digitalStage(`feed${k}`, feed, source, (b, out) =>
      [[current.name, b.reshape(out, perSample(current.shape))]]);
    stages.push(fed.stage, { kind: "analog", name: block.name, block });
    starts.push(...fed.parameters, ...parameters);
    statistics.push(...fed.statistics);
    source = { name: outputName(block), shape: (block.states.at(-1) as Port).shape };
  });
  const last = shapeBehind(plan.readout, source.shape);
  const classes = [last.reduce((p, d) => p * d, 1)];
  const target: Port = { name: targetName, shape: classes };
  const read = digitalStage("readout", plan.readout, source, (b, out, inputs) => {
    const y = b.input(target.name, floatType([batchDim, ...classes]));
    inputs.set(target.name, y);
    const logits = flat(b, out);
    return [["loss", costRules[plan.cost](b, logits, y)], [logitsName, logits]];
  });
  starts.push(...read.parameters);
  statistics.push(...read.statistics);
  const bare = ({ name, shape }: ParameterSpec): ParameterSpec => ({ name, shape });
  return {
    model: verifyFfEbm({
      name: plan.name, input: { name: inputName, shape: plan.input }, target,
      parameters: starts.map(bare), statistics: statistics.map(bare), stages, loss: read.stage,
    }),
    starts: [...starts, ...statistics],
  };
}

type Shape = readonly number[];
const shapeBehind = (layers: readonly DigitalLayer[], shape: Shape): Shape =>
  layers.reduce((s, layer) => digitalRule(layer).shape(layer as never, s), shape);

/** Values of all parameters and statistics at the start of training. */
export const startValues = (
  { starts }: BuiltFfEbm, seed: number,
): Map<string, { shape: readonly number[]; data: Float32Array }> =>
  new Map(starts.map(({ name, shape, init }) =>
    [name, { shape, data: initialValues(init, shape, seed, name) }]));
