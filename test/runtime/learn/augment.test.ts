import { describe, expect, it } from "vitest";
import { augmented, drawFor } from "../../../runtime/learn/augment.ts";

/** Pixel by pixel: where each output pixel comes from, 0 from outside. */
function slow(
  image: Float32Array, [channels, height, width]: readonly [number, number, number],
  draw: { isMirrored: boolean; down: number; right: number },
): number[] {
  const result: number[] = [];
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const [row, shifted] = [y - draw.down, x - draw.right];
        const column = draw.isMirrored ? width - 1 - shifted : shifted;
        const isInside = row >= 0 && row < height && column >= 0 && column < width;
        result.push(isInside ? image[(c * height + row) * width + column] as number : 0);
      }
    }
  }
  return result;
}

describe("augmentation", () => {
  it.each([[1, 4, 5], [3, 2, 3], [2, 1, 1], [2, 6, 4]] as const)(
    "of %i x %i x %i moves pixels as one by one", (...shape) => {
      const size = shape[0] * shape[1] * shape[2];
      const draws = Array.from({ length: 40 }, (_, n) =>
        drawFor({ flip: true, shift: 3 }, 7, 1, n));
      expect(new Set(draws.map((draw) => JSON.stringify(draw))).size).toBeGreaterThan(20);
      const images = Float32Array.from({ length: 40 * size }, (_, i) => i + 1);
      const got = augmented(images, shape, draws);
      draws.forEach((draw, n) => {
        const [from, to] = [n * size, (n + 1) * size];
        expect([...got.subarray(from, to)]).toEqual(slow(images.subarray(from, to), shape, draw));
      });
    });

  it("draws mirrors and shifts evenly, by epoch and sample", () => {
    const again = (seed: number, epoch: number) => Array.from({ length: 7000 }, (_, n) =>
      drawFor({ flip: true, shift: 3 }, seed, epoch, n));
    const draws = again(1, 0);
    // Four standard deviations of a binomial count.
    const isEven = (count: number, share: number): void => expect(Math.abs(count - 7000 * share))
      .toBeLessThan(4 * Math.sqrt(7000 * share * (1 - share)));
    isEven(draws.filter(({ isMirrored }) => isMirrored).length, 0.5);
    for (const shift of [-3, -2, -1, 0, 1, 2, 3]) {
      isEven(draws.filter(({ down }) => down === shift).length, 1 / 7);
      isEven(draws.filter(({ right }) => right === shift).length, 1 / 7);
      isEven(draws.filter((d) => d.right === shift && d.isMirrored).length, 1 / 14);
    }
    expect(again(1, 0)).toEqual(draws);
    expect(again(1, 1)).not.toEqual(draws);
    expect(again(2, 0)).not.toEqual(draws);
    expect(drawFor({}, 1, 0, 5)).toEqual({ isMirrored: false, down: 0, right: 0 });
  });
});
