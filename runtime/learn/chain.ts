/**
 * The chain: a model's forward pass and its gradients, for any alternation of digital segments and
 * blocks. Cotangents flow back through digital segments by vjp; a block is one operation whose
 * backward takes delta = dL/ds of its output and gives dL/da and dL/dtheta, by nudged phases or by
 * a baseline (Nest & Ernoult, arXiv 2409.03306; equilibrium-propagation.md, section 1.2).
 *
 * All cotangents are those of the loss summed over the batch, sample by sample; parameters get the
 * mean. The last block is nudged by the true cost when only the loss reads it.
 */
import { InternalError } from "../../compiler/errors.ts";
import {
  blocksOf, costBlock, mixesSamples, outputName, readsOf, type DigitalStage, type FfEbm,
} from "../../compiler/energy/ffEbm.ts";
import { pullName, segmentBackward } from "../../compiler/energy/segment.ts";
import { poolConvolutions } from "../../compiler/passes/pooledConvolution.ts";
import {
  BlockRunner, type BlockGradients, type BlockPass, type Pull, type Solver,
} from "./blockRunner.ts";
import type { Convert } from "./converted.ts";
import { releaseAll, type Engine, type Held, type HeldMap, type Prepared } from "./engine.ts";
import type { Stencil } from "./estimators.ts";
import { Helpers } from "./helpers.ts";
import type { RelaxOptions } from "./relax.ts";
import { implicitGradients, recordSweeps, truncatedGradients } from "./unrolled.ts";

export type GradientMethod =
  | {
      readonly kind: "equilibrium"; readonly stencil: Stencil;
      readonly isTransposed?: boolean | undefined;
    }
  | { readonly kind: "implicit"; readonly adjoint: RelaxOptions }
  /** The pass must have been made with `record` sweeps. */
  | { readonly kind: "truncated" }
  /** Continual EP: `step` moves a block's parameters during its nudged phase. */
  | {
      readonly kind: "continual"; readonly beta: number; readonly sweeps: number;
      readonly step: (increment: HeldMap, parameters: HeldMap) => Promise<HeldMap>;
    };

export interface ForwardPass {
  readonly values: Map<string, Held>;
  readonly blocks: ReadonlyMap<string, BlockPass>;
  readonly histories: ReadonlyMap<string, readonly HeldMap[]>;
  /** [N] and [N, classes]; among `values` too. */
  readonly loss: Held;
  readonly logits: Held;
  /** Largest free-phase residual of any block. */
  readonly residual: number;
}

export interface Gradients {
  /** Of the mean loss, by parameter name. They belong to the caller. */
  readonly parameters: Map<string, Held>;
  /** dL/da of the summed loss per block; only where asked for. */
  readonly boundaries: Map<string, Held>;
  /** Largest residual of the nudged phases, or of the adjoint. */
  readonly residual: number;
}

export interface BackwardRequest {
  readonly method: GradientMethod;
  readonly keepBoundaries?: boolean;
}

export class Chain {
  readonly model: FfEbm;
  readonly engine: Engine;
  readonly helpers: Helpers;
  readonly runners: ReadonlyMap<string, BlockRunner>;
  readonly #parameters: ReadonlySet<string>;
  readonly #made = new Map<string, Promise<Prepared>>();

  readonly #convert: Convert | undefined;

  /** @param convert puts products of sweeps and of segments forward behind converters */
  constructor(engine: Engine, model: FfEbm, solver: Solver, convert?: Convert) {
    this.engine = engine;
    this.#convert = convert;
    this.model = model;
    this.helpers = new Helpers(engine);
    this.runners = new Map(blocksOf(model).map((block) =>
      [block.name, new BlockRunner(engine, this.helpers, block, solver, convert)]));
    this.#parameters = new Set(model.parameters.map(({ name }) => name));
  }

