/**
 * A contraction seen as arrays see it: its input as [groups, K.., positions..] and its result as
 * [groups, columns, positions..], for convolutions and products with the weights on either side.
 * Windows stay windows: nothing is unrolled, an array is used once per position.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import { constantOf, isOp, type Graph, type Node, type Value } from "../../compiler/graph/graph.ts";
import { InternalError } from "../../compiler/errors.ts";
import { productOf, type Dim } from "../../compiler/graph/dim.ts";
import { range } from "./axes.ts";
import { collect, deal, dealOf, type Deal } from "./deal.ts";

export type Heart = Node<"conv"> | Node<"dot">;

/** A contraction on arrays. */
export interface Place {
  readonly heart: Heart;
  /** Which of its operands drives the rows. */
  readonly input: number;
  /** Copies of its arrays, which share its products; one unless given. */
  readonly copies?: number;
}

/** The contraction of a block's graph whose weights have this name, and its other operand. */
export function findHeart(graph: Graph, weights: string): { heart: Heart; input: number } {
  for (const node of graph.nodes) {
    if (!isOp(node, "conv") && !isOp(node, "dot")) continue;
    const at = node.inputs.findIndex((v) => constantOf(v) && v.name === weights);
    if (at >= 0) return { heart: node, input: 1 - at };
  }
  throw new InternalError(`block ${graph.name} has no product with the weights ${weights}`);
}

export interface Operand {
  /** [groups, K.., positions..]. */
  readonly value: Value;
  /** Number of K axes. */
  readonly depth: number;
}

/** Where a contraction has products: the axes of its result but for groups and columns. */
function positionsOf({ heart, input }: Place): readonly Dim[] {
  const out = (heart.outputs[0] as Value).type.shape;
  if (isOp(heart, "conv")) return [out[0] as Dim, ...out.slice(2)];
  const { batch, contract } = (heart as Node<"dot">).attrs;
  const weights = heart.inputs[1 - input] as Value;
  const free = weights.type.shape.length - batch - contract;
  return input === 0 ? out.slice(batch, out.length - free) : out.slice(batch + free);
}

/** How a contraction's products are shared. @throws UserError when there are too few of them */
export const dealAt = (place: Place): Deal =>
  dealOf(positionsOf(place), place.copies ?? 1, place.heart.origin.join(", "));

/** The input of a contraction as its arrays take it; of copies each has groups of its own. */
export function operandOf(b: Builder, place: Place, x: Value): Operand {
  const one = undealt(b, place, x);
  const { copies = 1 } = place;
  if (copies === 1) return one;
  const dealt = deal(b, one.value, dealAt(place), 1 + one.depth);
  const [, groups, ...rest] = dealt.type.shape as [number, number, ...Dim[]];
  return { value: b.reshape(dealt, [copies * groups, ...rest]), depth: one.depth };
}

/**
 * What samples have in common at every position: [samples..], the first axes of the positions, as
 * [1 or groups, 1, positions..] of an operand with as many groups.
 */
export function overPositions(b: Builder, place: Place, perSample: Value, groups: number): Value {
  const { shape } = perSample.type;
  const positions = positionsOf(place);
  const ones = new Array<Dim>(positions.length - shape.length).fill(1);
  const { copies = 1 } = place;
  if (copies === 1) return b.reshape(perSample, [1, 1, ...shape, ...ones]);
  const all = b.broadcast(b.reshape(perSample, [...shape, ...ones]), positions);
  const dealt = deal(b, all, dealAt(place), 0);
  const each = dealt.type.shape.slice(1);
  const apart = b.broadcast(b.reshape(dealt, [copies, 1, 1, ...each]),
    [copies, groups / copies, 1, ...each]);
  return b.reshape(apart, [groups, 1, ...each]);
}

function undealt(b: Builder, { heart, input }: Place, x: Value): Operand {
  const { shape } = x.type;
  if (isOp(heart, "conv")) {
    const { strides, dilations, low, high, groups } = heart.attrs;
    const taps = (heart.inputs[1] as Value).type.shape.slice(2) as number[];
    const n = taps.length;
    const padded = b.pad(x, [0, 0, ...low], [0, 0, ...high], 0);
    const windows = b.add("window", [padded], { sizes: taps, strides, dilations });
    const outs = windows.type.shape.slice(2, 2 + n);
    const channels = (heart.inputs[1] as Value).type.shape[1] as Dim;
    const split = b.reshape(windows, [shape[0] as Dim, groups, channels, ...outs, ...taps]);
    const perm = [1, 2, ...range(3 + n, 3 + 2 * n), 0, ...range(3, 3 + n)];
    return { value: b.transpose(split, perm), depth: 1 + n };
  }
  const { batch, contract } = (heart as Node<"dot">).attrs;
  const rank = shape.length;
  // Left operand [B, M, K], right operand [B, K, N].
  const kFrom = input === 0 ? rank - contract : batch;
  const k = range(kFrom, kFrom + contract);
  const positions = input === 0 ? range(batch, kFrom) : range(kFrom + contract, rank);
  const moved = b.transpose(x, [...range(0, batch), ...k, ...positions]);
  const groups = productOf(shape.slice(0, batch));
  const value = b.reshape(moved, [groups, ...moved.type.shape.slice(batch)]);
  return { value, depth: contract };
}

/** A result [groups, columns, positions..] in the shape of the contraction's own. */
export function resultOf(b: Builder, place: Place, dealt: Value): Value {
  const { heart, input, copies = 1 } = place;
  const out = (heart.outputs[0] as Value).type.shape;
  const [all, ...rest] = dealt.type.shape as [number, ...Dim[]];
  const y = copies === 1 ? dealt : collect(
    b, b.reshape(dealt, [copies, all / copies, ...rest]), dealAt(place), 2, positionsOf(place));
  if (isOp(heart, "conv")) {
    const n = out.length - 2;
    const moved = b.transpose(y, [2, 0, 1, ...range(3, 3 + n)]);
    return b.reshape(moved, out);
  }
  const { batch, contract } = (heart as Node<"dot">).attrs;
  const weights = heart.inputs[1 - input] as Value;
  const free = weights.type.shape.length - batch - contract;
  const columns = input === 0 ? out.slice(out.length - free) : out.slice(batch, batch + free);
  const positions = y.type.shape.slice(2);
  const split = b.reshape(y, [...out.slice(0, batch), ...columns, ...positions]);
  if (input === 1) return split;
  // [B, N, M] -> [B, M, N]
  const p = positions.length;
  return b.transpose(split, [
    ...range(0, batch), ...range(batch + free, batch + free + p), ...range(batch, batch + free),
  ]);
}
