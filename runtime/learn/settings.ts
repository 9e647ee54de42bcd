/**
 * The settings of a run from what was asked and what the recipe says, and the refusal of what does
 * not go together. An option that would have no effect is refused by name: nobody should believe
 * that it had one.
 */
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Augmentation, RecipeTraining } from "../../models/recipes.ts";
import type { Solver } from "./blockRunner.ts";
import type { Optimiser } from "./optimiser.ts";
import type { PulsedDeviceName } from "../../targets/pulsedDevices.ts";
import type { PulsedUpdates, PulseRule } from "./pulsed.ts";
import type { Algorithm, TrainingSettings } from "./train.ts";

export interface AskedSettings {
  readonly algorithm?: Algorithm | undefined;
  readonly training?: Partial<RecipeTraining> | undefined;
  readonly points?: number | undefined;
  /** The nudged phase is linearised at the free state, with the transposed Jacobian. */
  readonly isCorrected?: boolean | undefined;
  readonly seed?: number | undefined;
  /** Weights move by pulses: how they are sent, and the cells that get them. */
  readonly updates?: PulseRule | undefined;
  readonly pulsedDevice?: PulsedDeviceName | undefined;
}

type Uses = { readonly beta: boolean; readonly points: boolean; readonly correction: boolean };
const nudged: Uses = { beta: true, points: false, correction: true };
const clamped: Uses = { ...nudged, correction: false };
const unnudged: Uses = { ...clamped, beta: false };

/** Which options an algorithm heeds. */
const heeds: Record<Algorithm, Uses> = {
  "p-ep": nudged, "n-ep": nudged, "c-ep": nudged, "random-ep": nudged,
  "h-ep": { ...nudged, points: true },
  "cl": unnudged, "p-cpl": clamped, "n-cpl": clamped, "c-cpl": clamped, "continual": clamped,
  "implicit": unnudged, "recurrent": unnudged, "truncated": unnudged,
};

/** Points on the circle that the holomorphic estimator takes unless told. */
export const usualPoints = 4;

/** @throws UserError for options that contradict each other, naming the one to change. */
export function trainingSettings(
  asked: AskedSettings, model: FfEbm, recipe: RecipeTraining,
): TrainingSettings {
  const algorithm = asked.algorithm ?? "c-ep";
  const { points, isCorrected = false } = asked;
  refuseUnheeded(algorithm, { beta: asked.training?.beta, points, isCorrected });
  const given = Object.entries(asked.training ?? {}).filter(([, value]) => value !== undefined);
  const training: RecipeTraining = { ...recipe, ...Object.fromEntries(given) };
  const { learningRate, finalRate = 0, decay, clip, batch, epochs, beta } = training;
  return {
    algorithm, beta, points: points ?? usualPoints, solver: solverOf(training),
    ...isCorrected ? { isCorrected } : {},
    optimiser: optimiserOf(algorithm, asked.training, training),
    learningRate, finalRate, decay, rates: ratesOf(model, training.rates ?? {}),
    bound: clip ?? null, batch, epochs, seed: asked.seed ?? 1,
    ...augmentationOf(training, model),
    ...pulsedOf(asked, algorithm),
  };
}

/** None is none, so that checkpoints of runs without it know nothing of it. */
function augmentationOf(
  { augmentation: { flip = false, shift = 0 } = {} }: RecipeTraining, { input: { shape } }: FfEbm,
): { augmentation?: Augmentation } {
  if (!flip && shift === 0) return {};
  if (shape.length === 3) return { augmentation: { flip, shift } };
  throw new UserError(`Inputs of shape [${shape.join(", ")}] are no images of known sides`, {
    place: "--augment", remedy: "leave it away, or use a model of [channels, height, width]",
  });
}

function pulsedOf(
  { updates, pulsedDevice, training }: AskedSettings, algorithm: Algorithm,
): { pulsed?: PulsedUpdates } {
  const refuse = (place: string, sentence: string, remedy: string): never => {
    throw new UserError(sentence, { place, remedy });
  };
  if (updates === undefined) {
    if (pulsedDevice === undefined) return {};
    return refuse("--pulsed-device", "no pulses are sent to it", "add --updates stochastic");
  }
  if (algorithm === "continual") {
    return refuse("--updates", "continual updates move weights exactly", "use another algorithm");
  }
  for (const [flag, value] of Object.entries({
    optimiser: training?.optimiser, momentum: training?.momentum, decay: training?.decay,
    clip: training?.clip,
  })) {
    if (value === undefined) continue;
    refuse(`--${flag}`, "weights that move by pulses do not heed it", "leave it or --updates away");
  }
  return { pulsed: { rule: updates, device: pulsedDevice ?? "rram-soft-bounds" } };
}

/** @throws UserError naming an option that was given and would have no effect. */
export function refuseUnheeded(
  algorithm: Algorithm,
  { beta, points, isCorrected }: Pick<AskedSettings, "points" | "isCorrected"> &
    { readonly beta?: number | undefined },
): void {
  const refuse = (flag: string, others: (uses: Uses) => boolean): never => {
    const names = (Object.keys(heeds) as Algorithm[]).filter((name) => others(heeds[name]));
    throw new UserError(`${algorithm} does not heed it`, {
      place: flag, remedy: `leave it away, or use one of ${names.join(", ")}`,
    });
  };
  if (beta !== undefined && !heeds[algorithm].beta) refuse("--beta", (uses) => uses.beta);
  if (points !== undefined && !heeds[algorithm].points) refuse("--points", (uses) => uses.points);
  if (isCorrected && !heeds[algorithm].correction) {
    refuse("--asymmetric-correction", (uses) => uses.correction);
  }
}

function solverOf({ freeSweeps, nudgedSweeps, tolerance, order }: RecipeTraining): Solver {
  const until = tolerance === undefined ? {} : { tolerance, checkEvery: 4 };
  return {
    order: order ?? "asynchronous",
    free: { sweeps: freeSweeps, ...until }, nudged: { sweeps: nudgedSweeps, ...until },
  };
}

function optimiserOf(
  algorithm: Algorithm, asked: Partial<RecipeTraining> | undefined, training: RecipeTraining,
): Optimiser {
  // Continual EP moves parameters within the nudged phase, by plain steps along the increments.
  const isContinual = algorithm === "continual";
  if (isContinual && asked?.optimiser === "adam") {
    throw new UserError("Continual updates are plain steps, without Adam's moments", {
      place: "--optimiser", remedy: "use --optimiser sgd, or another algorithm",
    });
  }
  const name = isContinual ? "sgd" : training.optimiser ?? "adam";
  if (name === "sgd") return { kind: "sgd", momentum: training.momentum ?? 0 };
  if (asked?.momentum === undefined) return { kind: "adam" };
  throw new UserError("Adam has moments of its own", {
    place: "--momentum", remedy: "use --optimiser sgd, or leave it away",
  });
}

/** Factors by parameter, from factors by what names begin with. */
function ratesOf(
  { parameters }: FfEbm, given: Readonly<Record<string, number>>,
): Record<string, number> {
  const rates: Record<string, number> = {};
  for (const [layer, factor] of Object.entries(given)) {
    const meant = parameters.filter(({ name }) => name === layer || name.startsWith(`${layer}.`));
    if (meant.length === 0) {
      throw new UserError(`No parameter's name begins with "${layer}"`, {
        place: "--rate", remedy: `give one of ${parameters.map(({ name }) => name).join(", ")}`,
      });
    }
    for (const { name } of meant) rates[name] = factor;
  }
  return rates;
}
