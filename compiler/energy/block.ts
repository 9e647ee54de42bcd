/**
 * The energy block as data: states, parameters, the boundary current, and a graph that computes
 * the interaction energy U per sample. The whole energy is E = sum_l G(s_l) + U(s, theta, a),
 * where G belongs to the units (`units.ts`). Everything else about a block (dynamics, layer
 * minimisers, learning rule, boundary gradient) is derived from U by differentiation.
 *
 * In the hybrid program a block is one step: it takes a current and gives its output state. This
 * file knows no solver, no estimator and no device. Model: Nest & Ernoult, arXiv 2409.03306.
 */
import { InternalError } from "../errors.ts";
import { shapesEqual, symbol, type Dim } from "../graph/dim.ts";
import { Builder } from "../graph/builder.ts";
import type { Graph, TensorType, Value } from "../graph/graph.ts";
import { inlineGraph, valueOf, type Values } from "./inline.ts";
import { unitRule, type Unit } from "./units.ts";

/** The symbolic size of the batch axis, which leads every state, current and sample. */
export const batchSymbol = "N";
export const batchDim: Dim = symbol(batchSymbol);

export interface StateSpec {
  readonly name: string;
  /** Of one sample. */
  readonly shape: readonly number[];
  readonly unit: Unit;
}

export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What every kind of block shares: the part that solvers and the chain see. */
export interface BlockSpec {
  readonly name: string;
  readonly states: readonly StateSpec[];
  readonly parameters: readonly ParameterSpec[];
  /** Boundary current, handed over by the digital side; shape of one sample. */
  readonly current: { readonly name: string; readonly shape: readonly number[] };
  /** Index of the state that the digital side reads: the last layer. */
  readonly output: number;
}

/** U as a graph: inputs are all states, parameters and the current by name, output "energy" [N]. */
export interface EnergyBlock extends BlockSpec {
  readonly kind: "energy";
  readonly interaction: Graph;
}

/** Values by name of a block's states, parameters and current, in some builder. */
export const perSample = (shape: readonly number[]): readonly Dim[] => [batchDim, ...shape];
export const floatType = (shape: readonly Dim[]): TensorType => ({ dtype: "float32", shape });

/** Adds graph inputs for everything that U depends on. */
export function addBlockInputs(b: Builder, block: BlockSpec): Map<string, Value> {
  const values = new Map<string, Value>();
  for (const { name, shape } of [...block.states, block.current]) {
    values.set(name, b.input(name, floatType(perSample(shape))));
  }
  for (const { name, shape } of block.parameters) {
    values.set(name, b.input(name, floatType(shape)));
  }
  return values;
}

/**
 * Makes a block from a function that computes U [N] in a builder.
 * @throws InternalError when U does not have one number per sample.
 */
export function energyBlock(
  spec: BlockSpec, interaction: (b: Builder, values: Values) => Value,
): EnergyBlock {
  const b = new Builder(spec.name);
  const energy = interaction(b, addBlockInputs(b, spec));
  if (!shapesEqual(energy.type.shape, [batchDim])) {
    throw new InternalError(`the energy of ${spec.name} has shape [${energy.type.shape}], not [N]`);
  }
  return { ...spec, kind: "energy", interaction: b.finish([{ name: "energy", value: energy }]) };
}

/** U [N] in `b`. */
export const interactionIn = (b: Builder, block: EnergyBlock, values: Values): Value =>
  valueOf(inlineGraph(b, block.interaction, values), "energy");

/** Sum over everything but the batch axis. */
export const sumPerSample = (b: Builder, v: Value): Value =>
  b.reduce("sum", v, v.type.shape.map((_, i) => i).slice(1));

/** <x, y> per sample. */
export const inner = (b: Builder, x: Value, y: Value): Value => sumPerSample(b, b.mul(x, y));

/** E [N] in `b`: self-energies and interaction. */
export function energyIn(b: Builder, block: EnergyBlock, values: Values): Value {
  return block.states.reduce((total, { name, unit }) => {
    const self = unitRule(unit).selfEnergy(b, valueOf(values, name), unit as never);
    return b.addition(total, sumPerSample(b, self));
  }, interactionIn(b, block, values));
}

/** Graph of E [N]: inputs as for U, output "energy". */
export function energyGraph(block: EnergyBlock): Graph {
  const b = new Builder(`${block.name}.energy`);
  return b.finish([{ name: "energy", value: energyIn(b, block, addBlockInputs(b, block)) }]);
}
