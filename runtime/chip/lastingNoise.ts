/**
 * Noise of a chip's cells that outlasts a run, as part of the weights: what 1/f noise keeps of its
 * slow parts (normal, one fluctuator per element of the matrices, with the variance of its cells),
 * and the two levels of telegraph noise, cell by cell. A function of the chip and the time; what is
 * drawn anew at each read is part of the simulated product.
 */
import { HeldNoise, heldParts, normalPart } from "./noiseInTime.ts";
import { keyOf, type Key } from "./normal.ts";
import { lastingTelegraph, noiseOverRuns, type ChipSetting } from "./programBlock.ts";
import type { BlockMatrices } from "./tileMatrix.ts";

/** Whether cells remember anything from run to run. */
export const outlastsRuns = (setting: ChipSetting): boolean =>
  noiseOverRuns(setting).lasting.length > 0 || lastingTelegraph(setting) !== undefined;

export class LastingNoise {
  readonly #matrices: BlockMatrices;
  readonly #flicker: HeldNoise | undefined;
  readonly #telegraph: HeldNoise | undefined;

  /**
   * @param matrices as they are without this noise
   * @param key stream of the cells that they are of
   */
  constructor(setting: ChipSetting, matrices: BlockMatrices, key: Key) {
    this.#matrices = matrices;
    const { lasting } = noiseOverRuns(setting);
    const kept = lasting.reduce((sum, { variance }) => sum + variance, 0);
    const parts = lasting.map(({ rate, variance }) =>
      normalPart({ rate, variance: variance / kept }));
    if (parts.length > 0) this.#flicker = new HeldNoise(parts, key, matrices.weights.length);
    const process = lastingTelegraph(setting);
    if (!process) return;
    const own = keyOf(0, key[0], key[1], "telegraph");
    this.#telegraph = new HeldNoise(heldParts(process), own, matrices.telegraph.at.length);
  }

  /** The weights at a time, seconds. */
  weightsAt(time: number): Float32Array {
    const { weights, lasting, telegraph: { at, step } } = this.#matrices;
    const present = weights.slice();
    lasting?.forEach((variance, i) => {
      if (variance > 0 && this.#flicker) {
        present[i]! += Math.sqrt(variance) * this.#flicker.at(i, time);
      }
    });
    at.forEach((element, i) => {
      present[element]! += (step[i] as number) * (this.#telegraph?.at(i, time) ?? 0);
    });
    return present;
  }
}
