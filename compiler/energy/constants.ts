/**
 * Constants of energy graphs. `Builder.full` rounds to float32, which is what devices compute in;
 * the float64 reference must not inherit that rounding, so numbers that float32 cannot hold are
 * kept as doubles (devices round them when they load them).
 */
import type { Builder } from "../graph/builder.ts";
import type { Value } from "../graph/graph.ts";

/** `value` everywhere in the shape of `like`. */
export function real(b: Builder, value: number, like: Value): Value {
  if (Math.fround(value) === value) return b.full(like, value);
  const exact = b.constant({
    dtype: like.type.dtype, shape: [], data: Float64Array.of(value), splat: false,
  });
  return b.broadcast(exact, like.type.shape);
}
