/**
 * Crossbars back to weights, from nothing but the configuration and its tensors: the proof that
 * every weight is on exactly one place of one tile, and what the ideal chip multiplies with.
 */
import { InternalError } from "../../errors.ts";
import { sizeOf } from "../../graph/tensor.ts";
import type { CrossbarBlock, CrossbarConfig } from "./config.ts";
import { encodingFrom, layoutFrom, tileFrom } from "./emit.ts";
import { decodeTile } from "./tileCells.ts";

/** Gives a stored tensor's elements by name. */
export type TensorReader = (name: string) => ArrayLike<number>;

/**
 * A block's weights as its conductances hold them.
 * @param read tensors of the artifact: conductances in siemens, scales
 * @returns elements in the order of the block's weight tensor
 * @throws InternalError when a weight is on no tile, or on two
 */
export function decodeBlock(
  config: CrossbarConfig, block: CrossbarBlock, read: TensorReader,
): Float32Array {
  const encoding = encodingFrom(config);
  const { strides, colsN, groups, rowsK } = block.matrix;
  const weights = new Float32Array(sizeOf(block.weights.shape));
  const placed = new Uint8Array(weights.length);
  const scales = read(block.scales);
  let count = 0;
  block.tiles.forEach((tile, index) => {
    const cells = read(tile.conductances);
    if (cells.length !== tile.rows * tile.columns) {
      throw new InternalError(`tile ${tile.id} has ${cells.length} conductances`);
    }
    decodeTile(cells, tileFrom(tile, index), layoutFrom(block), encoding,
      (group, input, output, share) => {
        const at = group * strides.group + input * strides.input + output * strides.output;
        if (placed[at]) throw new InternalError(`weight ${at} of ${block.id} is placed twice`);
        placed[at] = 1;
        count++;
        weights[at] = share * (scales[group * colsN + output] as number);
      });
  });
  if (count !== groups * rowsK * colsN) {
    throw new InternalError(`${count} weights of ${block.id} are on tiles`);
  }
  return weights;
}
