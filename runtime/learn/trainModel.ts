/**
 * Training as a function, from a name or a file to a folder of results: opens the model, the data
 * and the device, trains, and keeps a checkpoint that `resume` goes on from. The folder holds
 * `checkpoint.safetensors` while the run goes on and after it, and `training.json`, the settings
 * and the history, at its end.
 */
import { join } from "node:path";
import { ffEbmFromGraph } from "../../compiler/energy/fromGraph.ts";
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import { UserError } from "../../compiler/errors.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import { buildFfEbm, costRules, startValues } from "../../models/ffEbm.ts";
import type { Preprocessing } from "../../models/card.ts";
import { recipes, type Recipe, type RecipeTraining } from "../../models/recipes.ts";
import { loadCard } from "../data/card.ts";
import { openDataset, type Dataset } from "../data/dataset.ts";
import type { DeviceChoice } from "../device/open.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { loadModel } from "../files/modelFiles.ts";
import {
  demandSameSettings, readCheckpoint, writeCheckpoint, type Checkpoint, type EpochRecord,
} from "./checkpoint.ts";
import { openEngine } from "./openEngine.ts";
import {
  train, type Algorithm, type StepReport, type TrainingResult, type TrainingSettings,
} from "./train.ts";

export interface TrainRequest {
  /** Name of a recipe, or path of an ONNX file. */
  readonly model: string;
  /** SPEC of the training and the test data; the model's own data set without them. */
  readonly data?: string | undefined;
  readonly test?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly device?: DeviceChoice | undefined;
  readonly algorithm?: Algorithm | undefined;
  readonly training?: Partial<RecipeTraining> | undefined;
  readonly points?: number | undefined;
  readonly seed?: number | undefined;
  /** Layers per block, for ONNX models. */
  readonly blockSize?: number | undefined;
  /** Folder of the results; nothing is written without it. */
  readonly out?: string | undefined;
  /** Goes on from the folder's checkpoint. */
  readonly resume?: boolean | undefined;
  readonly checkpointEvery?: number | undefined;
  readonly onStep?: ((step: StepReport) => void) | undefined;
  readonly onEpoch?: ((record: EpochRecord) => void) | undefined;
}

export interface TrainReport {
  readonly device: string;
  readonly model: string;
  /** Said when the model trained means something else than the file given. */
  readonly note: string | null;
  readonly parameters: number;
  readonly accuracy: number | null;
  readonly settings: TrainingSettings;
  readonly history: readonly EpochRecord[];
}

/** A model ready to be trained, with where it starts and what it learns from. */
interface Trainable {
  readonly model: FfEbm;
  readonly start: (seed: number) => Checkpoint["tensors"];
  readonly dataset: string;
  readonly preprocessing: Preprocessing | undefined;
  readonly training: RecipeTraining;
  readonly note: string | null;
}

/** For models that bring no settings of their own: small steps around trained weights. */
const imported: RecipeTraining = {
  beta: 0.2, freeSweeps: 15, nudgedSweeps: 10, learningRate: 1e-4, decay: 0, batch: 64, epochs: 1,
};

function fromRecipe(recipe: Recipe): Trainable {
  const built = buildFfEbm(recipe.plan);
  return {
    model: built.model, start: (seed) => startValues(built, seed), dataset: recipe.dataset,
    preprocessing: recipe.preprocessing, training: recipe.training, note: null,
  };
}

async function fromOnnx(path: string, blockSize: number): Promise<Trainable> {
  const model = await loadModel(path);
  const card = await loadCard(path);
  // The statistics that a batch-norm was trained with are no weights.
  const statistics = new Set(model.graph.nodes.flatMap(({ operator, inputs }) =>
    (operator === "BatchNormalization" ? inputs.slice(3, 5) : [])));
  const conversion = ffEbmFromGraph(importModel(model).graph, {
    blockSize, loss: costRules["cross-entropy"], isFrozen: (name) => statistics.has(name),
  });
  const tensors = new Map([...conversion.parameters].map(([name, { shape, data }]) =>
    [name, { shape, data: Float32Array.from(data) }]));
  return {
    model: conversion.model, start: () => tensors, dataset: card?.dataset ?? "",
    preprocessing: card?.preprocessing, training: imported,
    note: conversion.isChanged
      ? "consecutive layers were merged into blocks: this is another model than the file's" : null,
  };
}

