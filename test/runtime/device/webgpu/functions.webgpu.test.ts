/**
 * The functions of the WGSL library on the device, over many arguments and every special one,
 * against float64: each within its bound, and with the meaning of the kernel IR where WGSL promises
 * nothing (NaN, infinities, saturation, negative bases, wide shifts).
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { BinaryOp, UnaryOp } from "../../../../compiler/graph/graph.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
import {
  binaryFloat, binaryInteger, unaryFloat, unaryInteger,
} from "../../../../compiler/kernels/scalar.ts";
import {
  openWebGpuDevice, type WebGpuDevice,
} from "../../../../runtime/device/webgpu/webgpuDevice.ts";
import type { KernelArray, KernelCase } from "../../../compiler/emit/wgsl/randomKernels.ts";
import { Random } from "../../../support/randomGraph.ts";
import { describeWebGpu } from "../../../support/webgpu.ts";
import { runOnDevice } from "./onDevice.ts";

type Build = (pool: ExprPool, x: Expr, y: Expr) => Expr;

/** One map kernel z[i] = build(x[i], y[i]). */
function elementwise(build: Build, x: KernelArray, y: KernelArray, out: Word): KernelCase {
  const pool = new ExprPool();
  const i = pool.axis(0, x.length);
  const storage = (data: KernelArray): Word =>
    (data instanceof Float32Array ? "f32" : data instanceof Int32Array ? "i32" : "u32");
  const value = build(pool, pool.load(0, i, storage(x)), pool.load(1, i, storage(y)));
  const argument = (name: string, type: Word, access: "read" | "write") =>
    ({ name, storage: type, access, size: x.length });
  const kernel: Kernel = {
    name: "apply", origin: [], symbols: [],
    arguments: [
      argument("x", storage(x), "read"), argument("y", storage(y), "read"),
      argument("z", out, "write"),
    ],
    body: {
      kind: "map", axes: [{ name: "i", extent: x.length }],
      store: { buffer: 2, index: i, value },
    },
  };
  const arrays = { f32: Float32Array, i32: Int32Array, u32: Uint32Array };
  return { kernel, sizes: [], buffers: [x, y, new arrays[out](x.length)] };
}

const specials = [
  0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, 1e-6, -1e-6, 0.9999, 1.0001, 10, -10, 88, -87, 100,
  -100, 8191, 8193, 1e5, -1e5, 1e10, 1e30, -1e30, 1e-30, Infinity, -Infinity, NaN,
].map(Math.fround);

/** Special values, then numbers of every magnitude, then the neighbourhoods of 0 and 1. */
function arguments_(count: number): Float32Array {
  const random = new Random(5);
  const draw = (n: number): number => {
    const sign = random.int(0, 1) * 2 - 1;
    if (n % 3 === 0) return sign * 2 ** (random.next() * 60 - 30);
    return n % 3 === 1 ? sign * random.next() * 10 : 1 + sign * 2 ** (-24 * random.next());
  };
  return Float32Array.from({ length: count }, (_, n) => specials[n] ?? draw(n));
}

/** Distance of neighbouring f32 numbers at x; never less than at the smallest normal number. */
const ulp = (x: number): number =>
  2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), -126) - 23);

const exact = (): number => 0.5;
/** What WGSL promises of exp(), for results that inherit it. */
const asExp = (x: number): number => 4 + 3 * Math.abs(x);

/** Units in the last place that each operator may be off, at argument x. */
const allowance: Partial<Record<UnaryOp, (x: number) => number>> = {
  neg: exact, abs: exact, sign: exact, floor: exact, ceil: exact, round: exact, trunc: exact,
  exp: asExp, log: () => 3, sqrt: () => 3, sin: () => 4, cos: () => 4, tan: () => 8, asin: () => 4,
  acos: () => 4, atan: () => 4, sinh: asExp, cosh: asExp, tanh: () => 4, asinh: () => 5,
  acosh: () => 5, atanh: () => 4, erf: () => 4,
};

function agrees(got: number, want: number, units: number): boolean {
  const rounded = Math.fround(want);
  if (Object.is(got, rounded) || got === rounded) return true;
  if (Number.isNaN(rounded) || Number.isNaN(got)) return false;
  // Subnormal results may be flushed to zero.
  if (Math.abs(want) < 2 ** -126 && got === 0) return true;
  // At the edge of overflow either side may have rounded first.
  if (!Number.isFinite(rounded) || !Number.isFinite(got)) return Math.abs(want) > 3.3e38;
  return Math.abs(got - want) <= (units + 0.5) * ulp(want);
}

