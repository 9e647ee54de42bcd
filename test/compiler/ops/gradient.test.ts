/**
 * The gradient of every differentiable primitive against finite differences in float64, along
 * random directions. The table is complete by its type: a primitive without a line here does not
 * compile. Gradients also run as kernels, and there must be what evaluation says.
 */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Graph, PrimName, Value } from "../../../compiler/graph/graph.ts";
import { sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { gradient } from "../../../compiler/passes/gradient.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { difference } from "../../support/difference.ts";
import { Random } from "../../support/randomGraph.ts";
import { elements, tensorOf } from "../../support/threeWays.ts";

/** Shape and range of a float64 input, or its elements. */
interface Input {
  readonly shape: readonly number[];
  readonly low?: number;
  readonly high?: number;
  readonly values?: readonly number[];
}
interface Case {
  readonly inputs: readonly Input[];
  build(b: Builder, ...values: Value[]): Value;
}

const elementwise = (build: Case["build"], ...ranges: [number, number][]): Case[] => [{
  inputs: ranges.map(([low, high]) => ({ shape: [3, 4], low, high })), build,
}];
const unary = (op: Parameters<Builder["unary"]>[0], low = -2, high = 2): Case[] =>
  elementwise((b, x) => b.unary(op, x), [low, high]);
const binary = (
  op: Parameters<Builder["binary"]>[0], first: [number, number], second: [number, number],
): Case[] => elementwise((b, x, y) => b.binary(op, x, y), first, second);
const indices = (b: Builder, values: readonly number[]): Value =>
  b.constant(tensor("int32", [values.length], values), "indices");
const on = (shapes: readonly (readonly number[])[], build: Case["build"]): Case =>
  ({ inputs: shapes.map((shape) => ({ shape })), build });
const conv = (
  x: readonly number[], w: readonly number[],
  attrs: { strides: number[]; dilations: number[]; low: number[]; high: number[]; groups: number },
): Case => on([x, w], (b, a, c) => b.add("conv", [a, c], attrs));
const scatter = (kind: "none" | "add" | "mul" | "max" | "min", at: number[]): Case =>
  on([[4, 3], [at.length, 3]], (b, x, u) => b.add("scatter", [x, indices(b, at), u], { kind }));

/** Not differentiable: integers, flags, or no operand at all. */
const none: Case[] = [];

const cases: Record<PrimName, readonly Case[]> = {
  neg: unary("neg"), abs: [...unary("abs", 0.1, 2), ...unary("abs", -2, -0.1)],
  sign: unary("sign", 0.1, 2), floor: unary("floor", 0.1, 0.9), ceil: unary("ceil", 0.1, 0.9),
  round: unary("round", 0.6, 1.4), trunc: unary("trunc", 0.1, 0.9),
  exp: unary("exp"), log: unary("log", 0.2, 3), sqrt: unary("sqrt", 0.2, 3),
  sin: unary("sin"), cos: unary("cos"), tan: unary("tan", -1, 1),
  asin: unary("asin", -0.8, 0.8), acos: unary("acos", -0.8, 0.8), atan: unary("atan"),
  sinh: unary("sinh"), cosh: unary("cosh"), tanh: unary("tanh"),
  asinh: unary("asinh"), acosh: unary("acosh", 1.3, 3), atanh: unary("atanh", -0.8, 0.8),
  erf: unary("erf"), not: none, bitnot: none, isnan: none,
  add: binary("add", [-2, 2], [-2, 2]), sub: binary("sub", [-2, 2], [-2, 2]),
  mul: binary("mul", [-2, 2], [-2, 2]), div: binary("div", [-2, 2], [0.5, 2]),
  rem: [...binary("rem", [5.1, 5.9], [2.1, 2.4]), ...binary("rem", [-5.9, -5.1], [2.1, 2.4])],
  pow: [
    ...binary("pow", [0.3, 3], [-2, 2]),
    // A negative or zero base with a whole exponent: only the base has a gradient.
    ...[[-1.5, 3], [-0.7, 2], [2, 0], [0, 2], [0, 1]].map(([x, y]): Case => ({
      inputs: [{ shape: [1], values: [x as number] }],
      build: (b, base) => b.binaryWith("pow", base, y as number),
    })),
  ],
  max: binary("max", [-2, 2], [-2, 2]), min: binary("min", [-2, 2], [-2, 2]),
  and: none, or: none, xor: none, shl: none, shr: none, eq: none, lt: none, le: none,
  where: [on([[3, 4], [3, 4]], (b, x, y) =>
    b.where(b.constant(tensor("bool", [3, 1], [1, 0, 1]), "cond"), x, y))],
  cast: [on([[3, 4]], (b, x) => b.cast(b.cast(x, "float32"), "float64"))],
  bitcast: none, constant: none, size: none, iota: none, random: none, normal: none, argsort: none,
  reshape: [on([[3, 4]], (b, x) => b.reshape(x, [2, 6]))],
  transpose: [on([[2, 3, 4]], (b, x) => b.transpose(x, [2, 0, 1]))],
  broadcast: [on([[3, 1]], (b, x) => b.broadcast(x, [2, 3, 4])),
    on([[]], (b, x) => b.broadcast(x, [2, 2])), on([[1, 2]], (b, x) => b.broadcast(x, [1, 2]))],
  slice: [on([[7, 3]], (b, x) => b.slice(x, [1, 0], [3, 2], [2, 1])),
    on([[4]], (b, x) => b.slice(x, [2], [0], [1]))],
  flip: [on([[3, 4]], (b, x) => b.flip(x, [1])), on([[3, 4]], (b, x) => b.flip(x, [0, 1]))],
  pad: [on([[3, 4]], (b, x) => b.pad(x, [1, 0], [2, 1], 0.5, [0, 2])),
    on([[4, 5]], (b, x) => b.pad(x, [-1, 2], [1, -2], 0, [1, 0]))],
  concat: [on([[2, 3], [2, 1], [2, 2]], (b, x, y, z) => b.concat([x, y, z, x], 1))],
  window: [on([[2, 8]], (b, x) =>
    b.add("window", [x], { sizes: [3], strides: [2], dilations: [2] })),
  on([[5, 6]], (b, x) =>
    b.add("window", [x], { sizes: [2, 3], strides: [1, 2], dilations: [2, 1] }))],
  unwindow: [on([[2, 2, 3]], (b, x) =>
    b.add("unwindow", [x], { shape: [2, 8], sizes: [3], strides: [2], dilations: [2] }))],
  gather: [on([[4, 3]], (b, x) => b.gather(x, indices(b, [1, 3, 1, 1]), 0)),
    on([[2, 4, 3]], (b, x) => b.gather(x, b.reshape(indices(b, [0, 3, 3, 2]), [2, 2]), 1)),
    on([[2, 4]], (b, x) => b.gather(x, b.reshape(indices(b, [2]), []), 1))],
  scatter: [
    scatter("none", [2, 0, 2]), scatter("none", [3, 5, -1]), scatter("add", [1, 1, 0, 7, -2]),
    scatter("max", [1, 1, 0, 9]), scatter("min", [1, 1, 0, 9]), scatter("mul", [1, 1, 0, 9]),
    // A factor of zero once, and twice in one product.
    {
      inputs: [{ shape: [2, 2], values: [0, 2, 3, 0] }, { shape: [2, 2], values: [4, 5, 0, 0] }],
      build: (b, x, u) => b.add("scatter", [x, indices(b, [1, 1]), u], { kind: "mul" }),
    },
  ],
  reduce: [
    ...(["sum", "max", "min", "prod"] as const).flatMap((kind) => [
      on([[3, 4]], (b, x) => b.reduce(kind, x, [1])),
      on([[2, 3, 2]], (b, x) => b.reduce(kind, x, [0, 2], true)),
    ]),
    { inputs: [{ shape: [3, 3], values: [1, 0, 2, 0, 3, 0, 4, 5, 6] }],
      build: (b, x) => b.reduce("prod", x, [1]) },
  ],
  cumulate: [
    ...(["sum", "prod"] as const).flatMap((kind) => [
      on([[3, 4]], (b, x) => b.add("cumulate", [x], { kind, axis: 1 })),
      on([[3, 2, 2]], (b, x) => b.add("cumulate", [x], { kind, axis: 0 })),
    ]),
    { inputs: [{ shape: [3, 4], values: [1, 0, 2, 3, 0, 4, 0, 5, 6, 7, 8, 0] }],
      build: (b, x) => b.add("cumulate", [x], { kind: "prod", axis: 1 }) },
  ],
  dot: [on([[3, 4], [4, 2]], (b, x, y) => b.dot(x, y, 0, 1)),
    on([[2, 3, 4], [2, 4, 5]], (b, x, y) => b.dot(x, y, 1, 1)),
    on([[2, 2, 3], [3, 2]], (b, x, y) => b.dot(x, y, 0, 1)),
    on([[2, 3, 2, 3], [2, 2, 3]], (b, x, y) => b.dot(x, y, 1, 2)),
    on([[2, 3], [4]], (b, x, y) => b.dot(x, y, 0, 0)),
    on([[3, 4]], (b, x) => b.dot(x, b.transpose(x, [1, 0]), 0, 1))],
  conv: [
    conv([2, 2, 5, 6], [3, 2, 3, 2],
      { strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 0], groups: 1 }),
    conv([1, 2, 7, 6], [2, 2, 3, 3],
      { strides: [2, 3], dilations: [1, 2], low: [0, 1], high: [2, 1], groups: 1 }),
    conv([2, 4, 5], [6, 2, 2], { strides: [2], dilations: [2], low: [3], high: [0], groups: 2 }),
    conv([1, 3, 6, 6], [3, 1, 3, 3],
      { strides: [2, 2], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 3 }),
    conv([1, 1, 4], [1, 1, 3], { strides: [3], dilations: [1], low: [-1], high: [2], groups: 1 }),
    conv([1, 2, 3, 3, 3], [2, 2, 2, 1, 2],
      { strides: [1, 1, 2], dilations: [1, 1, 1], low: [0, 1, 1], high: [1, 0, 0], groups: 1 }),
  ],
};

