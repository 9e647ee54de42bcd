/** `crosstie fetch-data NAME`: makes the folder of a data set that no dependency carries. */
import { UserError } from "../../../compiler/errors.ts";
import { makeCifar10 } from "../../data/makeCifar.ts";
import type { CommandSpec } from "../command.ts";

const makers: Record<string, typeof makeCifar10> = { cifar10: makeCifar10 };

interface Result {
  readonly dataset: string;
  readonly folder: string;
}

export const fetchData: CommandSpec = {
  name: "fetch-data",
  summary: "Fetch CIFAR-10 and write it in its official binary layout.",
  arguments: [{ name: "<dataset>", description: `one of: ${Object.keys(makers).join(", ")}` }],
  options: [{ flags: "--data-dir <dir>", description: "where to write it (default: the cache)" }],
  example: "crosstie fetch-data cifar10",
  async run({ args: [dataset], options, io }): Promise<Result> {
    const make = makers[dataset as string];
    if (!make) {
      throw new UserError(`no data set "${dataset}" can be fetched`, {
        place: "fetch-data",
        remedy: `Use one of: ${Object.keys(makers).join(", ")}.`,
      });
    }
    const folder = await make(options.text("dataDir"), { log: (line) => io.log(line) });
    return { dataset: dataset as string, folder };
  },
  render: ({ dataset, folder }: Result) => `${dataset} is in ${folder}`,
};
