/** How far two tensors are apart, as one number; not a matcher of its own. */
import { expect } from "vitest";
import { elementAt, sizeOf, type Tensor } from "../../compiler/graph/tensor.ts";

/**
 * Largest difference relative to the largest magnitude (at least 1); Infinity and NaN must agree in
 * place.
 */
export function difference(actual: Tensor, expected: Tensor): number {
  expect(actual.shape).toEqual(expected.shape);
  let [worst, scale] = [0, 1];
  for (let i = 0; i < sizeOf(expected.shape); i++) {
    const [a, e] = [elementAt(actual, i), elementAt(expected, i)];
    if (Object.is(a, e) || a === e) continue;
    if (!Number.isFinite(e) || !Number.isFinite(a)) return Infinity;
    worst = Math.max(worst, Math.abs(a - e));
    scale = Math.max(scale, Math.abs(e));
  }
  return worst / scale;
}

/** Largest difference over the largest magnitude of what is expected. */
export function relativeToLargest(actual: Tensor, expected: Tensor): number {
  let [worst, scale] = [0, 0];
  for (let i = 0; i < sizeOf(expected.shape); i++) {
    const [a, e] = [elementAt(actual, i), elementAt(expected, i)];
    if (Number.isNaN(a - e)) return Infinity;
    worst = Math.max(worst, Math.abs(a - e));
    scale = Math.max(scale, Math.abs(e));
  }
  return worst / scale;
}
