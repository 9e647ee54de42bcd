/** Inputs with a fixed seed, and how far outputs are apart. */
import type { DType } from "../../../compiler/graph/dtype.ts";
import { elementAt, sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";

/** Uniform on [-1, 1), from a linear congruential generator (Numerical Recipes). */
export function randomTensor(
  shape: readonly number[], seed: number, dtype: DType = "float32",
): Tensor {
  let state = seed >>> 0;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return tensor(dtype, shape, Array.from({ length: sizeOf(shape) }, next));
}

/** Largest difference over the largest finite magnitude expected; NaN and infinities must agree. */
export function relativeError(actual: Tensor, expected: Tensor): number {
  if (String(actual.shape) !== String(expected.shape)) return Infinity;
  let [worst, scale] = [0, 0];
  for (let i = 0; i < sizeOf(expected.shape); i++) {
    const [a, e] = [elementAt(actual, i), elementAt(expected, i)];
    if (Object.is(a, e) || a === e) {
      if (Number.isFinite(e)) scale = Math.max(scale, Math.abs(e));
      continue;
    }
    if (!Number.isFinite(a) || !Number.isFinite(e)) return Infinity;
    worst = Math.max(worst, Math.abs(a - e));
    scale = Math.max(scale, Math.abs(e));
  }
  return worst === 0 ? 0 : worst / (scale || 1);
}
