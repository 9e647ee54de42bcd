/**
 * The training loop: batches in a seeded order, forward, backward by any method, an optimiser step,
 * metrics, checkpoints. Everything that may differ between two runs is in the settings; two runs
 * with the same settings, on the same device, are the same bit for bit, interrupted or not.
 *
 * Reads the clock only for the seconds it reports. Where checkpoints go and how progress shows is
 * the caller's.
 */
import { UserError } from "../../compiler/errors.ts";
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import { tensor } from "../../compiler/graph/tensor.ts";
import type { Augmentation } from "../../models/recipes.ts";
import { augmented, drawFor } from "./augment.ts";
import type { Solver } from "./blockRunner.ts";
import { Chain, type ForwardPass, type GradientMethod } from "./chain.ts";
import type { Checkpoint, EpochRecord, Position } from "./checkpoint.ts";
import { releaseAll, type Engine, type Held, type HeldMap } from "./engine.ts";
import { estimatorNames, stencilOf, type EstimatorName } from "./estimators.ts";
import { cosine, epochOrder, stepSign } from "./order.ts";
import { OnChip, type LearningChip } from "./onChip.ts";
import { placedParameters } from "./placed.ts";
import { pulsedMoments, PulsedStepper, type PulsedUpdates } from "./pulsed.ts";
import {
  momentSpecs, Stepper, type Optimiser, type ParameterRule, type Stepping,
} from "./optimiser.ts";
import { oneHot } from "./reference.ts";

/** Labelled samples, as `runtime/data/dataset.ts` gives them. */
export interface Samples {
  readonly count: number;
  readonly gather: (indices: ArrayLike<number>) => {
    readonly images: Float32Array; readonly labels: Int32Array;
  };
}

export const algorithms = [
  ...estimatorNames, "continual", "implicit", "recurrent", "truncated",
] as const;
export type Algorithm = (typeof algorithms)[number];

export interface TrainingSettings {
  readonly algorithm: Algorithm;
  readonly beta: number;
  /** Points of `h-ep`. */
  readonly points: number;
  /** Asymmetric correction of nudged phases, for untied weights. */
  readonly isCorrected?: boolean | undefined;
  readonly solver: Solver;
  readonly optimiser: Optimiser;
  readonly learningRate: number;
  /** Where the cosine ends. */
  readonly finalRate: number;
  readonly decay: number;
  /** Factors on the learning rate, by parameter name. */
  readonly rates: Readonly<Record<string, number>>;
  /** Largest magnitude of the blocks' weights, where they are physical. */
  readonly bound: number | null;
  readonly batch: number;
  readonly epochs: number;
  readonly seed: number;
  /** Of training images, which are [channels, height, width]. */
  readonly augmentation?: Augmentation | undefined;
  /** Weights on arrays move by pulses, in place of the optimiser; exactly without it. */
  readonly pulsed?: PulsedUpdates | undefined;
}

export interface TrainingRun {
  readonly engine: Engine;
  readonly model: FfEbm;
  readonly settings: TrainingSettings;
  /** The chip that products run on; none without it. */
  readonly chip?: LearningChip | undefined;
  /** What else must be the same for a run to go on: kept in checkpoints beside the settings. */
  readonly identity?: Readonly<Record<string, unknown>> | undefined;
  readonly train: Samples;
  readonly test?: Samples | undefined;
  /** Parameters and running statistics at the start, or a checkpoint to go on from. */
  readonly start: Checkpoint["tensors"] | Checkpoint;
  /** Called every `checkpointEvery` steps and after every epoch. */
  readonly save?: ((checkpoint: Checkpoint) => Promise<void>) | undefined;
  readonly checkpointEvery?: number | undefined;
  readonly onStep?: ((step: StepReport) => void) | undefined;
  readonly onEpoch?: ((record: EpochRecord) => void) | undefined;
  /** Seconds, for the records. */
  readonly now: () => number;
}

export interface StepReport {
  readonly epoch: number;
  readonly step: number;
  readonly steps: number;
  readonly samples: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly residual: number;
}

export interface TrainingResult {
  readonly tensors: Checkpoint["tensors"];
  readonly history: readonly EpochRecord[];
}

/** Free-phase residual above which gradients say nothing, and for how many batches in a row. */
const hopeless = 0.5;
const patience = 50;
/** Samples at a time in evaluation. */
const testBatch = 250;

/** @throws UserError when the loss is no number or relaxations no longer settle. */
export async function train(run: TrainingRun): Promise<TrainingResult> {
  const trainer = await Trainer.create(run);
  try {
    return await trainer.run();
  } finally {
    trainer.release();
  }
}

const isCheckpoint = (start: TrainingRun["start"]): start is Checkpoint => "position" in start;

