import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { activationsOf } from "../../../compiler/energy/activations.ts";
import { ffEbmFromGraph, type Conversion } from "../../../compiler/energy/fromGraph.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { vjp } from "../../../compiler/passes/gradient.ts";
import { costRules } from "../../../models/ffEbm.ts";
import { normalStream } from "../../../models/init.ts";
import { loadModel } from "../../../runtime/files/modelFiles.ts";
import { Chain, type GradientMethod } from "../../../runtime/learn/chain.ts";
import { compareGradients } from "../../../runtime/learn/compare.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import { readAll } from "../../../runtime/learn/reference.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";

const loss = costRules["cross-entropy"];
const normal = (seed: number, name: string, shape: readonly number[], size = 1): Tensor => {
  const stream = normalStream(seed, name);
  const length = shape.reduce((p, d) => p * d, 1);
  return tensor("float32", shape, Float64Array.from({ length }, (_, i) => size * stream(i)));
};

/** x [B, 6] -> relu -> sigmoid -> (skip) -> clip -> logits [B, 3]; every unit a dense layer. */
function denseGraph(): Graph {
  const b = new Builder("net");
  const batch = symbol("B");
  const x = b.input("x", { dtype: "float32", shape: [batch, 6] });
  const layer = (v: Value, name: string, inputs: number, outputs: number): Value => {
    const w = b.constant(normal(1, name, [inputs, outputs], 0.6), `${name}.w`);
    const bias = b.constant(normal(1, `${name}b`, [outputs], 0.2), `${name}.b`);
    return b.addition(b.dot(v, w, 0, 1), bias);
  };
  const h1 = b.max(layer(x, "l1", 6, 5), b.scalar("float32", 0));
  const pre2 = layer(h1, "l2", 5, 5);
  const one = b.full(pre2, 1);
  const h2 = b.div(one, b.addition(one, b.unary("exp", b.unary("neg", pre2))));
  const pre3 = b.addition(layer(h2, "l3", 5, 5), h1);
  const h3 = b.min(b.max(pre3, b.full(pre3, 0)), b.full(pre3, 6));
  const h4 = b.unary("tanh", layer(h3, "l4", 5, 4));
  const h5 = b.unary("tanh", layer(h4, "l5", 4, 4));
  return b.finish([{ name: "y", value: layer(h5, "l6", 4, 3) }]);
}

const batchOf = (conversion: Conversion, count: number): { input: Tensor; target: Tensor } => {
  const { input, target } = conversion.model;
  const classes = target.shape[0] as number;
  const rows = new Float64Array(count * classes);
  for (let n = 0; n < count; n++) rows[n * classes + (n % classes)] = 1;
  return {
    input: normal(3, "x", [count, ...input.shape]),
    target: tensor("float32", [count, classes], rows),
  };
};

const solver = {
  order: "asynchronous" as const,
  free: { sweeps: 400, tolerance: 1e-14, rounding: 1e-11 },
  nudged: { sweeps: 400, tolerance: 1e-14, rounding: 1e-11 },
};

async function gradientOf(
  conversion: Conversion, count: number, method: GradientMethod,
): Promise<{ gradient: Map<string, ArrayLike<number>>; logits: ArrayLike<number> }> {
  const engine = referenceEngine("f64");
  const chain = new Chain(engine, conversion.model, solver);
  const { input, target } = batchOf(conversion, count);
  const parameters = new Map(conversion.parameters);
  const pass = await chain.forward(parameters, input, target);
  const { parameters: found } = await chain.backward(parameters, pass, { method });
  return {
    gradient: await readAll(engine, found), logits: (await engine.read(pass.logits)).data,
  };
}

/** Logits and gradients of the mean loss by backprop through the graph itself. */
function backprop(
  graph: Graph, conversion: Conversion, count: number,
): { gradient: Map<string, ArrayLike<number>>; logits: ArrayLike<number> } {
  const b = new Builder("whole");
  const { input, target } = batchOf(conversion, count);
  const names = [...conversion.parameters.keys()];
  const values = new Map<Value, Value>();
  const x = b.input("x", { dtype: "float32", shape: input.shape });
  const y = b.input("target", { dtype: "float32", shape: target.shape });
  values.set(graph.inputs[0] as Value, x);
  for (const node of graph.nodes) {
    const output = node.outputs[0] as Value;
    const concrete = JSON.parse(JSON.stringify(node.attrs, (_, v: unknown) =>
      (v && typeof v === "object" && "terms" in v ? count * scale(v) : v))) as never;
    values.set(output, node.op === "constant"
      ? (names.includes(output.name) ? b.input(output.name, output.type)
        : b.constant((node.attrs as { tensor: Tensor }).tensor))
      : b.add(node.op, node.inputs.map((v) => values.get(v) as Value), concrete));
  }
  const logits = values.get(graph.outputs[0]?.value as Value) as Value;
  const total = loss(b, logits, y);
  const wrt = names.map((name) =>
    [...values.values()].find((v) => v.name === name && !v.node) as Value);
  const parts = vjp(b, [total], [b.full(total, 1)], wrt);
  const whole = b.finish([{ name: "logits", value: logits },
    ...parts.map((value, i) => ({ name: names[i] as string, value }))]);
  const found = evaluateGraph(whole, new Map([
    ["x", input], ["target", target], ...conversion.parameters,
  ]), "f64");
  return {
    logits: found.get("logits")?.data as Float64Array,
    gradient: new Map(names.map((name) => [name,
      Float64Array.from(found.get(name)?.data ?? [], (g) => g / count)])),
  };
}

