/**
 * Cutting an axis into near-equal spans, as the tiling cuts layers, and joining them again: inside
 * a graph, where spans that are one shorter are padded with a zero at their end.
 */
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { splitEvenly } from "../../compiler/partition/tiling.ts";

/** How many of the spans have the full length. */
function fullSpans(total: number, parts: number): { longest: number; full: number } {
  const spans = splitEvenly(total, parts);
  const longest = spans[0]?.count ?? 0;
  return { longest, full: spans.filter((s) => s.count === longest).length };
}

/** [.., total, ..] -> [.., parts, longest, ..]. */
export function cutEvenly(b: Builder, v: Value, axis: number, parts: number): Value {
  const { shape } = v.type;
  const total = shape[axis] as number;
  const { longest, full } = fullSpans(total, parts);
  const [before, after] = [shape.slice(0, axis), shape.slice(axis + 1)];
  if (full === parts) return b.reshape(v, [...before, parts, longest, ...after]);
  const border = full * longest;
  const head = b.reshape(b.sliceAxis(v, axis, 0, border), [...before, full, longest, ...after]);
  const tail = b.reshape(b.sliceAxis(v, axis, border, total),
    [...before, parts - full, longest - 1, ...after]);
  const zeros = shape.map(() => 0).concat(0);
  const one = zeros.with(axis + 1, 1);
  return b.concat([head, b.pad(tail, zeros, one, 0)], axis);
}

/** [.., parts, longest, ..] -> [.., total, ..]: the padding is dropped. */
export function joinEvenly(b: Builder, v: Value, axis: number, total: number): Value {
  const { shape } = v.type;
  const [parts, longest] = [shape[axis] as number, shape[axis + 1] as number];
  const { full } = fullSpans(total, parts);
  const [before, after] = [shape.slice(0, axis), shape.slice(axis + 2)];
  if (full === parts) return b.reshape(v, [...before, total, ...after]);
  const border = full * longest;
  const head = b.reshape(b.sliceAxis(v, axis, 0, full), [...before, border, ...after]);
  const tail = b.sliceAxis(b.sliceAxis(v, axis, full, parts), axis + 1, 0, longest - 1);
  return b.concat([head, b.reshape(tail, [...before, total - border, ...after])], axis);
}
