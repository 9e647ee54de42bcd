/**
 * Chooses how a model's noise gains are found and finds them: by gradients on samples (given, or
 * random where none are), or layer by layer without running anything. The choice and its reason are
 * part of the result.
 */
import { symbolsOf } from "../../compiler/graph/dim.ts";
import { isFloat } from "../../compiler/graph/dtype.ts";
import { sizeOf, tensor } from "../../compiler/graph/tensor.ts";
import type { Placeable } from "../../compiler/compile.ts";
import { UserError } from "../../compiler/errors.ts";
import { assumedQuality } from "../../compiler/partition/quality/predict.ts";
import type { UnitQuality } from "../../compiler/partition/quality/sample.ts";
import { loadCard } from "../data/card.ts";
import { openDataset } from "../data/dataset.ts";
import { openDevice } from "../device/open.ts";
import { keyOf, normalAt } from "../chip/normal.ts";
import { measureQuality, type Samples } from "./calibrate.ts";

export const qualityMethods = ["auto", "gradients", "layers"] as const;
export type QualityMethod = (typeof qualityMethods)[number];

export interface QualityRequest {
  readonly method?: QualityMethod;
  /** Samples to calibrate on. */
  readonly samples?: number;
  /** Data SPEC; random inputs without it. */
  readonly data?: string;
  readonly dataDir?: string;
  readonly seed?: number;
}

/** Noise gains of a model, and how they were found. */
export interface ModelQuality {
  readonly method: "gradients" | "layers";
  /** What the gains rest on, in a sentence. */
  readonly basis: string;
  /** Unit id -> facts, of every unit that may be analog. */
  readonly units: ReadonlyMap<string, UnitQuality>;
}

/** Signs drawn at the outputs, per sample. */
const ROUNDS = 2;
const SAMPLES = 8;
/**
 * Runs that the samples are split into, where the model's batch leaves that open. What an error of
 * a weight does is alike on all samples, so that one draw of signs over many says little more than
 * over few; the number of draws is what the estimate's spread goes down with.
 */
const RUNS = 32;
/** Forward once, back to inputs and to weights, and to inputs again per unit. */
const PRODUCTS_PER_RUN = 4;
/** Multiply-accumulates that a calibration may take without being asked for: some seconds. */
const BUDGET = 4e9;

/** @throws UserError when gradients are asked for and cannot be had, or the data is not there */
export async function findQuality(
  placeable: Placeable, model: string, request: QualityRequest,
): Promise<ModelQuality> {
  const method = request.method ?? "auto";
  const samples = request.samples ?? SAMPLES;
  const macs = placeable.units.reduce((sum, u) => sum + u.macs, 0);
  const work = macs * samples * ROUNDS * PRODUCTS_PER_RUN;
  const obstacle = inputObstacle(placeable);
  if (method === "gradients" && obstacle !== undefined) {
    throw new UserError(`no gradients: ${obstacle}`, {
      place: "--quality", remedy: "Use --quality layers.",
    });
  }
  const isTooMuch = method === "auto" && work > BUDGET;
  if (method === "layers" || obstacle !== undefined || isTooMuch) {
    const why = method === "layers" ? "as asked" : obstacle ??
      `${(work / 1e9).toPrecision(2)} G multiply-accumulates of calibration were not asked for; ` +
      "--quality gradients does them";
    return { method: "layers", basis: layersBasis(why), units: assumed(placeable) };
  }
  const seed = request.seed ?? 1;
  const drawn = request.data === undefined
    ? randomRuns(placeable, samples, seed)
    : await dataFeeds(placeable, model, { ...request, samples, data: request.data });
  const device = await openDevice("auto");
  try {
    const units = await measureQuality(
      placeable.graph, placeable.units, drawn, device, { rounds: ROUNDS, seed });
    const count = drawn.reduce((sum, run) => sum + run.count, 0);
    const from = request.data === undefined ? "standard normal inputs" : request.data;
    return { method: "gradients", basis: `gradients on ${count} samples of ${from}`, units };
  } finally {
    device.destroy();
  }
}

const layersBasis = (why: string): string =>
  "relative errors of layers added up, inputs taken as normal within full scale at 99.9 % " +
  `(${why})`;

const assumed = ({ units }: Placeable): Map<string, UnitQuality> =>
  new Map(units.flatMap(({ id, analog }) =>
    (analog ? [[id, assumedQuality(analog)] as const] : [])));

/** Why samples cannot be made up for a graph's inputs. */
function inputObstacle({ graph, units }: Placeable): string | undefined {
  if (!units.some((u) => u.analog)) return "no unit has weights that an array could hold";
  const strange = graph.inputs.find((v) => !isFloat(v.type.dtype));
  if (strange) return `the input ${strange.name} is ${strange.type.dtype}, not floating point`;
  const sized = graph.inputs.find((v) =>
    v.type.shape.slice(1).some((d) => symbolsOf(d).length > 0));
  if (sized) return `sizes of the input ${sized.name} are unknown; --bind gives them`;
  if (!graph.outputs.some(({ value }) => isFloat(value.type.dtype))) {
    return "no output is of floating point";
  }
  return undefined;
}

/** Samples per run of a model with a symbolic batch. */
const perRun = (samples: number): number => Math.ceil(samples / RUNS);

/** Standard normal inputs; a model with a batch of its own is run once on that many. */
function randomRuns({ graph }: Placeable, samples: number, seed: number): Samples[] {
  const isSymbolic = graph.inputs.some(({ type }) => typeof type.shape[0] !== "number");
  const size = isSymbolic ? perRun(samples) : samples;
  return Array.from({ length: Math.floor(samples / size) }, (_, run) => ({
    count: size,
    feeds: new Map(graph.inputs.map(({ name, type }) => {
      const shape = type.shape.map((d) => (typeof d === "number" ? d : size));
      const key = keyOf(seed, "calibration", name, run);
      const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => normalAt(key, i));
      return [name, tensor("float32", shape, data)];
    })),
  }));
}

async function dataFeeds(
  { graph }: Placeable, model: string,
  { data, dataDir, samples }: { data: string; dataDir?: string; samples: number },
): Promise<Samples[]> {
  const [input, more] = graph.inputs;
  if (input === undefined || more !== undefined) {
    throw new UserError(`a data set feeds one input, the model has ${graph.inputs.length}`, {
      place: "--data", remedy: "Leave --data out: random inputs are used.",
    });
  }
  const card = await loadCard(model);
  const dataset = await openDataset(data, {
    ...(dataDir === undefined ? {} : { dataDir }),
    ...(card ? { preprocessing: card.preprocessing, shape: card.inputShape } : {}),
  });
  const batch = input.type.shape[0];
  const size = typeof batch === "number" ? batch : perRun(samples);
  const runs: Samples[] = [];
  for (let begin = 0; begin + size <= Math.min(dataset.count, samples); begin += size) {
    const { images } = dataset.batch(begin, begin + size);
    const shape = [size, ...dataset.sampleShape];
    runs.push({ feeds: new Map([[input.name, tensor("float32", shape, images)]]), count: size });
  }
  if (runs.length > 0) return runs;
  throw new UserError(`${data} has ${dataset.count} samples, the calibration takes ${samples}`, {
    place: "--data", remedy: "Name a larger data set, or give fewer --samples.",
  });
}
