/** A data set of the user's own: one .npy file of images, [N, ...], and one of N labels. */
import { UserError } from "../../compiler/errors.ts";
import { isFloat } from "../../compiler/graph/dtype.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { readNpy } from "./npy.ts";
import { checkLabels, type ImageSource } from "./source.ts";
import { resolveRange, type SampleRange } from "./spec.ts";
import { toTensor } from "./tensors.ts";

const readTensor = async (path: string): Promise<Tensor> => toTensor(await readNpy(path), path);

/** Throws UserError naming the file at fault and the shape or type that was expected of it. */
export async function openNpyPair(
  imagePath: string, labelPath: string, range: SampleRange,
): Promise<ImageSource> {
  const [images, labels] = [await readTensor(imagePath), await readTensor(labelPath)];
  const [count = 0, ...shape] = images.shape;
  const pixels = images.dtype === "uint8";
  if (shape.length === 0 || shape.includes(0) || !(pixels || isFloat(images.dtype))) {
    throw new UserError(
      `expected images [N, ...] of bytes or floats, found ${images.dtype} [${images.shape}]`,
      { place: imagePath, remedy: "Save pixels as uint8, or preprocessed inputs as float32." },
    );
  }
  if (labels.shape.length !== 1 || labels.shape[0] !== count || isFloat(labels.dtype)) {
    throw new UserError(
      `expected ${count} integer labels, shape [${count}], found ${labels.dtype} [${labels.shape}]`,
      { place: labelPath, remedy: "Save one class number per image, as an integer type." },
    );
  }
  const { begin, end } = resolveRange(range, count, imagePath);
  const size = shape.reduce((p, d) => p * d, 1);
  const label = (i: number): number => labels.data[begin + i] as number;
  let highest = 0;
  for (let i = 0; i < end - begin; i++) highest = Math.max(highest, label(i));
  const source: ImageSource = {
    count: end - begin,
    shape,
    kind: pixels ? "pixels" : "values",
    classes: Array.from({ length: Math.min(highest, mostClasses) + 1 }, (_, c) => String(c)),
    image: (i) => images.data.subarray((begin + i) * size, (begin + i + 1) * size),
    label,
  };
  checkLabels(source, labelPath);
  return source;
}

/** A label above this is a mistake, not a class; it keeps the list of classes small. */
const mostClasses = 1_000_000;
