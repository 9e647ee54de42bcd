/**
 * The WebAssembly instructions that the emitter uses: encoding and stack signature, as one table.
 * Not the whole instruction set. Source: WebAssembly core specification 2.0, chapter 5.4 (binary
 * format of instructions), and the relaxed SIMD proposal for the opcodes from 0x100.
 */

export type WasmType = "i32" | "i64" | "f32" | "f64" | "v128";

/** Short names of the types in signatures. */
const letters: Record<string, WasmType> = { i: "i32", l: "i64", f: "f32", d: "f64", v: "v128" };

/** Hexadecimal opcode (prefix "fd": SIMD, "fc": saturating casts), then the signature. */
const plain = {
  "i32.eqz": "45 i:i", "i32.eq": "46 ii:i", "i32.ne": "47 ii:i",
  "i32.lt_s": "48 ii:i", "i32.lt_u": "49 ii:i", "i32.gt_s": "4a ii:i", "i32.gt_u": "4b ii:i",
  "i32.le_s": "4c ii:i", "i32.le_u": "4d ii:i", "i32.ge_s": "4e ii:i", "i32.ge_u": "4f ii:i",
  "i64.eqz": "50 l:i", "i64.lt_s": "53 ll:i", "i64.lt_u": "54 ll:i",
  "f32.eq": "5b ff:i", "f32.ne": "5c ff:i", "f32.lt": "5d ff:i", "f32.gt": "5e ff:i",
  "f32.le": "5f ff:i", "f32.ge": "60 ff:i",
  "f64.eq": "61 dd:i", "f64.ne": "62 dd:i", "f64.lt": "63 dd:i", "f64.gt": "64 dd:i",
  "f64.le": "65 dd:i", "f64.ge": "66 dd:i",
  "i32.clz": "67 i:i", "i32.add": "6a ii:i", "i32.sub": "6b ii:i", "i32.mul": "6c ii:i",
  "i32.div_s": "6d ii:i", "i32.div_u": "6e ii:i", "i32.rem_s": "6f ii:i", "i32.rem_u": "70 ii:i",
  "i32.and": "71 ii:i", "i32.or": "72 ii:i", "i32.xor": "73 ii:i", "i32.shl": "74 ii:i",
  "i32.shr_s": "75 ii:i", "i32.shr_u": "76 ii:i",
  "i64.add": "7c ll:l", "i64.sub": "7d ll:l", "i64.mul": "7e ll:l",
  "i64.and": "83 ll:l", "i64.or": "84 ll:l", "i64.xor": "85 ll:l", "i64.shl": "86 ll:l",
  "i64.shr_s": "87 ll:l", "i64.shr_u": "88 ll:l",
  "f32.abs": "8b f:f", "f32.neg": "8c f:f", "f32.ceil": "8d f:f", "f32.floor": "8e f:f",
  "f32.trunc": "8f f:f", "f32.nearest": "90 f:f", "f32.sqrt": "91 f:f",
  "f32.add": "92 ff:f", "f32.sub": "93 ff:f", "f32.mul": "94 ff:f", "f32.div": "95 ff:f",
  "f32.min": "96 ff:f", "f32.max": "97 ff:f", "f32.copysign": "98 ff:f",
  "f64.abs": "99 d:d", "f64.neg": "9a d:d", "f64.ceil": "9b d:d", "f64.floor": "9c d:d",
  "f64.trunc": "9d d:d", "f64.nearest": "9e d:d", "f64.sqrt": "9f d:d",
  "f64.add": "a0 dd:d", "f64.sub": "a1 dd:d", "f64.mul": "a2 dd:d", "f64.div": "a3 dd:d",
  "f64.min": "a4 dd:d", "f64.max": "a5 dd:d", "f64.copysign": "a6 dd:d",
  "i32.wrap_i64": "a7 l:i", "i64.extend_i32_s": "ac i:l", "i64.extend_i32_u": "ad i:l",
  "f32.convert_i32_s": "b2 i:f", "f32.convert_i32_u": "b3 i:f", "f32.demote_f64": "b6 d:f",
  "f64.convert_i32_s": "b7 i:d", "f64.convert_i32_u": "b8 i:d", "f64.convert_i64_s": "b9 l:d",
  "f64.convert_i64_u": "ba l:d", "f64.promote_f32": "bb f:d",
  "i32.reinterpret_f32": "bc f:i", "i64.reinterpret_f64": "bd d:l",
  "f32.reinterpret_i32": "be i:f", "f64.reinterpret_i64": "bf l:d",
  "i32.trunc_sat_f32_s": "fc00 f:i", "i32.trunc_sat_f32_u": "fc01 f:i",
  "i32.trunc_sat_f64_s": "fc02 d:i", "i64.trunc_sat_f64_s": "fc06 d:l",
  "i8x16.swizzle": "fd0e vv:v",
  "i32x4.splat": "fd11 i:v", "f32x4.splat": "fd13 f:v", "f64x2.splat": "fd14 d:v",
  "i32x4.eq": "fd37 vv:v", "i32x4.ne": "fd38 vv:v", "i32x4.lt_s": "fd39 vv:v",
  "i32x4.lt_u": "fd3a vv:v", "i32x4.gt_s": "fd3b vv:v", "i32x4.gt_u": "fd3c vv:v",
  "i32x4.le_s": "fd3d vv:v", "i32x4.le_u": "fd3e vv:v", "i32x4.ge_s": "fd3f vv:v",
  "i32x4.ge_u": "fd40 vv:v",
  "f32x4.eq": "fd41 vv:v", "f32x4.ne": "fd42 vv:v", "f32x4.lt": "fd43 vv:v",
  "f32x4.gt": "fd44 vv:v", "f32x4.le": "fd45 vv:v", "f32x4.ge": "fd46 vv:v",
  "v128.not": "fd4d v:v", "v128.and": "fd4e vv:v", "v128.andnot": "fd4f vv:v",
  "v128.or": "fd50 vv:v", "v128.xor": "fd51 vv:v", "v128.bitselect": "fd52 vvv:v",
  "v128.any_true": "fd53 v:i", "i32x4.all_true": "fda301 v:i", "i32x4.bitmask": "fda401 v:i",
  "f64x2.promote_low_f32x4": "fd5f v:v", "f32x4.demote_f64x2_zero": "fd5e v:v",
  "f32x4.ceil": "fd67 v:v", "f32x4.floor": "fd68 v:v", "f32x4.trunc": "fd69 v:v",
  "f32x4.nearest": "fd6a v:v",
  "i32x4.extend_low_i16x8_u": "fda901 v:v",
  "i32x4.abs": "fda001 v:v", "i32x4.neg": "fda101 v:v",
  "i32x4.shl": "fdab01 vi:v", "i32x4.shr_s": "fdac01 vi:v", "i32x4.shr_u": "fdad01 vi:v",
  "i32x4.add": "fdae01 vv:v", "i32x4.sub": "fdb101 vv:v", "i32x4.mul": "fdb501 vv:v",
  "i32x4.min_s": "fdb601 vv:v", "i32x4.min_u": "fdb701 vv:v", "i32x4.max_s": "fdb801 vv:v",
  "i32x4.max_u": "fdb901 vv:v", "i32x4.dot_i16x8_s": "fdba01 vv:v",
  "i16x8.narrow_i32x4_s": "fd8501 vv:v",
  "f32x4.abs": "fde001 v:v", "f32x4.neg": "fde101 v:v", "f32x4.sqrt": "fde301 v:v",
  "f32x4.add": "fde401 vv:v", "f32x4.sub": "fde501 vv:v", "f32x4.mul": "fde601 vv:v",
  "f32x4.div": "fde701 vv:v", "f32x4.min": "fde801 vv:v", "f32x4.max": "fde901 vv:v",
  "f32x4.pmin": "fdea01 vv:v", "f32x4.pmax": "fdeb01 vv:v",
  "f64x2.add": "fdf001 vv:v", "f64x2.mul": "fdf201 vv:v",
  "i32x4.trunc_sat_f32x4_s": "fdf801 v:v", "i32x4.trunc_sat_f32x4_u": "fdf901 v:v",
  "f32x4.convert_i32x4_s": "fdfa01 v:v", "f32x4.convert_i32x4_u": "fdfb01 v:v",
  "f32x4.relaxed_madd": "fd8502 vvv:v",
} as const;