class Trainer {
  readonly #run: TrainingRun;
  readonly #chain: Chain;
  readonly #onChip: OnChip | undefined;
  readonly #stepper: Stepping;
  readonly #statistics: Map<string, Held>;
  readonly #history: EpochRecord[];
  #position: { epoch: number; step: number };
  #sums: Position["sums"];
  /** Batches in a row whose free phase did not settle. */
  #unsettled = 0;

  private constructor(
    run: TrainingRun, stepper: Stepping, statistics: Map<string, Held>, position?: Position,
  ) {
    this.#run = run;
    const { engine, model, chip, settings: { solver } } = run;
    this.#onChip = chip && new OnChip(engine, model, chip, solver);
    this.#chain = new Chain(engine, this.#onChip?.model ?? model, solver, this.#onChip?.convert);
    this.#stepper = stepper;
    this.#statistics = statistics;
    this.#history = [...position?.history ?? []];
    this.#position = { epoch: position?.epoch ?? 0, step: position?.step ?? 0 };
    this.#sums = position?.sums ?? noSums();
  }

  static async create(run: TrainingRun): Promise<Trainer> {
    const { engine, model, settings, start } = run;
    const tensors = isCheckpoint(start) ? start.tensors : start;
    const placed = settings.pulsed && new Set(placedParameters(model).keys());
    const moments = settings.pulsed && placed
      ? pulsedMoments(model.parameters, placed, settings.pulsed)
      : momentSpecs(model.parameters, settings.optimiser);
    const hold = ({ name, shape }: { name: string; shape: readonly number[] }): [string, Held] => {
      const size = shape.reduce((p, d) => p * d, 1);
      const data = tensors.get(name)?.data ?? new Float32Array(size);
      return [name, engine.hold(tensor("float32", shape, data))];
    };
    const weights = new Set(model.stages.flatMap((stage) =>
      (stage.kind === "analog" ? stage.block.parameters.map(({ name }) => name) : [])));
    const ruleFor = (name: string): ParameterRule => ({
      rate: settings.rates[name] ?? 1, decay: settings.decay,
      bound: settings.bound !== null && weights.has(name) ? settings.bound : undefined,
    });
    const state = new Map([...model.parameters, ...moments].map(hold));
    const rateOf = (name: string): number => settings.rates[name] ?? 1;
    const stepper = settings.pulsed && placed
      ? await PulsedStepper.create(engine, model.parameters,
        { updates: settings.pulsed, seed: settings.seed, placed, rateOf }, state)
      : await Stepper.create(engine, model.parameters, settings.optimiser, ruleFor, state);
    return new Trainer(run, stepper, new Map(model.statistics.map(hold)),
      isCheckpoint(start) ? start.position : undefined);
  }

  get #stepsPerEpoch(): number {
    return Math.ceil(this.#run.train.count / this.#run.settings.batch);
  }

