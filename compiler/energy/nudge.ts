/**
 * What pulls a block away from its free state, as data. The total energy is F = E + beta*C with
 * one beta per sample, so phases of opposite sign may share a batch.
 *
 *   none     the free phase
 *   error    C = <delta, s_L>, delta = dL/ds_L cached from what follows the block: inner blocks
 *   cost     C = the true cost of the output state, re-evaluated as it moves: the last block
 *   clamped  the output state is held where the estimator put it, the others minimise E (CL, CpL)
 *
 * Signs: delta is always +dL/ds, and the pre-activation of the output receives -beta*delta,
 * inside the activation (equilibrium-propagation.md, pitfalls P2 and P3).
 */
import { InternalError } from "../errors.ts";
import { shapesEqual } from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { batchDim, floatType, inner, perSample, type BlockSpec } from "./block.ts";
import { stateName } from "./field.ts";
import { inlineGraph, valueOf, type Values } from "./inline.ts";

/**
 * A cost per sample of a block's output: the digital segment that ends the program. Its graph has
 * an output "loss" [N]; `state` names the input that is the block's output.
 */
export interface Cost {
  readonly graph: Graph;
  readonly state: string;
}

export type Nudge =
  | { readonly kind: "none" }
  | { readonly kind: "error" }
  | { readonly kind: "cost"; readonly cost: Cost }
  | { readonly kind: "clamped" };

export const free: Nudge = { kind: "none" };
export const betaName = "nudge.beta";
export const deltaName = "nudge.delta";

interface NudgeRule<K extends Nudge["kind"]> {
  /** Adds the graph inputs that the nudge needs to `values`. */
  inputs(b: Builder, nudge: NudgeOf<K>, block: BlockSpec, values: Map<string, Value>): void;
  /** beta*C [N]; undefined where nothing is added to the energy. */
  energy(b: Builder, nudge: NudgeOf<K>, block: BlockSpec, values: Values): Value | undefined;
}
type NudgeOf<K extends Nudge["kind"]> = Extract<Nudge, { readonly kind: K }>;

const addBeta = (b: Builder, values: Map<string, Value>): void =>
  void values.set(betaName, b.input(betaName, floatType([batchDim])));
const outputOf = (block: BlockSpec, values: Values): Value =>
  valueOf(values, stateName(block, block.output));

/** Inputs of the cost graph besides the block's output. */
export const otherInputs = (cost: Cost): readonly Value[] =>
  cost.graph.inputs.filter(({ name }) => name !== cost.state);

/** C [N] in `b`. */
export function costIn(b: Builder, cost: Cost, output: Value, values: Values): Value {
  const given = new Map([...values, [cost.state, output] as const]);
  const loss = valueOf(inlineGraph(b, cost.graph, given), "loss");
  if (!shapesEqual(loss.type.shape, output.type.shape.slice(0, 1))) {
    throw new InternalError(`the cost has shape [${loss.type.shape}], not one number per sample`);
  }
  return loss;
}

const rules: { readonly [K in Nudge["kind"]]: NudgeRule<K> } = {
  none: { inputs: () => undefined, energy: () => undefined },
  clamped: { inputs: () => undefined, energy: () => undefined },
  error: {
    inputs(b, _nudge, block, values) {
      addBeta(b, values);
      const { shape } = block.states[block.output] as { readonly shape: readonly number[] };
      values.set(deltaName, b.input(deltaName, floatType(perSample(shape))));
    },
    energy: (b, _nudge, block, values) => b.mul(valueOf(values, betaName),
      inner(b, valueOf(values, deltaName), outputOf(block, values))),
  },
  cost: {
    inputs(b, { cost }, _block, values) {
      addBeta(b, values);
      for (const { name, type } of otherInputs(cost)) values.set(name, b.input(name, type));
    },
    energy: (b, { cost }, block, values) => b.mul(valueOf(values, betaName),
      costIn(b, cost, outputOf(block, values), values)),
  },
};
const ruleOf = (nudge: Nudge): NudgeRule<Nudge["kind"]> =>
  rules[nudge.kind] as unknown as NudgeRule<Nudge["kind"]>;

export const addNudgeInputs = (
  b: Builder, nudge: Nudge, block: BlockSpec, values: Map<string, Value>,
): void => ruleOf(nudge).inputs(b, nudge as never, block, values);

export const nudgeEnergyIn = (
  b: Builder, nudge: Nudge, block: BlockSpec, values: Values,
): Value | undefined => ruleOf(nudge).energy(b, nudge as never, block, values);
