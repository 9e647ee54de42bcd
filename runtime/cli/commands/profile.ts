/** `crosstie profile MODEL --target T[,T2]`: what every placement costs, and which are worth it. */
import type { Totals } from "../../../compiler/partition/unitGraph.ts";
import { UserError } from "../../../compiler/errors.ts";
import { profileModel, type ProfileResult } from "../../api/profile.ts";
import { writeFileAtomic } from "../../files/atomic.ts";
import { parseFigures } from "../../files/targetFigures.ts";
import { renderProfile } from "../../page/profileReport.ts";
import { parseAxes } from "../../profile/axes.ts";
import type { Placed } from "../../profile/configuration.ts";
import { profileCsv } from "../../profile/csv.ts";
import { qualityMethods, type QualityMethod } from "../../profile/quality.ts";
import { parseBindings } from "../bindings.ts";
import type { CommandSpec, Options } from "../command.ts";
import type { Bar, Io } from "../io.ts";
import { si, table, type Cell } from "../table.ts";
import { capacityOption } from "./compile.ts";

/** What is printed; `csv` is for a person and not part of the JSON. */
interface Printed extends ProfileResult {
  readonly csv?: boolean;
}

function targetNames(options: Options): string[] {
  const text = options.required(
    "target", "--target", "Name presets (crosstie targets lists them) or target files.");
  const names = text.split(",").map((name) => name.trim()).filter((name) => name !== "");
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (names.length > 0 && twice === undefined) return names;
  throw new UserError(twice === undefined ? "names no target" : `names ${twice} twice`, {
    place: "--target", remedy: "Separate the names of targets with commas.",
  });
}

/** A bar that appears with the first configuration. */
function sweepBar(io: Io): { advance: (done: number, total: number) => void; finish(): void } {
  let bar: Bar | undefined;
  let shown = 0;
  return {
    advance(done, total) {
      bar ??= io.progress("configurations", total);
      bar.advance(done - shown);
      shown = done;
    },
    finish: () => bar?.finish(),
  };
}

const placedCells = (p: Placed): Cell[] => [
  si(p.energyJ, "J"), si(p.latencyS, "s"), `${(p.areaM2 * 1e6).toPrecision(3)} mm2`,
  p.predictedSnrDb === null ? "exact" : `${p.predictedSnrDb.toFixed(1)} dB`,
  p.analogNodes.length, p.arrays,
];
const PLACED = ["energy", "latency", "area", "quality", "analog units", "arrays"];

/** A target, and what about it was changed. */
const targetText = (
  { target, figures = {} }: { target: string; figures?: Readonly<Record<string, number>> },
): string => [
  target, ...Object.entries(figures).map(([name, value]) => `${name}=${value}`),
].join(" ");

function targetsTable({ targets }: ProfileResult): string {
  const rows = targets.flatMap((t) => [
    [targetText(t), "least energy", ...placedCells(t.optimum)],
    ["", "all analog", ...placedCells(t.allAnalog)],
    ["", "all digital", ...placedCells(t.allDigital)],
  ]);
  return table(["target", "placement", ...PLACED], rows);
}

/** Chains printed per target; the JSON has them all. */
const CHAINS = 6;

/** Consecutive units merged into energy blocks, beside the model as it is. */
function chainsTable({ targets }: ProfileResult): string[] {
  const rows = targets.flatMap((t) => t.chains.slice(0, CHAINS).map((c) => [
    targetText(t), `${c.units[0]} ... ${c.units.at(-1)}`, c.units.length,
    si(c.apart.energyJ, "J"), si(c.merged.energyJ, "J"),
    c.apart.conversions - c.merged.conversions, c.merged.sweeps,
    c.needsTraining ? `${c.best.sizes.join(" + ")}: ${si(c.best.energyJ, "J")}` : "unmerged",
  ]));
  if (rows.length === 0) return [];
  return [
    "", "energy blocks: consecutive units merged into one (another model, which needs training)",
    table([
      "target", "units", "", "apart", "merged", "conversions saved", "sweeps", "least energy",
    ], rows),
  ];
}

function trainingLine(t: ProfileResult["targets"][number]): string {
  const { total, analog, digital, boundary, step } = t.trainingStep;
  const share = (cost: Totals): string => si(cost.energyJ, "J");
  return `one training step on ${targetText(t)}: ${si(total.energyJ, "J")}, ` +
    `${si(total.latencyS, "s")} (analog ${share(analog)}, digital ${share(digital)}, ` +
    `boundary ${share(boundary)}; ${step.freeSweeps} sweeps free, ${step.nudges} x ` +
    `${step.nudgedSweeps} nudged)`;
}

