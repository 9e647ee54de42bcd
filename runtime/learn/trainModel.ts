/**
 * Training as a function, from a name or a file to a folder of results: opens the model, the data
 * and the device, trains, and keeps a checkpoint that `resume` goes on from. The folder holds
 * `checkpoint.safetensors` while the run goes on and after it, and at its end `model.onnx`, the
 * trained model as an ff-EBM file, its card `model.json` where accuracy is that of a whole test
 * set, and `training.json`, the settings and the history.
 */
import { join } from "node:path";
import { writeFfEbm } from "../../compiler/energy/ffEbmFile.ts";
import { UserError } from "../../compiler/errors.ts";
import { tensor } from "../../compiler/graph/tensor.ts";
import { writtenOpset } from "../../compiler/onnx/write.ts";
import { cardSchema, type ModelCard } from "../../models/card.ts";
import type { RecipeTraining } from "../../models/recipes.ts";
import type { ChipMode } from "../api/chip.ts";
import type { Dataset } from "../data/dataset.ts";
import type { DeviceChoice } from "../device/open.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import {
  demandSameSettings, readCheckpoint, writeCheckpoint, type Checkpoint, type EpochRecord,
} from "./checkpoint.ts";
import { chipIdentity, learningChip, type LearningChipRequest } from "./chipRequest.ts";
import { openEngine } from "./openEngine.ts";
import type { LearningChip } from "./onChip.ts";
import { pulsedDevices, type PulsedDeviceName } from "../../targets/pulsedDevices.ts";
import { pulseCounts, type PulseRule } from "./pulsed.ts";
import { trainingSettings } from "./settings.ts";
import {
  openData, openTrainable, testSpecFor, type DataRequest, type Trainable, type TrainableRequest,
} from "./trainable.ts";
import type { TrainedFor } from "./trainedFor.ts";
import {
  train, type Algorithm, type StepReport, type TrainingResult, type TrainingSettings,
} from "./train.ts";
import { countedWear, rewritingWear, type CellWear } from "./wear.ts";

export interface TrainRequest extends TrainableRequest, DataRequest, LearningChipRequest {
  /** SPEC of the test data; by default the test split of what is trained on. */
  readonly test?: string | undefined;
  readonly device?: DeviceChoice | undefined;
  readonly algorithm?: Algorithm | undefined;
  /** Settings that differ from the recipe's. */
  readonly training?: Partial<RecipeTraining> | undefined;
  /** Points of the estimator `h-ep`. */
  readonly points?: number | undefined;
  /** Weights move by pulses: how they are sent, and the cells that get them. */
  readonly updates?: PulseRule | undefined;
  readonly pulsedDevice?: PulsedDeviceName | undefined;
  /** Pulses that a cell stands, instead of what its device says. */
  readonly endurance?: number | undefined;
  readonly seed?: number | undefined;
  /** Folder of the results; nothing is written without it. */
  readonly out?: string | undefined;
  /** Goes on from the folder's checkpoint. */
  readonly resume?: boolean | undefined;
  /** Steps between two checkpoints within an epoch; without it, one after every epoch. */
  readonly checkpointEvery?: number | undefined;
  readonly onStep?: ((step: StepReport) => void) | undefined;
  readonly onEpoch?: ((record: EpochRecord) => void) | undefined;
}

export interface TrainReport {
  readonly device: string;
  readonly chip: ChipMode;
  readonly model: string;
  /** SPECs of the data that was trained on, and of the data that accuracy is measured on. */
  readonly data: string;
  readonly test: string;
  /** Said when the model trained means something else than the file given. */
  readonly note: string | null;
  readonly parameters: number;
  /** On the test data after the last epoch. */
  readonly accuracy: number | null;
  readonly settings: TrainingSettings;
  readonly history: readonly EpochRecord[];
  /** Of cells that were written again and again; null where none were. */
  readonly wear: CellWear | null;
}