/** Coefficient of a size "c*B". */
const scale = (dim: object): number =>
  [...(dim as { terms: ReadonlyMap<string, number> }).terms.values()][0] as number;

describe("activations", () => {
  it("are found, of nested ones the outermost", () => {
    const found = activationsOf(denseGraph()).map(({ unit }) => unit);
    expect(found).toEqual([
      { kind: "clamp", slope: 1, low: 0, high: Infinity },
      { kind: "sigmoid", gain: 1, offset: 0 },
      { kind: "clamp", slope: 1, low: 0, high: 6 },
      { kind: "tanh" }, { kind: "tanh" },
    ]);
  });

  it("are not what only looks like one", () => {
    const b = new Builder("g");
    const x = b.input("x", { dtype: "float32", shape: [4] });
    const y = b.max(x, b.full(x, 1));
    const z = b.div(b.full(x, 2), b.addition(b.full(x, 1), b.unary("exp", b.unary("neg", x))));
    const graph = b.finish([{ name: "y", value: y }, { name: "z", value: z }]);
    expect(activationsOf(graph)).toEqual([]);
  });
});

describe("one-layer blocks", () => {
  const graph = denseGraph();
  const conversion = ffEbmFromGraph(graph, { blockSize: 1, loss });

  it("are one for each activation behind a product, and change nothing", () => {
    expect(conversion.isChanged).toBe(false);
    expect(conversion.blocks).toHaveLength(5);
    expect([...conversion.parameters.keys()]).toEqual(
      ["l1", "l2", "l3", "l4", "l5", "l6"].flatMap((l) => [`${l}.w`, `${l}.b`]));
    for (const stage of [...conversion.model.stages, conversion.model.loss]) {
      verifyGraph(stage.kind === "digital" ? stage.graph
        : stage.block.kind === "energy" ? stage.block.interaction : stage.block.field);
    }
  });

  it("give the graph's logits and backprop's gradients, the skip included", async () => {
    const truth = backprop(graph, conversion, 5);
    const found = await gradientOf(conversion, 5, { kind: "implicit", adjoint: solver.free });
    Array.from(truth.logits).forEach((z, i) => expect(found.logits[i]).toBeCloseTo(z, 12));
    expect(compareGradients(found.gradient, truth.gradient).overall.relativeError)
      .toBeLessThan(1e-12);
    const nudged = await gradientOf(conversion, 5,
      { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 1e-3 }) });
    expect(compareGradients(nudged.gradient, truth.gradient).overall.relativeError)
      .toBeLessThan(1e-5);
  });

  it("leave frozen constants out of training", () => {
    const { parameters } = ffEbmFromGraph(graph,
      { blockSize: 1, loss, isFrozen: (name) => name.startsWith("l3") });
    expect([...parameters.keys()].some((name) => name.startsWith("l3"))).toBe(false);
    expect(parameters.size).toBe(10);
  });
});

describe("merged blocks", () => {
  const conversion = ffEbmFromGraph(denseGraph(), { blockSize: 3, loss });

  it("join consecutive layers, but not across a skip, and say that the model is another", () => {
    expect(conversion.isChanged).toBe(true);
    expect(conversion.blocks.map(({ layers }) => layers.length)).toEqual([1, 1, 3]);
  });

  it("have nudged gradients that are the implicit ones", async () => {
    const truth = await gradientOf(conversion, 3, { kind: "implicit", adjoint: solver.free });
    const found = await gradientOf(conversion, 3,
      { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 1e-3 }) });
    const { overall, parameters } = compareGradients(found.gradient, truth.gradient);
    expect(parameters).toHaveLength(12);
    expect(overall.cosine).toBeGreaterThan(1 - 1e-8);
  });
});

