/**
 * Labelled images for testing and training: opens what a SPEC names and converts images to a
 * model's input when they are asked for, not before (10,000 CIFAR images are 30 MB as bytes and
 * 120 MB as floats).
 *
 * Bytes are pixels and go through the preprocessing that the model's card states; floating point
 * numbers in an .npy file are taken to be preprocessed already and are passed on as they are.
 */
import { InternalError, UserError } from "../../compiler/errors.ts";
import type { Preprocessing } from "../../models/card.ts";
import { openCifar } from "./cifar.ts";
import { locateDataset } from "./locate.ts";
import { digitClasses, fashionClasses, openMnist } from "./mnist.ts";
import { openNpyPair } from "./npyPair.ts";
import type { ImageSource } from "./source.ts";
import { parseDataSpec, type DatasetName, type SampleRange, type Split } from "./spec.ts";

export interface Batch {
  /** [samples, ...sampleShape], row-major. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

export interface Dataset {
  /** The SPEC it was opened with. */
  readonly name: string;
  readonly count: number;
  readonly sampleShape: readonly number[];
  readonly classes: readonly string[];
  /** Samples `begin` up to, not including, `end`. */
  readonly batch: (begin: number, end: number) => Batch;
  /** The samples at these positions, in this order; for shuffled training. */
  readonly gather: (indices: ArrayLike<number>) => Batch;
}

export interface DatasetOptions {
  /** The folder of the files, or one above it; without it, the installed package or the cache. */
  readonly dataDir?: string | undefined;
  /** How pixels become inputs; the model card states it. Needed for pixels only. */
  readonly preprocessing?: Preprocessing | undefined;
  /** The model's input without its batch axis; without it, the shape that is stored. */
  readonly shape?: readonly number[] | undefined;
}

type Opener = (folder: string, split: Split, range: SampleRange) => Promise<ImageSource>;

const openers: Record<DatasetName, Opener> = {
  "mnist": (folder, split, range) => openMnist(folder, split, range, digitClasses),
  "fashion-mnist": (folder, split, range) => openMnist(folder, split, range, fashionClasses),
  "cifar10": openCifar,
};

/**
 * Opens `mnist:test`, `cifar10:train[0:1000]`, `images.npy,labels.npy` (grammar: `spec.ts`).
 * Throws UserError where the data is not there, is broken, or does not fit the model's input.
 */
export async function openDataset(spec: string, options: DatasetOptions = {}): Promise<Dataset> {
  const parsed = parseDataSpec(spec);
  const source = parsed.kind === "files"
    ? await openNpyPair(parsed.images, parsed.labels, parsed.range)
    : await openers[parsed.name](
      await locateDataset(parsed.name, parsed.split, options.dataDir), parsed.split, parsed.range,
    );
  const place = `data "${spec}"`;
  const sampleShape = fittingShape(source.shape, options.shape, place);
  const size = sampleShape.reduce((p, d) => p * d, 1);
  const tables = pixelTables(source, options.preprocessing, place);

  const gather = (indices: ArrayLike<number>): Batch => {
    const images = new Float32Array(indices.length * size);
    const labels = new Int32Array(indices.length);
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number;
      if (!(index >= 0 && index < source.count)) {
        throw new InternalError(`sample ${index} of ${source.count} was asked for`);
      }
      convert(source.image(index), tables, images.subarray(i * size, (i + 1) * size));
      labels[i] = source.label(index);
    }
    return { images, labels };
  };
  return {
    name: spec,
    count: source.count,
    sampleShape,
    classes: source.classes,
    batch: (begin, end) => gather(Array.from({ length: end - begin }, (_, i) => begin + i)),
    gather,
  };
}

/** The model's sample shape, if the stored one is the same but for axes of one or flattening. */
function fittingShape(
  stored: readonly number[], wanted: readonly number[] | undefined, place: string,
): readonly number[] {
  if (wanted === undefined) return stored;
  const essence = (shape: readonly number[]): string => shape.filter((d) => d !== 1).join();
  const size = stored.reduce((p, d) => p * d, 1);
  if (essence(stored) === essence(wanted) || (wanted.length === 1 && wanted[0] === size)) {
    return wanted;
  }
  throw new UserError(`a sample has shape [${stored}], the model's input expects [${wanted}]`, {
    place, remedy: "Choose the data set that the model was made for, or reshape the file.",
  });
}

/** For each channel, the input value of each of the 256 pixel values; none for finished values. */
function pixelTables(
  source: ImageSource, preprocessing: Preprocessing | undefined, place: string,
): readonly Float32Array[] {
  if (source.kind === "values") return [];
  if (preprocessing === undefined) {
    throw new UserError("it holds pixels, and nothing says how they become the model's input", {
      place, remedy: "Write a model card NAME.json beside NAME.onnx (see models/README.md).",
    });
  }
  const { scale, mean, std } = preprocessing;
  const channels = source.shape.length === 3 ? source.shape[0] : 1;
  if (mean.length !== channels || std.length !== channels) {
    throw new UserError(
      `the card normalises ${mean.length} channels, the images have ${channels}`,
      { place, remedy: "Give the card's mean and std one entry per channel." },
    );
  }
  return mean.map((average, c) =>
    Float32Array.from({ length: 256 }, (_, p) => (p * scale - average) / (std[c] as number)));
}

function convert(
  image: ArrayLike<number>, tables: readonly Float32Array[], into: Float32Array,
): void {
  if (tables.length === 0) {
    into.set(image);
    return;
  }
  const plane = into.length / tables.length;
  tables.forEach((table, c) => {
    for (let i = c * plane; i < (c + 1) * plane; i++) {
      into[i] = table[image[i] as number] as number;
    }
  });
}
