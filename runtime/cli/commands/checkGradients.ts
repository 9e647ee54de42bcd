/**
 * `crosstie check-gradients MODEL`: are the gradients of an estimator right. With `--reference`,
 * the file states what equilibria and gradients must be.
 */
import { UserError } from "../../../compiler/errors.ts";
import type { ChipMode } from "../../api/chip.ts";
import { deviceChoices, type DeviceChoice } from "../../device/open.ts";
import { readJson } from "../../files/read.ts";
import { checkModel, type ModelCheck } from "../../learn/checkModel.ts";
import { openEngine } from "../../learn/openEngine.ts";
import { checkReference, type ReferenceReport } from "../../learn/reference.ts";
import type { Algorithm } from "../../learn/train.ts";
import { chipIn } from "../chipOptions.ts";
import type { CommandSpec, Invocation, Options } from "../command.ts";
import { table } from "../table.ts";
import { gradientOptions, modelIn, relaxationOf } from "./train.ts";

const short = (x: number | null): string => (x === null ? "-" : x.toExponential(2));

export const checkGradients: CommandSpec = {
  name: "check-gradients",
  summary: "Compare an estimator's gradients of a model with implicit differentiation.",
  arguments: [{
    name: "<model>", description: "recipe, ONNX file, or with --reference a reference network",
  }],
  options: [
    { flags: "--reference", description: "the file states what the results must be" },
    { flags: "--data <spec>", description: "SPEC, or synthetic (default: the model's own)" },
    { flags: "--data-dir <dir>", description: "folder of the data set's official files" },
    { flags: "--samples <n>", description: "samples in the batch", default: "8" },
    ...gradientOptions,
    {
      flags: "--device <device>",
      description: "where to compute; auto is wasm for models, and for reference networks the " +
        "interpreter, which computes in float64",
      default: "auto",
      choices: deviceChoices,
    },
  ],
  example: "crosstie check-gradients mnist-dhn --beta 0.1",
  async run(call): Promise<ReferenceReport | ModelCheck> {
    return call.options.flag("reference") ? againstReference(call) : againstTruth(call);
  },
  render: (report: ReferenceReport | ModelCheck) =>
    ("bpEp" in report ? renderReference(report) : renderCheck(report)),
};

async function againstReference({ args, options }: Invocation): Promise<ReferenceReport> {
  const path = args[0] as string;
  const choice = options.choice<DeviceChoice>("device") ?? "auto";
  const { engine, device } = await openEngine(choice === "auto" ? "interpreter" : choice);
  try {
    return await checkReference(await readJson(path), path, engine);
  } finally {
    device.destroy();
  }
}

/** @throws UserError after printing, when the gradient can not be vouched for. */
async function againstTruth({ args, options, io }: Invocation): Promise<ModelCheck> {
  const check = await checkModel({
    ...modelIn(args[0] as string, options),
    data: options.text("data"), dataDir: options.text("dataDir"),
    samples: options.integer("samples", "--samples", { min: 1 }),
    seed: options.integer("seed", "--seed", { min: 0, max: 2 ** 32 - 1 }),
    device: options.choice<DeviceChoice>("device"), chip: options.choice<ChipMode>("chip"),
    ...chipIn(options), ...estimatorOf(options),
  });
  if (check.isCertified) return check;
  io.print(io.json ? JSON.stringify(check) : renderCheck(check));
  throw new UserError(`The gradient is not vouched for: ${check.reason as string}`, {
    place: args[0] as string, remedy: check.remedy as string,
  });
}

const estimatorOf = (options: Options): Pick<Parameters<typeof checkModel>[0],
  "algorithm" | "points" | "beta" | "freeSweeps" | "nudgedSweeps" | "tolerance" | "order"> => ({
  algorithm: options.choice<Algorithm>("algorithm"),
  points: options.integer("points", "--points", { min: 2 }),
  ...relaxationOf(options),
});

function renderCheck(check: ModelCheck): string {
  const { model, device, algorithm, beta, data, freePhaseResidual, truthResidual } = check;
  const row = ({ name, cosine, relativeError }: ModelCheck["parameters"][number]): string[] =>
    [name, cosine.toFixed(6), short(relativeError)];
  return [
    `${model}: ${algorithm} at beta ${beta} on ${data}, on ${device}`,
    `residual of the free phase ${short(freePhaseResidual)}, of the truth ${short(truthResidual)}`,
    table(["gradient of", "cosine", "relative error"], [
      ...check.parameters.map(row),
      ...check.boundaries.map((b) => row({ ...b, name: `boundary of ${b.name}` })),
      row({ name: "all parameters", ...check.overall }),
    ]),
    ...check.alone ? [renderAlone(check.alone)] : [],
    ...check.precision ? [renderPrecision(check.precision, check.neededBits ?? null)] : [],
    ...check.note === null ? [] : [`note: ${check.note}`],
  ].join("\n\n");
}

type Alone = NonNullable<ModelCheck["alone"]>;
type Precision = NonNullable<ModelCheck["precision"]>;

const renderAlone = (alone: Alone): string =>
  cosines("imperfection alone", alone, ({ imperfection }) => imperfection);

function renderPrecision(precision: Precision, needed: number | null): string {
  const most = precision.at(-1)?.bits ?? 0;
  return [
    cosines("converters alone", precision, ({ bits }) => `${bits} bits`),
    needed === null ? `the nudge needs more than ${most} bits: give a larger beta`
      : `the nudge needs ${needed} bits`,
  ].join("\n");
}

/** Cosines to the truth, a block a column. */
function cosines<R extends Alone[number] | Precision[number]>(
  title: string, rows: readonly R[], name: (row: R) => string,
): string {
  const blocks = rows[0]?.blocks.map((block) => block.name) ?? [];
  return table([title, "all parameters", ...blocks], rows.map((row) =>
    [name(row), row.overall.cosine.toFixed(6),
      ...row.blocks.map(({ cosine }) => cosine.toFixed(6))]));
}

function renderReference(report: ReferenceReport): string {
  const facts = [
    ["largest error of the equilibrium", short(report.equilibriumMaxError)],
    ["error of the loss", short(report.lossError)],
    ["relative error of the exact gradient", short(report.exactGradientRelativeError)],
    ["residual of the free phase", short(report.freePhaseResidual)],
  ];
  const rows = Object.entries(report.bpEp).map(([beta, r]) => [
    beta,
    r.cosineToExact.toFixed(9),
    short(r.relativeErrorToExact),
    short(r.relativeErrorToStored),
  ]);
  return [
    `on ${report.device}`,
    facts.map(([what, value]) => `${what}: ${value}`).join("\n"),
    table(["beta", "cosine to exact", "error to exact", "error to stored"], rows),
  ].join("\n\n");
}
