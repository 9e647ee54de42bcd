/**
 * Float16 bits to float32, exactly, subnormals included: the bits moved into place are 2^-112 of
 * the number, which one multiplication mends; infinities and NaN get their exponent back.
 */
import type { Code, Value } from "./code.ts";

const [MAGNITUDE, SIGN, LARGEST, INFINITE] = [0x7fff, 0x8000, 0x7bff, 0x7f800000];
const REBIAS = 2 ** 112;

/** From the lower 16 bits of an i32, the others being zero. */
export function halfToScalar(c: Code, bits: Value): Value {
  const magnitude = c.op("i32.and", bits, c.i32(MAGNITUDE));
  const moved = c.op("f32.reinterpret_i32", c.op("i32.shl", magnitude, c.i32(13)));
  const number = c.op("i32.reinterpret_f32", c.op("f32.mul", moved, c.f32(REBIAS)));
  const isLarger = c.op("i32.gt_s", magnitude, c.i32(LARGEST));
  const exponent = c.select(isLarger, c.i32(INFINITE), c.i32(0));
  const sign = c.op("i32.shl", c.op("i32.and", bits, c.i32(SIGN)), c.i32(16));
  return c.op("f32.reinterpret_i32", c.op("i32.or", c.op("i32.or", number, exponent), sign));
}

/** The same in four lanes. */
export function halfToLanes(c: Code, bits: Value): Value {
  const magnitude = c.op("v128.and", bits, c.i32x4(MAGNITUDE));
  const moved = c.op("i32x4.shl", magnitude, c.i32(13));
  const number = c.op("f32x4.mul", moved, c.f32x4(REBIAS));
  const exponent = c.op("v128.and", c.op("i32x4.gt_s", magnitude, c.i32x4(LARGEST)),
    c.i32x4(INFINITE));
  const sign = c.op("i32x4.shl", c.op("v128.and", bits, c.i32x4(SIGN)), c.i32(16));
  return c.op("v128.or", c.op("v128.or", number, exponent), sign);
}
