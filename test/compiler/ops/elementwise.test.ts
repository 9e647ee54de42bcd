/** Elementwise primitives on floats and flags: formulas of their own, and every edge by name. */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import type { BinaryOp, UnaryOp } from "../../../compiler/graph/graph.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { bothWays, elements, expectThreeWays, tensorOf } from "../../support/threeWays.ts";

const vector = (dtype: Tensor["dtype"], values: readonly number[]): Tensor =>
  tensorOf(dtype, [values.length], ([i]) => values[i as number] as number);
const { exp, log, sqrt, PI } = Math;

/** Points, and the function by another route than the one of the same name. */
const formulas: Partial<Record<UnaryOp, [readonly number[], (x: number) => number]>> = {
  exp: [[-3, -0.5, 0, 1, 5], (x) => Math.pow(Math.E, x)],
  log: [[0.01, 0.5, 1, 2.5, 100], (x) => 2 * Math.atanh((x - 1) / (x + 1))],
  sqrt: [[0, 0.25, 2, 9], (x) => Math.pow(x, 0.5)],
  sin: [[-2, -0.1, 0, 1, 3], (x) => Math.cos(x - PI / 2)],
  cos: [[-2, -0.1, 0, 1, 3], (x) => 1 - 2 * Math.sin(x / 2) ** 2],
  tan: [[-1, 0, 0.5, 1.2], (x) => Math.sin(x) / Math.cos(x)],
  asin: [[-1, -0.5, 0, 0.7], (x) => 2 * Math.atan(x / (1 + sqrt(1 - x * x)))],
  acos: [[-0.9, -0.5, 0, 0.7], (x) => 2 * Math.atan(sqrt(1 - x * x) / (1 + x))],
  atan: [[-4, -1, 0, 0.3, 2], (x) => Math.atan2(x, 1)],
  sinh: [[-2, 0, 0.5, 3], (x) => (exp(x) - exp(-x)) / 2],
  cosh: [[-2, 0, 0.5, 3], (x) => (exp(x) + exp(-x)) / 2],
  tanh: [[-20, -2, 0, 0.5, 3], (x) => 1 - 2 / (exp(2 * x) + 1)],
  asinh: [[-2, 0, 0.5, 3], (x) => Math.sign(x) * log(Math.abs(x) + sqrt(x * x + 1))],
  acosh: [[1, 1.5, 3, 20], (x) => log(x + sqrt(x * x - 1))],
  atanh: [[-0.9, 0, 0.5], (x) => log((1 + x) / (1 - x)) / 2],
};

it.each(Object.keys(formulas) as UnaryOp[])("%s is its formula", async (op) => {
  const [points, f] = formulas[op] as [readonly number[], (x: number) => number];
  await expectThreeWays([vector("float32", points)], (b, x) => b.unary(op, x),
    vector("float32", points.map(f)), 1e-14);
});

it("erf is the tabulated one (Abramowitz & Stegun, table 7.1, with more digits)", async () => {
  const table: [number, number][] = [
    [0, 0], [1e-10, 1.1283791670955126e-10], [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465], [1, 0.8427007929497149], [2, 0.9953222650189527],
    [2.5, 0.999593047982555], [3, 0.9999779095030014], [4, 0.9999999845827421], [7, 1],
  ];
  const both = table.flatMap(([x, y]): [number, number][] => [[x, y], [-x, -y]]);
  const { evaluated } = await bothWays([vector("float32", both.map(([x]) => x))],
    (b, x) => b.unary("erf", x));
  elements(evaluated).forEach((y, i) => {
    const expected = both[i]?.[1] as number;
    expect(Math.abs(y - expected)).toBeLessThanOrEqual(4e-16 * Math.abs(expected));
  });
  await expectThreeWays([vector("float32", both.map(([x]) => x))], (b, x) => b.unary("erf", x),
    vector("float32", both.map(([, y]) => y)), 1e-15);
});

const inf = Infinity;
const edges: Partial<Record<UnaryOp, readonly [number, number][]>> = {
  neg: [[0, -0], [inf, -inf], [NaN, NaN], [2.5, -2.5]],
  abs: [[-0, 0], [-inf, inf], [NaN, NaN], [-2.5, 2.5]],
  sign: [[-0, -0], [0, 0], [-inf, -1], [NaN, NaN], [0.1, 1]],
  floor: [[-0.5, -1], [2.5, 2], [-0, -0], [inf, inf], [NaN, NaN]],
  ceil: [[-0.5, -0], [2.5, 3], [-inf, -inf], [NaN, NaN]],
  trunc: [[-2.7, -2], [2.7, 2], [-0.5, -0], [NaN, NaN]],
  // Half to even.
  round: [[0.5, 0], [1.5, 2], [2.5, 2], [-0.5, -0], [-1.5, -2], [-2.5, -2], [2.51, 3], [-inf, -inf],
    [4503599627370495.5, 4503599627370496], [NaN, NaN]],
  exp: [[-inf, 0], [inf, inf], [1000, inf], [NaN, NaN]],
  log: [[0, -inf], [-0, -inf], [-1, NaN], [inf, inf]],
  sqrt: [[-1, NaN], [-0, -0], [inf, inf]],
  atan: [[inf, PI / 2], [-inf, -PI / 2]],
  tanh: [[inf, 1], [-inf, -1], [NaN, NaN]],
  erf: [[inf, 1], [-inf, -1], [NaN, NaN]],
  isnan: [[NaN, 1], [inf, 0], [0, 0]],
};
const binaryEdges: Partial<Record<BinaryOp, readonly [number, number, number][]>> = {
  max: [[NaN, 1, NaN], [1, NaN, NaN], [-inf, 2, 2], [-3, -2, -2]],
  min: [[NaN, 1, NaN], [1, NaN, NaN], [inf, 2, 2], [-3, -2, -3]],
  div: [[1, 0, inf], [-1, 0, -inf], [0, 0, NaN], [1, -0, -inf], [1, inf, 0]],
  // a - b*trunc(a/b): the sign of a.
  rem: [[5.5, 2, 1.5], [-5.5, 2, -1.5], [5.5, -2, 1.5], [1, inf, 1], [inf, 2, NaN], [1, 0, NaN]],
  pow: [[0, 0, 1], [NaN, 0, 1], [1, NaN, 1], [1, inf, 1], [0, -1, inf], [-8, 3, -512],
    [-8, 1 / 3, NaN], [2, -2, 0.25], [inf, -1, 0], [0, 2, 0]],
  eq: [[NaN, NaN, 0], [0, -0, 1], [1, 1, 1], [inf, inf, 1]],
  lt: [[NaN, 1, 0], [1, NaN, 0], [-0, 0, 0], [1, 2, 1], [2, 1, 0]],
  le: [[NaN, NaN, 0], [-0, 0, 1], [1, 1, 1], [2, 1, 0]],
  sub: [[inf, inf, NaN], [0, 0, 0], [1.5, 2, -0.5]],
};