interface Built {
  readonly graph: Graph;
  readonly inputs: Map<string, Tensor>;
}

/** loss = sum of the output times random weights; outputs are the loss and its gradients. */
function build({ inputs, build: make }: Case, r: Random): Built {
  const b = new Builder("gradient");
  const given = new Map<string, Tensor>();
  const values = inputs.map(({ shape, low = -2, high = 2, values: fixed }, i) => {
    let n = 0;
    given.set(`x${i}`, tensorOf("float64", shape, () =>
      fixed?.[n++] ?? low + (high - low) * r.next()));
    return b.input(`x${i}`, { dtype: "float64", shape });
  });
  const out = make(b, ...values);
  const shape = out.type.shape as readonly number[];
  const weights = b.constant(tensorOf("float64", shape, () => 0.5 + r.next()), "weights");
  const loss = b.reduce("sum", b.mul(out, weights), shape.map((_, i) => i));
  const gradients = gradient(b, loss, values);
  const outputs = [loss, ...gradients].map((value, i) => ({ name: `out${i}`, value }));
  return { graph: verifyGraph(b.finish(outputs)), inputs: given };
}

/** Derivative along a direction by five points: the error is of the order of step^4. */
function slope({ graph, inputs }: Built, direction: ReadonlyMap<string, Tensor>): number {
  const at = (t: number): number => {
    const moved = new Map([...inputs].map(([name, x]) => {
      const d = elements(direction.get(name) as Tensor);
      const data = Float64Array.from(elements(x), (v, i) => v + t * (d[i] as number));
      return [name, { ...x, data }];
    }));
    return elements(evaluateGraph(graph, moved, "f64").get("out0") as Tensor)[0] as number;
  };
  const h = 1e-3;
  return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
}

