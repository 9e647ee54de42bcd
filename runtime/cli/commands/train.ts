/** `crosstie train MODEL --data SPEC`: BP-EP training, an epoch a line, resumable. */
import { orders, type Order } from "../../../compiler/energy/sweep.ts";
import { UserError } from "../../../compiler/errors.ts";
import {
  optimiserNames, recipes, type Augmentation, type OptimiserName,
} from "../../../models/recipes.ts";
import { chipModes, type ChipMode } from "../../api/chip.ts";
import { deviceChoices, type DeviceChoice } from "../../device/open.ts";
import type { EpochRecord } from "../../learn/checkpoint.ts";
import { pulsedDeviceNames, type PulsedDeviceName } from "../../../targets/pulsedDevices.ts";
import { pulseRules, type PulseRule } from "../../learn/pulsed.ts";
import { trainModel, type TrainReport } from "../../learn/trainModel.ts";
import { algorithms, type Algorithm, type StepReport } from "../../learn/train.ts";
import type { CellWear } from "../../learn/wear.ts";
import { chipIn, chipOptions } from "../chipOptions.ts";
import type { CommandSpec, OptionSpec, Options } from "../command.ts";
import type { Bar, Io } from "../io.ts";
import { percent, table } from "../table.ts";

/** Options of whatever relaxes blocks and estimates gradients. */
export const gradientOptions: readonly OptionSpec[] = [
  {
    flags: "--algorithm <name>", description: "how gradients are estimated",
    default: "c-ep", choices: algorithms,
  },
  { flags: "--beta <x>", description: "strength of the nudge; radius for h-ep" },
  { flags: "--points <n>", description: "points on the circle, for h-ep" },
  { flags: "--free-sweeps <n>", description: "sweeps of the free phase, or their cap" },
  { flags: "--nudged-sweeps <n>", description: "sweeps of a nudged phase, or their cap" },
  { flags: "--tolerance <x>", description: "end a phase when no unit moves more in a sweep" },
  { flags: "--order <order>", description: "of updates in a sweep", choices: orders },
  {
    flags: "--chip <mode>", description: "what the blocks relax on", default: "none",
    choices: chipModes,
  },
  ...chipOptions,
  { flags: "--block-size <n>", description: "layers per block, for ONNX files; 1 is exact" },
  {
    flags: "--untie <spread>",
    description: "separate weights for the way back, apart by this share of their size",
  },
  {
    flags: "--asymmetric-correction",
    description: "nudged phases with the transposed Jacobian, for untied weights",
  },
];

