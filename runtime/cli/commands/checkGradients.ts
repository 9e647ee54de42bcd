/** `crosstie check-gradients FILE --reference`: are equilibria and gradients right. */
import { UserError } from "../../../compiler/errors.ts";
import { deviceChoices, type DeviceChoice } from "../../device/open.ts";
import { readJson } from "../../files/read.ts";
import { openEngine } from "../../learn/openEngine.ts";
import { checkReference, type ReferenceReport } from "../../learn/reference.ts";
import type { CommandSpec } from "../command.ts";
import { table } from "../table.ts";

const short = (x: number | null): string => (x === null ? "-" : x.toExponential(2));

export const checkGradients: CommandSpec = {
  name: "check-gradients",
  summary: "Compare equilibria, exact and BP-EP gradients with a reference network.",
  arguments: [{ name: "<file>", description: "reference network (JSON)" }],
  options: [
    { flags: "--reference", description: "the file states what the results must be" },
    {
      flags: "--device <device>",
      description: "where to compute; the interpreter computes in float64",
      default: "interpreter",
      choices: deviceChoices,
    },
  ],
  example: "crosstie check-gradients test/fixtures/ffebm/mlp3-tanh.json --reference --json",
  async run({ args: [file], options }): Promise<ReferenceReport> {
    if (!options.flag("reference")) {
      throw new UserError("only reference networks can be checked", {
        place: "check-gradients",
        remedy: "Give a reference file and --reference.",
      });
    }
    const path = file as string;
    const { engine, device } = await openEngine(
      options.choice<DeviceChoice>("device") ?? "interpreter",
    );
    try {
      return await checkReference(await readJson(path), path, engine);
    } finally {
      device.destroy();
    }
  },
  render(report: ReferenceReport) {
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
  },
};
