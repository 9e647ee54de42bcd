/**
 * Everything that learning does with one block: its free phase, its nudged phases under any
 * stencil, and the gradients that come of them. Graphs are derived and made ready when first
 * needed; the block's own current is computed once by whoever calls.
 *
 * The baselines that differentiate the free phase are in `unrolled.ts`.
 */
import { complexGraph, imaginaryName, realName } from "../../compiler/energy/complex.ts";
import { stateName, type Block } from "../../compiler/energy/field.ts";
import {
  betaName, deltaName, free, otherInputs, type Cost, type Nudge,
} from "../../compiler/energy/nudge.ts";
import { ruleGraph, weightName, type RuleOptions } from "../../compiler/energy/rule.ts";
import {
  anchorName, sweepGraph, type Order, type SweepOptions,
} from "../../compiler/energy/sweep.ts";
import { unitRules } from "../../compiler/energy/units.ts";
import { UserError } from "../../compiler/errors.ts";
import { releaseAll, type Engine, type Held, type HeldMap } from "./engine.ts";
import type { Phase, Stencil } from "./estimators.ts";
import type { Helpers } from "./helpers.ts";
import { prepareSweep, relax, type RelaxOptions, type Sweep } from "./relax.ts";

export interface Solver {
  readonly order: Order;
  readonly free: RelaxOptions;
  readonly nudged: RelaxOptions;
  /** eta of layers that no formula minimises. */
  readonly damping?: number | undefined;
}

/** A block after its free phase. */
export interface BlockPass {
  readonly current: Held;
  /** All states; they belong to the pass. */
  readonly states: Map<string, Held>;
  readonly sweeps: number;
  readonly residual: number;
}

/** What pulls at the output of a block, for one batch of N samples. */
export type Pull =
  /** delta = dL/ds of the summed loss, [N, ..]. */
  | { readonly kind: "error"; readonly delta: Held }
  /** The true cost; `inputs` holds what else it reads. */
  | {
      readonly kind: "cost"; readonly cost: Cost; readonly inputs: HeldMap;
      readonly parameters: readonly string[]; readonly values: readonly string[];
      /** Whether samples influence each other in it: phases then never share a batch. */
      readonly isMixing: boolean;
    };

export interface BlockGradients {
  /**
   * By name: the block's parameters and the cost's (batch means), the current and the cost's
   * values (per sample). They belong to the caller.
   */
  readonly gradients: Map<string, Held>;
  /** Largest residual of the nudged phases. */
  readonly residual: number;
  readonly sweeps: number;
}

export interface NudgedOptions {
  readonly stencil: Stencil;
  /** Asymmetric correction for untied weights. */
  readonly isTransposed?: boolean | undefined;
}

/** States of P phases stacked along the batch, and what a sweep reads beside them. */
interface Stack {
  readonly phases: readonly Phase[];
  readonly inputs: Map<string, Held>;
  /** What of `inputs` was made for this stack. */
  readonly owned: Held[];
}

export class BlockRunner {
  readonly block: Block;
  readonly solver: Solver;
  readonly engine: Engine;
  readonly helpers: Helpers;
  readonly #made = new Map<string, Promise<unknown>>();

  constructor(engine: Engine, helpers: Helpers, block: Block, solver: Solver) {
    this.engine = engine;
    this.helpers = helpers;
    this.block = block;
    this.solver = solver;
  }

  get names(): string[] {
    return this.block.states.map(({ name }) => name);
  }

  once<T>(key: string, make: () => Promise<T>): Promise<T> {
    let made = this.#made.get(key) as Promise<T> | undefined;
    if (!made) {
      made = make();
      this.#made.set(key, made);
    }
    return made;
  }

  get freeSweep(): SweepOptions {
    const { order, damping } = this.solver;
    return { nudge: free, order, start: "input", damping };
  }

  /** The free phase from zero states. */
  async relaxFree(parameters: HeldMap, current: Held): Promise<BlockPass> {
    const { block, engine } = this;
    const batch = current.shape[0] as number;
    const sweep = await this.once("free", () =>
      prepareSweep(engine, sweepGraph(block, this.freeSweep), block.name));
    const inputs = new Map(parameters).set(block.current.name, current);
    for (const { name, shape } of block.states) {
      inputs.set(name, this.helpers.zeros([batch, ...shape]));
    }
    const relaxed = await relax(engine, sweep, inputs, this.solver.free);
    return { current, ...relaxed };
  }