export const train: CommandSpec = {
  name: "train",
  summary: "Train an energy-based model end to end: a recipe, or an ONNX file's layers as blocks.",
  arguments: [{
    name: "<model>",
    description: `ONNX file, recipe in JSON, or one of ${Object.keys(recipes).join(", ")}`,
  }],
  options: [
    {
      flags: "--data <spec>",
      description: "mnist:train[0:10000], images.npy,labels.npy (default: the model's own)",
    },
    { flags: "--test <spec>", description: "what accuracy is measured on (default: its test set)" },
    { flags: "--data-dir <dir>", description: "folder of the data set's official files" },
    ...gradientOptions,
    { flags: "--epochs <n>", description: "passes over the data" },
    { flags: "--batch <n>", description: "samples per step" },
    { flags: "--optimiser <name>", description: "what steps", choices: optimiserNames },
    { flags: "--momentum <x>", description: "of SGD" },
    { flags: "--learning-rate <x>", description: "at the start; falls along half a cosine" },
    { flags: "--final-rate <x>", description: "learning rate at the end" },
    { flags: "--decay <x>", description: "weight decay, added to gradients" },
    {
      flags: "--rate <layer=x>", repeatable: true,
      description: "factor on a layer's learning rate; repeat per layer",
    },
    {
      flags: "--updates <rule>", choices: pulseRules,
      description: "move weights by pulses on their cells (default: exactly)",
    },
    {
      flags: "--pulsed-device <name>", choices: pulsedDeviceNames,
      description: "cells that get the pulses (default: rram-soft-bounds)",
    },
    {
      flags: "--endurance <pulses>",
      description: "pulses that a cell stands, where its device does not say",
    },
    {
      flags: "--augment <list>",
      description: "vary training images: flip, shift=PIXELS, both by a comma, or none",
    },
    { flags: "--clip <x>", description: "largest magnitude of the blocks' weights" },
    { flags: "-o, --out <dir>", description: "folder for checkpoint and training.json" },
    {
      flags: "--checkpoint-every <steps>", description: "steps between two checkpoints",
      default: "100",
    },
    { flags: "--resume", description: "go on from the folder's checkpoint" },
    { flags: "--device <device>", description: "where to run", default: "auto",
      choices: deviceChoices },
  ],
  example: "crosstie train mnist-dhn --data 'mnist:train[0:6400]' --epochs 1 -o dhn",
  async run({ args: [model], options, io }): Promise<TrainReport> {
    const show = epochDisplay(io);
    return trainModel({
      ...modelIn(model as string, options),
      data: options.text("data"), test: options.text("test"), dataDir: options.text("dataDir"),
      device: options.choice<DeviceChoice>("device"), chip: options.choice<ChipMode>("chip"),
      ...chipIn(options),
      algorithm: options.choice<Algorithm>("algorithm"),
      points: options.integer("points", "--points", { min: 2 }),
      seed: options.integer("seed", "--seed", { min: 0, max: 2 ** 32 - 1 }),
      updates: options.choice<PulseRule>("updates"),
      pulsedDevice: options.choice<PulsedDeviceName>("pulsedDevice"),
      endurance: options.number("endurance", "--endurance", { above: 0 }),
      training: {
        ...relaxationOf(options),
        epochs: options.integer("epochs", "--epochs", { min: 1 }),
        batch: options.integer("batch", "--batch", { min: 1 }),
        optimiser: options.choice<OptimiserName>("optimiser"),
        momentum: options.number("momentum", "--momentum", { min: 0, below: 1 }),
        learningRate: options.number("learningRate", "--learning-rate", { above: 0 }),
        finalRate: options.number("finalRate", "--final-rate", { min: 0 }),
        decay: options.number("decay", "--decay", { min: 0 }),
        rates: ratesIn(options),
        clip: options.number("clip", "--clip", { above: 0 }),
        augmentation: augmentationIn(options.text("augment")),
      },
      out: options.text("out"), resume: options.flag("resume"),
      checkpointEvery: options.integer("checkpointEvery", "--checkpoint-every", { min: 1 }),
      ...show,
    });
  },
  render(report: TrainReport) {
    const { model, device, chip, parameters, test, accuracy, history, wear, note } = report;
    const rows = history.map((e) => [
      e.epoch, e.loss.toFixed(4), percent(e.trainAccuracy),
      e.accuracy === null ? "-" : percent(e.accuracy),
      e.freeResidual.toExponential(1), e.nudgedResidual.toExponential(1),
      e.samplesPerSecond.toFixed(0),
    ]);
    const head = ["epoch", "loss", "training", "test", "free residual", "nudged residual",
      "samples/s"];
    return [
      `${model}: ${parameters} parameters, on ${device}`,
      table(head, rows),
      ...accuracy === null ? [] : [`accuracy on ${test}: ${percent(accuracy)}, ${where[chip]}`],
      ...wear ? [wearText(wear)] : [],
      ...note === null ? [] : [`note: ${note}`],
    ].join("\n\n");
  },
};

function wearText({ meanPulses, mostPulses, endurance, wear, isWornOut }: CellWear): string {
  const count = (x: number): string => x.toLocaleString("en", { maximumSignificantDigits: 3 });
  const pulses = `pulses per cell: ${count(meanPulses)} on average` +
    (mostPulses === null ? "" : `, ${count(mostPulses)} at most`);
  if (endurance === null || wear === null) {
    return `${pulses}; how many one stands is not published (--endurance)`;
  }
  const stands = `${percent(wear)} of the ${count(endurance)} that one stands`;
  return isWornOut ? `warning: ${pulses}, ${stands}: the chip would not have lasted`
    : `${pulses}, ${stands}`;
}

