/**
 * Relaxation: a sweep graph run again and again on two sets of tensors, either a fixed number of
 * times or until no unit moves by more than a tolerance, with a cap. The residual is computed after
 * the last sweep in the one case and every few sweeps in the other; nothing else is read back.
 *
 * A sweep that reads none of the states it moves (a block of one layer without couplings to
 * itself) has found them after one run: another would write the same numbers, so there is none.
 */
import { UserError } from "../../compiler/errors.ts";
import { afterName, residualGraph, residualName } from "../../compiler/energy/sweep.ts";
import { dependsOn } from "../../compiler/energy/field.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import { releaseAll, type Engine, type Held, type HeldMap, type Prepared } from "./engine.ts";

export interface RelaxOptions {
  /** Number of sweeps, or the cap where there is a tolerance. */
  readonly sweeps: number;
  /** Largest change of a unit in a sweep at which the relaxation is over. */
  readonly tolerance?: number | undefined;
  /**
   * A residual below this that no longer falls between two looks is rounding, and ends the
   * relaxation as well. Only with a tolerance.
   */
  readonly rounding?: number | undefined;
  /** Sweeps between two looks at the residual. */
  readonly checkEvery?: number | undefined;
}

export interface Relaxed {
  /** The states that moved; they belong to the caller. */
  readonly states: Map<string, Held>;
  readonly sweeps: number;
  /** Largest change of any unit in the last sweep. */
  readonly residual: number;
}

/** A sweep made ready. */
export interface Sweep {
  readonly step: Prepared;
  /** Of two successive sets of states; none where one run finds them, whatever they were. */
  readonly residual: Prepared | undefined;
  readonly place: string;
}

export async function prepareSweep(engine: Engine, graph: Graph, place: string): Promise<Sweep> {
  return {
    step: await engine.prepare(graph),
    residual: isDirect(graph) ? undefined : await engine.prepare(residualGraph(graph)), place,
  };
}

function isDirect({ inputs, outputs }: Graph): boolean {
  const moved = new Set(outputs.map(({ name }) => name));
  const states = inputs.filter(({ name }) => moved.has(name));
  return outputs.every(({ value }) => states.every((state) => !dependsOn(value, state)));
}

/**
 * @param inputs everything that the sweep reads, initial states included; none is changed
 * @throws UserError when the relaxation diverges.
 */
export async function relax(
  engine: Engine, sweep: Sweep, inputs: HeldMap, options: RelaxOptions,
): Promise<Relaxed> {
  const { sweeps, tolerance, checkEvery = 8, rounding = 0 } = options;
  if (!sweep.residual) return { states: await sweep.step.run(inputs), sweeps: 1, residual: 0 };
  const isDue = (t: number): boolean => t === sweeps ||
    (tolerance !== undefined && t % checkEvery === 0);
  let now = new Map<string, Held>();
  let spare = new Map<string, Held>();
  let residual = Infinity;
  let done = 0;
  while (done < sweeps) {
    done++;
    const given = new Map([...inputs, ...now]);
    const outputs = await sweep.step.run(given, spare);
    spare = now;
    now = outputs;
    if (!isDue(done)) continue;
    const before = residual;
    residual = await largestChange(engine, sweep.residual, given, outputs);
    if (!Number.isFinite(residual)) throw diverged(sweep.place, done);
    const stalls = residual <= rounding && residual >= before;
    if (tolerance !== undefined && (residual <= tolerance || stalls)) break;
  }
  releaseAll(engine, spare.values());
  return { states: now, sweeps: done, residual };
}

async function largestChange(
  engine: Engine, residual: Prepared, before: HeldMap, after: HeldMap,
): Promise<number> {
  const named = [...after].map(([name, held]) => [afterName(name), held] as const);
  const held = (await residual.run(new Map([...before, ...named]))).get(residualName) as Held;
  const { data } = await engine.read(held);
  engine.release(held);
  return Math.abs(data[0] as number);
}

const diverged = (place: string, sweeps: number): UserError => new UserError(
  `The relaxation diverged: after ${sweeps} sweeps the states are no numbers`, {
    place,
    remedy: "use asynchronous updates, a smaller beta, smaller initial weights or a lower " +
      "learning rate",
  });
