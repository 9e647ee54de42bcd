/**
 * MNIST and Fashion-MNIST: the four official idx files, under the names that they commonly have,
 * plain or gzipped.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../compiler/errors.ts";
import { readIdx } from "./idx.ts";
import { checkLabels, type ImageSource } from "./source.ts";
import { resolveRange, type SampleRange, type Split } from "./spec.ts";

export const digitClasses = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"] as const;

export const fashionClasses = [
  "T-shirt/top", "trouser", "pullover", "dress", "coat",
  "sandal", "shirt", "sneaker", "bag", "ankle boot",
] as const;

const prefixes: Record<Split, string> = { train: "train", test: "t10k" };

/** The names that one of the files may have; the first is the official one. */
export function idxNames(split: Split, part: "images" | "labels"): string[] {
  const rank = part === "images" ? 3 : 1;
  const official = `${prefixes[split]}-${part}-idx${rank}-ubyte`;
  const dotted = `${prefixes[split]}-${part}.idx${rank}-ubyte`;
  return [official, `${official}.gz`, dotted, `${dotted}.gz`];
}

/** Throws UserError where a file is missing, broken, or the two disagree. */
export async function openMnist(
  folder: string, split: Split, range: SampleRange, classes: readonly string[],
): Promise<ImageSource> {
  const imagePath = await findFile(folder, idxNames(split, "images"));
  const labelPath = await findFile(folder, idxNames(split, "labels"));
  const [images, labels] = [await readIdx(imagePath), await readIdx(labelPath)];
  const [count = 0, rows = 0, columns = 0] = images.shape;
  if (images.dtype !== "u1" || images.shape.length !== 3) {
    throw new UserError(`expected bytes of shape [N,rows,columns], found ${images.dtype} [${
      images.shape}]`, { place: imagePath, remedy: "Name a folder of the official files." });
  }
  if (labels.dtype !== "u1" || labels.shape.length !== 1 || labels.shape[0] !== count) {
    throw new UserError(`expected ${count} label bytes, found ${labels.dtype} [${labels.shape}]`, {
      place: labelPath, remedy: "Name a folder of the official files.",
    });
  }
  const { begin, end } = resolveRange(range, count, imagePath);
  const [pixels, classOf] = [images.data as Uint8Array, labels.data as Uint8Array];
  const size = rows * columns;
  const source: ImageSource = {
    count: end - begin,
    shape: [1, rows, columns],
    kind: "pixels",
    classes,
    image: (i) => pixels.subarray((begin + i) * size, (begin + i + 1) * size),
    label: (i) => classOf[begin + i] as number,
  };
  checkLabels(source, labelPath);
  return source;
}

async function findFile(folder: string, names: readonly string[]): Promise<string> {
  for (const name of names) {
    const path = join(folder, name);
    if (await stat(path).then((s) => s.isFile(), () => false)) return path;
  }
  throw new UserError(`the folder holds none of ${names.join(", ")}`, {
    place: folder, remedy: "Name a folder of the official files with --data-dir.",
  });
}
