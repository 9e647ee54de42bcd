/**
 * The learning rule and the boundary gradient: what the states of several phases say of the
 * parameters, the current, and whatever else the cost reads. With weights c_t over phases beta_t,
 *
 *   g = sum_t c_t * dF_t,   dF_t = d(E + beta_t*C)/d(.) at s^(beta_t)
 *
 * Keeping beta*C inside the derivative gives the readout's gradient as the average over the nudged
 * states (equilibrium-propagation.md, sections 1.2 and 4.13). Estimators are tables of c_t, beta_t,
 * the free state a phase among the others. Since sum_t c_t = 0, what is summed is
 * c_t*(dF_t - dF_0): with equal states that is exactly zero, however a device rounds. (Of
 * conjugate pairs only one is summed; dF_0 must then be real, and phase 0 is the real one.)
 */
import { addDims, mulDims } from "../graph/dim.ts";
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { vjp } from "../passes/gradient.ts";
import { batchDim, floatType, interactionIn, perSample } from "./block.ts";
import type { Block, FieldBlock } from "./field.ts";
import { stateName } from "./field.ts";
import { finish, inlineGraph, valueOf } from "./inline.ts";
import { costIn, otherInputs, type Cost } from "./nudge.ts";
import { anchorName } from "./sweep.ts";

/** Inputs [P]: c_t and beta_t. */
export const weightName = "phase.weight";
export const strengthName = "phase.beta";

export interface RuleOptions {
  /** P, the number of phases stacked in the states. */
  readonly phases: number;
  /** The cost, where it nudged the block. */
  readonly cost?: Cost | undefined;
  /** Names of the cost's inputs that are parameters: their gradient is the batch mean. */
  readonly costParameters?: readonly string[] | undefined;
  /** Names of the cost's inputs that are values per sample: gradient of the summed loss. */
  readonly costValues?: readonly string[] | undefined;
}

/**
 * Inputs: states [P*N, ..] phase by phase, current, parameters, the cost's other inputs,
 * `phase.weight`, `phase.beta`, and for a block without energy the free states `anchor.NAME`
 * [N, ..]. Outputs, each under the name of what it is the gradient of: of the mean loss for
 * parameters, of the summed loss [N, ..] for the current and the cost's values.
 */
export function ruleGraph(block: Block, options: RuleOptions): Graph {
  const { phases, cost, costParameters = [], costValues = [] } = options;
  const b = new Builder(`${block.name}.rule`);
  const values = new Map<string, Value>();
  for (const { name, shape } of block.states) {
    const all = [mulDims(phases, batchDim), ...shape];
    values.set(name, b.input(name, floatType(all)));
  }
  values.set(block.current.name,
    b.input(block.current.name, floatType(perSample(block.current.shape))));
  for (const { name, shape } of block.parameters) values.set(name, b.input(name, floatType(shape)));
  for (const { name, type } of cost ? otherInputs(cost) : []) {
    if (!values.has(name)) values.set(name, b.input(name, type));
  }
  const weights = b.input(weightName, floatType([phases]));
  const strengths = b.input(strengthName, floatType([phases]));
  const at = (v: Value, t: number): Value => b.reshape(b.sliceAxis(v, 0, t, t + 1), []);

  const parameters = [...block.parameters.map(({ name }) => name), ...costParameters];
  const names = [...parameters, block.current.name, ...costValues];
  const wrt = names.map((name) => valueOf(values, name));
  const states = Array.from({ length: phases }, (_, t) => phaseStates(b, block, values, t));
  const parts = states.map((own, t) => {
    const seen = new Map([...values, ...own]);
    const energies: Value[] = block.kind === "energy" ? [interactionIn(b, block, seen)] : [];
    if (cost) {
      const c = costIn(b, cost, valueOf(own, stateName(block, block.output)), seen);
      energies.push(b.mul(at(strengths, t), c));
    }
    return vjp(b, energies, energies.map((e) => b.full(e, 1)), wrt);
  });
  const combine = (of: (t: number) => Value): Value => {
    const terms = Array.from({ length: phases - 1 }, (_, i) =>
      b.mul(at(weights, i + 1), b.sub(of(i + 1), of(0))));
    return terms.reduce((x, y) => b.addition(x, y));
  };
  const total = names.map((_, i) => combine((t) => parts[t]?.[i] as Value));
  const fromField = block.kind === "field"
    ? fieldParts(b, block, values, wrt, (name) => combine((t) => valueOf(states[t] as never, name)))
    : undefined;
  return finish(b, names.map((name, i) => {
    const own = total[i] as Value;
    const sum = fromField ? b.addition(own, fromField[i] as Value) : own;
    return [name, i < parameters.length ? mean(b, sum) : sum];
  }));
}

/** The states of phase t: samples t*N to (t+1)*N of the stacked ones. */
function phaseStates(
  b: Builder, block: Block, values: ReadonlyMap<string, Value>, t: number,
): Map<string, Value> {
  const start = mulDims(t, batchDim);
  return new Map(block.states.map(({ name }) =>
    [name, b.sliceAxis(valueOf(values, name), 0, start, addDims(start, batchDim))]));
}

/**
 * Without an energy, d(-<pre(s*), s>)/d(theta) stands for dE/d(theta): post-synaptic change times
 * pre-synaptic free state, separately for each direction (Scellier et al. 2018).
 */
function fieldParts(
  b: Builder, block: FieldBlock, values: ReadonlyMap<string, Value>, wrt: readonly Value[],
  change: (state: string) => Value,
): Value[] {
  const anchors = new Map(values);
  for (const { name, shape } of block.states) {
    anchors.set(name, b.input(anchorName(name), floatType(perSample(shape))));
  }
  const pres = inlineGraph(b, block.field, anchors);
  const names = block.states.map(({ name }) => name);
  return vjp(b, names.map((name) => valueOf(pres, name)),
    names.map((name) => b.unary("neg", change(name))), wrt);
}

/** A sum over the batch divided by N. */
const mean = (b: Builder, v: Value): Value =>
  b.div(v, b.cast(b.size(batchDim, "int32"), v.type.dtype));