describeWebGpu("operators on WebGPU", () => {
  let device: WebGpuDevice;
  beforeAll(async () => {
    device = await openWebGpuDevice();
  });
  afterAll(() => device.destroy());

  /** Differences of one kernel from what `want` says, as text. */
  async function faults(
    cases: readonly { readonly name: string; readonly one: KernelCase; readonly want: Want }[],
  ): Promise<string[]> {
    const results = await runOnDevice(device, cases.map(({ one }) => one));
    return cases.flatMap(({ name, one: { buffers: [x, y] }, want }, c) => {
      const got = results[c] as KernelArray;
      const wrong: string[] = [];
      got.forEach((value, i) => {
        const [a, b] = [x?.[i] as number, y?.[i] as number];
        const [right, units] = want(a, b);
        if (!agrees(value, right, units)) {
          wrong.push(`${name}(${a}, ${b}) = ${value}, expected ${Math.fround(right)}`);
        }
      });
      return wrong.slice(0, 3);
    });
  }
  type Want = (a: number, b: number) => readonly [number, number];

  test("unary operators on floats are within their bounds", async () => {
    const x = arguments_(6000);
    const cases = Object.entries(allowance).map(([name, units]) => {
      const op = name as UnaryOp;
      const f = unaryFloat[op] as (a: number) => number;
      const want = (a: number): [number, number] => [f(a), units(a)];
      return { name, one: elementwise((pool, a) => pool.unary(op, a), x, x, "f32"), want };
    });
    expect(await faults(cases)).toEqual([]);
  });

  test("binary operators on floats mean what the kernel IR says", async () => {
    const left = arguments_(2500);
    const right = left.map((_, i) => left[(i * 37 + (i % 31)) % left.length] as number);
    // A remainder may take as many steps as there are powers of two between its operands.
    const operators: [BinaryOp, (a: number, b: number) => number][] = [
      ["add", exact], ["sub", exact], ["mul", exact], ["div", () => 3], ["max", exact],
      ["min", exact], ["rem", exact],
      ["pow", (a, b) => 8 + 8 * Math.abs(b * Math.log(Math.abs(a)))],
    ];
    const cases = operators.map(([op, units]) => {
      const f = binaryFloat[op] as (a: number, b: number) => number;
      const want = (a: number, b: number): [number, number] => [f(a, b), units(a, b)];
      const one = elementwise((p, a, b) => p.binary(op, a, b), left, right, "f32");
      return { name: op, one, want };
    });
    expect(await faults(cases)).toEqual([]);
  });

  test("powers with a constant exponent", async () => {
    // A square root of -Infinity is NaN, where Math.pow has Infinity.
    const x = arguments_(600).filter((v) => v !== -Infinity);
    const cases = [-2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 7, 2.5].map((exponent) => {
      const build: Build = (pool, a) => pool.binary("pow", a, pool.const(exponent, "f32"));
      const want = (a: number): [number, number] =>
        [Math.pow(a, exponent), 8 + 8 * Math.abs(exponent * Math.log(Math.abs(a)))];
      return { name: `pow ${exponent}`, one: elementwise(build, x, x, "f32"), want };
    });
    expect(await faults(cases)).toEqual([]);
  });

  test("comparisons, selection and NaN", async () => {
    const x = arguments_(200);
    const y = Float32Array.from(x, (_, i) => specials[(i * 7) % specials.length] as number);
    const flag = (pool: ExprPool, condition: Expr): Expr => pool.cast(condition, "i32");
    const on = (name: string, build: Build, f: (a: number, b: number) => boolean) => ({
      name, one: elementwise((p, a, b) => flag(p, build(p, a, b)), x, y, "i32"),
      want: (a: number, b: number): [number, number] => [f(a, b) ? 1 : 0, 0],
    });
    expect(await faults([
      on("isnan", (p, a) => p.unary("isnan", a), Number.isNaN),
      on("eq", (p, a, b) => p.binary("eq", a, b), (a, b) => a === b),
      on("lt", (p, a, b) => p.binary("lt", a, b), (a, b) => a < b),
      on("le", (p, a, b) => p.binary("le", a, b), (a, b) => a <= b),
      on("not lt", (p, a, b) => p.not(p.binary("lt", a, b)), (a, b) => !(a < b)),
      on("bool", (p, a) => p.cast(a, "bool"), (a) => a !== 0),
    ])).toEqual([]);
  });

  test("constants that WGSL cannot write", async () => {
    const x = arguments_(200);
    const cases = [NaN, Infinity, -Infinity, -0, 1e-40, 3.4028234663852886e38].map((value) => ({
      name: String(value),
      one: elementwise((p, a) => p.select(p.binary("lt", a, p.const(0, "f32")), a,
        p.const(Math.fround(value), "f32")), x, x, "f32"),
      want: (a: number): [number, number] => [a < 0 ? a : value, 0],
    }));
    expect(await faults(cases)).toEqual([]);
  });

  test("conversions truncate and saturate", async () => {
    const x = Float32Array.from([
      ...specials, 2 ** 31, 2 ** 31 - 128, -(2 ** 31), -(2 ** 31) - 256, 2 ** 32, 2 ** 32 - 256,
      -0.9,
    ]);
    const clamp = (low: number, high: number) => (a: number): [number, number] =>
      [Number.isNaN(a) ? 0 : Math.min(Math.max(Math.trunc(a), low), high), 0];
    const integers = Int32Array.from([0, 1, -1, 7, -7, 2 ** 31 - 1, -(2 ** 31), 16777217]);
    const naturals = Uint32Array.from(integers);
    const same = (f: (a: number) => number) => (a: number): [number, number] => [f(a), 0.5];
    const cast = (to: Word): Build => (p, a) => p.cast(a, to);
    expect(await faults([
      { name: "i32(f32)", one: elementwise(cast("i32"), x, x, "i32"),
        want: clamp(-(2 ** 31), 2 ** 31 - 1) },
      { name: "u32(f32)", one: elementwise(cast("u32"), x, x, "u32"), want: clamp(0, 2 ** 32 - 1) },
      { name: "f32(i32)", one: elementwise(cast("f32"), integers, integers, "f32"),
        want: same((a) => a) },
      { name: "f32(u32)", one: elementwise(cast("f32"), naturals, naturals, "f32"),
        want: same((a) => a) },
      { name: "u32(i32)", one: elementwise(cast("u32"), integers, integers, "u32"),
        want: same((a) => a >>> 0) },
      { name: "i32(u32)", one: elementwise(cast("i32"), naturals, naturals, "i32"),
        want: same((a) => a | 0) },
      { name: "bits", want: same((a) => a),
        one: elementwise((p, a) => p.bitcast(p.bitcast(a, "u32"), "f32"), x, x, "f32") },
    ])).toEqual([]);
  });

  test.each(["i32", "u32"] as const)("operators on %s", async (type) => {
    const random = new Random(9);
    const values = [0, 1, -1, 2, 5, -7, 31, 32, 33, 40, 255, 2 ** 31 - 1, -(2 ** 31)];
    const array = type === "i32" ? Int32Array : Uint32Array;
    const draw = (): number => Math.floor((random.next() - 0.5) * 2 ** random.int(2, 32));
    const numbers = (f: (i: number) => number): KernelArray =>
      new array(Array.from({ length: 600 }, (_, i) => f(i)));
    const left = numbers((i) => values[i % 29] ?? draw());
    const right = numbers((i) => values[(i * 5) % 31] ?? draw());
    const counts = Uint32Array.from(numbers((i) => i % 41));
    const small = numbers((i) => i % 6);
    const wrap = (v: number): number => (type === "i32" ? v | 0 : v >>> 0);
    const binary = (op: BinaryOp, by: KernelArray = right) => ({
      name: op, one: elementwise((p, a, b) => p.binary(op, a, b), left, by, type),
      want: (a: number, b: number): [number, number] => [wrap(binaryInteger[op](a, b)), 0],
    });
    const unary = (op: UnaryOp) => ({
      name: op, one: elementwise((p, a) => p.unary(op, a), left, left, type),
      want: (a: number): [number, number] =>
        [wrap((unaryInteger[op] as (v: number) => number)(a)), 0],
    });
    const nonzero = right.map((v) => v || 3);
    expect(await faults([
      ...(["add", "sub", "mul", "max", "min", "and", "or", "xor"] as const).map((op) => binary(op)),
      binary("div", nonzero), binary("rem", nonzero), binary("pow", small),
      binary("shl", counts), binary("shr", counts),
      ...(["neg", "abs", "sign", "floor", "round", "bitnot"] as const).map(unary),
    ].filter(({ name }) => !(type === "i32" && name === "neg")))).toEqual([]);
  });
});