/** @throws UserError for what is wrong with the request, the data or the course of training. */
export async function trainModel(request: TrainRequest): Promise<TrainReport> {
  const trainable = await openTrainable(request);
  const { model } = trainable;
  const settings = trainingSettings(request, model, trainable.training);
  refuseIdleEndurance(request, settings);
  const data = await openData(trainable, request, "train");
  const test = await openData(trainable,
    { ...request, data: request.test ?? testSpecFor(request.data) }, "test");
  const onChip = learningChip(request);
  if (onChip && settings.algorithm === "continual") {
    throw new UserError("continual updates move weights in a phase, a chip is programmed once", {
      place: "--algorithm", remedy: "use another algorithm, or leave --chip away",
    });
  }
  const identity = {
    ...onChip && { chip: chipIdentity(onChip) },
    model: request.model, blockSize: request.blockSize ?? 1, untie: request.untie ?? null,
    data: data.name, test: test.name,
  };
  const path = request.out === undefined ? undefined : join(request.out, "checkpoint.safetensors");
  const start = await startOf(request, trainable, { ...settings, ...identity }, path);
  const chip = request.chip ?? "none";
  const { engine, device } = await openEngine(request.device ?? "auto");
  let result: TrainingResult;
  try {
    result = await train({
      engine, model, settings, identity, chip: onChip, train: data, test, start,
      ...path === undefined ? {} : { save: (c: Checkpoint) => writeCheckpoint(path, c) },
      checkpointEvery: request.checkpointEvery, onStep: request.onStep, onEpoch: request.onEpoch,
      now: () => performance.now() / 1000,
    });
  } finally {
    device.destroy();
  }
  const report: TrainReport = {
    device: engine.description, chip, model: model.name, data: data.name, test: test.name,
    note: trainable.note,
    parameters: model.parameters.reduce((sum, { shape }) =>
      sum + shape.reduce((p, d) => p * d, 1), 0),
    accuracy: result.history.at(-1)?.accuracy ?? null, settings, history: result.history,
    wear: wearOf(request, settings, onChip, data.count, result) ?? null,
  };
  if (request.out !== undefined) {
    await writeFileAtomic(join(request.out, "model.onnx"),
      trainedFile(trainable, settings, result.tensors));
    const card = cardOf(request, trainable, test, report);
    if (card) await writeFileAtomic(join(request.out, "model.json"), jsonText(card));
    const text = jsonText(report);
    await writeFileAtomic(join(request.out, "training.json"), text);
  }
  return report;
}

/** @throws UserError where no cell is written twice, for an endurance that is heeded nowhere */
function refuseIdleEndurance(
  { endurance, chips }: TrainRequest, { pulsed }: TrainingSettings,
): void {
  if (endurance === undefined || pulsed || chips === "one") return;
  throw new UserError("no cell is written twice", {
    place: "--endurance", remedy: "add --updates or --chips one, or leave it away",
  });
}

function wearOf(
  { endurance }: TrainRequest, { pulsed, epochs, batch }: TrainingSettings,
  onChip: LearningChip | undefined, samples: number, { tensors }: TrainingResult,
): CellWear | undefined {
  if (pulsed) {
    return countedWear(pulseCounts(tensors), endurance ?? pulsedDevices[pulsed.device].endurance);
  }
  if (onChip?.chips !== "one") return undefined;
  return rewritingWear(onChip.chip.cells, epochs * Math.ceil(samples / batch), endurance);
}

const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The trained model's card; none where accuracy is not that of a whole test set. */
function cardOf(
  { model: from }: TrainRequest, { model, preprocessing }: Trainable, test: Dataset,
  { accuracy, parameters, settings }: TrainReport,
): ModelCard | undefined {
  const card = cardSchema.safeParse({
    name: model.name, dataset: test.name.replace(/:test$/, ""), split: "test", preprocessing,
    inputShape: model.input.shape, classes: test.classes, measuredAccuracy: accuracy, parameters,
    opset: writtenOpset, licence: "LicenseRef-unstated",
    source: `crosstie train ${from}, ${settings.epochs} epochs, seed ${settings.seed}`,
  });
  return card.data;
}

/** The trained model as an ff-EBM file, unrolled to the sweeps that it was trained with. */
function trainedFile(
  { model, dataset, preprocessing, training }: Trainable, settings: TrainingSettings,
  tensors: TrainingResult["tensors"],
): Uint8Array {
  const { solver: { order, free, nudged, damping }, beta, learningRate, decay, batch } = settings;
  const kept: TrainedFor = {
    dataset, preprocessing,
    training: {
      ...training, beta, learningRate, decay, batch, order,
      freeSweeps: free.sweeps, nudgedSweeps: nudged.sweeps, tolerance: free.tolerance,
    },
  };
  const named = [...model.parameters, ...model.statistics].map(({ name, shape }) =>
    [name, tensor("float32", shape, tensors.get(name)?.data ?? [])] as const);
  return writeFfEbm({
    model, tensors: new Map(named), training: kept,
    relaxation: { order, sweeps: free.sweeps, ...damping === undefined ? {} : { damping } },
  });
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
