/**
 * Percentiles of magnitudes, in one pass and little memory whatever the number of samples: counts
 * by the upper bits of float32. What converter ranges are calibrated by.
 */

/** Buckets by the upper 20 bits, so an answer is within 2^-11 of the sample's own. */
export class Magnitudes {
  readonly #counts = new Uint32Array(2 ** 19);
  #total = 0;

  /** Adds the magnitudes of values [first, end). */
  add(values: Float32Array, first = 0, end = values.length): void {
    const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
    for (let i = first; i < end; i++) {
      const bucket = ((words[i] as number) & 0x7fffffff) >>> 12;
      this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    }
    this.#total += end - first;
  }

  /** A magnitude that a share `p` of the samples does not exceed; 0 without samples. */
  percentile(p: number): number {
    if (this.#total === 0) return 0;
    const wanted = Math.max(1, Math.ceil(p * this.#total));
    let seen = 0;
    let bucket = -1;
    while (seen < wanted) seen += this.#counts[++bucket] as number;
    if (bucket === 0) return 0;
    // The upper edge of the bucket.
    const [edge] = new Float32Array(Uint32Array.of((bucket + 1) << 12).buffer);
    return edge as number;
  }
}
