/**
 * The converters of a block on one chip: what each is off by, drawn from the seed, the trial and
 * the tile that it belongs to. Converted columns of a tile take turns on converters in the order in
 * which they lie, and columns that share one share its faults. Ranges, which all converters of a
 * kind have in common, are in `converters.ts`.
 */
import type {
  CrossbarBlock, CrossbarConfig, CrossbarTile,
} from "../../compiler/emit/crossbar/config.ts";
import { codeRange } from "./converters.ts";
import { placeOf, type BlockLayout } from "./layout.ts";
import { keyOf, normalAt, type Key } from "./normal.ts";
import type { Pass } from "./passes.ts";
import { largestMagnitude, magnitudeBits } from "./successiveApproximation.ts";

type ConverterConfig = CrossbarConfig["converter"];

/** Whether converters differ in gain or offset, apart from what successive approximation does. */
export const hasMismatch = ({ gainSpread, offsetSpread }: ConverterConfig): boolean =>
  gainSpread > 0 || offsetSpread > 0;

/** Whether one chip's converters differ from another's. */
export function convertersDiffer(converter: ConverterConfig): boolean {
  const { capacitorSpread = 0, comparatorOffset = 0 } = converter.successiveApproximation ?? {};
  return hasMismatch(converter) || capacitorSpread > 0 || comparatorOffset > 0;
}

/** Draws of one converter: its capacitors, 32 at most, the one about the amplifier, its offset. */
const DRAWS = 64;
const [FEEDBACK, COMPARATOR] = [32, 33] as const;

export class ConverterBank {
  /** [chunks, columns]; in units of 1 and in codes. */
  readonly gain: Float32Array;
  readonly offset: Float32Array;
  /**
   * Per kind of conversion: C_k 2^bits / C_f from the smallest k, then the comparator's offset in
   * codes, [bits + 1, chunks, columns]. A conversion of fewer bits than the converter has stops
   * early: its capacitors are the largest ones. Empty without successive approximation.
   */
  readonly capacitors: readonly Float32Array[];

  readonly #config: CrossbarConfig;
  readonly #count: number;

  constructor(
    config: CrossbarConfig, block: CrossbarBlock, layout: BlockLayout, passes: readonly Pass[],
    seed: number, trial: number,
  ) {
    const { gainSpread, offsetSpread, share, successiveApproximation } = config.converter;
    this.#config = config;
    this.#count = layout.chunks * layout.columns;
    this.gain = new Float32Array(this.#count).fill(1);
    this.offset = new Float32Array(this.#count);
    const fullScale = codeRange(config, passes.at(-1) as Pass).high;
    const bitsOf: number[] = [];
    for (const pass of passes) bitsOf[pass.kind] = magnitudeBits(codeRange(config, pass));
    const all = Math.max(...bitsOf);
    this.capacitors = successiveApproximation === undefined ? []
      : bitsOf.map((bits) => new Float32Array((bits + 1) * this.#count));
    for (const tile of block.tiles) {
      const of = (what: string): Key => keyOf(seed, `converter ${what}`, trial, tile.id);
      const [gainKey, offsetKey, ladderKey] = [of("gain"), of("offset"), of("capacitors")];
      eachColumn(layout, tile, (at, index) => {
        const converter = Math.floor(index / share);
        this.gain[at] = 1 + gainSpread * normalAt(gainKey, converter);
        this.offset[at] = offsetSpread * fullScale * normalAt(offsetKey, converter);
        if (!successiveApproximation) return;
        const { capacitorSpread, comparatorOffset } = successiveApproximation;
        const normal = (draw: number): number => normalAt(ladderKey, converter * DRAWS + draw);
        // None is smaller than nothing.
        const capacitor = (k: number, draw: number): number =>
          Math.max(0, 2 ** k + capacitorSpread * 2 ** (k / 2) * normal(draw));
        const feedback = capacitor(all, FEEDBACK);
        bitsOf.forEach((bits, kind) => {
          const table = this.capacitors[kind] as Float32Array;
          for (let k = 0; k < bits; k++) {
            const own = all - bits + k;
            table[k * this.#count + at] = (capacitor(own, own) * 2 ** bits) / feedback;
          }
          table[bits * this.#count + at] = comparatorOffset * 2 ** bits * normal(COMPARATOR);
        });
      });
    }
  }

  /**
   * Inputs, in codes before gain and offset, between which the converter of a column does not clip.
   * @param at place of the column, [chunks, columns]
   */
  limits(pass: Pass, at: number): { low: number; high: number } {
    const { low, high } = codeRange(this.#config, pass);
    const table = this.capacitors[pass.kind];
    let [from, to] = [low - 0.5, high + 0.5];
    if (table) {
      const bits = magnitudeBits({ high });
      const entry = (row: number): number => table[row * this.#count + at] as number;
      const { openLoopGain } = this.#config.converter.successiveApproximation ?? {};
      const most = largestMagnitude(Array.from({ length: bits }, (_, k) => entry(k)), openLoopGain);
      [from, to] = [(low < 0 ? -most : from) - entry(bits), most - entry(bits)];
    }
    const [gain, offset] = [this.gain[at] as number, this.offset[at] as number];
    const ends = [(from - offset) / gain, (to - offset) / gain] as const;
    return { low: Math.min(...ends), high: Math.max(...ends) };
  }
}

/** Calls `see` with the place of every converted column of a tile, and which of them it is. */
function eachColumn(
  layout: BlockLayout, tile: CrossbarTile, see: (at: number, index: number) => void,
): void {
  const { columns, slices, sides, reads, colsN } = layout;
  const perOutput = slices * sides;
  const { chunk } = placeOf(layout, tile);
  const own = tile.outputs.count * perOutput;
  for (let i = 0; i < tile.groups.count * own; i++) {
    const group = Math.floor(i / own);
    const column = (group * colsN + tile.outputs.start) * perOutput + (i % own);
    for (let read = 0; read < reads; read++) see((chunk + read) * columns + column, i);
  }
}
