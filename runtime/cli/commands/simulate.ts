/** `crosstie simulate DIR --data SPEC`: what the chip does to the network's accuracy. */
import { deviceChoices, type DeviceChoice } from "../../device/open.ts";
import { simulate as simulateArtifact, type SimulateResult } from "../../api/simulate.ts";
import { compensations, type Compensation } from "../../chip/compensation.ts";
import type { CommandSpec } from "../command.ts";
import type { Bar } from "../io.ts";
import { percent, si, table } from "../table.ts";

/** One bar per stage. */
export function stageBars(
  progress: (label: string, total: number) => Bar,
): (stage: string, done: number, total: number) => void {
  let current: { stage: string; bar: Bar; done: number } | undefined;
  return (stage, done, total) => {
    if (current?.stage !== stage) {
      current?.bar.finish();
      current = { stage, bar: progress(stage, total), done: 0 };
    }
    current.bar.advance(done - current.done);
    current.done = done;
    if (done === total) {
      current.bar.finish();
      current = undefined;
    }
  };
}

export function renderSimulation({
  samples,
  accuracy,
  blocks,
  seconds,
  device,
  notes,
  writes,
}: SimulateResult): string {
  const { digital, ideal, chip } = accuracy;
  const trials = chip.trials.length;
  const rows = [
    ["digital reference", percent(digital), si(seconds.digital, "s")],
    ["ideal chip", percent(ideal), si(seconds.ideal, "s")],
    [
      "simulated chip",
      `${percent(chip.mean)} +- ${percent(chip.std)} (${trials} trials)`,
      si(seconds.chip, "s"),
    ],
  ];
  const { repaired } = accuracy;
  if (repaired) {
    const won = repaired.recovered;
    rows.push([
      "repaired chip",
      `${percent(repaired.mean)} +- ${percent(repaired.std)}` +
        (won === null ? "" : ` (${percent(won)} of the loss recovered)`),
      "",
    ]);
  }
  const parts = [`${samples} samples on ${device}`, table(["on", "accuracy", "time"], rows)];
  if (blocks.length > 0) {
    const several = new Set(blocks.map(({ target }) => target)).size > 1;
    parts.push(
      table(
        ["block", ...(several ? ["target"] : []), "signal to noise", "clipped conversions"],
        blocks.map(({ id, target, snrDb, saturation }) => {
          const clipped = saturation.reduce((sum, tile) => sum + tile.clipped, 0);
          const all = saturation.reduce((sum, tile) => sum + tile.conversions, 0);
          return [
            id,
            ...(several ? [target] : []),
            snrDb === null ? "exact" : `${snrDb.toFixed(1)} dB`,
            all === 0 ? "-" : percent(clipped / all),
          ];
        }),
      ),
    );
  }
  if (writes?.[0]) {
    const { cells, pulses, failed } = writes[0];
    parts.push(`chip 0: ${(pulses / cells).toFixed(2)} pulses per cell, ` +
      `${failed} of ${cells} cells (${percent(failed / cells)}) not within the acceptance`);
  }
  parts.push(...notes.map((note) => `note: ${note}`));
  return parts.join("\n\n");
}

export const simulate: CommandSpec = {
  name: "simulate",
  summary: "Run a data set through the digital reference, the ideal and the simulated chip.",
  arguments: [{ name: "<dir>", description: "artifact folder" }],
  options: [
    {
      flags: "--data <spec>",
      description: "mnist:test, cifar10:test[0:1000], images.npy,labels.npy",
    },
    { flags: "--data-dir <dir>", description: "folder of the data set's official files" },
    { flags: "--trials <n>", description: "chips to program", default: "3" },
    { flags: "--time <seconds>", description: "age of the chip when it is read" },
    {
      flags: "--read-interval <seconds>",
      description: "between samples: read noise is correlated in time",
    },
    { flags: "--only <list>", description: "imperfections to keep on, separated by commas" },
    { flags: "--without <list>", description: "imperfections to switch off" },
    { flags: "--workers <n>", description: "threads that run trials side by side", default: "1" },
    { flags: "--faults <file>", description: "map of the stuck cells, instead of drawn ones" },
    {
      flags: "--repair",
      description: "also with columns copied, stuck cells and wire drop made up for",
    },
    { flags: "--pulse-budget <n>", description: "pulses per cell in write-verify, then give up" },
    {
      flags: "--compensate <how>", description: "for outputs that fade with time",
      default: "none", choices: compensations,
    },
    {
      flags: "--device <device>",
      description: "where to run",
      default: "auto",
      choices: deviceChoices,
    },
  ],
  example:
    "crosstie compile models/mnist-lenet.onnx --target neurram-rram -o lenet.crosstie\n" +
    "$ crosstie simulate lenet.crosstie --data mnist:test[0:1000]",
  run({ args: [directory], options, io }): Promise<SimulateResult> {
    const dataDir = options.text("dataDir");
    const time = options.text("time");
    const readInterval = options.text("readInterval");
    const only = options.text("only");
    const without = options.text("without");
    const faults = options.text("faults");
    const pulseBudget = options.integer("pulseBudget", "--pulse-budget", { min: 1 });
    return simulateArtifact({
      directory: directory as string,
      data: options.required("data", "--data", "Name a data set, such as --data mnist:test."),
      ...(dataDir === undefined ? {} : { dataDir }),
      trials: options.integer("trials", "--trials", { min: 1, max: 10000 }) ?? 3,
      seed: options.integer("seed", "--seed", { min: 0, max: 2 ** 32 - 1 }) ?? 1,
      device: options.choice<DeviceChoice>("device") ?? "auto",
      ...(time === undefined ? {} : { time: Number(time) }),
      ...(readInterval === undefined ? {} : { readInterval: Number(readInterval) }),
      ...(only === undefined ? {} : { only: only.split(",") }),
      ...(without === undefined ? {} : { without: without.split(",") }),
      workers: options.integer("workers", "--workers", { min: 1, max: 256 }) ?? 1,
      ...(faults === undefined ? {} : { faults }),
      ...(pulseBudget === undefined ? {} : { pulseBudget }),
      repair: options.flag("repair"),
      compensation: options.choice<Compensation>("compensate") ?? "none",
      onProgress: stageBars((label, total) => io.progress(label, total)),
    });
  },
  render: renderSimulation,
};