  /** Gradients from nudged phases, which all start at the free states of `pass`. */
  async nudgedGradients(
    parameters: HeldMap, pass: BlockPass, pull: Pull, options: NudgedOptions,
  ): Promise<BlockGradients> {
    const { stencil } = options;
    this.#refuseUnfit(stencil);
    const { phases, freeWeight } = stencil;
    const isMixing = pull.kind === "cost" && pull.isMixing;
    const groups = isMixing ? phases.map((phase) => [phase]) : [phases];
    const found: Map<string, Held>[] = [];
    let residual = 0;
    let sweeps = 0;
    for (const group of groups) {
      const stack = await this.#stack(parameters, pass, pull, group, stencil);
      const sweep = await this.#nudgedSweep(pull, options);
      const relaxed = await relax(this.engine, sweep, stack.inputs, this.solver.nudged);
      residual = Math.max(residual, relaxed.residual);
      sweeps += relaxed.sweeps;
      const inputs = new Map([...stack.inputs, ...relaxed.states]);
      found.push(await this.#rule(pull, stencil, group, inputs));
      releaseAll(this.engine, [...stack.owned, ...relaxed.states.values()]);
    }
    if (freeWeight !== 0) {
      const still: Phase = { beta: { re: 0, im: 0 }, weight: { re: freeWeight, im: 0 } };
      const stack = await this.#stack(parameters, pass, pull, [still], stencil);
      const inputs = new Map([...stack.inputs, ...pass.states]);
      found.push(await this.#rule(pull, stencil, [still], inputs));
      releaseAll(this.engine, stack.owned);
    }
    return { gradients: await this.#total(found), residual, sweeps };
  }

  /**
   * The nudged phase sweep by sweep, positive nudge: after each sweep `step` gets the increment of
   * the gradients and returns the parameters for the next one. With unchanged parameters the
   * increments add up to the one-sided gradients; moving them is continual EP (Ernoult et al.
   * 2020, arXiv 2005.04168).
   */
  async incrementalGradients(
    parameters: HeldMap, pass: BlockPass, pull: Pull, beta: number, sweeps: number,
    step: (increment: HeldMap) => Promise<HeldMap>,
  ): Promise<BlockGradients> {
    const one: Stencil = { family: "nudged", phases: [], freeWeight: 0, isComplex: false };
    const at = (b: number, weight: number): Phase =>
      ({ beta: { re: b, im: 0 }, weight: { re: weight, im: 0 } });
    const sweep = await this.#nudgedSweep(pull, { stencil: one });
    const increments: Map<string, Held>[] = [];
    let now = new Map(pass.states);
    let owned: Held[] = [];
    let own = parameters;
    let residual = Infinity;
    for (let t = 0; t < sweeps; t++) {
      const single = await this.#stack(own, pass, pull, [at(beta, 1 / beta)], one);
      const inputs = new Map([...single.inputs, ...now]);
      const relaxed = await relax(this.engine, sweep, inputs, { sweeps: 1 });
      residual = relaxed.residual;
      const pair = [at(beta, 1 / beta), at(t === 0 ? 0 : beta, -1 / beta)];
      const both = await this.#stack(own, pass, pull, pair, one);
      for (const name of this.names) {
        const states = [relaxed.states.get(name) as Held, now.get(name) as Held];
        const stacked = await this.helpers.stack(states);
        both.owned.push(stacked);
        both.inputs.set(name, stacked);
      }
      const increment = await this.#rule(pull, one, pair, both.inputs);
      increments.push(increment);
      own = await step(increment);
      releaseAll(this.engine, [...single.owned, ...both.owned, ...owned]);
      owned = [...relaxed.states.values()];
      now = relaxed.states;
    }
    releaseAll(this.engine, owned);
    return { gradients: await this.#total(increments), residual, sweeps };
  }

  #refuseUnfit(stencil: Stencil): void {
    if (!stencil.isComplex) return;
    const wrong = this.block.states.find(({ unit }) => !unitRules[unit.kind].isHolomorphic);
    if (!wrong) return;
    throw new UserError(`The ${wrong.unit.kind} units of ${wrong.name} are not holomorphic`, {
      place: this.block.name,
      remedy: "use sigmoid, tanh or linear units, or an estimator with real nudges",
    });
  }

  #nudgeOf(pull: Pull, stencil: Stencil): Nudge {
    if (stencil.family === "clamped") return { kind: "clamped" };
    return pull.kind === "cost" ? { kind: "cost", cost: pull.cost } : { kind: "error" };
  }

  #nudgedSweep(pull: Pull, { stencil, isTransposed }: NudgedOptions): Promise<Sweep> {
    const nudge = this.#nudgeOf(pull, stencil);
    const key = `nudged ${nudge.kind} ${stencil.isComplex} ${Boolean(isTransposed)}`;
    return this.once(key, () => {
      const { order, damping } = this.solver;
      const graph = sweepGraph(this.block,
        { nudge, order, start: "output", damping, isTransposed });
      return prepareSweep(this.engine, stencil.isComplex
        ? complexGraph(graph, new Set([...this.names, betaName])) : graph, this.block.name);
    });
  }

  /** Copies of everything per sample, phase by phase, with free states as the initial ones. */
  async #stack(
    parameters: HeldMap, pass: BlockPass, pull: Pull, phases: readonly Phase[], stencil: Stencil,
  ): Promise<Stack> {
    const batch = pass.current.shape[0] as number;
    const { isComplex, family } = stencil;
    const owned: Held[] = [];
    const copies = async (held: Held): Promise<Held> => {
      if (phases.length === 1) return held;
      const stacked = await this.helpers.stack(phases.map(() => held));
      owned.push(stacked);
      return stacked;
    };
    const inputs = new Map(parameters);
    inputs.set(this.block.current.name, await copies(pass.current));
    for (const name of this.names) {
      const state = await copies(pass.states.get(name) as Held);
      inputs.set(anchorName(name), state);
      inputs.set(isComplex ? realName(name) : name, state);
      if (isComplex) inputs.set(imaginaryName(name), this.helpers.zeros(state.shape));
    }
    const samples = phases.length * batch;
    this.#addPerPhase(inputs, betaName, phases.map(({ beta }) => beta), [samples], isComplex);
    if (pull.kind === "error") {
      inputs.set(deltaName, await copies(pull.delta));
      if (family === "clamped") {
        const output = stateName(this.block, this.block.output);
        const put = await this.helpers.displaced(inputs.get(output) as Held,
          inputs.get(betaName) as Held, inputs.get(deltaName) as Held);
        owned.push(put);
        inputs.set(output, put);
      }
    } else {
      const perSample = new Set(otherInputs(pull.cost)
        .filter(({ name }) => !pull.parameters.includes(name)).map(({ name }) => name));
      for (const [name, held] of pull.inputs) {
        inputs.set(name, perSample.has(name) ? await copies(held) : held);
      }
    }
    return { phases, inputs, owned };
  }

