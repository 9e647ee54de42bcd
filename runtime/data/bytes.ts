/**
 * Typed arrays over the bytes of a file: the part that .npy, .safetensors and idx have in common.
 *
 * Hosts are taken to be little-endian, as every host of WebAssembly and WebGPU in use is; files
 * may be either. Not a tensor type: `tensors.ts` leads from here to the compiler's.
 */
import { UserError } from "../../compiler/errors.ts";

/** Element types, by their NumPy names: kind (float, int, uint, bool) and bytes. */
export const elementTypes = {
  f2: Uint16Array, f4: Float32Array, f8: Float64Array,
  i1: Int8Array, i2: Int16Array, i4: Int32Array, i8: BigInt64Array,
  u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, u8: BigUint64Array,
  b1: Uint8Array,
} as const;

/** `f2` is held as its raw bits in a Uint16Array (`tensors.ts` converts), `b1` as bytes 0 and 1. */
export type ElementType = keyof typeof elementTypes;

export type NumericData =
  | Float64Array | Float32Array | BigInt64Array | BigUint64Array
  | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array;

/** A shape and its elements in row-major order. */
export interface NumericArray {
  readonly dtype: ElementType;
  readonly shape: readonly number[];
  readonly data: NumericData;
}

export const isElementType = (name: string): name is ElementType =>
  Object.hasOwn(elementTypes, name);

export const widthOf = (dtype: ElementType): number => elementTypes[dtype].BYTES_PER_ELEMENT;

/** The bytes that an array's elements occupy, without a copy. */
export const bytesOf = (data: NumericData): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/**
 * The number of elements of a shape that was read from a file.
 * Throws UserError where an axis or the product is no exact integer (hostile headers).
 */
export function countElements(shape: readonly number[], place: string): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new UserError(`the shape [${shape}] has an impossible axis of ${size}`, {
        place, remedy: "Make the file again.",
      });
    }
    count *= size;
  }
  // A zero axis makes the product 0, or NaN where the others overflow to infinity.
  if (shape.includes(0)) return 0;
  if (!Number.isSafeInteger(count * 8)) {
    throw new UserError(`the shape [${shape}] has more elements than any file holds`, {
      place, remedy: "Make the file again.",
    });
  }
  return count;
}

/**
 * `count` elements at `offset`: a view where the offset is aligned and the byte order is the
 * host's, else a copy. The caller has checked that the bytes are there.
 */
export function elementsAt(
  dtype: ElementType, bytes: Uint8Array, offset: number, count: number, bigEndian = false,
): NumericData {
  const width = widthOf(dtype);
  let at = bytes.byteOffset + offset;
  let buffer = bytes.buffer;
  if (at % width !== 0 || (bigEndian && width > 1)) {
    const copy = bytes.slice(offset, offset + count * width);
    if (bigEndian) swapInPlace(copy, width);
    buffer = copy.buffer;
    at = copy.byteOffset;
  }
  return new elementTypes[dtype](buffer as ArrayBuffer, at, count);
}

function swapInPlace(bytes: Uint8Array, width: number): void {
  for (let at = 0; at < bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}

/** Throws UserError unless every byte of a boolean array is 0 or 1. */
export function checkBooleans(data: NumericData, place: string): void {
  const bad = (data as Uint8Array).findIndex((byte) => byte > 1);
  if (bad < 0) return;
  throw new UserError(`boolean element ${bad} holds the byte ${data[bad]}, neither 0 nor 1`, {
    place, remedy: "Make the file again.",
  });
}
