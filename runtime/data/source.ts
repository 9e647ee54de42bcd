/**
 * Images as they are stored, before any preprocessing: what the readers of each file format hand
 * to `dataset.ts`. The pixels stay in the file's bytes; nothing is converted here.
 */
import { UserError } from "../../compiler/errors.ts";
import type { TensorData } from "../../compiler/graph/tensor.ts";

export interface ImageSource {
  readonly count: number;
  /** One image: [channels, rows, columns], or whatever axes an .npy file has after the first. */
  readonly shape: readonly number[];
  /** `pixels` are 0 to 255 and need preprocessing; `values` are the model's input already. */
  readonly kind: "pixels" | "values";
  readonly classes: readonly string[];
  /** A view of one image's elements, in the order of `shape`. */
  readonly image: (index: number) => TensorData;
  readonly label: (index: number) => number;
}

/** Throws UserError at the first label that is no class. */
export function checkLabels(source: ImageSource, place: string): void {
  for (let i = 0; i < source.count; i++) {
    const label = source.label(i);
    if (Number.isInteger(label) && label >= 0 && label < source.classes.length) continue;
    throw new UserError(`label ${i} is ${label}, there are ${source.classes.length} classes`, {
      place, remedy: "Make or download the file again.",
    });
  }
}
