/**
 * A concrete tensor: dtype, shape and row-major data. Constants, test inputs and the values of the
 * graph-level evaluator. Not a view: strides belong to kernels. One exception saves memory: a
 * tensor whose elements are all equal may be a `splat`, holding one element (ConstantOfShape
 * weights of 100 million elements are common in published test graphs).
 */
import { InternalError } from "../errors.ts";
import { dtypeFacts, type DType } from "./dtype.ts";

/**
 * int64 and uint64 are held as Float64Array: exact up to 2^53, checked where they enter.
 * float16 and bfloat16 are held as float32.
 */
export type TensorData =
  | Float64Array | Float32Array | Int32Array | Uint32Array
  | Int16Array | Uint16Array | Int8Array | Uint8Array;

export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Row-major elements, or the one element of a splat. */
  readonly data: TensorData;
  readonly splat: boolean;
}

/** How float data is held: rounded to float32 like the devices do, or in full float64. */
export type FloatMode = "f32" | "f64";

const arrays: Record<DType, (length: number) => TensorData> = {
  float32: (n) => new Float32Array(n),
  float16: (n) => new Float32Array(n),
  bfloat16: (n) => new Float32Array(n),
  float64: (n) => new Float64Array(n),
  int8: (n) => new Int8Array(n),
  int16: (n) => new Int16Array(n),
  int32: (n) => new Int32Array(n),
  int64: (n) => new Float64Array(n),
  uint8: (n) => new Uint8Array(n),
  uint16: (n) => new Uint16Array(n),
  uint32: (n) => new Uint32Array(n),
  uint64: (n) => new Float64Array(n),
  bool: (n) => new Uint8Array(n),
};

export const sizeOf = (shape: readonly number[]): number => shape.reduce((p, d) => p * d, 1);

/** A zeroed array for `length` elements; float types become Float64Array in `f64` mode. */
export function newData(dtype: DType, length: number, mode: FloatMode = "f32"): TensorData {
  if (mode === "f64" && dtypeFacts[dtype].kind === "float") return new Float64Array(length);
  return arrays[dtype](length);
}

export function tensor(
  dtype: DType, shape: readonly number[], data: TensorData | readonly number[],
): Tensor {
  const size = sizeOf(shape);
  if (data.length !== size) {
    throw new InternalError(`tensor [${shape}] expects ${size} elements, got ${data.length}`);
  }
  if (!Array.isArray(data)) return { dtype, shape, data: data as TensorData, splat: false };
  const held = newData(dtype, size);
  held.set(data);
  return { dtype, shape, data: held, splat: false };
}

/** A tensor whose elements are all `value`, rounded to float32 unless the mode says otherwise. */
export function splat(
  dtype: DType, shape: readonly number[], value: number, mode: FloatMode = "f32",
): Tensor {
  const data = newData(dtype, 1, mode);
  data[0] = value;
  return { dtype, shape, data, splat: true };
}

export const scalar = (dtype: DType, value: number): Tensor => tensor(dtype, [], [value]);

export const elementAt = (t: Tensor, flat: number): number =>
  t.data[t.splat ? 0 : flat] as number;

/** All elements, expanding a splat. */
export function denseData(t: Tensor): TensorData {
  if (!t.splat) return t.data;
  const size = sizeOf(t.shape);
  const filled = new (t.data.constructor as new (n: number) => TensorData)(size);
  return filled.fill(t.data[0] as number);
}
