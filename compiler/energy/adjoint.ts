/**
 * The baselines' graphs: a sweep's transpose. With A the sweep (free phase), s* = A(s*, theta),
 * and g = dL/ds on the output,
 *
 *   u = g + (dA/ds)^T u,   dL/dtheta = (dA/dtheta)^T u,   dL/da = (dA/da)^T u
 *
 * Run to convergence this is implicit differentiation, a fixed number of times recurrent backprop
 * (Almeida, Pineda); stepping back through stored states it is truncated backprop through time.
 * It converges at the rate at which the sweep itself does, whatever the order of updates.
 */
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { vjp } from "../passes/gradient.ts";
import { batchDim, floatType, perSample, type BlockSpec } from "./block.ts";
import { stateName, type Block } from "./field.ts";
import { finish, inlineGraph, valueOf } from "./inline.ts";
import { sweepGraph, type SweepOptions } from "./sweep.ts";

/** Name of the cotangent of a state. */
export const cotangentName = (state: string): string => `u.${state}`;
/** Input of `adjointStep`: g, on the output state. */
export const errorName = "u.error";

interface Transposed {
  readonly b: Builder;
  readonly inputs: Map<string, Value>;
  /** Cotangents of the given names of the sweep's inputs. */
  readonly pull: (names: readonly string[]) => Value[];
}

/** The sweep in a builder, and its vjp with the cotangents `u.*` of its outputs. */
function transposed(block: Block, options: SweepOptions, name: string): Transposed {
  const sweep = sweepGraph(block, options);
  const b = new Builder(`${block.name}.${name}`);
  const inputs = new Map(sweep.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  for (const { name: state, shape } of block.states) {
    const key = cotangentName(state);
    inputs.set(key, b.input(key, floatType(perSample(shape))));
  }
  const after = inlineGraph(b, sweep, inputs);
  const outputs = block.states.map(({ name: state }) => valueOf(after, state));
  const cotangents = block.states.map(({ name: state }) => valueOf(inputs, cotangentName(state)));
  return {
    b, inputs,
    pull: (names) => vjp(b, outputs, cotangents, names.map((n) => valueOf(inputs, n))),
  };
}

const stateNames = (block: BlockSpec): string[] => block.states.map(({ name }) => name);

/** u, g, states, parameters, current -> u.* = g + (dA/ds)^T u. */
export function adjointStep(block: Block, options: SweepOptions): Graph {
  const { b, inputs, pull } = transposed(block, options, "adjoint");
  const output = stateName(block, block.output);
  const error = b.input(errorName, valueOf(inputs, output).type);
  const next = new Map(pull(stateNames(block)).map((u, l) =>
    [cotangentName(stateName(block, l)), l === block.output ? b.addition(u, error) : u]));
  return finish(b, next);
}

/** u, states, parameters, current -> gradients: mean for parameters, per sample for the current. */
export function adjointGradient(block: Block, options: SweepOptions): Graph {
  const { b, pull } = transposed(block, options, "gradient");
  const names = [...block.parameters.map(({ name }) => name), block.current.name];
  const parts = pull(names);
  return finish(b, names.map((name, i) => [name,
    i < block.parameters.length ? perBatch(b, parts[i] as Value) : parts[i] as Value]));
}

/**
 * One step back through time: u.* <- (dA/ds)^T u at the states before the step, and what the step
 * adds to the gradients: as `adjointGradient` has them.
 */
export function backwardStep(block: Block, options: SweepOptions): Graph {
  const { b, pull } = transposed(block, options, "backward");
  const names = [...block.parameters.map(({ name }) => name), block.current.name];
  const parts = pull([...stateNames(block), ...names]);
  return finish(b, [
    ...stateNames(block).map((s, i) => [cotangentName(s), parts[i] as Value] as const),
    ...names.map((name, i) => {
      const part = parts[block.states.length + i] as Value;
      return [name, i < block.parameters.length ? perBatch(b, part) : part] as const;
    }),
  ]);
}

const perBatch = (b: Builder, v: Value): Value =>
  b.div(v, b.cast(b.size(batchDim, "int32"), v.type.dtype));
