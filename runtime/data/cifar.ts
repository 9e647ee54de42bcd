/**
 * CIFAR-10 in its official binary form: data_batch_1.bin to data_batch_5.bin and test_batch.bin,
 * each a row of records of one label byte and 3072 pixel bytes (1024 red, 1024 green, 1024 blue,
 * each row by row). After the description on the CIFAR-10 page (Krizhevsky, 2009).
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../compiler/errors.ts";
import { fileFailure } from "../files/failures.ts";
import { readBytes } from "../files/read.ts";
import { checkLabels, type ImageSource } from "./source.ts";
import { resolveRange, type SampleRange, type Split } from "./spec.ts";

export const cifarClasses = [
  "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
] as const;

export const cifarFiles: Record<Split, readonly string[]> = {
  train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  test: ["test_batch.bin"],
};

export const cifarShape = [3, 32, 32] as const;
export const pixelBytes = 3 * 32 * 32;
export const recordBytes = 1 + pixelBytes;

/**
 * The images of a split in the order of its files. Only files that `range` reaches into are read.
 * Throws UserError where a file is missing or is no whole number of records.
 */
export async function openCifar(
  folder: string, split: Split, range: SampleRange,
): Promise<ImageSource> {
  const files = await Promise.all(cifarFiles[split].map((name) => measure(join(folder, name))));
  const total = files.reduce((sum, { count }) => sum + count, 0);
  const { begin, end } = resolveRange(range, total, folder);
  const records: Uint8Array[] = [];
  let first = 0;
  for (const { path, count } of files) {
    const [from, to] = [Math.max(begin - first, 0), Math.min(end - first, count)];
    first += count;
    if (from >= to) continue;
    const bytes = await readBytes(path);
    for (let i = from; i < to; i++) {
      records.push(bytes.subarray(i * recordBytes, (i + 1) * recordBytes));
    }
  }
  const source: ImageSource = {
    count: records.length,
    shape: cifarShape,
    kind: "pixels",
    classes: cifarClasses,
    image: (i) => (records[i] as Uint8Array).subarray(1),
    label: (i) => (records[i] as Uint8Array)[0] as number,
  };
  checkLabels(source, folder);
  return source;
}

async function measure(path: string): Promise<{ path: string; count: number }> {
  const { size } = await stat(path).catch((error: unknown) => {
    throw fileFailure(error, path);
  });
  if (size === 0 || size % recordBytes !== 0) {
    throw new UserError(`${size} bytes are no whole number of records of ${recordBytes}`, {
      place: path, remedy: "Make the folder again with `crosstie fetch-data cifar10`.",
    });
  }
  return { path, count: size / recordBytes };
}