  #prepare(key: string, graph: () => DigitalStage["graph"]): Promise<Prepared> {
    let made = this.#made.get(key);
    if (!made) {
      made = this.engine.prepare(graph());
      this.#made.set(key, made);
    }
    return made;
  }

  runner(name: string): BlockRunner {
    const runner = this.runners.get(name);
    if (!runner) throw new InternalError(`${this.model.name} has no block ${name}`);
    return runner;
  }

  /**
   * @param parameters everything trained, and in inference the running statistics
   * @param record sweeps to record beyond the free phase, for truncated backprop
   */
  async forward(
    parameters: HeldMap, input: Held, target: Held, mode: "training" | "inference" = "training",
    record = 0,
  ): Promise<ForwardPass> {
    const values = new Map([[this.model.input.name, input], [this.model.target.name, target]]);
    const blocks = new Map<string, BlockPass>();
    const histories = new Map<string, readonly HeldMap[]>();
    let residual = 0;
    for (const stage of [...this.model.stages, this.model.loss]) {
      if (stage.kind === "digital") {
        const graph = (mode === "inference" && stage.inference) || stage.graph;
        const segment = await this.#prepare(`${stage.name} ${mode}`, () =>
          this.#convert?.(graph, this.#parameters) ?? poolConvolutions.run(graph));
        const outputs = await segment.run(new Map([...parameters, ...values]));
        outputs.forEach((held, name) => values.set(name, held));
        continue;
      }
      const runner = this.runner(stage.name);
      const current = values.get(stage.block.current.name) as Held;
      let pass = await runner.relaxFree(parameters, current);
      if (record > 0) {
        const recorded = await recordSweeps(runner, parameters, pass, record);
        pass = recorded.pass;
        histories.set(stage.name, recorded.history);
      }
      blocks.set(stage.name, pass);
      residual = Math.max(residual, pass.residual);
      values.set(outputName(stage.block), pass.states.get(outputName(stage.block)) as Held);
    }
    return {
      values, blocks, histories, residual,
      loss: values.get("loss") as Held, logits: values.get("logits") as Held,
    };
  }

  /** Frees everything that a forward pass made; the input and the target stay. */
  release(pass: ForwardPass): void {
    const kept = new Set([pass.values.get(this.model.input.name),
      pass.values.get(this.model.target.name)]);
    const states = [...pass.blocks.values()].flatMap((block) => [...block.states.values()]);
    const recorded = [...pass.histories.values()].flat().flatMap((each) => [...each.values()]);
    releaseAll(this.engine,
      [...pass.values.values(), ...states, ...recorded].filter((held) => !kept.has(held)));
  }

  /** Gradients of the mean loss by every parameter. */
  async backward(
    parameters: HeldMap, pass: ForwardPass, { method, keepBoundaries }: BackwardRequest,
  ): Promise<Gradients> {
    const pulls = new Pulls(this);
    const found = new Map<string, Held>();
    const boundaries = new Map<string, Held>();
    let residual = 0;
    const nudgedByCost = byTrueCost(method) ? costBlock(this.model) : undefined;
    if (!nudgedByCost) {
      const ones = new Map([["loss", this.helpers.ones(pass.loss.shape)]]);
      await this.#throughDigital(this.model.loss, parameters, pass, ones, pulls, found);
    }
    for (const stage of [...this.model.stages].reverse()) {
      if (stage.kind === "digital") {
        const cotangents = await pulls.take(stage.graph.outputs.map(({ name }) => name));
        await this.#throughDigital(stage, parameters, pass, cotangents, pulls, found);
        releaseAll(this.engine, cotangents.values());
        continue;
      }
      const { block } = stage;
      const name = outputName(block);
      const delta = (await pulls.take([name])).get(name);
      const pull: Pull | undefined = block === nudgedByCost ? this.#costPull(pass)
        : delta && { kind: "error", delta };
      if (!pull) continue;
      const { gradients, residual: left } =
        await this.#throughBlock(stage.name, parameters, pass, pull, method);
      residual = Math.max(residual, left);
      if (delta) releaseAll(this.engine, [delta]);
      const boundary = gradients.get(block.current.name) as Held;
      if (keepBoundaries) boundaries.set(stage.name, await this.helpers.sum([boundary]));
      await this.#sort(gradients, pulls, found);
    }
    pulls.drop();
    return { parameters: found, boundaries, residual };
  }

  async #throughBlock(
    name: string, parameters: HeldMap, pass: ForwardPass, pull: Pull, method: GradientMethod,
  ): Promise<BlockGradients> {
    const runner = this.runner(name);
    const block = pass.blocks.get(name) as BlockPass;
    const { kind } = method;
    if (kind === "equilibrium") return runner.nudgedGradients(parameters, block, pull, method);
    if (kind === "continual") {
      const { beta, sweeps, step } = method;
      return runner.incrementalGradients(parameters, block, pull, beta, sweeps, step);
    }
    if (pull.kind !== "error") throw new InternalError(`${kind} gradients take no cost`);
    return kind === "implicit"
      ? implicitGradients(runner, parameters, block, pull.delta, method.adjoint)
      : truncatedGradients(runner, parameters, block, pull.delta, pass.histories.get(name) ?? []);
  }

  /** Backprop through a segment. */
  async #throughDigital(
    stage: DigitalStage, parameters: HeldMap, pass: ForwardPass, cotangents: HeldMap,
    pulls: Pulls, found: Map<string, Held>,
  ): Promise<void> {
    const outputs = [...cotangents.keys()];
    if (outputs.length === 0) return;
    const backward = await this.#prepare(`${stage.name} backward ${outputs}`, () =>
      segmentBackward(poolConvolutions.run(stage.graph), { outputs, ...this.#split(stage) }));
    const named = [...cotangents].map(([name, held]) => [pullName(name), held] as const);
    const gradients = await backward.run(new Map([...parameters, ...pass.values, ...named]));
    await this.#sort(gradients, pulls, found);
  }

  /** Parameters' gradients to `found`, where those of several users add up; the rest to `pulls`. */
  async #sort(gradients: HeldMap, pulls: Pulls, found: Map<string, Held>): Promise<void> {
    for (const [name, held] of gradients) {
      const before = found.get(name);
      if (!this.#parameters.has(name)) pulls.add(name, held);
      else if (!before) found.set(name, held);
      else {
        found.set(name, await this.helpers.sum([before, held]));
        releaseAll(this.engine, [before, held]);
      }
    }
  }

  /** What a segment is differentiated by; the model's input and target are not. */
  #split(stage: DigitalStage): { parameters: string[]; values: string[] } {
    const reads = readsOf(stage);
    const constant = new Set([this.model.input.name, this.model.target.name]);
    return {
      parameters: reads.filter((name) => this.#parameters.has(name)),
      values: reads.filter((name) => !this.#parameters.has(name) && !constant.has(name)),
    };
  }

  #costPull(pass: ForwardPass): Pull {
    const { loss } = this.model;
    const block = costBlock(this.model);
    if (!block) throw new InternalError(`${this.model.name} has no block that its cost may nudge`);
    const state = outputName(block);
    const { parameters, values } = this.#split(loss);
    const inputs = new Map([...pass.values].filter(([name]) =>
      name !== state && readsOf(loss).includes(name)));
    return {
      kind: "cost", cost: { graph: loss.graph, state }, inputs,
      parameters, values: values.filter((name) => name !== state),
      isMixing: mixesSamples(loss.graph),
    };
  }
}

const byTrueCost = (method: GradientMethod): boolean => method.kind === "continual" ||
  (method.kind === "equilibrium" && method.stencil.family === "nudged");

/** Cotangents on their way to the stage that wrote the value; several readers add up. */
class Pulls {
  readonly #chain: Chain;
  readonly #parts = new Map<string, Held[]>();

  constructor(chain: Chain) {
    this.#chain = chain;
  }

  add(name: string, held: Held): void {
    this.#parts.set(name, [...this.#parts.get(name) ?? [], held]);
  }

  /** Sums of those names that something arrived for; they belong to the caller. */
  async take(names: readonly string[]): Promise<Map<string, Held>> {
    const taken = new Map<string, Held>();
    for (const name of names) {
      const parts = this.#parts.get(name);
      if (!parts) continue;
      this.#parts.delete(name);
      if (parts.length === 1) taken.set(name, parts[0] as Held);
      else {
        taken.set(name, await this.#chain.helpers.sum(parts));
        releaseAll(this.#chain.engine, parts);
      }
    }
    return taken;
  }

  drop(): void {
    releaseAll(this.#chain.engine, [...this.#parts.values()].flat());
    this.#parts.clear();
  }
}