async function check(one: Case, seed: number): Promise<void> {
  const r = new Random(seed);
  const built = build(one, r);
  const values = evaluateGraph(built.graph, built.inputs, "f64");
  for (let n = 0; n < 3; n++) {
    const direction = new Map([...built.inputs].map(([name, x]) =>
      [name, tensorOf("float64", x.shape, () => 2 * r.next() - 1)]));
    let [expected, scale] = [0, 1e-12];
    [...direction.values()].forEach((d, i) => {
      const g = elements(values.get(`out${i + 1}`) as Tensor);
      elements(d).forEach((v, j) => {
        expected += v * (g[j] as number);
        scale += Math.abs(v * (g[j] as number));
      });
    });
    const measured = slope(built, direction);
    expect(Math.abs(measured - expected) / Math.max(scale, 1)).toBeLessThan(1e-9);
    expect(Math.abs(measured - expected) / scale, `slope ${measured}`).toBeLessThan(
      scale < 1e-9 ? Infinity : 1e-6);
  }
  const session = await Session.create(new InterpreterDevice("f64"), buildProgram(built.graph));
  for (const [name, t] of await session.run(built.inputs)) {
    expect(difference(t, values.get(name) as Tensor), name).toBeLessThan(1e-11);
  }
}

const differentiable = Object.entries(cases).filter(([, list]) => list.length > 0);
describe.each(differentiable)("gradient of %s", (_, list) => {
  it.each(list.map((one, i): [number, Case] => [i + 1, one]))("case %i", async (i, one) => {
    await check(one, 100 + i);
  });
});