describe("the shipped models", () => {
  const models = ["mnist-mlp", "mnist-lenet", "cifar10-resnet8", "mnist-vit"];
  it.each(models)("%s keeps its logits as one-layer blocks", async (name) => {
    const path = fileURLToPath(new URL(`../../../models/${name}.onnx`, import.meta.url));
    const { graph } = importModel(await loadModel(path));
    const conversion = ffEbmFromGraph(graph, { blockSize: 1, loss });
    expect(conversion.blocks.length).toBeGreaterThan(1);
    const { input, target } = batchOf(conversion, 1);
    const engine = referenceEngine("f64");
    const chain = new Chain(engine, conversion.model,
      { order: "asynchronous", free: { sweeps: 2 }, nudged: { sweeps: 1 } });
    const pass = await chain.forward(new Map(conversion.parameters), input, target);
    const truth = evaluateGraph(graph, new Map([[graph.inputs[0]?.name as string, input]]), "f64");
    const logits = Array.from([...truth.values()][0]?.data ?? []);
    const found = (await engine.read(pass.logits)).data;
    logits.forEach((z, i) => expect(found[i]).toBeCloseTo(z, 9));
    expect(pass.residual).toBe(0);
  });
});

describe("models whose activations are no units", () => {
  /** x [B, 5] -> 4 -> h * sigmoid(1.7 h) -> logits [B, 3]; the second weights are transposed. */
  function gatedGraph(): Graph {
    const b = new Builder("gated");
    const x = b.input("x", { dtype: "float32", shape: [symbol("B"), 5] });
    const h = b.dot(x, b.constant(normal(4, "w1", [5, 4]), "w1"), 0, 1);
    const one = b.full(h, 1);
    const gate = b.div(one, b.addition(one, b.unary("exp", b.mul(b.full(h, -1.7), h))));
    const w2 = b.transpose(b.constant(normal(4, "w2", [3, 4]), "w2"), [1, 0]);
    return b.finish([{ name: "y", value: b.dot(b.mul(h, gate), w2, 0, 1) }]);
  }

  it("have their products as blocks of linear units, with backprop's gradients", async () => {
    const graph = gatedGraph();
    const conversion = ffEbmFromGraph(graph, { blockSize: 1, loss });
    expect(conversion.blocks).toHaveLength(2);
    expect(conversion.isChanged).toBe(false);
    const units = conversion.model.stages.flatMap((stage) =>
      (stage.kind === "analog" ? stage.block.states.map(({ unit }) => unit.kind) : []));
    expect(units).toEqual(["linear", "linear"]);
    const truth = backprop(graph, conversion, 5);
    for (const method of [
      { kind: "implicit", adjoint: solver.free },
      { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 1e-3 }) },
    ] as const) {
      const found = await gradientOf(conversion, 5, method);
      Array.from(truth.logits).forEach((z, i) => expect(found.logits[i]).toBeCloseTo(z, 12));
      expect(compareGradients(found.gradient, truth.gradient).overall.relativeError)
        .toBeLessThan(method.kind === "implicit" ? 1e-12 : 1e-5);
    }
  });
});

describe("activations whose first axis is no batch", () => {
  it("stay in digital segments, with backprop's gradients", async () => {
    const b = new Builder("sideways");
    const x = b.input("x", { dtype: "float32", shape: [symbol("B"), 5] });
    const h = b.unary("tanh", b.dot(x, b.constant(normal(4, "w1", [5, 4]), "w1"), 0, 1));
    const w2 = b.constant(normal(4, "w2", [6, 4]), "w2");
    // [6, B]: units are rows here.
    const sideways = b.unary("tanh", b.dot(w2, b.transpose(h, [1, 0]), 0, 1));
    const w3 = b.constant(normal(4, "w3", [6, 3]), "w3");
    const graph = b.finish([{ name: "y", value: b.dot(b.transpose(sideways, [1, 0]), w3, 0, 1) }]);
    const conversion = ffEbmFromGraph(graph, { blockSize: 1, loss });
    expect(conversion.blocks.map(({ layers }) => layers)).toEqual([[h.name]]);
    const truth = backprop(graph, conversion, 5);
    const found = await gradientOf(conversion, 5, { kind: "implicit", adjoint: solver.free });
    Array.from(truth.logits).forEach((z, i) => expect(found.logits[i]).toBeCloseTo(z, 12));
    expect(compareGradients(found.gradient, truth.gradient).overall.relativeError)
      .toBeLessThan(1e-12);
  });
});

describe("what cannot be trained is refused", () => {
  it("a graph without products with weights", () => {
    const b = new Builder("g");
    const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 4] });
    const graph = b.finish([{ name: "y", value: b.max(x, b.full(x, 0)) }]);
    expect(() => ffEbmFromGraph(graph, { blockSize: 1, loss }))
      .toThrow(/g: It has no product of samples with trained weights/);
  });
  it("a batch of fixed size", () => {
    const b = new Builder("g");
    const x = b.input("x", { dtype: "float32", shape: [8, 4] });
    expect(() => ffEbmFromGraph(b.finish([{ name: "y", value: b.unary("neg", x) }]),
      { blockSize: 1, loss })).toThrow(/input x: Its shape is \[8,4\]/);
  });
});
