/**
 * From a tensor of a file to a tensor of the compiler: a view of the file's bytes where alignment
 * allows, one copy otherwise. 16-bit floats are read as float32, 64-bit integers become float64
 * (exact up to 2^53; whether larger ones may be used is for `import.ts` to say, since INT64_MAX is
 * how exporters write "to the end").
 */
import { UserError } from "../errors.ts";
import { isFloat, type DType } from "../graph/dtype.ts";
import { bfloatToFloat, halfToFloat } from "../graph/half.ts";
import { sizeOf, tensor, type Tensor, type TensorData } from "../graph/tensor.ts";
import { bytesPerElement, dtypeOf } from "./elementTypes.ts";
import type { TensorSource } from "./model.ts";
import { UnsupportedError } from "./refusal.ts";

type NumberArray = new (buffer: ArrayBuffer, offset: number, length: number) => TensorData;

const arrays: Partial<Record<DType, NumberArray>> = {
  float32: Float32Array as NumberArray, float64: Float64Array as NumberArray,
  int8: Int8Array as NumberArray, int16: Int16Array as NumberArray,
  int32: Int32Array as NumberArray, uint8: Uint8Array as NumberArray,
  uint16: Uint16Array as NumberArray, uint32: Uint32Array as NumberArray,
  bool: Uint8Array as NumberArray,
};

/** The bytes as whole elements of `width` bytes: a view when aligned, else a copy. */
function aligned(bytes: Uint8Array, width: number): { buffer: ArrayBuffer; offset: number } {
  return bytes.byteOffset % width === 0
    ? { buffer: bytes.buffer as ArrayBuffer, offset: bytes.byteOffset }
    : { buffer: bytes.slice().buffer, offset: 0 };
}

/** Every float16 as float32, by its bits; made when first needed. */
let everyHalf: Float32Array | undefined;

function decodedHalves(dtype: DType, bytes: Uint8Array): Float32Array {
  const { buffer, offset } = aligned(bytes, 2);
  const bits = new Uint16Array(buffer, offset, bytes.length / 2);
  const values = new Float32Array(bits.length);
  if (dtype === "bfloat16") {
    const words = new Uint32Array(values.buffer);
    for (let i = 0; i < bits.length; i++) words[i] = (bits[i] as number) << 16;
    return values;
  }
  everyHalf ??= Float32Array.from({ length: 1 << 16 }, (_, i) => halfToFloat(i));
  for (let i = 0; i < bits.length; i++) values[i] = everyHalf[bits[i] as number] as number;
  return values;
}

/** From this many elements on, 16-bit floats are held as the file has them. */
const manyHalves = 1 << 16;

/**
 * A tensor of 16-bit floats in 16 bits per element: they become float32 when they are asked for,
 * and stay so only while somebody works with them. A graph that holds its weights for long (a
 * session, a compiled model) holds half of the memory.
 */
class HalfTensor implements Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly splat = false;
  readonly #bytes: Uint8Array;
  #decoded: WeakRef<Float32Array> | undefined;

  constructor(dtype: DType, shape: readonly number[], bytes: Uint8Array) {
    this.dtype = dtype;
    this.shape = shape;
    this.#bytes = bytes;
  }

  get data(): TensorData {
    const held = this.#decoded?.deref();
    if (held) return held;
    const data = decodedHalves(this.dtype, this.#bytes);
    this.#decoded = new WeakRef(data);
    return data;
  }
}

function fromRaw(dtype: DType, bytes: Uint8Array): TensorData {
  const width = bytesPerElement[dtype];
  const count = bytes.length / width;
  const plain = arrays[dtype];
  if (plain) {
    const { buffer, offset } = aligned(bytes, width);
    return new plain(buffer, offset, count);
  }
  if (width === 2) return decodedHalves(dtype, bytes);
  const { buffer, offset } = aligned(bytes, 4);
  const words = new Uint32Array(buffer, offset, 2 * count);
  const values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const high = words[2 * i + 1] as number;
    values[i] = (dtype === "int64" ? high | 0 : high) * 2 ** 32 + (words[2 * i] as number);
  }
  return values;
}

/** Typed fields hold 16-bit floats as their bits, and unsigned 64-bit integers as signed ones. */
const fromTyped: Partial<Record<DType, (value: number) => number>> = {
  float16: halfToFloat,
  bfloat16: bfloatToFloat,
  uint64: (value) => (value < 0 ? value + 2 ** 64 : value),
};

/**
 * @throws UnsupportedError when the element type has no place here
 * @throws UserError when external data was not loaded first
 */
export function readTensor(source: TensorSource, place: string): Tensor {
  const { name, elementType, shape, content } = source;
  const dtype = dtypeOf(elementType);
  if (!dtype) {
    throw new UnsupportedError(`The tensor "${name}" has elements of type ${elementType}`, place);
  }
  if (content.kind === "external") {
    throw new UserError(`The elements of "${name}" lie in ${content.location}, which is not read`, {
      place, remedy: "load the external data first",
    });
  }
  if (content.kind === "raw") {
    const isHalf = bytesPerElement[dtype] === 2 && isFloat(dtype);
    return isHalf && sizeOf(shape) >= manyHalves ? new HalfTensor(dtype, shape, content.bytes)
      : tensor(dtype, shape, fromRaw(dtype, content.bytes));
  }
  const values = content.kind === "typed" ? content.values : [];
  const decode = fromTyped[dtype];
  if (values.length !== sizeOf(shape)) {
    throw new UserError(`The tensor "${name}" has ${values.length} elements, not [${shape}]`, {
      place, remedy: "export the file again",
    });
  }
  return tensor(dtype, shape, decode ? Array.from(values, decode) : Array.from(values));
}