it("ties of max, min and reductions share alike", () => {
  const b = new Builder();
  const x = b.input("x", { dtype: "float64", shape: [4] });
  const parts = [b.reduce("max", x, [0]), b.reduce("sum", b.max(x, b.full(x, 2)), [0])];
  const loss = b.addition(parts[0] as Value, parts[1] as Value);
  const graph = b.finish([{ name: "g", value: gradient(b, loss, [x])[0] as Value }]);
  const inputs = new Map([["x", tensor("float64", [4], [1, 2, 3, 3])]]);
  // Each largest one has half of the maximum; the 2 that ties with the constant has half of it.
  expect(elements(evaluateGraph(graph, inputs, "f64").get("g") as Tensor))
    .toEqual([0, 0.5, 1.5, 1.5]);
});

it("gradients of gradients are right too", () => {
  const r = new Random(3);
  const b = new Builder();
  const x = b.input("x", { dtype: "float64", shape: [2, 3] });
  const w = b.input("w", { dtype: "float64", shape: [3, 2] });
  const y = b.unary("tanh", b.dot(x, w, 0, 1));
  const energy = b.reduce("sum", b.mul(y, b.unary("exp", b.mul(y, y))), [0, 1]);
  const [dx] = gradient(b, energy, [x]) as [Value];
  const probe = b.constant(tensorOf("float64", [2, 3], () => r.next()), "probe");
  const inner = b.reduce("sum", b.mul(dx, probe), [0, 1]);
  const second = gradient(b, inner, [x, w]);
  const outputs = [inner, ...second].map((value, i) => ({ name: `out${i}`, value }));
  const inputs = new Map([["x", [2, 3]], ["w", [3, 2]]].map(([name, shape]) =>
    [name as string, tensorOf("float64", shape as number[], () => 2 * r.next() - 1)]));
  const built = { graph: verifyGraph(b.finish(outputs)), inputs };
  const values = evaluateGraph(built.graph, inputs, "f64");
  const direction = new Map([...inputs].map(([name, t]) =>
    [name, tensorOf("float64", t.shape, () => 2 * r.next() - 1)]));
  let expected = 0;
  [...direction.values()].forEach((d, i) => elements(d).forEach((v, j) => {
    expected += v * (elements(values.get(`out${i + 1}`) as Tensor)[j] as number);
  }));
  expect(Math.abs(slope(built, direction) - expected)).toBeLessThan(1e-8 * Math.abs(expected));
});

it("a value that the loss does not depend on has a gradient of zeros", () => {
  const b = new Builder();
  const [x, y] = [0, 1].map((i) => b.input(`x${i}`, { dtype: "float64", shape: [2] }));
  const loss = b.reduce("sum", x as Value, [0]);
  const graph = b.finish([{ name: "g", value: gradient(b, loss, [y as Value])[0] as Value }]);
  const two = tensor("float64", [2], [1, 2]);
  const held = evaluateGraph(graph, new Map([["x0", two], ["x1", two]])).get("g") as Tensor;
  expect(elements(held)).toEqual([0, 0]);
  expect(sizeOf(held.shape)).toBe(2);
  expect(() => gradient(b, x as Value, [y as Value]))
    .toThrow("internal: a gradient needs a float scalar, x0 is not one");
});
