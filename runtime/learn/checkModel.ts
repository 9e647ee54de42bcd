/**
 * `check-gradients` as a function: a model by name, a few samples, a device, an estimator; how its
 * gradients compare with implicit differentiation. Phases go to rest unless a number of sweeps is
 * given: with the numbers of a training run, the answer is what that run steps along.
 *
 * Reference networks, whose gradients other code computed, are `reference.ts`.
 */
import { perSample } from "../../compiler/energy/block.ts";
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import type { Order } from "../../compiler/energy/sweep.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { hashName, normalStream } from "../../models/init.ts";
import { randomWord } from "../../compiler/ops/source.ts";
import type { ChipMode } from "../api/chip.ts";
import type { DeviceChoice } from "../device/open.ts";
import type { Solver } from "./blockRunner.ts";
import { restOf } from "./check.ts";
import { checkOnChip, type ChipCheck } from "./chipGradients.ts";
import { learningChip, type LearningChipRequest } from "./chipRequest.ts";
import type { Engine } from "./engine.ts";
import { openEngine } from "./openEngine.ts";
import { oneHot } from "./reference.ts";
import { refuseUnheeded, usualPoints } from "./settings.ts";
import { methodOf, type Algorithm } from "./train.ts";
import {
  openData, openTrainable, type DataRequest, type Trainable, type TrainableRequest,
} from "./trainable.ts";

export interface CheckModelRequest extends TrainableRequest, DataRequest, LearningChipRequest {
  readonly device?: DeviceChoice | undefined;
  readonly algorithm?: Algorithm | undefined;
  readonly beta?: number | undefined;
  readonly points?: number | undefined;
  /** Asymmetric correction of nudged phases, for untied weights. */
  readonly isCorrected?: boolean | undefined;
  readonly order?: Order | undefined;
  /** Fixed numbers of sweeps; a phase without one goes to rest. */
  readonly freeSweeps?: number | undefined;
  readonly nudgedSweeps?: number | undefined;
  /** Largest change of a unit in a sweep that counts as rest. */
  readonly tolerance?: number | undefined;
  /** Samples in the batch. */
  readonly samples?: number | undefined;
  readonly seed?: number | undefined;
}

export interface ModelCheck extends ChipCheck {
  readonly model: string;
  readonly chip: ChipMode;
  readonly algorithm: Algorithm;
  readonly beta: number;
  /** SPEC of the samples, or "synthetic". */
  readonly data: string;
  readonly samples: number;
  /** Said when the model means something else than the file given. */
  readonly note: string | null;
}

/** As `data`: normal inputs and classes at random, from the seed. */
export const syntheticData = "synthetic";

/** @throws UserError for what is wrong with the request, or where a relaxation diverges. */
export async function checkModel(request: CheckModelRequest): Promise<ModelCheck> {
  const { algorithm = "c-ep", chip = "none", seed = 1, samples = 8, points } = request;
  const { isCorrected = false } = request;
  refuseUnheeded(algorithm, request);
  const trainable = await openTrainable(request);
  const { model, training, note } = trainable;
  const beta = request.beta ?? training.beta;
  const { name: data, input, target } = await batchOf(trainable, request, samples, seed);
  const { engine, device } = await openEngine(request.device ?? "auto");
  try {
    const solver = solverFor(request, engine, isCounted(algorithm)
      ? training.nudgedSweeps : undefined);
    const method = methodOf(algorithm, {
      settings: { beta, points: points ?? usualPoints, isCorrected, solver }, sign: 1,
      // Parameters stay: the increments of continual EP then add up to the one-sided estimate.
      move: async (_increment, parameters) => parameters,
    });
    const parameters = new Map([...trainable.start(seed)].map(([name, { shape, data: numbers }]) =>
      [name, tensor("float32", shape, numbers)] as const));
    const check = await checkOnChip(
      { engine, model, parameters, input, target, solver, method }, learningChip(request));
    return { model: model.name, chip, algorithm, beta, data, samples, note, ...check };
  } finally {
    device.destroy();
  }
}

/** Algorithms that take a step of their own per nudged sweep: to rest would be without end. */
const isCounted = (algorithm: Algorithm): boolean =>
  ["continual", "truncated", "recurrent"].includes(algorithm);

function solverFor(
  { order, freeSweeps, nudgedSweeps, tolerance }: CheckModelRequest, engine: Engine,
  counted: number | undefined,
): Solver {
  const rest = restOf(engine);
  const until = tolerance === undefined ? rest : { ...rest, tolerance };
  const phase = (sweeps: number | undefined): Solver["free"] => (sweeps === undefined ? until
    : tolerance === undefined ? { sweeps } : { sweeps, tolerance, checkEvery: 4 });
  return {
    order: order ?? "asynchronous", free: phase(freeSweeps),
    nudged: phase(nudgedSweeps ?? counted),
  };
}

interface SampleBatch { readonly name: string; readonly input: Tensor; readonly target: Tensor }

async function batchOf(
  trainable: Trainable, request: CheckModelRequest, samples: number, seed: number,
): Promise<SampleBatch> {
  const { model, dataset } = trainable;
  const classes = model.target.shape[0] as number;
  const shape = perSample(model.input.shape).map((d) => (typeof d === "number" ? d : samples));
  const isSynthetic = request.data === syntheticData ||
    (request.data === undefined && dataset === undefined);
  if (isSynthetic) {
    const { images, labels } = syntheticBatch(model, samples, classes, seed);
    return {
      name: syntheticData, input: tensor("float32", shape, images), target: oneHot(labels, classes),
    };
  }
  const opened = await openData(trainable, request, "train");
  const count = Math.min(samples, opened.count);
  const { images, labels } = opened.batch(0, count);
  return {
    name: `${opened.name}, the first ${count}`,
    input: tensor("float32", [count, ...model.input.shape], images),
    target: oneHot(labels, classes),
  };
}

function syntheticBatch(
  { input }: FfEbm, samples: number, classes: number, seed: number,
): { images: Float32Array; labels: Int32Array } {
  const normal = normalStream(seed, "synthetic input");
  const key = [seed >>> 0, hashName("synthetic label")] as const;
  const size = samples * input.shape.reduce((p, d) => p * d, 1);
  return {
    images: Float32Array.from({ length: size }, (_, i) => normal(i)),
    labels: Int32Array.from({ length: samples }, (_, i) => randomWord(key, i) % classes),
  };
}
