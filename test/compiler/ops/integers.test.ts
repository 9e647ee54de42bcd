/** Integers against BigInt: operators wrap to the width of their type; casts wrap or saturate. */
import { describe, expect, it } from "vitest";
import {
  dtypeFacts, dtypes, integerRange, isFloat, isInteger, type DType,
} from "../../../compiler/graph/dtype.ts";
import type { BinaryOp, UnaryOp } from "../../../compiler/graph/graph.ts";
import {
  bfloatToFloat, floatToBfloat, floatToHalf, halfToFloat,
} from "../../../compiler/graph/half.ts";
import { binaryPrimitives, unaryPrimitives } from "../../../compiler/ops/elementwise.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { bothWays, elements, expectThreeWays, tensorOf } from "../../support/threeWays.ts";
import { Random } from "../../support/randomGraph.ts";

const vector = (dtype: DType, values: readonly number[]): Tensor =>
  tensorOf(dtype, [values.length], ([i]) => values[i as number] as number, "f32");
const upTo32 = ["int8", "uint8", "int16", "uint16", "int32", "uint32"] as const;
const wrapTo = (dtype: DType, x: bigint): number =>
  Number((dtypeFacts[dtype].kind === "uint" ? BigInt.asUintN : BigInt.asIntN)(
    dtypeFacts[dtype].bits, x));

/** Extremes, neighbours of zero and random values of a type. */
function samples(dtype: DType, r: Random, count: number): number[] {
  const { min, max } = integerRange(dtype);
  const any = (): number => min + Math.floor(r.next() * (max - min + 1));
  return Array.from({ length: count }, () =>
    (r.next() < 0.4 ? r.pick([min, max, min + 1, max - 1, 0, 1, 2, min < 0 ? -1 : 3]) : any()));
}

const abs = (x: bigint): bigint => (x < 0n ? -x : x);
const unary: Partial<Record<UnaryOp, (x: bigint) => bigint>> = {
  neg: (x) => -x, abs, sign: (x) => (x > 0n ? 1n : x < 0n ? -1n : 0n), bitnot: (x) => ~x,
  floor: (x) => x, ceil: (x) => x, round: (x) => x, trunc: (x) => x,
};
const flag = (b: boolean): bigint => (b ? 1n : 0n);
const binary: Partial<Record<BinaryOp, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  // BigInt truncates toward zero, and the remainder has the sign of a.
  div: (a, b) => a / b,
  rem: (a, b) => a % b,
  max: (a, b) => (a > b ? a : b),
  min: (a, b) => (a < b ? a : b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  eq: (a, b) => flag(a === b),
  lt: (a, b) => flag(a < b),
  le: (a, b) => flag(a <= b),
};
const comparisons = new Set(["eq", "lt", "le"]);

describe.each(upTo32)("%s", (dtype) => {
  it.each(Object.keys(unary) as UnaryOp[])("%s", async (op) => {
    const xs = samples(dtype, new Random(1), 60);
    const f = unary[op] as (x: bigint) => bigint;
    await expectThreeWays([vector(dtype, xs)], (b, x) => b.unary(op, x),
      vector(dtype, xs.map((x) => wrapTo(dtype, f(BigInt(x))))));
  });

  it.each(Object.keys(binary) as BinaryOp[])("%s", async (op) => {
    const r = new Random(2);
    const [xs, all] = [samples(dtype, r, 120), samples(dtype, r, 120)];
    // Division by zero is left open.
    const ys = op === "div" || op === "rem" ? all.map((y) => (y === 0 ? 7 : y)) : all;
    const f = binary[op] as (a: bigint, b: bigint) => bigint;
    const out = comparisons.has(op) ? "bool" : dtype;
    await expectThreeWays([vector(dtype, xs), vector(dtype, ys)], (b, x, y) => b.binary(op, x, y),
      vector(out, xs.map((x, i) => wrapTo(out, f(BigInt(x), BigInt(ys[i] as number))))));
  });

  it("shl and shr by any count", async () => {
    const r = new Random(3);
    const xs = samples(dtype, r, 120);
    const counts = xs.map(() => r.pick([0, 1, 3, 7, 8, 15, 31, 32, 33, 40]));
    const shl = (a: bigint, n: bigint): bigint => a << n;
    const shr = (a: bigint, n: bigint): bigint => a >> n;
    for (const [op, f] of [["shl", shl], ["shr", shr]] as const) {
      await expectThreeWays([vector(dtype, xs), vector(dtype, counts)],
        (b, x, y) => b.binary(op, x, y),
        vector(dtype, xs.map((x, i) => wrapTo(dtype, f(BigInt(x), BigInt(counts[i] as number))))));
    }
  });

  it("pow, also with exponents below zero", async () => {
    const r = new Random(4);
    const xs = samples(dtype, r, 80).map((x, i) => (i % 3 === 0 ? r.int(0, 3) : x));
    const signed = integerRange(dtype).min < 0;
    const ys = xs.map((x) => (signed && x !== 0 && r.next() < 0.2 ? -r.int(1, 3) : r.int(0, 9)));
    const power = (x: bigint, n: bigint): bigint =>
      n >= 0n ? x ** n : x === 1n ? 1n : x === -1n ? (n % 2n === 0n ? 1n : -1n) : 0n;
    await expectThreeWays([vector(dtype, xs), vector(dtype, ys)],
      (b, x, y) => b.binary("pow", x, y),
      vector(dtype, xs.map((x, i) => wrapTo(dtype, power(BigInt(x), BigInt(ys[i] as number))))));
  });
});

