/**
 * The compiler's tensors in a safetensors file, and back, bit for bit. 16-bit floats are held as
 * float32 values that need not fit 16 bits any more (folded constants), so they are stored as F32
 * and their element type goes into the file's metadata.
 */
import { dtypes, type DType } from "../../compiler/graph/dtype.ts";
import { denseData, type Tensor } from "../../compiler/graph/tensor.ts";
import type { ElementType } from "./bytes.ts";
import { readSafetensors, tensorTypes, writeSafetensors, type TensorType } from "./safetensors.ts";
import { fromTensor, toTensor } from "./tensors.ts";

const stored: Record<DType, TensorType> = {
  float16: "F32",
  bfloat16: "F32",
  float32: "F32",
  float64: "F64",
  int8: "I8",
  int16: "I16",
  int32: "I32",
  int64: "I64",
  uint8: "U8",
  uint16: "U16",
  uint32: "U32",
  uint64: "U64",
  bool: "BOOL",
};
const isNarrowFloat = (dtype: DType): boolean => dtype === "float16" || dtype === "bfloat16";

/** Writes the file whole or not at all. */
export async function writeTensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<void> {
  const metadata: Record<string, string> = {};
  const sources = [...tensors].map(([name, t]) => {
    if (isNarrowFloat(t.dtype)) metadata[name] = t.dtype;
    const chunks = (): [ReturnType<typeof fromTensor>["data"]] => [
      isNarrowFloat(t.dtype) ? Float32Array.from(denseData(t)) : fromTensor(t).data,
    ];
    return { name, dtype: stored[t.dtype], shape: t.shape, chunks };
  });
  await writeSafetensors(path, sources, metadata);
}

/** @throws UserError when the file is not what the format says */
export async function readTensors(path: string): Promise<Map<string, Tensor>> {
  const { tensors, metadata } = await readSafetensors(path);
  return new Map(
    [...tensors].map(([name, { dtype, shape, data }]) => {
      const element: ElementType = tensorTypes[dtype];
      const t = toTensor({ dtype: element, shape, data }, `${path}: ${name}`);
      const narrow = dtypes.find((d) => d === metadata[name] && isNarrowFloat(d));
      return [name, narrow ? { ...t, dtype: narrow } : t];
    }),
  );
}
