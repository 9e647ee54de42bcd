/**
 * Layers that are stored several times, so that their products run side by side (`compile
 * --replicas`). The arrays of a block with N copies are those of a block with N times the groups:
 * every copy has cells, faults, wires and converters of its own, drawn by the names of its tiles,
 * and multiplies with the inputs that it is dealt (`deal.ts`). What an artifact stores of copies is
 * their number.
 */
import type { CrossbarBlock, CrossbarTile } from "../../compiler/emit/crossbar/config.ts";
import type { TensorReader } from "../../compiler/emit/crossbar/decode.ts";
import { sizeOf, type Tensor, type TensorData } from "../../compiler/graph/tensor.ts";

/** A block with the tiles of all its copies. */
export interface BlockArrays extends CrossbarBlock {
  /** Copies among the groups, the outermost; one unless given. */
  readonly copies?: number;
}

/** Name of a tile of a copy; the first copy's tiles are named as if there were no other. */
export const tileOfCopy = (tile: string, copy: number): string =>
  copy === 0 ? tile : `${tile}.copy${copy}`;

/** The arrays of a block as an artifact describes it. */
export function arraysOf({ replicas: copies = 1, ...block }: CrossbarBlock): BlockArrays {
  if (copies === 1) return block;
  const { matrix, weights, grid } = block;
  const { groups, strides } = matrix;
  const all = Array.from({ length: copies }, (_, copy) => copy);
  const group = groups === 1 ? sizeOf(weights.shape) : strides.group;
  return {
    ...block, copies,
    matrix: { ...matrix, groups: copies * groups, strides: { ...strides, group } },
    weights: { ...weights, shape: [copies, ...weights.shape] },
    grid: { ...grid, groupTiles: copies * grid.groupTiles },
    tiles: all.flatMap((copy) => block.tiles.map((tile): CrossbarTile => ({
      ...tile, id: tileOfCopy(tile.id, copy),
      groups: { ...tile.groups, start: copy * groups + tile.groups.start },
    }))),
  };
}

/** Scales of all groups, those of copies included. */
export const scalesOf = ({ scales, copies = 1 }: BlockArrays, read: TensorReader): Float32Array =>
  repeated(Float32Array.from(read(scales)), copies) as Float32Array;

/** Weights of all copies, the copies as leading axis. */
export const weightsOfCopies = (weights: Tensor, copies: number): Tensor => ({
  ...weights, shape: [copies, ...weights.shape],
  data: weights.splat ? weights.data : repeated(weights.data, copies),
});

function repeated(data: TensorData, copies: number): TensorData {
  if (copies === 1) return data;
  const all = new (data.constructor as new (n: number) => TensorData)(copies * data.length);
  for (let copy = 0; copy < copies; copy++) all.set(data, copy * data.length);
  return all;
}