it("64-bit bitwise operators use all 64 bits in evaluation", () => {
  const xs = [2 ** 40 + 5, -(2 ** 45) - 3, 2 ** 52 - 1, 12];
  const ys = [2 ** 39 + 4, 2 ** 33 + 7, -1, 10];
  for (const op of ["and", "or", "xor"] as const) {
    const f = binary[op] as (a: bigint, b: bigint) => bigint;
    const operands = [vector("int64", xs), vector("int64", ys)];
    expect(elements(binaryPrimitives[op].evaluate(operands, {}, "f64")))
      .toEqual(xs.map((x, i) => Number(f(BigInt(x), BigInt(ys[i] as number)))));
  }
});

it("64-bit integers have one zero", () => {
  const [xs, ys] = [vector("int64", [0, -3, 5]), vector("int64", [-3, 0, -5])];
  expect(elements(binaryPrimitives.mul.evaluate([xs, ys], {}, "f64"))).toEqual([0, 0, -25]);
  expect(elements(unaryPrimitives.neg.evaluate([xs], {}, "f64"))).toEqual([0, 3, -5]);
});

/** What casting gives, by what `PrimAttrs.cast` says; undefined where devices have not the bits. */
function castOf(from: DType, to: DType, x: number): number | undefined {
  if (to === "bool") return x !== 0 ? 1 : 0;
  const single = Math.fround(x);
  if (to === "float16") return halfToFloat(floatToHalf(single));
  if (to === "bfloat16") return bfloatToFloat(floatToBfloat(single));
  if (to === "float32") return single;
  if (to === "float64") return x;
  const { min, max } = integerRange(to);
  if (isFloat(from)) {
    if (Number.isNaN(x)) return 0;
    const whole = Math.trunc(x);
    if (dtypeFacts[to].bits === 64 && (whole < min || whole > max)) return undefined;
    return Math.min(Math.max(whole, min), max) + 0;
  }
  if (dtypeFacts[to].bits === 64) return x >= min && x <= max ? x : undefined;
  return wrapTo(to, BigInt(x));
}

const floats = [0, -0, 1.5, -1.5, 2.5, 127.5, 128, -128.9, 255.9, 256, -0.9, 300, -300, 32767.5,
  65535.5, 1e5, 16777216, 2147483520, 3e9, -3e9, 4294967040, 5e9, -5e9, 65504, 65519, 65520, 1e-8,
  6.1e-5, 0.1, -0.333, NaN, Infinity, -Infinity].map(Math.fround);

describe("cast", () => {
  for (const from of dtypes) {
    it(`from ${from} to every type`, async () => {
      const r = new Random(6);
      const values = from === "bool" ? [0, 1]
        : isInteger(from) ? samples(from, r, 40)
          : floats.map((x) => castOf("float32", from, x) as number);
      for (const to of dtypes) {
        const kept = values.filter((x) => castOf(from, to, x) !== undefined);
        const expected = kept.map((x) => castOf(from, to, x) as number);
        const both = await bothWays([vector(from, kept)], (b, x) => b.cast(x, to), "f32");
        expect(elements(both.evaluated), `evaluated ${from} ${to}`).toEqual(expected);
        // A device holds float64 as float32.
        const held = to === "float64" ? expected.map(Math.fround) : expected;
        const device = elements(both.interpreted);
        held.forEach((e, i) => {
          if (device[i] !== e && !(Number.isNaN(e) && Number.isNaN(device[i]))) {
            expect.fail(`${from} ${kept[i]} to ${to}: ${device[i]} is not ${e}`);
          }
        });
      }
    });
  }

  it("rounds to 16-bit floats as the search over all of them does, ties included", async () => {
    const r = new Random(7);
    const ties = Array.from({ length: 3000 }, () => {
      const bits = r.int(0, 0x7bff);
      const [low, high] = [halfToFloat(bits), halfToFloat(bits + 1)];
      const x = Number.isFinite(high) ? low + r.pick([0.25, 0.5, 0.75]) * (high - low) : low;
      return r.next() < 0.5 ? x : -x;
    });
    const wide = Array.from({ length: 3000 }, () =>
      bfloatToFloat(r.int(0, 0x7f7e)) * (1 + r.pick([0, 1, 2, 3, 0.37]) / 512)).map(Math.fround);
    for (const [to, values] of [["float16", ties], ["bfloat16", wide]] as const) {
      const both = await bothWays([vector("float32", values)], (b, x) => b.cast(x, to), "f32");
      const expected = values.map((x) => castOf("float32", to, x));
      expect(elements(both.evaluated)).toEqual(expected);
      expect(elements(both.interpreted)).toEqual(expected);
    }
  });
});
