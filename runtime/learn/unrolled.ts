/**
 * The baselines: gradients of a block's output by differentiating its free phase.
 *
 *   implicit   the adjoint fixed point at s*, to a tolerance (implicit differentiation), or a
 *              fixed number of steps (recurrent backprop)
 *   truncated  backprop through the last sweeps of the free phase, states stored
 *
 * Both take delta = dL/ds of the summed loss and give what nudged phases give.
 */
import {
  adjointGradient, adjointStep, backwardStep, cotangentName, errorName,
} from "../../compiler/energy/adjoint.ts";
import { outputName } from "../../compiler/energy/ffEbm.ts";
import type { BlockGradients, BlockPass, BlockRunner } from "./blockRunner.ts";
import { releaseAll, type Held, type HeldMap } from "./engine.ts";
import { prepareSweep, relax, type RelaxOptions } from "./relax.ts";

export async function implicitGradients(
  runner: BlockRunner, parameters: HeldMap, pass: BlockPass, delta: Held, options: RelaxOptions,
): Promise<BlockGradients> {
  const { engine, block, helpers } = runner;
  const step = await runner.once("adjoint", () =>
    prepareSweep(engine, adjointStep(block, runner.freeSweep), `${block.name}, adjoint`));
  const last = await runner.once("adjoint gradient", () =>
    engine.prepare(adjointGradient(block, runner.freeSweep)));
  const inputs = new Map([...parameters, ...pass.states])
    .set(block.current.name, pass.current).set(errorName, delta);
  for (const [name, state] of pass.states) {
    inputs.set(cotangentName(name), helpers.zeros(state.shape));
  }
  const relaxed = await relax(engine, step, inputs, options);
  const gradients = await last.run(new Map([...inputs, ...relaxed.states]));
  releaseAll(engine, relaxed.states.values());
  return { gradients, residual: relaxed.residual, sweeps: relaxed.sweeps };
}

/** Continues the free phase by `sweeps`, keeping the states before each: states are replaced. */
export async function recordSweeps(
  runner: BlockRunner, parameters: HeldMap, pass: BlockPass, sweeps: number,
): Promise<{ readonly pass: BlockPass; readonly history: readonly HeldMap[] }> {
  const { engine, block } = runner;
  const sweep = await runner.sweepFreely();
  const inputs = new Map(parameters).set(block.current.name, pass.current);
  const history: HeldMap[] = [];
  let states = pass.states;
  let residual = pass.residual;
  for (let t = 0; t < sweeps; t++) {
    history.push(states);
    const relaxed = await relax(engine, sweep, new Map([...inputs, ...states]), { sweeps: 1 });
    ({ states, residual } = relaxed);
  }
  return { pass: { ...pass, states, residual, sweeps: pass.sweeps + sweeps }, history };
}

/** Backprop through the recorded sweeps, the last one first. */
export async function truncatedGradients(
  runner: BlockRunner, parameters: HeldMap, pass: BlockPass, delta: Held,
  history: readonly HeldMap[],
): Promise<BlockGradients> {
  const { engine, block, helpers } = runner;
  const back = await runner.once("backward", () =>
    engine.prepare(backwardStep(block, runner.freeSweep)));
  const cotangents = block.states.map(({ name }) => cotangentName(name));
  let pulls = new Map<string, Held>();
  for (const [name, state] of pass.states) {
    pulls.set(cotangentName(name), name === outputName(block) ? delta : helpers.zeros(state.shape));
  }
  const parts: Map<string, Held>[] = [];
  let owned: Held[] = [];
  for (const states of [...history].reverse()) {
    const found = await back.run(new Map([...parameters, ...states, ...pulls])
      .set(block.current.name, pass.current));
    releaseAll(engine, owned);
    pulls = new Map(cotangents.map((name) => [name, found.get(name) as Held]));
    owned = [...pulls.values()];
    cotangents.forEach((name) => found.delete(name));
    parts.push(found);
  }
  releaseAll(engine, owned);
  const gradients = new Map<string, Held>();
  for (const name of parts[0]?.keys() ?? []) {
    gradients.set(name, await helpers.sum(parts.map((part) => part.get(name) as Held)));
  }
  releaseAll(engine, parts.flatMap((part) => [...part.values()]));
  return { gradients, residual: pass.residual, sweeps: history.length };
}