  async run(): Promise<TrainingResult> {
    const { settings, onEpoch } = this.#run;
    while (this.#position.epoch < settings.epochs) {
      await this.#epoch();
      const record = await this.#finishEpoch();
      onEpoch?.(record);
      await this.#save();
    }
    return { tensors: await this.#tensors(), history: this.#history };
  }

  async #epoch(): Promise<void> {
    const { settings, train: data, checkpointEvery } = this.#run;
    const { epoch } = this.#position;
    const order = epochOrder(data.count, settings.seed, epoch);
    while (this.#position.step < this.#stepsPerEpoch) {
      const begin = this.#run.now();
      const from = this.#position.step * settings.batch;
      await this.#step(order.subarray(from, from + settings.batch));
      this.#position.step++;
      this.#sums.seconds += this.#run.now() - begin;
      const due = checkpointEvery !== undefined && this.#position.step % checkpointEvery === 0;
      if (due && this.#position.step < this.#stepsPerEpoch) await this.#save();
    }
  }

  async #step(indices: Uint32Array): Promise<void> {
    const { engine, model, settings, train: data } = this.#run;
    const { images, labels } = data.gather(indices);
    const inputs = tensor("float32", [labels.length, ...model.input.shape],
      this.#varied(images, indices));
    const targets = oneHot(labels, model.target.shape[0] as number);
    const [input, target] = [engine.hold(inputs), engine.hold(targets)];
    const global = this.#position.epoch * this.#stepsPerEpoch + this.#position.step;
    const rate = this.#rateAt(global);
    const moved = new Map<string, Held>();
    const method = methodOf(settings.algorithm, {
      settings, sign: stepSign(settings.seed, global),
      move: (increment) => this.#move(moved, increment, rate),
    });
    const parameters = await this.#onChip?.load(
      this.#stepper.state, global, { input: inputs, target: targets, method }) ??
      this.#stepper.state;
    const record = method.kind === "truncated" ? settings.solver.nudged.sweeps : 0;
    const pass = await this.#chain.forward(parameters, input, target, "training", record);
    const { loss, correct } = await this.#measure(pass, labels);
    this.#watch(loss, pass.residual);
    const found = await this.#chain.backward(parameters, pass, { method });
    const gradients = await this.#onChip?.gradients(found.parameters) ?? found.parameters;
    this.#onChip?.release(parameters);
    await this.#apply(gradients, moved, rate, global + 1);
    await this.#follow(pass);
    this.#chain.release(pass);
    releaseAll(engine, [...gradients.values(), input, target]);
    const sums = this.#sums;
    sums.loss += loss;
    sums.correct += correct;
    sums.samples += labels.length;
    sums.freeResidual = Math.max(sums.freeResidual, pass.residual);
    sums.nudgedResidual = Math.max(sums.nudgedResidual, found.residual);
    this.#run.onStep?.({
      epoch: this.#position.epoch + 1, step: this.#position.step + 1, steps: this.#stepsPerEpoch,
      samples: labels.length, loss: loss / labels.length, accuracy: sums.correct / sums.samples,
      residual: pass.residual,
    });
  }

  #varied(images: Float32Array, indices: Uint32Array): Float32Array {
    const { model, settings: { augmentation, seed } } = this.#run;
    if (!augmentation) return images;
    const draws = Array.from(indices, (index) =>
      drawFor(augmentation, seed, this.#position.epoch, index));
    return augmented(images, model.input.shape as [number, number, number], draws);
  }

  #rateAt(step: number): number {
    const { learningRate, finalRate, epochs } = this.#run.settings;
    return cosine(learningRate, finalRate, step / (epochs * this.#stepsPerEpoch));
  }

  /** Continual EP: moves what an increment is for, at once; `moved` collects the new values. */
  async #move(moved: Map<string, Held>, increment: HeldMap, rate: number): Promise<HeldMap> {
    const { engine, model, settings } = this.#run;
    const { helpers } = this.#chain;
    for (const { name } of model.parameters) {
      const change = increment.get(name);
      if (!change) continue;
      const own = rate * (settings.rates[name] ?? 1);
      const held = engine.hold(tensor("float32", [1], Float32Array.of(own)));
      const before = moved.get(name);
      moved.set(name, await helpers.moved(
        before ?? this.#stepper.state.get(name) as Held, held, change));
      releaseAll(engine, before ? [held, before] : [held]);
    }
    return new Map([...this.#stepper.state, ...moved]);
  }

  /** The optimiser's step; what continual EP moved already gets no gradient. */
  async #apply(found: HeldMap, moved: HeldMap, rate: number, t: number): Promise<void> {
    this.#stepper.replace(moved);
    const gradients = new Map(found);
    for (const [name, { shape }] of moved) gradients.set(name, this.#chain.helpers.zeros(shape));
    for (const { name, shape } of this.#run.model.parameters) {
      if (!gradients.has(name)) gradients.set(name, this.#chain.helpers.zeros(shape));
    }
    await this.#stepper.step(gradients, rate, t);
  }

  /** Running statistics follow those of the batch. */
  async #follow(pass: ForwardPass): Promise<void> {
    const { engine, model } = this.#run;
    const stages = [...model.stages, model.loss];
    for (const stage of stages) {
      for (const { statistic, output, momentum } of
        (stage.kind === "digital" && stage.running) || []) {
        const before = this.#statistics.get(statistic) as Held;
        const batch = pass.values.get(output) as Held;
        this.#statistics.set(statistic,
          await this.#chain.helpers.blended(before, momentum, batch));
        engine.release(before);
      }
    }
  }

  /** Sum of the losses, and how many labels the logits have right. */
  async #measure(
    pass: ForwardPass, labels: Int32Array,
  ): Promise<{ loss: number; correct: number }> {
    const { engine } = this.#run;
    const losses = (await engine.read(pass.loss)).data;
    const { data } = await engine.read(pass.logits);
    const classes = data.length / labels.length;
    let [loss, correct] = [0, 0];
    for (let n = 0; n < labels.length; n++) {
      loss += losses[n] as number;
      let best = 0;
      for (let k = 1; k < classes; k++) {
        if ((data[n * classes + k] as number) > (data[n * classes + best] as number)) best = k;
      }
      if (best === labels[n]) correct++;
    }
    return { loss, correct };
  }

  #watch(loss: number, residual: number): void {
    const place = `epoch ${this.#position.epoch + 1}, step ${this.#position.step + 1}`;
    if (!Number.isFinite(loss)) {
      throw new UserError("The loss is no number any more", {
        place, remedy: "use a lower learning rate, smaller initial weights or a smaller beta",
      });
    }
    this.#unsettled = residual > hopeless ? this.#unsettled + 1 : 0;
    if (this.#unsettled < patience) return;
    throw new UserError(
      `The free phase does not settle: for ${patience} batches, units have moved by up to ` +
      `${residual.toPrecision(2)} in its last sweep`, {
        place,
        remedy: "use asynchronous updates, more sweeps, a lower learning rate or more decay",
      });
  }

  async #finishEpoch(): Promise<EpochRecord> {
    const sums = this.#sums;
    const record: EpochRecord = {
      epoch: this.#position.epoch + 1, samples: sums.samples,
      loss: sums.loss / sums.samples, trainAccuracy: sums.correct / sums.samples,
      accuracy: await this.#accuracy(),
      freeResidual: sums.freeResidual, nudgedResidual: sums.nudgedResidual,
      learningRate: this.#rateAt((this.#position.epoch + 1) * this.#stepsPerEpoch),
      seconds: sums.seconds,
      samplesPerSecond: sums.seconds > 0 ? sums.samples / sums.seconds : 0,
    };
    this.#history.push(record);
    this.#position = { epoch: this.#position.epoch + 1, step: 0 };
    this.#sums = noSums();
    return record;
  }

  /** On the test samples, with running statistics and on an unseen chip; null without samples. */
  async #accuracy(): Promise<number | null> {
    const { engine, model, test } = this.#run;
    if (!test) return null;
    const loaded =
      await this.#onChip?.loadUnseen(this.#stepper.state, this.#position.epoch);
    const parameters = new Map([...loaded ?? this.#stepper.state, ...this.#statistics]);
    let correct = 0;
    for (let from = 0; from < test.count; from += testBatch) {
      const length = Math.min(testBatch, test.count - from);
      const { images, labels } = test.gather(Uint32Array.from({ length }, (_, i) => from + i));
      const input = engine.hold(tensor("float32", [length, ...model.input.shape], images));
      const target = engine.hold(oneHot(labels, model.target.shape[0] as number));
      const pass = await this.#chain.forward(parameters, input, target, "inference");
      correct += (await this.#measure(pass, labels)).correct;
      this.#chain.release(pass);
      releaseAll(engine, [input, target]);
    }
    if (loaded) this.#onChip?.release(loaded);
    return correct / test.count;
  }

  async #tensors(): Promise<Map<string, { shape: readonly number[]; data: Float32Array }>> {
    const { engine } = this.#run;
    const read = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const [name, held] of [...this.#stepper.state, ...this.#statistics]) {
      const { data } = await engine.read(held);
      read.set(name, { shape: held.shape, data: Float32Array.from(data) });
    }
    return read;
  }

  async #save(): Promise<void> {
    const { save, settings, identity } = this.#run;
    if (!save) return;
    const position: Position = {
      format: "crosstie-checkpoint", version: 1,
      settings: { ...settings, ...identity },
      ...this.#position, sums: { ...this.#sums }, history: [...this.#history],
    };
    await save({ position, tensors: await this.#tensors() });
  }

  release(): void {
    this.#onChip?.destroy();
    this.#stepper.release();
    releaseAll(this.#run.engine, this.#statistics.values());
  }
}

export interface MethodContext {
  readonly settings: Pick<TrainingSettings, "beta" | "points" | "isCorrected" | "solver">;
  /** Of the random-sign estimator. */
  readonly sign: 1 | -1;
  /** Continual EP: parameters for the next sweep, from an increment and those of this one. */
  readonly move: (increment: HeldMap, parameters: HeldMap) => Promise<HeldMap>;
}
type MethodOf = (context: MethodContext) => GradientMethod;

const equilibrium = (name: EstimatorName): MethodOf =>
  ({ settings: { beta, points, isCorrected }, sign }) => ({
    kind: "equilibrium", stencil: stencilOf(name, { beta, points, sign }),
    isTransposed: isCorrected,
  });
const byStencil = Object.fromEntries(estimatorNames.map((name) =>
  [name, equilibrium(name)])) as Record<EstimatorName, MethodOf>;

const methods: Record<Algorithm, MethodOf> = {
  ...byStencil,
  implicit: ({ settings }) => ({ kind: "implicit", adjoint: settings.solver.free }),
  recurrent: ({ settings: { solver } }) =>
    ({ kind: "implicit", adjoint: { sweeps: solver.nudged.sweeps } }),
  truncated: () => ({ kind: "truncated" }),
  continual: ({ settings: { beta, solver }, move }) =>
    ({ kind: "continual", beta, sweeps: solver.nudged.sweeps, step: move }),
};

export const methodOf = (algorithm: Algorithm, context: MethodContext): GradientMethod =>
  methods[algorithm](context);

const noSums = (): Position["sums"] =>
  ({ loss: 0, correct: 0, samples: 0, freeResidual: 0, nudgedResidual: 0, seconds: 0 });
