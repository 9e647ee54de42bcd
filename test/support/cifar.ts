/** CIFAR-10 for tests that want the whole of it: too large for the repository, never fetched. */
import { locateDataset } from "../../runtime/data/locate.ts";
import type { Need } from "./notRun.ts";

/** The folder of the official binary files, where this machine has it. */
export const needCifar: Need<string> = await locateDataset("cifar10", "test").then(
  (value) => ({ value }),
  (error: Error) => ({
    missing: {
      what: "CIFAR-10", reason: error.message, install: "npx crosstie fetch-data cifar10",
    },
  }),
);
