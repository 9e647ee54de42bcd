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
import {
  ruleGraph, strengthName, weightName, type RuleOptions,
} from "../../compiler/energy/rule.ts";
import {
  anchorName, sweepGraph, type Order, type SweepOptions,
} from "../../compiler/energy/sweep.ts";
import { unitRules } from "../../compiler/energy/units.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import { poolConvolutions } from "../../compiler/passes/pooledConvolution.ts";
import type { Convert } from "./converted.ts";
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

/** What a sweep of P phases reads, stacked along the batch. */
interface Stack {
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

  /** Sees what sweeps of nudged phases read, at their end; with real nudges only. */
  onNudged: ((inputs: HeldMap) => Promise<void>) | undefined;
  readonly #convert: Convert | undefined;

  /** @param convert puts products of sweeps behind converters */
  constructor(
    engine: Engine, helpers: Helpers, block: Block, solver: Solver, convert?: Convert,
  ) {
    this.engine = engine;
    this.helpers = helpers;
    this.#convert = convert;
    // The same energy in fewer products: every sweep pays for them. Arrays hold plain kernels.
    this.block = block.kind === "energy" && !convert
      ? { ...block, interaction: poolConvolutions.run(block.interaction) } : block;
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

  /** The sweep of free phases, made ready. */
  sweepFreely(): Promise<Sweep> {
    return this.once("free", () => this.#prepared(sweepGraph(this.block, this.freeSweep)));
  }

  #prepared(sweep: Graph): Promise<Sweep> {
    // What a nudge reads of the cost's own parameters is digital.
    const own = new Set(this.block.parameters.map(({ name }) => name));
    return prepareSweep(this.engine, this.#convert?.(sweep, own) ?? sweep, this.block.name);
  }

  /** The free phase from zero states. */
  async relaxFree(parameters: HeldMap, current: Held): Promise<BlockPass> {
    const { block, engine } = this;
    const batch = current.shape[0] as number;
    const sweep = await this.sweepFreely();
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
    this.#refuseUnfit(options);
    const { phases, freeWeight, isComplex } = stencil;
    const isMixing = pull.kind === "cost" && pull.isMixing;
    const groups = isMixing ? phases.map((phase) => [phase]) : [phases];
    const found: Map<string, Held>[] = [];
    let residual = 0;
    let sweeps = 0;
    for (const group of groups) {
      const { inputs, owned } = await this.#stack(parameters, pass, pull, group, stencil);
      const sweep = await this.#nudgedSweep(pull, options);
      const relaxed = await relax(this.engine, sweep, inputs, this.solver.nudged);
      if (!isComplex) await this.onNudged?.(new Map([...inputs, ...relaxed.states]));
      residual = Math.max(residual, relaxed.residual);
      sweeps += relaxed.sweeps;
      // A clamped output is no output of the sweep: it stays where it was put.
      const still = this.#parts(isComplex).filter((name) => !relaxed.states.has(name));
      for (const name of still) {
        relaxed.states.set(name, await this.helpers.stack([inputs.get(name) as Held]));
      }
      found.push(relaxed.states);
      releaseAll(this.engine, owned);
    }
    const free: Phase = { beta: { re: 0, im: 0 }, weight: { re: freeWeight, im: 0 } };
    const gradients = freeWeight === 0
      ? await this.#rule(parameters, pass, pull, stencil, phases, found)
      : await this.#rule(parameters, pass, pull, stencil, [...phases, free],
        [...found, pass.states]);
    releaseAll(this.engine, found.flatMap((states) => [...states.values()]));
    return { gradients, residual, sweeps };
  }

  /**
   * The nudged phase sweep by sweep, positive nudge: after each sweep `step` gets the increment of
   * the gradients and returns the parameters for the next one. With unchanged parameters the
   * increments add up to the one-sided gradients; moving them is continual EP (Ernoult et al.
   * 2020, arXiv 2005.04168).
   */
  async incrementalGradients(
    parameters: HeldMap, pass: BlockPass, pull: Pull, beta: number, sweeps: number,
    step: (increment: HeldMap, parameters: HeldMap) => Promise<HeldMap>,
  ): Promise<BlockGradients> {
    const at = (b: number, weight: number): Phase =>
      ({ beta: { re: b, im: 0 }, weight: { re: weight, im: 0 } });
    const one: Stencil = {
      family: "nudged", phases: [at(beta, 1 / beta)], freeWeight: 0, isComplex: false,
    };
    const sweep = await this.#nudgedSweep(pull, { stencil: one });
    const increments: Map<string, Held>[] = [];
    let now = pass.states;
    let own = parameters;
    let residual = Infinity;
    for (let t = 0; t < sweeps; t++) {
      const { inputs, owned } = await this.#stack(own, pass, pull, one.phases, one);
      const relaxed = await relax(this.engine, sweep, new Map([...inputs, ...now]), { sweeps: 1 });
      residual = relaxed.residual;
      const pair = [at(beta, 1 / beta), at(t === 0 ? 0 : beta, -1 / beta)];
      const increment = await this.#rule(own, pass, pull, one, pair, [relaxed.states, now]);
      increments.push(increment);
      own = await step(increment, own);
      releaseAll(this.engine, owned);
      if (t > 0) releaseAll(this.engine, now.values());
      now = relaxed.states;
    }
    if (now !== pass.states) releaseAll(this.engine, now.values());
    return { gradients: await this.#total(increments), residual, sweeps };
  }

  #refuseUnfit({ stencil, isTransposed }: NudgedOptions): void {
    if (this.#convert && (stencil.isComplex || isTransposed)) {
      const odd = stencil.isComplex ? "complex states" : "changes of states";
      throw new UserError(`the chip's converters take states, no ${odd}`, {
        place: this.block.name,
        remedy: "use an estimator with real nudges and no asymmetric correction, or --only with " +
          "imperfections other than converters and nonlinearity",
      });
    }
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
      return this.#prepared(stencil.isComplex
        ? complexGraph(graph, new Set([...this.names, betaName])) : graph);
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
    return { inputs, owned };
  }