/** Loads and stores: opcode, log2 of the natural alignment, signature (address first). */
const memory = {
  "i32.load": "28 2 i:i", "i32.load16_u": "2f 1 i:i",
  "f32.load": "2a 2 i:f", "i64.load": "29 3 i:l",
  "i32.store": "36 2 ii:", "f32.store": "38 2 if:",
  "v128.load": "fd00 2 i:v", "v128.load32_splat": "fd09 2 i:v", "v128.load32_zero": "fd5c 2 i:v",
  "v128.load64_zero": "fd5d 2 i:v", "v128.store": "fd0b 2 iv:",
} as const;

/** Loads and stores of one lane: the memory immediate is followed by the lane. */
const laneMemory = {
  "v128.load32_lane": "fd56 2 iv:v",
  "v128.store32_lane": "fd5a 2 iv:", "v128.store64_lane": "fd5b 2 iv:",
} as const;

/** Access to one lane: the opcode is followed by the lane. */
const lane = {
  "i32x4.extract_lane": "fd1b v:i", "i32x4.replace_lane": "fd1c vi:v",
  "f32x4.extract_lane": "fd1f v:f", "f32x4.replace_lane": "fd20 vf:v",
  "f64x2.extract_lane": "fd21 v:d",
} as const;

export type PlainOp = keyof typeof plain;
export type MemoryOp = keyof typeof memory;
export type LaneMemoryOp = keyof typeof laneMemory;
export type LaneOp = keyof typeof lane;

export interface Instruction {
  readonly code: readonly number[];
  readonly operands: readonly WasmType[];
  /** Absent for stores. */
  readonly result: WasmType | undefined;
  /** log2 of the alignment hint, for memory instructions. */
  readonly align: number;
}

function parse<K extends string>(table: Record<K, string>): Record<K, Instruction> {
  const read = (text: string): Instruction => {
    const parts = text.split(" ");
    const [code, signature] = [parts[0] as string, parts.at(-1) as string];
    const [operands, result] = signature.split(":") as [string, string];
    return {
      code: (code.match(/../g) as string[]).map((byte) => parseInt(byte, 16)),
      operands: [...operands].map((letter) => letters[letter] as WasmType),
      result: letters[result],
      align: parts.length === 3 ? Number(parts[1]) : 0,
    };
  };
  const entries = Object.entries<string>(table).map(([name, text]) => [name, read(text)]);
  return Object.fromEntries(entries) as Record<K, Instruction>;
}

export const plainOps = parse<PlainOp>(plain);
export const memoryOps = parse<MemoryOp>(memory);
export const laneMemoryOps = parse<LaneMemoryOp>(laneMemory);
export const laneOps = parse<LaneOp>(lane);
