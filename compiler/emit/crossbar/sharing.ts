/**
 * Finds tiles of equal content, so that each is stored once: all inner tiles of a layer of equal
 * weights are one tensor. Content is compared where it comes from (weights and scales) and exactly;
 * the hash only says where to look. Nothing is expanded or encoded here.
 */
import { elementAt, type TensorData } from "../../graph/tensor.ts";
import type { Tile } from "../../partition/tiling.ts";
import type { WeightMatrix } from "../../partition/units.ts";

/** Where a tile's content comes from. */
export interface TileSource {
  readonly matrix: WeightMatrix;
  readonly scales: Float32Array;
  readonly tile: Tile;
}

/** FNV-1a over 32-bit words. */
const OFFSET = 0x811c9dc5;
const mix = (hash: number, word: number): number => Math.imul(hash ^ word, 0x01000193);

/** Remembers the first tile of each content. */
export class SharedTiles {
  readonly #known = new Map<string, { readonly source: TileSource; readonly name: string }[]>();

  /** The name of an earlier tile of the same content, or `name`, which is then remembered. */
  nameOf(source: TileSource, name: string): string {
    const key = `${shapeKey(source.tile)} ${contentKey(source)}`;
    const candidates = this.#known.get(key) ?? [];
    const same = candidates.find((c) => equalContent(c.source, source));
    if (same) return same.name;
    this.#known.set(key, [...candidates, { source, name }]);
    return name;
  }
}

const shapeKey = ({ groups, inputs, outputs }: Tile): string =>
  `${groups.count} ${inputs.count} ${outputs.count}`;

function contentKey({ matrix, scales, tile }: TileSource): string {
  const { tensor } = matrix;
  // Equal weights of equal scale: only the sign is left of them.
  if (tensor.splat) return `splat ${Math.sign(elementAt(tensor, 0))}`;
  const words = wordsOf(tensor.data);
  if (!words) return `at ${tile.index} of ${matrix.name}`;
  const scaleWords = new Uint32Array(scales.buffer, scales.byteOffset, scales.length);
  let hash = OFFSET;
  eachColumn(matrix, tile, (column, first) => {
    hash = mix(hash, scaleWords[column] as number);
    let at = first;
    for (let i = 0; i < tile.inputs.count; i++, at += matrix.strides.input) {
      hash = mix(hash, words[at] as number);
    }
  });
  return `${hash}`;
}

/** The bits of float32 data; undefined for other types, whose tiles are not shared. */
const wordsOf = (data: TensorData): Uint32Array | undefined => data instanceof Float32Array
  ? new Uint32Array(data.buffer, data.byteOffset, data.length) : undefined;

/** Calls `visit` with each column's index into the scales and its first weight of the tile. */
function eachColumn(
  { strides, colsN }: WeightMatrix, tile: Tile, visit: (column: number, first: number) => void,
): void {
  const { groups, inputs, outputs } = tile;
  for (let g = groups.start; g < groups.start + groups.count; g++) {
    for (let o = outputs.start; o < outputs.start + outputs.count; o++) {
      visit(g * colsN + o,
        g * strides.group + inputs.start * strides.input + o * strides.output);
    }
  }
}

/** Whether two tiles of one shape and one key hold the same shares of their scales. */
function equalContent(a: TileSource, b: TileSource): boolean {
  if (a.matrix.tensor.splat || b.matrix.tensor.splat) {
    return a.matrix.tensor.splat && b.matrix.tensor.splat;
  }
  const [x, y] = [wordsOf(a.matrix.tensor.data), wordsOf(b.matrix.tensor.data)];
  if (!x || !y) return a.matrix === b.matrix && a.tile.index === b.tile.index;
  const columns: [number, number][] = [];
  eachColumn(b.matrix, b.tile, (column, first) => columns.push([column, first]));
  let next = 0;
  let equal = true;
  eachColumn(a.matrix, a.tile, (column, first) => {
    const [otherColumn, otherFirst] = columns[next++] as [number, number];
    equal &&= a.scales[column] === b.scales[otherColumn];
    for (let i = 0; equal && i < a.tile.inputs.count; i++) {
      equal = x[first + i * a.matrix.strides.input] ===
        y[otherFirst + i * b.matrix.strides.input];
    }
  });
  return equal;
}
