import { describe, expect, it } from "vitest";
import { scalarBinary, scalarUnary } from "../../../../compiler/emit/wasm/scalarRules.ts";
import { vectorBinary, vectorUnary } from "../../../../compiler/emit/wasm/vectorRules.ts";
import type { Word } from "../../../../compiler/graph/dtype.ts";
import { binaryOps, unaryOps } from "../../../../compiler/graph/graph.ts";
import type { Expr, ScalarType } from "../../../../compiler/kernels/expr.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
import { runAsWasm, runByOracle, ulpError, type KernelArray } from "./support.ts";

const bits = (word: number): number => new Float32Array(Uint32Array.of(word).buffer)[0] as number;

const edges: Record<ScalarType, readonly number[]> = {
  f32: [
    0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, 0.1, 7.25, -7.25, 100.5, 1e10, -1e10, 2147483647,
    2147483648, -2147483648, -2147483904, 4294967040, 4294967296, 1e38, -1e38, Infinity,
    -Infinity, NaN, bits(1), bits(0x80000001), bits(0x00800000), 16777216, 8388609.5, 1e-20, 20,
  ],
  i32: [
    0, 1, -1, 2, -2, 3, 7, -7, 15, 16, 31, 32, 33, 100, -100, 65535, 65536, 46341, -46341,
    2 ** 31 - 1, -(2 ** 31), -(2 ** 31) + 1, 16777217,
  ],
  u32: [0, 1, 2, 3, 7, 15, 16, 31, 32, 33, 255, 65535, 65536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1],
  bool: [0, 1],
};
const types: readonly ScalarType[] = ["f32", "i32", "u32", "bool"];
const storageOf = (type: ScalarType): Word => (type === "bool" ? "i32" : type);
const arrayOf: Record<Word, (values: readonly number[]) => KernelArray> = {
  f32: (values) => Float32Array.from(values),
  i32: (values) => Int32Array.from(values),
  u32: (values) => Uint32Array.from(values),
};

/** Units in the last place that a result may be off; 0 where it must be exact. */
const scalarBounds: Record<string, number> = Object.fromEntries([
  "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh",
  "acosh", "atanh", "erf", "pow",
].map((op) => [op, 0.51]));
const vectorBounds: Record<string, number> = { ...scalarBounds, exp: 1, log: 1, tanh: 2, erf: 2 };

/**
 * Applies an expression of loads to every tuple of values, four lanes at a time, or one at a time
 * as running sums are computed.
 */
function apply(
  inputs: readonly { type: ScalarType; values: readonly number[] }[], lanes: boolean,
  build: (pool: ExprPool, loads: readonly Expr[]) => Expr,
): { got: KernelArray; expected: KernelArray } {
  const pool = new ExprPool();
  const size = inputs[0]?.values.length ?? 0;
  const index = pool.axis(0, size);
  const loads = inputs.map(({ type }, i) => pool.load(i, index, type));
  const value = build(pool, loads);
  const axes = [{ name: "i", extent: size }];
  const store = { buffer: inputs.length, index, value };
  const kernel: Kernel = {
    name: "apply", origin: [], symbols: [],
    arguments: [
      ...inputs.map(({ type }, i) =>
        ({ name: `x${i}`, storage: storageOf(type), access: "read" as const, size })),
      { name: "y", storage: storageOf(value.type), access: "write", size },
    ],
    body: lanes ? { kind: "map", axes, store }
      : { kind: "cumulate", axes, op: "sum", value: pool.const(0, "i32"), store },
  };
  const buffers = [
    ...inputs.map(({ type, values }) => arrayOf[storageOf(type)](values)),
    arrayOf[storageOf(value.type)](new Array<number>(size).fill(0)),
  ];
  const { strategy, buffers: got } = runAsWasm(kernel, buffers, []);
  expect(strategy).toMatch(lanes ? /lanes along/ : /one element at a time/);
  const expected = runByOracle(kernel, buffers, []).at(-1) as KernelArray;
  return { got: got.at(-1) as KernelArray, expected };
}

function expectClose(
  { got, expected }: ReturnType<typeof apply>, bound: number, what: (i: number) => string,
): void {
  expected.forEach((e, i) => {
    const a = got[i] as number;
    if (Object.is(a, e)) return;
    // The oracle's own result is rounded to f32, half a unit.
    const message = `${what(i)}: ${a}, expected ${e}`;
    if (bound === 0 || !(got instanceof Float32Array)) throw new Error(message);
    expect(ulpError(a, e), message).toBeLessThanOrEqual(bound + 0.5);
  });
}

