/**
 * From arrays of files to the compiler's tensors and back: 16-bit floats become float32 values,
 * 64-bit integers become exact doubles. Not a conversion between element types: the tensor's
 * dtype is the file's.
 */
import { UserError } from "../../compiler/errors.ts";
import type { DType } from "../../compiler/graph/dtype.ts";
import { floatToHalf, halfToFloat } from "../../compiler/graph/half.ts";
import { denseData, tensor, type Tensor, type TensorData } from "../../compiler/graph/tensor.ts";
import { elementTypes, type ElementType, type NumericArray, type NumericData } from "./bytes.ts";

const dtypeOf: Record<ElementType, DType> = {
  f2: "float16", f4: "float32", f8: "float64",
  i1: "int8", i2: "int16", i4: "int32", i8: "int64",
  u1: "uint8", u2: "uint16", u4: "uint32", u8: "uint64", b1: "bool",
};

/** NumPy has no bfloat16; its values are exact in float32. */
const elementTypeOf: Record<DType, ElementType> = {
  float16: "f2", bfloat16: "f4", float32: "f4", float64: "f8",
  int8: "i1", int16: "i2", int32: "i4", int64: "i8",
  uint8: "u1", uint16: "u2", uint32: "u4", uint64: "u8", bool: "b1",
};

/** Throws UserError where a 64-bit integer is larger than the 2^53 that a double holds exactly. */
export function toTensor({ dtype, shape, data }: NumericArray, place: string): Tensor {
  return tensor(dtypeOf[dtype], shape, valuesOf(dtype, data, place));
}

/** The elements as numbers: what `data` holds, with 16-bit floats and 64-bit integers decoded. */
export function valuesOf(dtype: ElementType, data: NumericData, place: string): TensorData {
  if (dtype === "f2") return Float32Array.from(data as Uint16Array, halfToFloat);
  if (!(data instanceof BigInt64Array || data instanceof BigUint64Array)) return data;
  const values = new Float64Array(data.length);
  data.forEach((value: bigint, i: number) => {
    values[i] = Number(value);
    if (!Number.isSafeInteger(values[i])) {
      throw new UserError(`element ${i} is ${value}, beyond the exact range of +-2^53`, {
        place, remedy: "Use smaller integers or a 32-bit type.",
      });
    }
  });
  return values;
}

export function fromTensor(t: Tensor): NumericArray {
  const dtype = elementTypeOf[t.dtype];
  const dense = denseData(t);
  const data = new elementTypes[dtype](dense.length);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    dense.forEach((value: number, i: number) => void (data[i] = BigInt(value)));
  } else if (dtype === "f2") {
    dense.forEach((value: number, i: number) => void (data[i] = floatToHalf(value)));
  } else {
    data.set(dense);
  }
  return { dtype, shape: t.shape, data };
}
