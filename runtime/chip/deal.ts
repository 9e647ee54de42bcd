/**
 * Which copy of a layer makes which of its products. The products of an inference (the windows of
 * a convolution, the rows of a matrix) are dealt to the copies as the cost model counts them: so
 * many divided by the copies, to within one. Each copy has neighbours: a rectangle of the windows
 * where the copies divide them, so that nothing is copied and no loop is lost; else a span of them
 * in raster order, the longer spans first.
 *
 * Not here: what a copy's arrays hold (`replicas.ts`).
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import { divDimsExact, type Dim } from "../../compiler/graph/dim.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { UserError } from "../../compiler/errors.ts";
import { splitEvenly } from "../../compiler/partition/tiling.ts";
import { range } from "./axes.ts";
import { cutEvenly, joinEvenly } from "./even.ts";

export interface Deal {
  readonly copies: number;
  /** Axes of the positions, the numbers in sizes such as 49*N apart. */
  readonly axes: readonly Dim[];
  /** Of every axis, the parts it is cut into; undefined where spans are dealt. */
  readonly parts: readonly number[] | undefined;
  /** Products of an inference that each copy makes; a copy's positions are as many as the most. */
  readonly shares: readonly number[];
}

const divisor = (a: number, b: number): number => b === 0 ? a : divisor(b, a % b);

/** 49*N as N and 49: symbols count inferences, numbers the products of one. */
function axesOf(dim: Dim): Dim[] {
  if (typeof dim === "number") return [dim];
  const [coefficient = 1, ...more] = dim.terms.values();
  const rest = more.length > 0 || coefficient === 1 ? undefined : divDimsExact(dim, coefficient);
  return rest === undefined ? [dim] : [rest, coefficient];
}

const isNumber = (axis: Dim): axis is number => typeof axis === "number";

/**
 * @param positions axes of what a layer makes products at, in raster order
 * @param layer its name, for messages
 * @throws UserError when there are fewer products than copies, as far as sizes are known
 */
export function dealOf(positions: readonly Dim[], copies: number, layer: string): Deal {
  const axes = positions.flatMap(axesOf);
  const products = axes.filter(isNumber).reduce((p, d) => p * d, 1);
  if (copies > 1 && products < copies) {
    throw new UserError(`has ${products} products per inference for ${copies} copies`, {
      place: layer,
      remedy: "Compile it with fewer copies, or give the sizes that are symbols with --bind.",
    });
  }
  const shares = splitEvenly(products, copies).map(({ count }) => count);
  if (products % copies > 0) return { copies, axes, parts: undefined, shares };
  let left = copies;
  const parts = axes.map((axis) => {
    const own = isNumber(axis) ? divisor(left, axis) : 1;
    left /= own;
    return own;
  });
  return { copies, axes, parts, shares };
}

/** [lead.., positions..] -> [copies, lead.., positions of a copy..]. */
export function deal(b: Builder, v: Value, { copies, axes, parts }: Deal, lead: number): Value {
  const before = v.type.shape.slice(0, lead);
  if (parts === undefined) {
    const { order, symbols, products } = rasterOf(axes);
    const moved = b.transpose(b.reshape(v, [...before, ...axes]),
      [...range(0, lead), ...order.map((axis) => lead + axis)]);
    const at = lead + symbols.length;
    const cut = cutEvenly(b, b.reshape(moved, [...before, ...symbols, products]), at, copies);
    return b.transpose(cut, [at, ...range(0, at), at + 1]);
  }
  const inner = axes.map((axis, i) => divDimsExact(axis, parts[i] as number) as Dim);
  const cut = b.reshape(v,
    [...before, ...axes.flatMap((_, i): Dim[] => [parts[i] as number, inner[i] as Dim])]);
  const every = (half: 0 | 1): number[] => axes.map((_, i) => lead + 2 * i + half);
  const moved = b.transpose(cut, [...every(0), ...range(0, lead), ...every(1)]);
  return b.reshape(moved, [copies, ...before, ...inner]);
}

/** [copies, lead.., positions of a copy..] -> [lead.., positions..]. */
export function collect(
  b: Builder, v: Value, { axes, parts }: Deal, lead: number,
  positions: readonly Dim[],
): Value {
  const before = v.type.shape.slice(1, 1 + lead);
  if (parts === undefined) {
    const { order, symbols, products } = rasterOf(axes);
    const at = lead + symbols.length;
    const together = b.transpose(v, [...range(1, at + 1), 0, at + 1]);
    const flat = joinEvenly(b, together, at, products);
    const apart = b.reshape(flat, [...before, ...order.map((axis) => axes[axis] as Dim)]);
    const back = b.transpose(apart,
      [...range(0, lead), ...axes.map((_, axis) => lead + order.indexOf(axis))]);
    return b.reshape(back, [...before, ...positions]);
  }
  const inner = v.type.shape.slice(1 + lead);
  const n = axes.length;
  const apart = b.reshape(v, [...parts, ...before, ...inner]);
  const together = b.transpose(apart, [
    ...range(n, n + lead), ...axes.flatMap((_, i) => [i, n + lead + i]),
  ]);
  return b.reshape(together, [...before, ...positions]);
}

/** Symbols first, then the numbers as one axis of the products of an inference. */
function rasterOf(axes: readonly Dim[]): {
  readonly order: readonly number[]; readonly symbols: readonly Dim[]; readonly products: number;
} {
  const all = range(0, axes.length);
  const symbols = all.filter((i) => !isNumber(axes[i] as Dim));
  const numbers = all.filter((i) => isNumber(axes[i] as Dim));
  return {
    order: [...symbols, ...numbers], symbols: symbols.map((i) => axes[i] as Dim),
    products: numbers.reduce((p, i) => p * (axes[i] as number), 1),
  };
}

/** Positions of a copy, of so many, that are products: its last of an inference may be none. */
export function* productsOf(
  { parts, shares }: Deal, copy: number, positions: number,
): Generator<readonly [from: number, to: number]> {
  const [most, own] = [shares[0] as number, shares[copy] as number];
  if (parts !== undefined || own === most) yield [0, positions];
  else for (let from = 0; from < positions; from += most) yield [from, from + own];
}
