/**
 * 16-bit floating point numbers as their bits: IEEE 754 binary16 (float16) and bfloat16, which is
 * the upper half of a float32. Conversion to float32 is exact; from float32 it rounds to nearest,
 * ties to even, as IEEE 754 section 4.3.1 has it. NaN stays NaN, its payload may not.
 */

const word = new Uint32Array(1);
const single = new Float32Array(word.buffer);

/** 2^-24, the smallest positive float16. */
const smallestHalf = 2 ** -24;

export function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * smallestHalf;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function floatToHalf(value: number): number {
  single[0] = value;
  const bits = word[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00;
  // 65520, halfway between the largest float16 and the next power of two, rounds to infinity.
  if (magnitude >= 0x477f_f000) return sign | 0x7c00;
  if (magnitude < 0x3880_0000) {
    // Below 2^-14 the float16 spacing is constant: count spacings, and the halfway to even.
    return sign | roundToEven(Math.abs(single[0] as number) / smallestHalf);
  }
  // Rebias the exponent (127 to 15) and drop 13 fraction bits; a carry moves into the exponent.
  return sign | (dropBits(magnitude, 13) - (112 << 10));
}

/** Whether every number is a float16, so that halves hold them without loss. */
export const areHalves = (data: ArrayLike<number>): boolean =>
  Array.prototype.every.call(data, (x: number) => Object.is(halfToFloat(floatToHalf(x)), x));

/** Two halves to a word, the first one in the lower bits. */
export function packHalves(data: ArrayLike<number>): Uint32Array {
  const words = new Uint32Array(Math.ceil(data.length / 2));
  for (let i = 0; i < data.length; i++) {
    words[i >> 1] = (words[i >> 1] as number) | (floatToHalf(data[i] as number) << (16 * (i & 1)));
  }
  return words;
}

/** Number `index` of packed halves. */
export const unpackHalf = (words: ArrayLike<number>, index: number): number =>
  halfToFloat(((words[index >> 1] as number) >>> (16 * (index & 1))) & 0xffff);

export function bfloatToFloat(bits: number): number {
  word[0] = bits << 16;
  return single[0] as number;
}

export function floatToBfloat(value: number): number {
  single[0] = value;
  const bits = word[0] as number;
  if ((bits & 0x7fff_ffff) > 0x7f80_0000) return (bits >>> 16) | 0x40;
  return dropBits(bits, 16) & 0xffff;
}

/** Drops the lowest `count` bits, rounding to nearest, ties to even. */
function dropBits(bits: number, count: number): number {
  const half = 2 ** (count - 1);
  const odd = (bits >>> count) & 1;
  return Math.floor((bits + half - 1 + odd) / 2 ** count);
}

function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