  /** One number per phase, repeated for every sample. */
  #addPerPhase(
    inputs: Map<string, Held>, name: string, numbers: readonly { re: number; im: number }[],
    shape: readonly number[], isComplex: boolean,
  ): void {
    const total = shape.reduce((p, d) => p * d, 1);
    const part = (values: readonly number[]): Held => this.helpers.constant(
      `${shape.length} [${values}] ${total}`, shape, () => Float64Array.from({ length: total },
        (_, i) => values[Math.floor((i * values.length) / total)] as number));
    inputs.set(isComplex ? realName(name) : name, part(numbers.map(({ re }) => re)));
    if (isComplex) inputs.set(imaginaryName(name), part(numbers.map(({ im }) => im)));
  }

  async #rule(
    pull: Pull, stencil: Stencil, phases: readonly Phase[], inputs: HeldMap,
  ): Promise<Map<string, Held>> {
    const nudge = this.#nudgeOf(pull, stencil);
    const { isComplex } = stencil;
    const options: RuleOptions = {
      nudge, phases: phases.length,
      ...nudge.kind === "cost" && pull.kind === "cost"
        ? { costParameters: pull.parameters, costValues: pull.values } : {},
    };
    const rule = await this.once(`rule ${nudge.kind} ${phases.length} ${isComplex}`, () => {
      const graph = ruleGraph(this.block, options);
      const complex = new Set([...this.names, betaName, weightName]);
      return this.engine.prepare(isComplex
        ? complexGraph(graph, complex, new Set(graph.outputs.map(({ name }) => name))) : graph);
    });
    const given = new Map(inputs);
    const samples = (inputs.get(this.block.current.name) as Held).shape[0] as number;
    this.#addPerPhase(given, weightName, phases.map(({ weight }) => weight),
      [phases.length, samples / phases.length], isComplex);
    return rule.run(given);
  }

  async #total(found: readonly Map<string, Held>[]): Promise<Map<string, Held>> {
    const [first, ...rest] = found as [Map<string, Held>, ...Map<string, Held>[]];
    if (rest.length === 0) return first;
    const total = new Map<string, Held>();
    for (const name of first.keys()) {
      total.set(name, await this.helpers.sum(found.map((each) => each.get(name) as Held)));
    }
    releaseAll(this.engine, found.flatMap((each) => [...each.values()]));
    return total;
  }
}
