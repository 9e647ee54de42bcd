/**
 * Element types: the ONNX ones that tensors may have, and for each the storage class in which the
 * devices compute it. Devices know three (f32, i32, u32), which are exactly the ones of WGSL.
 *
 * float64 and float16 values are computed in f32; 64-bit integers in 32 bits (the importer checks
 * that constants fit); narrow integers in 32 bits, wrapped after every arithmetic operation.
 * Weights of float16 stay halves in memory and become f32 as they are read.
 */
export const dtypes = [
  "float32", "float16", "bfloat16", "float64",
  "int8", "int16", "int32", "int64",
  "uint8", "uint16", "uint32", "uint64", "bool",
] as const;
export type DType = (typeof dtypes)[number];

/** How a device computes one element; `bool` is an i32 that is 0 or 1. */
export type Word = "f32" | "i32" | "u32";
/** How a device holds one element: as a word, or two halves to a word, the first one low. */
export type Storage = Word | "f16";

interface DTypeFacts {
  readonly kind: "float" | "int" | "uint" | "bool";
  /** Bits of the ONNX type, which is the size that an artifact or a file holds. */
  readonly bits: number;
  readonly storage: Word;
}

export const dtypeFacts: Record<DType, DTypeFacts> = {
  float32: { kind: "float", bits: 32, storage: "f32" },
  float16: { kind: "float", bits: 16, storage: "f32" },
  bfloat16: { kind: "float", bits: 16, storage: "f32" },
  float64: { kind: "float", bits: 64, storage: "f32" },
  int8: { kind: "int", bits: 8, storage: "i32" },
  int16: { kind: "int", bits: 16, storage: "i32" },
  int32: { kind: "int", bits: 32, storage: "i32" },
  int64: { kind: "int", bits: 64, storage: "i32" },
  uint8: { kind: "uint", bits: 8, storage: "u32" },
  uint16: { kind: "uint", bits: 16, storage: "u32" },
  uint32: { kind: "uint", bits: 32, storage: "u32" },
  uint64: { kind: "uint", bits: 64, storage: "u32" },
  bool: { kind: "bool", bits: 8, storage: "i32" },
};

export const isFloat = (d: DType): boolean => dtypeFacts[d].kind === "float";
export const isInteger = (d: DType): boolean =>
  dtypeFacts[d].kind === "int" || dtypeFacts[d].kind === "uint";
export const storageOf = (d: DType): Word => dtypeFacts[d].storage;

/** Inclusive range of an integer type; 64-bit types report the 32-bit range they compute in. */
export function integerRange(d: DType): { min: number; max: number } {
  const { kind, bits } = dtypeFacts[d];
  if (kind === "bool") return { min: 0, max: 1 };
  const width = Math.min(bits, 32);
  return kind === "uint"
    ? { min: 0, max: 2 ** width - 1 }
    : { min: -(2 ** (width - 1)), max: 2 ** (width - 1) - 1 };
}

/** Whether a tensor of this type can hold `x` exactly as a number (floats hold any, rounded). */
export function canHold(d: DType, x: number): boolean {
  const { kind, bits } = dtypeFacts[d];
  if (kind === "float") return true;
  if (bits === 64) return Number.isSafeInteger(x) && (kind === "int" || x >= 0);
  const { min, max } = integerRange(d);
  return Number.isInteger(x) && x >= min && x <= max;
}
