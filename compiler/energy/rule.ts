/**
 * The learning rule and the boundary gradient: what the nudged states of several phases say of the
 * parameters, the current, and whatever else the cost reads. With weights c_t over phases beta_t,
 *
 *   g = sum_t c_t * d(E + beta_t*C)/d(.) at s^(beta_t)
 *
 * Keeping beta*C inside the derivative gives the readout's gradient as the average over the nudged
 * states (equilibrium-propagation.md, sections 1.2 and 4.13). Estimators are tables of c_t, beta_t.
 *
 * All P phases of a batch of N samples are one batch of P*N samples, phase by phase.
 */
import { mulDims, type Dim } from "../graph/dim.ts";
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { vjp } from "../passes/gradient.ts";
import {
  addBlockInputs, batchDim, batchSymbol, floatType, interactionIn,
} from "./block.ts";
import type { Block, FieldBlock } from "./field.ts";
import { finish, inlineGraph, valueOf } from "./inline.ts";
import { addNudgeInputs, nudgeEnergyIn, type Nudge } from "./nudge.ts";
import { anchorName } from "./sweep.ts";

/** Input [P, N]: c_t of every phase, for every sample. */
export const weightName = "phase.weight";

export interface RuleOptions {
  readonly nudge: Nudge;
  /** P, the number of phases stacked in a batch. */
  readonly phases: number;
  /** Names of the cost's inputs that are parameters: their gradient is the batch mean. */
  readonly costParameters?: readonly string[] | undefined;
  /** Names of the cost's inputs that are values per sample: gradient of the summed loss. */
  readonly costValues?: readonly string[] | undefined;
}

/**
 * Inputs: the sweep's with P*N samples (for a block without energy also the free states,
 * `anchor.NAME`), and `phase.weight`. Outputs, each under the name of what it is the gradient of:
 * of the mean loss for parameters, of the summed loss [N, ..] for the current and the cost's
 * values.
 */
export function ruleGraph(block: Block, options: RuleOptions): Graph {
  const { phases, nudge, costParameters = [], costValues = [] } = options;
  const total = totalEnergy(block, nudge);
  const b = new Builder(`${block.name}.rule`);
  const weight = b.input(weightName, floatType([phases, batchDim]));
  const samples = mulDims(phases, batchDim);
  const weights = b.reshape(weight, [samples]);
  const widen = (d: Dim): Dim => (typeof d === "number" ? d : samples);
  const values = new Map(total.inputs.map(({ name, type }) =>
    [name, b.input(name, { ...type, shape: type.shape.map(widen) })]));
  const sizes = { [batchSymbol]: samples };
  const pairs: Pair[] = [...inlineGraph(b, total, values, sizes).values()]
    .map((energy) => ({ output: energy, cotangent: weights }));
  if (block.kind === "field") pairs.push(...fieldPairs(b, block, values, weights, sizes));

  const parameters = [...block.parameters.map(({ name }) => name), ...costParameters];
  const names = [...parameters, block.current.name, ...costValues];
  const parts = vjp(b, pairs.map(({ output }) => output), pairs.map(({ cotangent }) => cotangent),
    names.map((name) => valueOf(values, name)));
  return finish(b, names.map((name, i) => {
    const part = parts[i] as Value;
    return [name, i < parameters.length ? mean(b, part) : folded(b, part, phases)];
  }));
}

interface Pair { readonly output: Value; readonly cotangent: Value }

/** U + beta*C as far as there is one, as output "F" [N]. */
function totalEnergy(block: Block, nudge: Nudge): Graph {
  const b = new Builder(`${block.name}.total`);
  const values = addBlockInputs(b, block);
  addNudgeInputs(b, nudge, block, values);
  const u = block.kind === "energy" ? interactionIn(b, block, values) : undefined;
  const extra = nudgeEnergyIn(b, nudge, block, values);
  const total = u && extra ? b.addition(u, extra) : u ?? extra;
  return b.finish(total ? [{ name: "F", value: total }] : []);
}

/**
 * Without an energy, d(-<pre(s*), s>)/d(theta) stands for dE/d(theta): post-synaptic change times
 * pre-synaptic free state, separately for each direction (Scellier et al. 2018).
 */
function fieldPairs(
  b: Builder, block: FieldBlock, values: Map<string, Value>, weights: Value,
  sizes: Readonly<Record<string, Dim>>,
): Pair[] {
  const anchors = new Map(values);
  for (const { name } of block.states) {
    anchors.set(name, b.input(anchorName(name), valueOf(values, name).type));
  }
  const pres = inlineGraph(b, block.field, anchors, sizes);
  return block.states.map(({ name }) => {
    const state = valueOf(values, name);
    const perUnit = b.reshape(weights, state.type.shape.map((d, i) => (i === 0 ? d : 1)));
    return { output: valueOf(pres, name), cotangent: b.unary("neg", b.mul(perUnit, state)) };
  });
}

/** A sum over the batch divided by N. */
const mean = (b: Builder, v: Value): Value =>
  b.div(v, b.cast(b.size(batchDim, "int32"), v.type.dtype));

/** [P*N, ..] summed over phases: [N, ..]. */
function folded(b: Builder, v: Value, phases: number): Value {
  if (phases === 1) return v;
  return b.reduce("sum", b.reshape(v, [phases, batchDim, ...v.type.shape.slice(1)]), [0]);
}
