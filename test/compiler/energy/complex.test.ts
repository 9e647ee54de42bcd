import { describe, expect, it } from "vitest";
import { complexGraph, imaginaryName, realName } from "../../../compiler/energy/complex.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Value } from "../../../compiler/graph/graph.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";

type Make = (b: Builder, z: Value, real: Value) => Value;
const xs = [0.3, -0.7, 1.1, 0.05];
const ys = [0.2, 0.5, -0.4, -0.1];
const rs = [1.5, -2, 0.5, 3];

/** f(x + iy) as [re, im] arrays; the second operand is real. */
function atComplex(make: Make, x = xs, y = ys): readonly [Float64Array, Float64Array] {
  const b = new Builder("f");
  const type = { dtype: "float32", shape: [x.length] } as const;
  const z = b.input("z", type);
  const graph = complexGraph(
    b.finish([{ name: "w", value: make(b, z, b.input("r", type)) }]), new Set(["z"]));
  const held = (data: readonly number[]): ReturnType<typeof tensor> =>
    tensor("float32", [data.length], Float64Array.from(data));
  const outputs = evaluateGraph(graph, new Map([
    [realName("z"), held(x)], [imaginaryName("z"), held(y)], ["r", held(rs.slice(0, x.length))],
  ]), "f64");
  return [realName("w"), imaginaryName("w")].map((name) =>
    outputs.get(name)?.data as Float64Array) as [Float64Array, Float64Array];
}

/** f at real points. */
function atReal(make: Make, x: readonly number[]): Float64Array {
  const b = new Builder("f");
  const type = { dtype: "float32", shape: [x.length] } as const;
  const z = b.input("z", type);
  const graph = b.finish([{ name: "w", value: make(b, z, b.input("r", type)) }]);
  return evaluateGraph(graph, new Map([
    ["z", tensor("float32", [x.length], Float64Array.from(x))],
    ["r", tensor("float32", [x.length], Float64Array.from(rs.slice(0, x.length)))],
  ]), "f64").get("w")?.data as Float64Array;
}

const functions: Record<string, Make> = {
  "a polynomial": (b, z, r) => b.addition(b.mul(z, b.mul(z, r)), b.sub(r, b.unary("neg", z))),
  "a quotient": (b, z, r) => b.div(b.addition(z, r), b.addition(b.mul(z, z), b.full(z, 3))),
  "a real over a complex": (b, z, r) => b.div(r, b.addition(z, b.full(z, 4))),
  exp: (b, z) => b.unary("exp", z),
  log: (b, z) => b.unary("log", b.addition(z, b.full(z, 2))),
  tanh: (b, z) => b.unary("tanh", z),
  sin: (b, z) => b.unary("sin", z),
  cos: (b, z) => b.unary("cos", z),
  sinh: (b, z) => b.unary("sinh", z),
  cosh: (b, z) => b.unary("cosh", z),
  "a dot product": (b, z, r) => b.dot(b.reshape(z, [2, 2]), b.reshape(b.mul(z, r), [2, 2]), 0, 1),
  "a softmax, shifted": (b, z) => {
    const shift = b.unary("ceil", b.reduce("max", z, [0], true));
    const e = b.unary("exp", b.sub(z, shift));
    return b.div(e, b.reduce("sum", e, [0], true));
  },
  "padding and a choice": (b, z, r) => {
    const wide = b.pad(z, [1], [0], 7);
    const kept = b.sliceAxis(wide, 0, 0, 4);
    return b.where(b.binary("lt", r, b.full(r, 0)), z, kept);
  },
};

describe("graphs over complex numbers", () => {
  it.each(Object.keys(functions))("%s is the real function on the real axis", (name) => {
    const make = functions[name] as Make;
    const [re, im] = atComplex(make, xs, xs.map(() => 0));
    const truth = atReal(make, xs);
    re.forEach((value, i) => expect(value).toBeCloseTo(truth[i] as number, 12));
    im.forEach((value) => expect(value).toBeCloseTo(0, 14));
  });

  // Holomorphic: for each input, f_y = i f_x (Cauchy and Riemann), off the real axis too.
  it.each(Object.keys(functions))("%s is holomorphic", (name) => {
    const make = functions[name] as Make;
    const h = 1e-6;
    for (let k = 0; k < xs.length; k++) {
      const move = (v: readonly number[], by: number): number[] =>
        v.map((e, i) => (i === k ? e + by : e));
      const [right, left] = [atComplex(make, move(xs, h), ys), atComplex(make, move(xs, -h), ys)];
      const [up, down] = [atComplex(make, xs, move(ys, h)), atComplex(make, xs, move(ys, -h))];
      const slope = (a: typeof up, c: typeof up, part: 0 | 1, i: number): number =>
        ((a[part][i] as number) - (c[part][i] as number)) / (2 * h);
      for (let i = 0; i < right[0].length; i++) {
        expect(slope(up, down, 0, i)).toBeCloseTo(-slope(right, left, 1, i), 6);
        expect(slope(up, down, 1, i)).toBeCloseTo(slope(right, left, 0, i), 6);
      }
    }
  });

  it("is not constant, so the test above says something", () => {
    for (const make of Object.values(functions)) {
      const [, im] = atComplex(make);
      expect(Math.max(...im.map(Math.abs))).toBeGreaterThan(1e-3);
    }
  });

  it("maximum picks by the real part, with its imaginary part", () => {
    const [re, im] = atComplex((b, z) => b.reduce("max", b.reshape(z, [2, 2]), [1]));
    expect([...re]).toEqual([0.3, 1.1]);
    expect([...im]).toEqual([0.2, -0.4]);
  });

  it("leaves real parts of a graph real, and can give the real part only", () => {
    const b = new Builder("f");
    const type = { dtype: "float32", shape: [2] } as const;
    const [z, r] = [b.input("z", type), b.input("r", type)];
    const doubled = b.addition(r, r);
    const graph = complexGraph(b.finish([
      { name: "real", value: doubled }, { name: "w", value: b.mul(z, r) },
    ]), new Set(["z"]), new Set(["w"]));
    expect(graph.outputs.map(({ name }) => name)).toEqual(["real.re", "real.im", "w"]);
  });

  it("refuses what has no continuation, naming it", () => {
    expect(() => atComplex((b, z) => b.unary("erf", z)))
      .toThrow(/operation erf has no continuation to complex numbers/);
  });
});