  /** One number per phase, repeated as often as fits. */
  #addPerPhase(
    inputs: Map<string, Held>, name: string, numbers: readonly { re: number; im: number }[],
    shape: readonly number[], isComplex: boolean,
  ): void {
    const total = shape[0] as number;
    const part = (values: readonly number[]): Held => this.helpers.constant(
      `per phase [${values}] ${total}`, shape, () => Float64Array.from({ length: total },
        (_, i) => values[Math.floor((i * values.length) / total)] as number));
    inputs.set(isComplex ? realName(name) : name, part(numbers.map(({ re }) => re)));
    if (isComplex) inputs.set(imaginaryName(name), part(numbers.map(({ im }) => im)));
  }

  /** Names of the tensors that hold the states. */
  #parts(isComplex: boolean): string[] {
    return isComplex ? this.names.flatMap((name) => [realName(name), imaginaryName(name)])
      : this.names;
  }

  /** The rule over all phases; `found` holds their states, one or several phases to an entry. */
  async #rule(
    parameters: HeldMap, pass: BlockPass, pull: Pull, stencil: Stencil, phases: readonly Phase[],
    found: readonly HeldMap[],
  ): Promise<Map<string, Held>> {
    const { isComplex, family } = stencil;
    const byCost = pull.kind === "cost" && family === "nudged";
    const options: RuleOptions = {
      phases: phases.length,
      ...byCost
        ? { cost: pull.cost, costParameters: pull.parameters, costValues: pull.values } : {},
    };
    const rule = await this.once(`rule ${byCost} ${phases.length} ${isComplex}`, () => {
      const graph = ruleGraph(this.block, options);
      const complex = new Set([...this.names, strengthName, weightName]);
      return this.engine.prepare(isComplex
        ? complexGraph(graph, complex, new Set(graph.outputs.map(({ name }) => name))) : graph);
    });
    const inputs = new Map([...parameters, ...byCost ? pull.inputs : []]);
    inputs.set(this.block.current.name, pass.current);
    pass.states.forEach((state, name) => inputs.set(anchorName(name), state));
    const owned: Held[] = [];
    for (const name of this.#parts(isComplex)) {
      const states = found.map((each) => each.get(name) as Held);
      if (states.length > 1) owned.push(await this.helpers.stack(states));
      inputs.set(name, states.length > 1 ? owned.at(-1) as Held : states[0] as Held);
    }
    const count = [phases.length];
    this.#addPerPhase(inputs, weightName, phases.map(({ weight }) => weight), count, isComplex);
    this.#addPerPhase(inputs, strengthName, phases.map(({ beta }) => beta), count, isComplex);
    const gradients = await rule.run(inputs);
    releaseAll(this.engine, owned);
    return gradients;
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