function sweepTable({ sweep }: ProfileResult): string {
  if (!sweep) return "";
  const names = sweep.axes.map(({ name }) => name);
  const rows = sweep.configurations.map(({ target, figures, optimum, error }) => [
    target, ...names.map((name) => figures[name] as number),
    ...(optimum ? placedCells(optimum) : [error ?? "", "", "", "", "", ""]),
  ]);
  const { computed, cached, failed } = sweep;
  return `${table(["target", ...names, ...PLACED], rows)}\n` +
    `${computed} configurations computed, ${cached} known before, ${failed} impossible`;
}

function renderText(result: ProfileResult): string {
  const { points, quality, seconds } = result;
  const rows = points.map((p, i) => [i + 1, targetText(p), ...placedCells(p)]);
  return [
    result.sweep ? sweepTable(result) : targetsTable(result),
    "",
    `the front: ${points.length} placements that no other dominates`,
    ...result.targets.flatMap(({ onlyPoint }) => onlyPoint ?? []),
    table(["point", "target", ...PLACED], rows),
    ...chainsTable(result),
    "",
    ...result.targets.map(trainingLine),
    `quality: ${quality.basis}`,
    ...points.map((p, i) => `${i + 1}: ${p.command}`),
    `model ${si(seconds.model, "s")}, search ${si(seconds.search, "s")}`,
  ].join("\n");
}

export const profile: CommandSpec = {
  name: "profile",
  summary: "Show what every placement costs: the front over energy, latency, area and quality.",
  arguments: [{ name: "<model>", description: "ONNX file" }],
  options: [
    { flags: "--target <targets>", description: "preset names or target files, with commas" },
    { flags: "--points <n>", description: "points to look for on each front", default: "24" },
    {
      flags: "--replicas <n>",
      description: "copies of a busy layer's arrays that the front may use, at most",
      default: "16",
    },
    {
      flags: "--sweep <axes...>",
      description: "vary figures: array=64,128,256 adc=5..9 wire.rowSegment=1..3..0.5",
      repeatable: true,
    },
    { flags: "--set <name=value>", description: "replace a figure; repeat", repeatable: true },
    {
      flags: "--capacity <arrays>",
      description: "arrays there are, or chip: those of one chip (default: as many as it takes)",
    },
    {
      flags: "--quality <how>",
      description: "noise gains from gradients on samples, or layer by layer without any",
      default: "auto",
      choices: qualityMethods,
    },
    { flags: "--samples <n>", description: "samples to calibrate on (default: 8)" },
    { flags: "--data <spec>", description: "where samples come from (default: random numbers)" },
    { flags: "--data-dir <dir>", description: "folder of the data set's official files" },
    { flags: "--bind <sizes>", description: "numbers for symbolic sizes, such as H=224,W=224" },
    { flags: "--jobs <n>", description: "threads of a sweep (default: all cores)" },
    { flags: "--cache <dir>", description: "where a sweep keeps results (default: the cache)" },
    { flags: "--csv", description: "print comma-separated values" },
    { flags: "--report <file>", description: "write charts and tables to an HTML file" },
  ],
  example:
    "crosstie profile models/mnist-lenet.onnx --target neurram-rram\n" +
    "$ crosstie profile models/cifar10-resnet8.onnx --target isaac-rram " +
    "--sweep array=64,128,256 adc=6..8",
  async run({ args: [model], options, io }): Promise<Printed> {
    const bind = parseBindings(options.text("bind"));
    const capacity = capacityOption(options);
    const data = options.text("data");
    const dataDir = options.text("dataDir");
    const samples = options.integer("samples", "--samples", { min: 1, max: 100_000 });
    const jobs = options.integer("jobs", "--jobs", { min: 1, max: 1024 });
    const cache = options.text("cache");
    const bar = sweepBar(io);
    const result = await profileModel({
      model: model as string,
      targets: targetNames(options),
      figures: parseFigures(options.list("set"), "--set"),
      sweep: parseAxes(options.list("sweep")),
      replicas: options.integer("replicas", "--replicas", { min: 1, max: 4096 }) ?? 16,
      points: options.integer("points", "--points", { min: 1, max: 10_000 }) ?? 24,
      method: options.choice<QualityMethod>("quality") ?? "auto",
      seed: options.integer("seed", "--seed", { min: 0, max: 2 ** 32 - 1 }) ?? 1,
      ...(bind ? { bind } : {}),
      ...(capacity === undefined ? {} : { capacity }),
      ...(data === undefined ? {} : { data }),
      ...(dataDir === undefined ? {} : { dataDir }),
      ...(samples === undefined ? {} : { samples }),
      ...(jobs === undefined ? {} : { jobs }),
      ...(cache === undefined ? {} : { cache }),
      onProgress: bar.advance,
    }).finally(bar.finish);
    const report = options.text("report");
    if (report !== undefined) await writeFileAtomic(report, renderProfile(result));
    return io.json ? result : { ...result, csv: options.flag("csv") };
  },
  render: (result: Printed) => (result.csv === true ? profileCsv(result) : renderText(result)),
};