/** Which model, and how its blocks are made and nudged. */
export const modelIn = (model: string, options: Options): {
  model: string; blockSize: number | undefined; untie: number | undefined; isCorrected: boolean;
} => ({
  model, blockSize: options.integer("blockSize", "--block-size", { min: 1 }),
  untie: options.number("untie", "--untie", { min: 0 }),
  isCorrected: options.flag("asymmetricCorrection"),
});

/** What of the request `check-gradients` reads too. */
export const relaxationOf = (options: Options): {
  beta: number | undefined; freeSweeps: number | undefined; nudgedSweeps: number | undefined;
  tolerance: number | undefined; order: Order | undefined;
} => ({
  beta: options.number("beta", "--beta", { above: 0 }),
  freeSweeps: options.integer("freeSweeps", "--free-sweeps", { min: 1 }),
  nudgedSweeps: options.integer("nudgedSweeps", "--nudged-sweeps", { min: 1 }),
  tolerance: options.number("tolerance", "--tolerance", { min: 0 }),
  order: options.choice<Order>("order"),
});

function ratesIn(options: Options): Record<string, number> | undefined {
  const given = options.list("rate");
  if (given.length === 0) return undefined;
  return Object.fromEntries(given.map((text) => {
    const [, layer, factor] = /^([^=]+)=(\d+(?:\.\d*)?(?:e-?\d+)?)$/i.exec(text.trim()) ?? [];
    if (layer !== undefined && factor !== undefined) return [layer, Number(factor)];
    throw new UserError(`"${text}" gives no layer a factor on its learning rate`, {
      place: "--rate", remedy: "write LAYER=FACTOR, such as --rate block0=0.5",
    });
  }));
}

function augmentationIn(text: string | undefined): Augmentation | undefined {
  if (text === undefined) return undefined;
  if (text.trim() === "none") return {};
  return Object.fromEntries(text.split(",").map((part) => {
    const [, pixels] = /^shift=(\d+)$/.exec(part.trim()) ?? [];
    if (pixels !== undefined) return ["shift", Number(pixels)];
    if (part.trim() === "flip") return ["flip", true];
    throw new UserError(`"${part}" is no variation of images`, {
      place: "--augment", remedy: "write flip, shift=PIXELS, both with a comma, or none",
    });
  }));
}

/** What an accuracy was measured on. */
const where: Record<ChipMode, string> = {
  none: "computed digitally: no chip was programmed",
  ideal: "on an ideal chip: nothing was programmed or aged",
  simulated: "on simulated chips",
};

/** A bar per epoch on a terminal, a line per epoch otherwise; as JSON on standard output. */
function epochDisplay(io: Io): {
  onStep: (step: StepReport) => void; onEpoch: (record: EpochRecord) => void;
} {
  let bar: Bar | undefined;
  let [begin, samples] = [0, 0];
  return {
    onStep({ epoch, step, steps, samples: count, loss, accuracy, residual }) {
      if (!bar) {
        bar = io.progress(`epoch ${epoch}`, steps);
        bar.advance(step - 1);
        [begin, samples] = [performance.now(), 0];
      }
      samples += count;
      const speed = (1000 * samples) / Math.max(performance.now() - begin, 1);
      bar.advance(1, `${speed.toFixed(0)} samples/s, loss ${loss.toFixed(4)}, ` +
        `accuracy ${percent(accuracy)}, residual ${residual.toExponential(1)}`);
    },
    onEpoch(record) {
      bar?.finish();
      bar = undefined;
      if (io.json) io.print(JSON.stringify(record));
      io.log(epochLine(record));
    },
  };
}

const epochLine = (e: EpochRecord): string =>
  `epoch ${e.epoch}: loss ${e.loss.toFixed(4)}, training ${percent(e.trainAccuracy)}, ` +
  `test ${e.accuracy === null ? "-" : percent(e.accuracy)}, ` +
  `residual ${e.freeResidual.toExponential(1)}, ${e.samplesPerSecond.toFixed(0)} samples/s`;