function openTrainable({ model, blockSize = 1 }: TrainRequest): Promise<Trainable> {
  if (Object.hasOwn(recipes, model)) {
    return Promise.resolve(fromRecipe(recipes[model as keyof typeof recipes]));
  }
  if (/\.onnx$/i.test(model)) return fromOnnx(model, blockSize);
  throw new UserError(`"${model}" is neither a recipe nor an ONNX file`, {
    place: "model",
    remedy: `give a path that ends in .onnx, or one of ${Object.keys(recipes).join(", ")}`,
  });
}

/** @throws UserError for what is wrong with the request, the data or the course of training. */
export async function trainModel(request: TrainRequest): Promise<TrainReport> {
  const trainable = await openTrainable(request);
  const { model } = trainable;
  const settings = settingsOf(request, trainable);
  const open = (spec: string | undefined, split: "train" | "test"): Promise<Dataset> => {
    const own = trainable.dataset === "" ? undefined : `${trainable.dataset}:${split}`;
    const chosen = spec ?? own;
    if (chosen === undefined) {
      throw new UserError("nothing says what the model learns from", {
        place: "--data", remedy: "give --data and --test, or a model card beside the file",
      });
    }
    return openDataset(chosen, {
      dataDir: request.dataDir, preprocessing: trainable.preprocessing, shape: model.input.shape,
    });
  };
  const [data, test] = [await open(request.data, "train"), await open(request.test, "test")];
  const identity = {
    model: request.model, blockSize: request.blockSize ?? 1, data: data.name, test: test.name,
  };
  const path = request.out === undefined ? undefined : join(request.out, "checkpoint.safetensors");
  const start = await startOf(request, trainable, { ...settings, ...identity }, path);
  const { engine, device } = await openEngine(request.device ?? "auto");
  let result: TrainingResult;
  try {
    result = await train({
      engine, model, settings, identity, train: data, test, start,
      ...path === undefined ? {} : { save: (c: Checkpoint) => writeCheckpoint(path, c) },
      checkpointEvery: request.checkpointEvery, onStep: request.onStep, onEpoch: request.onEpoch,
      now: () => performance.now() / 1000,
    });
  } finally {
    device.destroy();
  }
  const report: TrainReport = {
    device: engine.description, model: model.name, note: trainable.note,
    parameters: model.parameters.reduce((sum, { shape }) =>
      sum + shape.reduce((p, d) => p * d, 1), 0),
    accuracy: result.history.at(-1)?.accuracy ?? null, settings, history: result.history,
  };
  if (request.out !== undefined) {
    const text = `${JSON.stringify(report, null, 2)}\n`;
    await writeFileAtomic(join(request.out, "training.json"), text);
  }
  return report;
}

function settingsOf(request: TrainRequest, trainable: Trainable): TrainingSettings {
  const given = Object.entries(request.training ?? {}).filter(([, value]) => value !== undefined);
  const { beta, freeSweeps, nudgedSweeps, learningRate, decay, batch, epochs }: RecipeTraining =
    { ...trainable.training, ...Object.fromEntries(given) };
  return {
    algorithm: request.algorithm ?? "c-ep", beta, points: request.points ?? 2,
    solver: {
      order: "asynchronous", free: { sweeps: freeSweeps }, nudged: { sweeps: nudgedSweeps },
    },
    optimiser: request.algorithm === "continual" ? { kind: "sgd", momentum: 0 } : { kind: "adam" },
    learningRate, finalRate: 0, decay, rates: {}, bound: null, batch, epochs,
    seed: request.seed ?? 1,
  };
}

async function startOf(
  { resume, seed = 1 }: TrainRequest, trainable: Trainable,
  asked: Readonly<Record<string, unknown>>, path: string | undefined,
): Promise<Checkpoint | Checkpoint["tensors"]> {
  if (!resume) return trainable.start(seed);
  if (path === undefined) {
    throw new UserError("there is no folder to resume from", {
      place: "--resume", remedy: "give the folder of the interrupted run with -o",
    });
  }
  const checkpoint = await readCheckpoint(path);
  demandSameSettings(checkpoint.position.settings, asked, path);
  return checkpoint;
}
