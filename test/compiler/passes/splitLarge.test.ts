/** split-large: weights beyond what a device binds, cut where the output has the same axis. */
import { describe, expect, it } from "vitest";
import { compile } from "../../../compiler/compile.ts";
import { webGpuDefaults } from "../../../compiler/emit/wgsl/profile.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { constantOf, type Graph, type Value } from "../../../compiler/graph/graph.ts";
import { sizeOf, splat, tensor } from "../../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { splitLarge } from "../../../compiler/passes/splitLarge.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { loadTarget } from "../../../runtime/files/targetFiles.ts";
import { expectSame } from "../../support/passes.ts";
import { Random } from "../../support/randomGraph.ts";
import { difference } from "../../support/difference.ts";

const limit = 400;
const r = new Random(12);

type Make = (b: Builder, weights: (...shape: number[]) => Value) => Value;
function graphOf(make: Make): Graph {
  const b = new Builder("g");
  const y = make(b, (...shape) => b.constant(r.tensor(shape), "w"));
  return verifyGraph(b.finish([{ name: "y", value: y }]));
}
const input = (b: Builder, ...shape: number[]): Value =>
  b.input("x", { dtype: "float32", shape });

const weightsOf = (graph: Graph): (readonly number[])[] => graph.nodes.flatMap((node) => {
  const held = constantOf(node.outputs[0] as Value);
  return held && !held.splat ? [held.shape] : [];
});

const cases: Record<string, [Make, number]> = {
  "a product by its columns": [(b, w) => b.dot(input(b, 3, 7), w(7, 50), 0, 1), 4],
  "a product by its rows": [(b, w) => b.dot(w(50, 7), input(b, 7, 3), 0, 1), 4],
  "a product by the second of two free axes, where the first is short":
    [(b, w) => b.dot(input(b, 2, 5), w(5, 2, 40), 0, 1), 4],
  "a batch of products": [(b, w) => b.dot(input(b, 2, 3, 7), w(2, 7, 20), 1, 1), 3],
  "a convolution by its filters": [(b, w) => b.add("conv", [input(b, 1, 3, 5, 5), w(11, 3, 3, 3)],
    { strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1 }), 3],
  "an embedding by its features": [(b, w) =>
    b.gather(w(30, 8), b.cast(b.unary("abs", input(b, 2, 3)), "int32"), 0), 4],
  "columns that are picked, by their rows": [(b, w) =>
    b.gather(w(30, 8), b.cast(b.unary("abs", input(b, 4)), "int32"), 1), 3],
};

describe("cut", () => {
  it.each(Object.entries(cases))("%s", (_, [make, parts]) => {
    const before = graphOf(make);
    const after = verifyGraph(splitLarge(limit).run(before));
    expectSame(before, after, 0);
    const [whole] = weightsOf(before) as [readonly number[]];
    const shapes = weightsOf(after);
    expect(shapes.length).toBeGreaterThanOrEqual(parts);
    expect(shapes.reduce((n, shape) => n + sizeOf(shape), 0)).toBe(sizeOf(whole));
    for (const shape of shapes) expect(4 * sizeOf(shape)).toBeLessThanOrEqual(limit);
    for (const kernel of buildProgram(after).kernels) {
      for (const { access, size } of kernel.arguments) {
        if (access === "read") expect(4 * (size as number)).toBeLessThanOrEqual(limit);
      }
    }
    expect(splitLarge(limit).run(after).nodes.length).toBe(after.nodes.length);
  });
});

it("leaves what is small, what repeats one number, and what has no axis to cut along", () => {
  const untouched: Make[] = [
    (b, w) => b.dot(input(b, 3, 7), w(7, 14), 0, 1),
    (b) => b.dot(input(b, 3, 700), b.constant(splat("float32", [700, 9], 2)), 0, 1),
    (b, w) => b.dot(input(b, 3, 700), w(700), 0, 1),
    (b, w) => b.addition(input(b, 700), w(700)),
  ];
  for (const make of untouched) {
    const before = graphOf(make);
    expect(splitLarge(limit).run(before).nodes.length).toBe(before.nodes.length);
  }
});

it("counts float16 weights as halves", () => {
  const half = (count: number): Graph => {
    const b = new Builder("g");
    const w = b.constant(tensor("float16", [10, count], new Float32Array(10 * count)), "w");
    const x = b.input("x", { dtype: "float16", shape: [2, 10] });
    return b.finish([{ name: "y", value: b.dot(x, w, 0, 1) }]);
  };
  expect(weightsOf(splitLarge(limit).run(half(20)))).toEqual([[10, 20]]);
  expect(weightsOf(splitLarge(limit).run(half(21)))).toHaveLength(3);
});

it("compiles within a profile's limit, and means the same on a device", async () => {
  const graph = graphOf((b, w) => b.unary("tanh", b.dot(input(b, 4, 32), w(32, 60), 0, 1)));
  const { target } = loadTarget("neurram-rram");
  const profile = { ...webGpuDefaults, bindingBytes: 2048 };
  const { program } = compile(graph, { target, objective: "energy", analog: "none", profile });
  expect(program.constants.map(({ tensor: t }) => t.shape))
    .toEqual([[32, 15], [32, 15], [32, 15], [32, 15]]);
  const inputs = new Map([["x", r.tensor([4, 32])]]);
  const device = await openWasmDevice();
  const y = (await (await Session.create(device, program)).run(inputs)).get("y");
  // 32 products of numbers below 1, in float32.
  expect(difference(y as never, evaluateGraph(graph, inputs).get("y") as never))
    .toBeLessThan(32 * 32 * 2 ** -24);
  device.destroy();
});
