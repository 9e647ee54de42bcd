/** `crosstie report DIR`: the page of an artifact, with a picture of one simulated chip. */
import { reportOf, type ReportResult } from "../../api/report.ts";
import type { CommandSpec } from "../command.ts";

export const report: CommandSpec = {
  name: "report",
  summary: "Write an artifact's page anew, with the maps of a simulated chip's tiles.",
  arguments: [{ name: "<dir>", description: "artifact folder" }],
  options: [
    { flags: "--trial <n>", description: "number of the chip to show", default: "0" },
    { flags: "--time <seconds>", description: "age of the chip when it is read" },
    { flags: "--only <list>", description: "imperfections to keep on, separated by commas" },
    { flags: "--without <list>", description: "imperfections to switch off" },
    { flags: "-o, --out <file>", description: "where to write it (default: DIR/report.html)" },
  ],
  example:
    "crosstie compile models/mnist-lenet.onnx --target neurram-rram -o lenet.crosstie\n" +
    "$ crosstie report lenet.crosstie --time 86400",
  async run({ args: [directory], options, io }): Promise<ReportResult> {
    const list = (name: string): readonly string[] | undefined => options.text(name)?.split(",");
    const [only, without, out] = [list("only"), list("without"), options.text("out")];
    const time = options.number("time", "--time", { above: 0 });
    let bar: ReturnType<typeof io.progress> | undefined;
    const result = await reportOf({
      directory: directory as string,
      trial: options.integer("trial", "--trial", { min: 0, max: 2 ** 32 - 1 }) ?? 0,
      seed: options.integer("seed", "--seed", { min: 0, max: 2 ** 32 - 1 }) ?? 1,
      ...(time === undefined ? {} : { time }),
      ...(only === undefined ? {} : { only }),
      ...(without === undefined ? {} : { without }),
      ...(out === undefined ? {} : { out }),
      onProgress(_, total) {
        bar ??= io.progress("tiles", total);
        bar.advance();
      },
    });
    bar?.finish();
    return result;
  },
  render: ({ file, bytes, tiles }: ReportResult) =>
    `${file}: ${(bytes / 1e6).toPrecision(2)} MB, ${tiles} tiles`,
};
