/**
 * Blocks without an energy: the pre-activations of all layers are given directly, and the weight
 * that carries a signal up need not be the one that carries it down (vector-field EP, Scellier et
 * al. 2018, arXiv 1808.04873). Two arrays for the two read directions of a crossbar are this.
 *
 * `untie` makes one from an energy block by giving each layer its own copy of every parameter.
 */
import { InternalError } from "../errors.ts";
import { shapesEqual } from "../graph/dim.ts";
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { ancestors, vjp } from "../passes/gradient.ts";
import {
  addBlockInputs, interactionIn, type BlockSpec, type EnergyBlock, type ParameterSpec,
} from "./block.ts";
import { finish, inlineGraph, valueOf, type Values } from "./inline.ts";

/** Inputs as for an energy block; one output per state, its pre-activation, under its name. */
export interface FieldBlock extends BlockSpec {
  readonly kind: "field";
  readonly field: Graph;
}
export type Block = EnergyBlock | FieldBlock;

/** @throws InternalError when a pre-activation is missing or has another shape than its state. */
export function fieldBlock(
  spec: BlockSpec, field: (b: Builder, values: Values) => ReadonlyMap<string, Value>,
): FieldBlock {
  const b = new Builder(spec.name);
  const inputs = addBlockInputs(b, spec);
  const pres = field(b, inputs);
  for (const { name } of spec.states) {
    const [pre, state] = [valueOf(pres, name), valueOf(inputs, name)];
    if (!shapesEqual(pre.type.shape, state.type.shape)) {
      throw new InternalError(`the pre-activation of ${name} has shape [${pre.type.shape}]`);
    }
  }
  return { ...spec, kind: "field", field: finish(b, pres) };
}

/** Pre-activations -dU/ds_l of the states of these indices, in `b`; `extra` [N] adds to U. */
export function forcesIn(
  b: Builder, block: Block, values: Values, states: readonly number[], extra?: Value,
): Value[] {
  const wrt = states.map((l) => valueOf(values, stateName(block, l)));
  const negated = (v: Value): Value => b.unary("neg", v);
  if (block.kind === "energy") {
    const u = interactionIn(b, block, values);
    const total = extra ? b.addition(u, extra) : u;
    return vjp(b, [total], [b.full(total, -1)], wrt);
  }
  const pres = inlineGraph(b, block.field, values);
  const nudges = extra ? vjp(b, [extra], [b.full(extra, 1)], wrt) : undefined;
  return states.map((l, i) => {
    const pre = valueOf(pres, stateName(block, l));
    return nudges ? b.addition(pre, negated(nudges[i] as Value)) : pre;
  });
}

export const stateName = (block: BlockSpec, l: number): string => {
  const state = block.states[l];
  if (!state) throw new InternalError(`${block.name} has no state ${l}`);
  return state.name;
};

/** Whether `v` is computed from `source`. */
export const dependsOn = (v: Value, source: Value): boolean =>
  v === source || ancestors([v]).some((node) => node.inputs.includes(source));

/** Name of the copy of a parameter that acts on the pre-activation of one state. */
export const copyName = (parameter: string, state: string): string => `${parameter}@${state}`;

/**
 * The same block with an own copy of a parameter for every layer that it acts on: `W@s2` carries
 * s1 up to s2, `W@s1` carries s2 down to s1. A parameter that acts on one layer keeps its name.
 * With equal copies the dynamics are those of the tied block.
 */
export function untie(block: EnergyBlock): FieldBlock {
  const scratch = new Builder("scratch");
  const values = addBlockInputs(scratch, block);
  const all = block.states.map((_, l) => l);
  const forces = forcesIn(scratch, block, values, all);
  const users = new Map(block.parameters.map(({ name }) => [name,
    all.filter((l) => dependsOn(forces[l] as Value, valueOf(values, name)))]));
  const nameFor = (parameter: string, l: number): string =>
    (users.get(parameter) as number[]).length === 1 ? parameter
      : copyName(parameter, stateName(block, l));
  const parameters: ParameterSpec[] = block.parameters.flatMap(({ name, shape }) =>
    (users.get(name) as number[]).map((l) => ({ name: nameFor(name, l), shape })));
  return fieldBlock({ ...block, parameters }, (b, given) => new Map(all.map((l) => {
    const mine = new Map(given);
    for (const { name } of block.parameters) {
      const copy = given.get(nameFor(name, l));
      // A parameter that does not act on this layer is still an input of U; any copy will do.
      const other = (users.get(name) as number[])[0];
      mine.set(name, copy ?? valueOf(given, nameFor(name, other as number)));
    }
    return [stateName(block, l), forcesIn(b, block, mine, [l])[0] as Value];
  })));
}