const widths = [["four lanes", true], ["one element", false]] as const;
describe.each(widths)("%s at a time", (_, lanes) => {
  const bounds = lanes ? vectorBounds : scalarBounds;

  for (const op of unaryOps) {
    for (const type of types.filter((t) => scalarUnary[op][t])) {
      it(`${op} of ${type} at the edges`, () => {
        const result = apply([{ type, values: edges[type] }], lanes, (pool, [x]) =>
          pool.unary(op, x as Expr));
        expectClose(result, bounds[op] ?? 0, (i) => `${op}(${edges[type][i]})`);
      });
    }
  }

  for (const op of binaryOps) {
    const isShift = op === "shl" || op === "shr";
    for (const type of types.filter((t) => scalarBinary[op][t])) {
      it(`${op} of ${type} at the edges`, () => {
        // Division by zero is unspecified for integers, a shift by a negative count for all.
        const right = edges[type].filter((y) =>
          !(type !== "f32" && (op === "div" || op === "rem") && y === 0) && !(isShift && y < 0));
        const pairs = edges[type].flatMap((x) => right.map((y) => [x, y] as const));
        const inputs = [0, 1].map((side) =>
          ({ type, values: pairs.map((pair) => pair[side] as number) }));
        const result = apply(inputs, lanes, (pool, [x, y]) =>
          pool.binary(op, x as Expr, y as Expr));
        expectClose(result, bounds[op] ?? 0, (i) => `${op}(${pairs[i]?.join()})`);
      });
    }
  }

  it("division by zero gives some integer and no trap", () => {
    for (const type of ["i32", "u32"] as const) {
      for (const op of ["div", "rem"] as const) {
        const inputs = [edges[type], edges[type].map(() => 0)].map((values) => ({ type, values }));
        expect(() => apply(inputs, lanes, (pool, [x, y]) =>
          pool.binary(op, x as Expr, y as Expr))).not.toThrow();
      }
    }
  });

  it("shift counts that all elements share", () => {
    for (const type of ["i32", "u32"] as const) {
      for (const count of [0, 1, 31, 32, 33, 2 ** 31]) {
        for (const op of ["shl", "shr"] as const) {
          const result = apply([{ type, values: edges[type] }], lanes, (pool, [x]) =>
            pool.binary(op, x as Expr, pool.const(count, "u32")));
          expectClose(result, 0, (i) => `${type} ${edges[type][i]} ${op} ${count}`);
        }
      }
    }
  });

  it("powers with constant exponents that become products", () => {
    const values = edges.f32;
    for (const exponent of [2, 3, -1, 0.5]) {
      const result = apply([{ type: "f32", values }], lanes, (pool, [x]) =>
        pool.binary("pow", x as Expr, pool.const(exponent, "f32")));
      // A cube is two roundings.
      expectClose(result, 1, (i) => `${values[i]}^${exponent}`);
    }
  });

  it("max and min with a constant, on either side", () => {
    const inputs = [{ type: "f32", values: edges.f32 }] as const;
    for (const bound of edges.f32) {
      for (const op of ["max", "min"] as const) {
        for (const isLeft of [false, true]) {
          const result = apply(inputs, lanes, (pool, [x]) => {
            const limit = pool.const(bound, "f32");
            return isLeft ? pool.binary(op, limit, x as Expr) : pool.binary(op, x as Expr, limit);
          });
          expectClose(result, 0, (i) => `${op} of ${edges.f32[i]} and ${bound}`);
        }
      }
    }
  });

  for (const from of types) {
    it(`casts of ${from} saturate, truncate and wrap`, () => {
      for (const to of types) {
        const result = apply([{ type: from, values: edges[from] }], lanes, (pool, [x]) =>
          pool.cast(x as Expr, to));
        expectClose(result, 0, (i) => `${from} ${edges[from][i]} as ${to}`);
      }
    });
  }

  it("bitcasts keep all 32 bits", () => {
    // NaN payloads are left out: JavaScript does not keep them.
    const words = [0, 1, 0x7f800000, 0xff800000, 0x80000000, 0x3f800000, 0x12345678, 0xdeadbeef];
    for (const [from, values] of [["u32", words], ["i32", words.map((w) => w | 0)]] as const) {
      for (const to of ["f32", "i32", "u32"] as const) {
        const result = apply([{ type: from, values }], lanes, (pool, [x]) =>
          pool.bitcast(x as Expr, to));
        expectClose(result, 0, (i) => `${from} ${values[i]} as bits of ${to}`);
      }
    }
  });
});

describe("tables", () => {
  it("no operator has a vector rule where it has no scalar meaning", () => {
    for (const op of unaryOps) {
      expect(Object.keys(scalarUnary[op])).toEqual(
        expect.arrayContaining(Object.keys(vectorUnary[op])));
    }
    for (const op of binaryOps) {
      expect(Object.keys(scalarBinary[op])).toEqual(
        expect.arrayContaining(Object.keys(vectorBinary[op])));
    }
  });
});
