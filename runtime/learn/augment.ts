/**
 * Augmentation of images on their way into training: each is perhaps mirrored and shifted by a few
 * pixels, as usual for CIFAR-10 (He et al. 2016, section 4.2). What happens to a sample is drawn
 * from the seed, the epoch and the sample's index alone, so that neither batches nor interruptions
 * change it. Test images are never touched.
 */
import { hashName } from "../../models/init.ts";
import type { Augmentation } from "../../models/recipes.ts";
import { randomWord } from "../../compiler/ops/source.ts";

export interface Draw {
  readonly isMirrored: boolean;
  readonly down: number;
  readonly right: number;
}

/** What happens to sample `index`: shifts are uniform over -shift..shift in each direction. */
export function drawFor(
  { flip = false, shift = 0 }: Augmentation, seed: number, epoch: number, index: number,
): Draw {
  const key = [seed >>> 0, hashName(`augment ${epoch}`)] as const;
  const uniform = (k: number): number => randomWord(key, 3 * index + k) / 2 ** 32;
  const step = (k: number): number => Math.floor(uniform(k) * (2 * shift + 1)) - shift;
  return { isMirrored: flip && uniform(0) < 0.5, down: step(1), right: step(2) };
}

/**
 * A batch of images, [N, channels, height, width] in one array, each changed by its own draw.
 * What moves in over an edge is 0, the mean of normalised images.
 */
export function augmented(
  images: Float32Array, [channels, height, width]: readonly [number, number, number],
  draws: readonly Draw[],
): Float32Array {
  const result = new Float32Array(images.length);
  draws.forEach(({ isMirrored, down, right }, n) => {
    for (let plane = n * channels; plane < (n + 1) * channels; plane++) {
      for (let y = Math.max(down, 0); y < Math.min(height, height + down); y++) {
        const [to, from] = [(plane * height + y) * width, (plane * height + y - down) * width];
        for (let x = Math.max(right, 0); x < Math.min(width, width + right); x++) {
          const column = isMirrored ? width - 1 - (x - right) : x - right;
          result[to + x] = images[from + column] as number;
        }
      }
    }
  });
  return result;
}
