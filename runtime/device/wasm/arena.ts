/**
 * Who owns which bytes of one growing memory: a free list with best fit and merging of neighbours.
 * It holds no memory itself; growing is the owner's, who may refuse.
 */
import { InternalError } from "../../../compiler/errors.ts";

const ALIGNMENT = 64;
const roundUp = (bytes: number): number =>
  Math.max(Math.ceil(bytes / ALIGNMENT), 1) * ALIGNMENT;

interface Gap {
  readonly from: number;
  readonly to: number;
}

export class Arena {
  /** Free stretches below `#top`, in order of address, none touching another. */
  #gaps: Gap[] = [];
  readonly #sizes = new Map<number, number>();
  #top: number;
  readonly #grow: (end: number) => void;

  /**
   * @param start first byte to give away
   * @param grow makes memory reach to byte `end`, or throws
   */
  constructor(start: number, grow: (end: number) => void) {
    this.#top = roundUp(start);
    this.#grow = grow;
  }

  /** Bytes in use, alignment included. */
  get used(): number {
    let total = 0;
    for (const size of this.#sizes.values()) total += size;
    return total;
  }

  /** Address of `bytes` bytes, a multiple of 64; at least one such line even for none. */
  allocate(bytes: number): number {
    const size = roundUp(bytes);
    const best = this.#gaps.reduce<Gap | undefined>((found, gap) => {
      const length = gap.to - gap.from;
      return length >= size && (!found || length < found.to - found.from) ? gap : found;
    }, undefined);
    if (best) {
      this.#gaps = this.#gaps.flatMap((gap) => (gap !== best ? [gap]
        : gap.to - gap.from > size ? [{ from: gap.from + size, to: gap.to }] : []));
      this.#sizes.set(best.from, size);
      return best.from;
    }
    // A gap at the very end is extended instead of left behind.
    const last = this.#gaps.at(-1);
    const from = last?.to === this.#top ? last.from : this.#top;
    this.#grow(from + size);
    if (from !== this.#top) this.#gaps.pop();
    this.#top = from + size;
    this.#sizes.set(from, size);
    return from;
  }

  free(address: number): void {
    const size = this.#sizes.get(address);
    if (size === undefined) throw new InternalError(`no memory was given out at ${address}`);
    this.#sizes.delete(address);
    let { from, to }: Gap = { from: address, to: address + size };
    const others = this.#gaps.filter((gap) => {
      if (gap.to !== from && gap.from !== to) return true;
      [from, to] = [Math.min(from, gap.from), Math.max(to, gap.to)];
      return false;
    });
    const at = others.findIndex((gap) => gap.from > from);
    others.splice(at < 0 ? others.length : at, 0, { from, to });
    this.#gaps = others;
  }
}
