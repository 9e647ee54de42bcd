/**
 * Between tensors (any ONNX element type) and device memory (f32, i32, u32). Values that 32 bits
 * cannot hold are refused by name, never truncated.
 */
import { UserError } from "../../compiler/errors.ts";
import { dtypeFacts, storageOf, type DType } from "../../compiler/graph/dtype.ts";
import { packHalves, unpackHalf } from "../../compiler/graph/half.ts";
import {
  denseData,
  newData,
  sizeOf,
  type Tensor,
  type TensorData,
} from "../../compiler/graph/tensor.ts";

export type DeviceArray = Float32Array | Int32Array | Uint32Array;

/** A value that the 32-bit types of devices cannot hold: refused, not a wrong result. */
export class RangeRefusal extends UserError {}

/** Largest finite float32. */
const FLOAT32_MAX = 3.4028234663852886e38;

function toFloats(data: TensorData, name: string): Float32Array {
  if (data instanceof Float32Array) return data;
  const bad = data.find((x) => Number.isFinite(x) && Math.abs(x) > FLOAT32_MAX);
  if (bad !== undefined) {
    throw new RangeRefusal(`The float64 tensor holds ${bad}, which float32 cannot`, {
      place: name,
      remedy: "devices compute float64 in float32: scale the values",
    });
  }
  return Float32Array.from(data);
}

/** Elements as a device holds them; with `wide` (the float64 interpreter), floats as they are. */
export function toDeviceArray(t: Tensor, name: string, wide = false): DeviceArray | Float64Array {
  const data = denseData(t);
  const storage = storageOf(t.dtype);
  if (storage === "f32") {
    return wide && data instanceof Float64Array ? data : toFloats(data, name);
  }
  if (dtypeFacts[t.dtype].bits === 64) {
    const [low, high] = t.dtype === "uint64" ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
    const bad = (data as Float64Array).find((x) => x < low || x > high);
    if (bad !== undefined) {
      throw new RangeRefusal(`The ${t.dtype} tensor holds ${bad}, which 32 bits cannot`, {
        place: name,
        remedy: "devices compute 64-bit integers in 32 bits: use smaller values",
      });
    }
  }
  if (storage === "u32") return data instanceof Uint32Array ? data : Uint32Array.from(data);
  return data instanceof Int32Array ? data : Int32Array.from(data);
}

/** A float16 tensor as halves, two to a word. */
export const toHalfWords = (t: Tensor): Uint32Array => packHalves(denseData(t));

/** A float16 tensor from such words. */
export function fromHalfWords(shape: readonly number[], words: ArrayBuffer): Tensor {
  const packed = new Uint32Array(words);
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => unpackHalf(packed, i));
  return { dtype: "float16", shape, data, splat: false };
}

/** A tensor from raw device words. */
export function fromDeviceWords(
  dtype: DType,
  shape: readonly number[],
  words: ArrayBuffer,
): Tensor {
  const count = sizeOf(shape);
  const storage = storageOf(dtype);
  const view =
    storage === "f32"
      ? new Float32Array(words, 0, count)
      : storage === "u32"
        ? new Uint32Array(words, 0, count)
        : new Int32Array(words, 0, count);
  const data = newData(dtype, count);
  if (data.constructor === view.constructor) return { dtype, shape, data: view, splat: false };
  data.set(view);
  return { dtype, shape, data, splat: false };
}
