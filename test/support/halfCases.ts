/** Graphs over float16 data that tell whether halves are stored, read and added up rightly. */
import { Builder } from "../../compiler/graph/builder.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import { halfToFloat } from "../../compiler/graph/half.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { Random } from "./randomGraph.ts";

export interface HalfCase {
  readonly graph: Graph;
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** Exact elements of the output "y". */
  readonly expected: readonly number[];
}

const float16 = (shape: readonly number[], data: ArrayLike<number>): Tensor =>
  ({ dtype: "float16", shape, data: Float32Array.from(data), splat: false });

/** Every float16 number in order of its bits, as weights: y is what the device reads. */
export function everyHalf(): HalfCase {
  const all = Array.from({ length: 2 ** 16 }, (_, bits) => halfToFloat(bits));
  const b = new Builder("halves");
  const x = b.input("x", { dtype: "float32", shape: [1] });
  const weights = b.constant(float16([all.length], all), "weights");
  // Chosen rather than added to, so that the sign of zero and the payload of NaN are kept.
  const y = b.where(b.binaryWith("lt", x, 1), b.cast(weights, "float32"), b.cast(x, "float32"));
  return {
    graph: b.finish([{ name: "y", value: y }]),
    inputs: new Map([["x", tensor("float32", [1], [0])]]), expected: all,
  };
}

/**
 * A product of float16 matrices and a sum of float16 numbers, both beyond 2048, where adding one to
 * a float16 changes nothing: only sums in float32 come out exact.
 */
export function longSums(): HalfCase {
  const r = new Random(8);
  const [rows, columns, depth] = [5, 13, 4099];
  const bits = (count: number): number[] => Array.from({ length: count }, () => r.int(0, 1));
  const [x, w] = [bits(rows * depth), bits(depth * columns)];
  const b = new Builder("long sums");
  const given = b.input("x", { dtype: "float16", shape: [rows, depth] });
  const weights = b.constant(float16([depth, columns], w), "weights");
  const product = b.cast(b.dot(given, weights, 0, 1), "float32");
  const ones = b.binary("le", given, b.full(given, 2));
  const count = b.reduce("sum", b.cast(ones, "float16"), [1], true);
  const y = b.concat([product, b.cast(count, "float32")], 1);
  const expected = Array.from({ length: rows }, (_, i) => [
    ...Array.from({ length: columns }, (__, j) => {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        sum += (x[i * depth + k] as number) * (w[k * columns + j] as number);
      }
      return sum;
    }),
    depth,
  ]).flat();
  return {
    graph: b.finish([{ name: "y", value: y }]),
    inputs: new Map([["x", float16([rows, depth], x)]]), expected,
  };
}
