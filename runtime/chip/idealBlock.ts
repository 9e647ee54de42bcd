/**
 * The ideal chip: cells that hold any conductance of their window, converters that do not round,
 * wires without resistance, no noise. The weights go through encoding, float32 conductances and
 * decoding, and nothing else; level quantisation is an imperfection like the others.
 */
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import { decodeBlock, type TensorReader } from "../../compiler/emit/crossbar/decode.ts";
import { encodingFrom, layoutFrom, tileFrom } from "../../compiler/emit/crossbar/emit.ts";
import { withContinuousCells } from "../../compiler/emit/crossbar/encoding.ts";
import { encodeTile } from "../../compiler/emit/crossbar/tileCells.ts";
import { InternalError } from "../../compiler/errors.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import { constantOf, type Graph, type Value } from "../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import type { WeightMatrix } from "../../compiler/partition/units.ts";
import { copyNode } from "../../compiler/passes/rewrite.ts";
import { findHeart } from "./operand.ts";
import { scalesOf, weightsOfCopies, type BlockArrays } from "./replicas.ts";

/** A block as an artifact describes it. */
export interface BlockDescription {
  /** The block's graph, its weights a constant. */
  readonly graph: Graph;
  readonly crossbar: BlockArrays;
}

/** The weights of a block as its graph holds them. */
export function weightsOf({ graph, crossbar }: BlockDescription): Tensor {
  const { heart, input } = findHeart(graph, crossbar.weights.name);
  const held = constantOf(heart.inputs[1 - input] as Value);
  if (!held) throw new InternalError(`the weights of block ${crossbar.id} are not constant`);
  return held;
}

/** Weights with the arrays that hold them. */
export interface StoredWeights {
  readonly crossbar: BlockArrays;
  /** In the shape that the arrays were made from. */
  readonly weights: () => Tensor;
}

export const storedWeights = (block: BlockDescription): StoredWeights =>
  ({ crossbar: block.crossbar, weights: () =>
    weightsOfCopies(weightsOf(block), block.crossbar.copies ?? 1) });

/**
 * Conductances of each tile with cells that hold any conductance.
 * @returns siemens, [rows, columns] of the tile of that index
 */
export function continuousTiles(
  { crossbar, weights }: StoredWeights, config: CrossbarConfig, scales: Float32Array,
): (index: number) => Float32Array {
  const matrix: WeightMatrix = {
    ...crossbar.matrix, name: crossbar.weights.name, tensor: weights(),
  };
  const encoding = withContinuousCells(encodingFrom(config));
  return (index) => {
    const tile = crossbar.tiles[index];
    if (!tile) throw new InternalError(`block ${crossbar.id} has no tile ${index}`);
    return encodeTile(matrix, scales, tileFrom(tile, index), layoutFrom(crossbar), encoding);
  };
}

/** The block's graph with the weights that ideal cells hold. */
export function idealGraph(
  block: BlockDescription, config: CrossbarConfig, read: TensorReader,
): Graph {
  const { graph, crossbar } = block;
  const held = weightsOf(block);
  const scales = scalesOf(crossbar, read);
  const cells = continuousTiles(storedWeights(block), config, scales);
  // Every tile by itself: sharing of tensors is by the levels that the artifact stores.
  const numbered = { ...crossbar,
    tiles: crossbar.tiles.map((tile, i) => ({ ...tile, conductances: `${i}` })) };
  const weights = decodeBlock(config, numbered, (name) =>
    name === crossbar.scales ? scales : cells(Number(name)));
  const { heart, input } = findHeart(graph, crossbar.weights.name);
  const b = new Builder(graph.name);
  const mapped = new Map<Value, Value>();
  for (const v of graph.inputs) mapped.set(v, b.input(v.name, v.type));
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((v, i) => node.id === heart.id && i === 1 - input
      ? b.constant(tensor(held.dtype, held.shape, weights), "chip.weights")
      : mapped.get(v) as Value);
    mapped.set(node.outputs[0] as Value, copyNode(b, node, inputs));
  }
  return b.finish(graph.outputs.map(({ name, value }) =>
    ({ name, value: mapped.get(value) as Value })));
}