describe("edges", () => {
  it.each(Object.keys(edges) as UnaryOp[])("of %s", async (op) => {
    const rows = edges[op] as readonly [number, number][];
    const points = vector("float32", rows.map(([x]) => x));
    const both = await bothWays([points], (b, x) => b.unary(op, x));
    // toEqual tells -0 from 0.
    expect(elements(both.evaluated)).toEqual(rows.map(([, y]) => y));
    expect(elements(both.interpreted)).toEqual(rows.map(([, y]) => y));
  });

  it.each(Object.keys(binaryEdges) as BinaryOp[])("of %s", async (op) => {
    const rows = binaryEdges[op] as readonly [number, number, number][];
    const [a, b] = [rows.map(([x]) => x), rows.map(([, y]) => y)];
    const both = await bothWays([vector("float32", a), vector("float32", b)],
      (g, x, y) => g.binary(op, x, y));
    expect(elements(both.evaluated)).toEqual(rows.map(([, , z]) => z));
    expect(elements(both.interpreted)).toEqual(rows.map(([, , z]) => z));
  });
});

describe("flags", () => {
  it.each<[BinaryOp, readonly number[]]>([
    ["and", [0, 0, 0, 1]], ["or", [0, 1, 1, 1]], ["xor", [0, 1, 1, 0]], ["eq", [1, 0, 0, 1]],
  ])("%s has its truth table", async (op, expected) => {
    await expectThreeWays([vector("bool", [0, 0, 1, 1]), vector("bool", [0, 1, 0, 1])],
      (b, x, y) => b.binary(op, x, y), vector("bool", expected));
  });

  it("not turns a flag round", async () => {
    await expectThreeWays([vector("bool", [0, 1])], (b, x) => b.not(x), vector("bool", [1, 0]));
  });

  it("where takes the branch, and NaN in the other does no harm", async () => {
    await expectThreeWays(
      [vector("bool", [1, 0, 1]), vector("float32", [1, NaN, 3]), vector("float32", [NaN, 5, NaN])],
      (b, c, x, y) => b.where(c, x, y), vector("float32", [1, 5, 3]));
  });
});

it("bitcast keeps the 32 bits", async () => {
  const floats = [1, -0, 0.1, -2.5, Infinity].map(Math.fround);
  const words = new Uint32Array(Float32Array.from(floats).buffer);
  const types = { float32: floats, uint32: [...words], int32: [...new Int32Array(words.buffer)] };
  for (const [from, values] of Object.entries(types)) {
    for (const [to, expected] of Object.entries(types)) {
      if (from === to) continue;
      await expectThreeWays([vector(from as Tensor["dtype"], values)],
        (b, x) => b.add("bitcast", [x], { dtype: to as Tensor["dtype"] }),
        vector(to as Tensor["dtype"], expected), 0, `${from} ${to}`);
    }
  }
});

it("is undefined on the wrong types, by name", () => {
  const b = new Builder();
  const of = (dtype: Tensor["dtype"]) => b.input(dtype, { dtype, shape: [2] });
  const [x, i, flag] = [of("float32"), of("int32"), of("bool")];
  const wrong: [() => unknown, string][] = [
    [() => b.unary("sin", i), "sin expects an operand type it is defined on, got int32[2]"],
    [() => b.unary("not", x), "not expects an operand type it is defined on, got float32[2]"],
    [() => b.unary("not", i), "not expects an operand type it is defined on, got int32[2]"],
    [() => b.binary("and", x, x), "and expects an operand type it is defined on, got float32[2]"],
    [() => b.binary("add", flag, flag),
      "add expects an operand type it is defined on, got bool[2]"],
    [() => b.binary("add", x, i), "add expects a second operand of float32, got int32"],
    [() => b.where(x, x, x), "where expects a bool condition, got float32"],
    [() => b.where(flag, x, i), "where expects branches of one type, float32, got int32"],
    [() => b.add("bitcast", [flag], { dtype: "int32" }), "bitcast expects a 32-bit type, got bool"],
  ];
  for (const [make, message] of wrong) expect(make).toThrow(`internal: ${message}`);
});
