/**
 * Opens what `train` and `check-gradients` are given by name: a recipe, an ff-EBM file, or any
 * other ONNX file, whose layers become blocks. What comes out can be trained at once: the model,
 * where its parameters start, its data set, and settings that suit it.
 *
 * Not the data itself (`runtime/data/`), and no training (`train.ts`).
 */
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import { readFfEbm, type FfEbmFile } from "../../compiler/energy/ffEbmFile.ts";
import { UserError } from "../../compiler/errors.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import type { Model } from "../../compiler/onnx/model.ts";
import type { Preprocessing } from "../../models/card.ts";
import { buildFfEbm, startValues } from "../../models/ffEbm.ts";
import { importedFfEbm, importedTraining } from "../../models/imported.ts";
import { readRecipe, type RecipeFile } from "../../models/recipeFile.ts";
import { recipes, type Recipe, type RecipeTraining } from "../../models/recipes.ts";
import { loadCard } from "../data/card.ts";
import { openDataset, type Dataset } from "../data/dataset.ts";
import { parseDataSpec, type Split } from "../data/spec.ts";
import { loadModel } from "../files/modelFiles.ts";
import { readJson } from "../files/read.ts";
import { trainedFor } from "./trainedFor.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { untied } from "./untied.ts";

export interface Trainable {
  readonly model: FfEbm;
  /** Parameters and running statistics before the first step. */
  readonly start: (seed: number) => Checkpoint["tensors"];
  /** Name of the data set that the model is for; none when nothing says. */
  readonly dataset: string | undefined;
  readonly preprocessing: Preprocessing | undefined;
  readonly training: RecipeTraining;
  /** Said when the model means something else than the file given. */
  readonly note: string | null;
}

export interface TrainableRequest {
  /** Name of a recipe, or path of an ONNX file or of a recipe of one's own (JSON). */
  readonly model: string;
  /** Layers per block, for ONNX models; 1 keeps the file's meaning. */
  readonly blockSize?: number | undefined;
  /** Separate weights for the way back, apart by this share of their size. */
  readonly untie?: number | undefined;
}

function fromRecipe(recipe: Recipe | RecipeFile): Trainable {
  const built = buildFfEbm(recipe.plan);
  return {
    model: built.model, start: (seed) => startValues(built, seed), dataset: recipe.dataset,
    preprocessing: recipe.preprocessing, training: recipe.training, note: null,
  };
}

async function fromOnnx(path: string, asked: number | undefined): Promise<Trainable> {
  const model = await loadModel(path);
  const trained = readFfEbm(model);
  if (trained && asked !== undefined) {
    throw new UserError("The blocks of an ff-EBM file are what it was trained with", {
      place: "--block-size", remedy: "leave it away",
    });
  }
  return trained ? fromTrained(trained, path) : fromFeedforward(model, path, asked ?? 1);
}

function fromTrained({ model, tensors, training }: FfEbmFile, path: string): Trainable {
  const found = trainedFor.safeParse(training ?? undefined);
  if (!found.success) {
    throw new UserError("it does not say which settings it was trained with", {
      place: path, remedy: "train the model again",
    });
  }
  const start = new Map([...tensors].map(([name, { shape, data }]) =>
    [name, { shape, data: Float32Array.from(data) }]));
  return { model, start: () => start, ...found.data, note: null };
}

async function fromFeedforward(
  model: Model, path: string, blockSize: number,
): Promise<Trainable> {
  const card = await loadCard(path);
  const conversion = importedFfEbm(model, importModel(model).graph, blockSize);
  const tensors = new Map([...conversion.parameters].map(([name, { shape, data }]) =>
    [name, { shape, data: Float32Array.from(data) }]));
  return {
    model: conversion.model, start: () => tensors, dataset: card?.dataset,
    preprocessing: card?.preprocessing, training: importedTraining,
    note: conversion.isChanged
      ? "consecutive layers were merged into blocks: this is another model than the file's, and " +
        "needs training" : null,
  };
}

/** @throws UserError when the name is neither a recipe nor a file that can be trained. */
export async function openTrainable(request: TrainableRequest): Promise<Trainable> {
  const opened = await openTied(request);
  return request.untie === undefined ? opened : untied(opened, request.untie);
}

async function openTied({ model, blockSize }: TrainableRequest): Promise<Trainable> {
  if (/\.onnx$/i.test(model)) return fromOnnx(model, blockSize);
  const isFile = /\.json$/i.test(model);
  if (!isFile && !Object.hasOwn(recipes, model)) {
    throw new UserError(`"${model}" is neither a recipe nor an ONNX file`, {
      place: "model",
      remedy: "give a path that ends in .onnx, a recipe of your own in .json, or one of " +
        Object.keys(recipes).join(", "),
    });
  }
  if (blockSize !== undefined && blockSize !== 1) {
    throw new UserError(`The blocks of ${model} are what its recipe says`, {
      place: "--block-size", remedy: "leave it away, or give an ONNX file",
    });
  }
  return fromRecipe(isFile ? readRecipe(await readJson(model), model)
    : recipes[model as keyof typeof recipes]);
}

/** Where data comes from, and how: the words of the command line. */
export interface DataRequest {
  readonly data?: string | undefined;
  readonly dataDir?: string | undefined;
}

/** @throws UserError when neither the request nor the model names any data. */
export async function openData(
  trainable: Trainable, { data, dataDir }: DataRequest, split: Split,
): Promise<Dataset> {
  const { dataset, preprocessing, model } = trainable;
  const spec = data ?? (dataset === undefined ? undefined : `${dataset}:${split}`);
  if (spec === undefined) {
    throw new UserError("nothing says which data the model is for", {
      place: "--data", remedy: "give --data and --test, or a model card beside the file",
    });
  }
  return openDataset(spec, { dataDir, preprocessing, shape: model.input.shape });
}

/** The test data that belongs to training data: the other split of a named data set. */
export function testSpecFor(data: string | undefined): string | undefined {
  if (data === undefined) return undefined;
  const spec = parseDataSpec(data);
  return spec.kind === "named" && spec.split === "train" ? `${spec.name}:test` : undefined;
}
