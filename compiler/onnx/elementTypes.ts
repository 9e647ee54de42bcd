/**
 * ONNX's element types by their number in the file: the ones that tensors have here, and the names
 * of the others, so that a refusal can say what it refuses.
 */
import type { DType } from "../graph/dtype.ts";

/** TensorProto.DataType. */
const byNumber: Readonly<Record<number, string>> = {
  1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
  8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
  14: "complex64", 15: "complex128", 16: "bfloat16", 17: "float8e4m3fn", 18: "float8e4m3fnuz",
  19: "float8e5m2", 20: "float8e5m2fnuz", 21: "uint4", 22: "int4", 23: "float4e2m1",
  24: "float8e8m0", 25: "uint2", 26: "int2",
};

/** Bytes per element in `raw_data`, for the types that tensors have here. */
export const bytesPerElement: Readonly<Record<DType, number>> = {
  float32: 4, float16: 2, bfloat16: 2, float64: 8, int8: 1, int16: 2, int32: 4, int64: 8,
  uint8: 1, uint16: 2, uint32: 4, uint64: 8, bool: 1,
};

export const elementTypeName = (code: number): string => byNumber[code] ?? `type ${code}`;

/** The element type as one that tensors have here; undefined for strings, complex, sub-byte. */
export function dtypeOf(name: string): DType | undefined {
  return name in bytesPerElement ? name as DType : undefined;
}

/** Number of an element type in a file. */
export function elementTypeCode(dtype: DType): number {
  const found = Object.entries(byNumber).find(([, name]) => name === dtype);
  return Number((found as [string, string])[0]);
}
