/**
 * CIFAR-10 images in the form of PNG sprites: one image per row of the sprite, its 32 x 32 pixels
 * one after the other. Turned into the official binary records, which keep each colour apart.
 */
import { PNG } from "pngjs";
import { UserError } from "../../compiler/errors.ts";
import { pixelBytes, recordBytes } from "./cifar.ts";

const plane = pixelBytes / 3;

/**
 * The records (label, red plane, green plane, blue plane) of a sprite with one row per label.
 * Throws UserError when the picture or its size is not that of a sprite.
 */
export function recordsOfSprite(
  png: Uint8Array, labels: readonly number[], place: string,
): Uint8Array {
  const { width, height, data } = decode(png, place);
  if (width !== plane || height !== labels.length) {
    throw new UserError(`expected a sprite of ${plane} x ${labels.length} pixels, found ${
      width} x ${height}`, { place, remedy });
  }
  const records = new Uint8Array(labels.length * recordBytes);
  labels.forEach((label, row) => {
    const record = records.subarray(row * recordBytes, (row + 1) * recordBytes);
    record[0] = label;
    // The decoder gives four bytes per pixel: red, green, blue, and an alpha of no meaning.
    const pixels = data.subarray(row * plane * 4, (row + 1) * plane * 4);
    for (let i = 0; i < plane; i++) {
      record[1 + i] = pixels[4 * i] as number;
      record[1 + plane + i] = pixels[4 * i + 1] as number;
      record[1 + 2 * plane + i] = pixels[4 * i + 2] as number;
    }
  });
  return records;
}

const remedy = "Fetch the package again.";

function decode(png: Uint8Array, place: string): PNG {
  try {
    return PNG.sync.read(Buffer.from(png.buffer, png.byteOffset, png.byteLength));
  } catch (error) {
    throw new UserError(`not a PNG picture: ${(error as Error).message}`, { place, remedy });
  }
}
