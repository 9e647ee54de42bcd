/** `crosstie run MODEL|DIR --input NAME=FILE.npy`: execute once and write the outputs. */
import { deviceChoices, type DeviceChoice } from "../../device/open.ts";
import { chipModes, type ChipMode } from "../../api/chip.ts";
import { runModel, type RunResult } from "../../api/run.ts";
import { parseAssignments } from "../bindings.ts";
import type { CommandSpec } from "../command.ts";
import { si, table } from "../table.ts";

export const run: CommandSpec = {
  name: "run",
  summary: "Run a model or an artifact on arrays.",
  arguments: [{ name: "<source>", description: "ONNX file or artifact folder" }],
  options: [
    {
      flags: "--input <name=file>",
      description: "an input array (.npy); repeat per input",
      repeatable: true,
    },
    {
      flags: "--device <device>",
      description: "where to run",
      default: "auto",
      choices: deviceChoices,
    },
    {
      flags: "--chip <mode>",
      description: "what runs the analog blocks",
      default: "none",
      choices: chipModes,
    },
    { flags: "-o, --out <dir>", description: "folder for NAME.npy", default: "." },
  ],
  example:
    "crosstie run models/mnist-lenet.onnx " +
    "--input input=test/fixtures/models/mnist-lenet.input.npy -o /tmp",
  async run({ args: [source], options, io }): Promise<RunResult> {
    const result = await runModel({
      source: source as string,
      inputs: parseAssignments(options.list("input"), "--input"),
      device: options.choice<DeviceChoice>("device") ?? "auto",
      chip: options.choice<ChipMode>("chip") ?? "none",
      seed: options.integer("seed", "--seed", { min: 0, max: 2 ** 32 - 1 }) ?? 1,
      out: options.text("out") ?? ".",
    });
    result.notes.forEach((note) => io.log(`note: ${note}`));
    return result;
  },
  render({ device, chip, outputs, seconds }: RunResult) {
    const rows = Object.entries(outputs).map(([name, { shape, file }]) => [
      name,
      `[${shape.join(",")}]`,
      file,
    ]);
    const how = `${device}, chip ${chip}, ${si(seconds, "s")}`;
    return `${table(["output", "shape", "file"], rows)}\n${how}`;
  },
};
