/** Importing: names, symbols, constants, subgraphs, functions, and every way to be refused. */
import { describe, expect, test } from "vitest";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { UserError } from "../../../compiler/errors.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { scalar, type Tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { NeedsConcrete, NeedsValue } from "../../../compiler/onnx/refusal.ts";
import { UnsupportedOperators } from "../../../compiler/onnx/unsupported.ts";
import {
  elements, floats, graph, ints, model, node, number, tensorType, typed, type ModelParts,
} from "../../support/onnxModel.ts";

const float = (...shape: (number | string | undefined)[]): ReturnType<typeof tensorType> =>
  tensorType("float32", shape);

const lower = (parts: ModelParts, ...rest: [Parameters<typeof importModel>[1]?]): Graph =>
  importModel(model(parts), ...rest).graph;

const ops = (g: Graph): string[] => g.nodes.map((n) => n.op);

const evaluated = (g: Graph, inputs: Record<string, Tensor>): Record<string, number[]> =>
  Object.fromEntries([...evaluateGraph(g, new Map(Object.entries(inputs)))]
    .map(([name, t]) => [name, elements(t)]));

function refusal(action: () => unknown): UserError {
  try {
    action();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("names", () => {
  const g = lower({
    nodes: [
      node("Relu", ["x"], ["hidden"], {}, { name: "layer/relu" }),
      node("Softmax", ["hidden"], ["y"], {}, { name: "layer/softmax" }),
    ],
    inputs: { x: float(2, 3) }, outputs: ["y"],
  });

  test("nodes remember the ONNX node they came from", () => {
    expect(new Set(g.nodes.flatMap((n) => n.origin)))
      .toEqual(new Set(["layer/relu", "layer/softmax"]));
  });

  test("values have their ONNX names", () => {
    const names = g.nodes.map((n) => n.outputs[0]?.name);
    expect(names).toContain("hidden");
    expect(g.outputs.map((o) => [o.name, o.value.name])).toEqual([["y", "y"]]);
  });
});

describe("shapes", () => {
  test("named and unnamed sizes become symbols, the same name the same symbol", () => {
    const { graph: g, report } = importModel(model({
      nodes: [node("Add", ["a", "b"], ["y"]), node("Identity", ["c"], ["z"])],
      inputs: {
        a: float("batch size", 3), b: float("batch size", 3), c: float(undefined, undefined),
      },
      outputs: ["y", "z"],
    }));
    expect(g.inputs.map((v) => v.type.shape.map(String)))
      .toEqual([["batch_size", "3"], ["batch_size", "3"], ["N", "c_1"]]);
    expect(report.symbols[0]).toEqual({ symbol: "batch_size", from: "batch size" });
  });

  test("sizes are bound by the model's name or by ours", () => {
    const parts: ModelParts = {
      nodes: [node("Relu", ["x"], ["y"])], inputs: { x: float("batch size", "T") }, outputs: ["y"],
    };
    expect(lower(parts, { bind: { "batch size": 4, T: 7 } }).inputs[0]?.type.shape).toEqual([4, 7]);
    expect(lower(parts, { bind: { batch_size: 4 } }).inputs[0]?.type.shape.map(String))
      .toEqual(["4", "T"]);
    expect(refusal(() => lower(parts, { bind: { M: 4 } })).message)
      .toBe('test.onnx: The model has no size called "M". its symbolic sizes are: batch_size, T.');
    expect(refusal(() => lower(parts, { bind: { T: -1 } })).message).toContain("cannot be -1");
  });

  test("Shape, Gather, Concat and Reshape leave one reshape, the batch symbolic", () => {
    const g = lower({
      nodes: [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"], { axis: 0 }),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "rest"], ["shape"], { axis: 0 }),
        node("Reshape", ["x", "shape"], ["y"]),
      ],
      inputs: { x: float("N", 4, 6) }, outputs: ["y"],
      weights: { zero: scalar("int64", 0), axes: ints(0), rest: ints(3, -1) },
    });
    expect(ops(g)).toEqual(["reshape"]);
    expect(g.outputs[0]?.value.type.shape.map(String)).toEqual(["N", "3", "8"]);
  });

  test("a mask of -1 in an expanded shape is decided for every batch", () => {
    const g = lower({
      nodes: [
        node("Shape", ["x"], ["s"], { end: 1 }),
        node("Concat", ["s", "minus"], ["wanted"], { axis: 0 }),
        node("Equal", ["wanted", "minus"], ["open"]),
        node("Where", ["open", "ones", "wanted"], ["shape"]),
        node("Expand", ["token", "shape"], ["y"]),
      ],
      inputs: { x: float("N", 5) }, outputs: ["y"],
      weights: { minus: ints(-1), ones: ints(1, 1), token: floats([1, 3], 1, 2, 3) },
    });
    expect(g.outputs[0]?.value.type.shape.map(String)).toEqual(["N", "3"]);
  });

  test("a size that must be a number says which, and how to bind it", () => {
    const parts: ModelParts = {
      nodes: [node("Conv", ["x", "w"], ["y"])], inputs: { x: float("N", 1, "H", "W") },
      outputs: ["y"], weights: { w: floats([1, 1, 1, 1], 2) },
    };
    const error = refusal(() => lower(parts));
    expect(error).toBeInstanceOf(NeedsConcrete);
    expect((error as NeedsConcrete).symbols).toEqual(["H", "W"]);
    expect(error.message).toBe('test.onnx, node "Conv:y" (Conv): ' +
      "Conv needs H, W to be numbers. bind them: H=... W=...");
    expect(lower(parts, { bind: { H: 4, W: 5 } }).outputs[0]?.value.type.shape.map(String))
      .toEqual(["N", "1", "4", "5"]);
  });

  test("a shape that is an input is asked for by name, or given as a value", () => {
    const parts: ModelParts = {
      nodes: [node("Reshape", ["x", "shape"], ["y"])],
      inputs: { x: float(2, 6), shape: tensorType("int64", [2]) }, outputs: ["y"],
    };
    const error = refusal(() => lower(parts));
    expect(error).toBeInstanceOf(NeedsValue);
    expect((error as NeedsValue).inputs).toEqual(["shape"]);
    const g = lower(parts, { values: new Map([["shape", ints(3, 4)]]) });
    expect(g.inputs.map((v) => v.name)).toEqual(["x"]);
    expect(g.outputs[0]?.value.type.shape).toEqual([3, 4]);
  });

  test("an input without a shape gets one from the options", () => {
    const parts: ModelParts = {
      nodes: [node("Relu", ["x"], ["y"])], inputs: { x: tensorType("float32") }, outputs: ["y"],
    };
    expect(refusal(() => lower(parts)).message).toContain('The input "x" has no shape');
    expect(lower(parts, { shapes: new Map([["x", [2]]]) }).inputs[0]?.type.shape).toEqual([2]);
  });
});

describe("constants", () => {
  test("initializers listed as inputs are weights, not inputs", () => {
    const g = lower({
      nodes: [node("Add", ["x", "w"], ["y"])],
      inputs: { x: float(2), w: float(2) }, outputs: ["y"], weights: { w: floats([2], 1, 2) },
    });
    expect(g.inputs.map((v) => v.name)).toEqual(["x"]);
  });

  test("weights keep the file's memory, and one read by two nodes is one constant", () => {
    const data = new Float32Array([1, 2, 3]);
    const made = model({
      nodes: [node("Add", ["x", "w"], ["a"]), node("Mul", ["a", "w"], ["y"])],
      inputs: { x: float(3) }, outputs: ["y"], weights: { w: floats([3], 0, 0, 0) },
    });
    const bytes = new Uint8Array(data.buffer);
    const initializers = made.graph.initializers.map((t) =>
      ({ ...t, content: { kind: "raw" as const, bytes } }));
    const { graph: g } = importModel({ ...made, graph: { ...made.graph, initializers } });
    const held = g.nodes.filter((n) => n.op === "constant");
    expect(held.length).toBe(1);
    expect((held[0]?.attrs as { tensor: Tensor }).tensor.data.buffer).toBe(data.buffer);
  });

  test("Identity is an alias", () => {
    const g = lower({
      nodes: [node("Identity", ["w"], ["v"]), node("MatMul", ["x", "v"], ["y"])],
      inputs: { x: float(1, 2) }, outputs: ["y"], weights: { w: floats([2, 1], 3, 4) },
    });
    expect(ops(g)).toEqual(["constant", "dot"]);
  });

  test("ConstantOfShape of a hundred million elements holds one", () => {
    const g = lower({
      nodes: [
        node("ConstantOfShape", ["shape"], ["w"], { value: typed("float32", [1], 0.5) }),
        node("Gather", ["w", "i"], ["y"]),
      ],
      outputs: ["y"], weights: { shape: ints(100_000_000, 2), i: ints(7) },
    });
    const held = g.nodes.map((n) => n.attrs as { tensor?: Tensor })
      .find(({ tensor: t }) => t && t.shape[0] === 100_000_000);
    expect(held?.tensor).toMatchObject({ splat: true, data: new Float32Array([0.5]) });
  });

  test("64-bit integers that 32 bits do not hold are refused where data needs them", () => {
    const far = ints(2 ** 40);
    const parts = (use: ReturnType<typeof node>): ModelParts => ({
      nodes: [use], inputs: { x: tensorType("int64", [1]) }, outputs: ["y"], weights: { far },
    });
    expect(refusal(() => lower(parts(node("Add", ["x", "far"], ["y"])))).message).toContain(
      'The int64 constant "far" holds 1099511627776, and is computed in 32 bits');
    // As the end of a slice it is only "to the end".
    const g = lower({
      nodes: [node("Slice", ["x", "start", "far"], ["y"])],
      inputs: { x: tensorType("int64", [5]) }, outputs: ["y"], weights: { far, start: ints(2) },
    });
    expect(g.outputs[0]?.value.type.shape).toEqual([3]);
  });
});

describe("control flow", () => {
  const branches = {
    then_branch: graph({ nodes: [node("Add", ["x", "x"], ["twice"])], outputs: ["twice"] }),
    else_branch: graph({ nodes: [node("Nonsense", ["x"], ["odd"])], outputs: ["odd"] }),
  };

  test("a known condition takes its branch, whatever the other one holds", () => {
    const g = lower({
      nodes: [node("If", ["c"], ["y"], branches)], inputs: { x: float(2) }, outputs: ["y"],
      weights: { c: number(1, "bool") },
    });
    expect(evaluated(g, { x: floats([2], 1, 2) })).toEqual({ y: [2, 4] });
  });

  test("a condition from shapes is known as well", () => {
    const g = lower({
      nodes: [
        node("Size", ["x"], ["size"]), node("Greater", ["size", "one"], ["c"]),
        node("If", ["c"], ["y"], branches),
      ],
      inputs: { x: float(2) }, outputs: ["y"], weights: { one: number(1, "int64") },
    });
    expect(ops(g)).toEqual(["add"]);
  });

  test("an unknown condition selects between branches of one type", () => {
    const g = lower({
      nodes: [node("If", ["c"], ["y"], {
        then_branch: branches.then_branch,
        else_branch: graph({ nodes: [node("Neg", ["x"], ["minus"])], outputs: ["minus"] }),
      })],
      inputs: { x: float(2), c: tensorType("bool", []) }, outputs: ["y"],
    });
    const x = floats([2], 1, 2);
    expect(evaluated(g, { x, c: number(1, "bool") })).toEqual({ y: [2, 4] });
    expect(evaluated(g, { x, c: number(0, "bool") })).toEqual({ y: [-1, -2] });
  });

  test("loops are written out; their bodies see names outside", () => {
    const body = graph({
      nodes: [
        node("Add", ["state", "step"], ["next"]), node("Mul", ["next", "next"], ["squared"]),
        node("Identity", ["go"], ["still"]),
      ],
      inputs: { i: tensorType("int64", []), go: tensorType("bool", []), state: float() },
      outputs: ["still", "next", "squared"],
    });
    const parts = (rounds: number): ModelParts => ({
      nodes: [node("Loop", ["rounds", "", "x"], ["last", "all"], { body })],
      inputs: { x: float(), step: float() }, outputs: ["last", "all"],
      weights: { rounds: number(rounds, "int64") },
    });
    expect(evaluated(lower(parts(3)), { x: number(1), step: number(2) }))
      .toEqual({ last: [7], all: [9, 25, 49] });
    const none = lower(parts(0));
    expect(none.outputs.map((o) => o.value.type.shape)).toEqual([[], [0]]);
    expect(refusal(() => lower(parts(1e9))).message).toContain("more than 10000 rounds");
  });
});

describe("local functions", () => {
  const scaled = {
    name: "Scaled", domain: "my", overload: "", inputs: ["a", "b"], outputs: ["c", "unused"],
    opsets: new Map([["", 13]]), attributeNames: ["alpha"], attributeDefaults: new Map(),
    nodes: [
      node("LeakyRelu", ["a"], ["t"], { alpha: { reference: "alpha" } }),
      node("Add", ["t", "b"], ["c"]),
      node("Nonsense", ["a"], ["unused"]),
    ],
  };

  test("are inlined with the caller's attributes, as far as they are needed", () => {
    const g = lower({
      nodes: [node("Scaled", ["x", "x"], ["y"], { alpha: 0.5 }, { domain: "my", name: "call" })],
      inputs: { x: float(2) }, outputs: ["y"], functions: [scaled],
    });
    expect(evaluated(g, { x: floats([2], -2, 3) })).toEqual({ y: [-3, 6] });
    expect(g.nodes[0]?.origin).toEqual(["call", "LeakyRelu:t"]);
  });

  test("a function that calls itself is refused", () => {
    const own = node("Scaled", ["a", "b"], ["c"], {}, { domain: "my" });
    expect(refusal(() => lower({
      nodes: [node("Scaled", ["x", "x"], ["y"], {}, { domain: "my" })],
      inputs: { x: float(2) }, outputs: ["y"], functions: [{ ...scaled, nodes: [own] }],
    })).message).toContain('The local function "Scaled" calls itself');
  });
});

describe("what is not supported", () => {
  const parts: ModelParts = {
    opset: 17,
    nodes: [
      node("Relu", ["x"], ["h"]),
      node("Weird", ["h"], ["w1"], {}, { name: "decoder/first" }),
      node("Weird", ["w1"], ["w2"], {}, { name: "decoder/second" }),
      node("Odd", ["h", "w2"], ["boxes"], {}, { domain: "com.example", name: "odd" }),
      node("Neg", ["h"], ["logits"]),
    ],
    inputs: { x: float("N", 256) }, outputs: ["boxes", "logits"],
  };

  test("is reported all at once, with types, counts and what could be left out", () => {
    expect(refusal(() => lower(parts)).message).toMatchInlineSnapshot(`
      "test.onnx: 2 operators are not supported (opset 17):
        Weird            x2  first at node "decoder/first", inputs float32[N,256]
          note: used only for "boxes"
        com.example.Odd  x1  first at node "odd", inputs float32[N,256], ?
          note: used only for "boxes". ask only for "logits" to leave them out."
    `);
  });

  test("is data as well", () => {
    const error = refusal(() => lower(parts)) as UnsupportedOperators;
    expect(error).toBeInstanceOf(UnsupportedOperators);
    expect(error.operators.map((o) => [o.domain, o.operator, o.nodes, o.outputs])).toEqual([
      ["", "Weird", ["decoder/first", "decoder/second"], ["boxes"]],
      ["com.example", "Odd", ["odd"], ["boxes"]],
    ]);
  });

  test("does not matter for outputs that were not asked for", () => {
    const g = lower(parts, { outputs: ["logits"] });
    expect(ops(g)).toEqual(["constant", "broadcast", "max", "neg"]);
    expect(refusal(() => lower(parts, { outputs: ["nothing"] })).message)
      .toContain("its outputs are: boxes, logits");
  });

  test.each([
    ["an operator younger than the model", { ...parts, opset: 13, outputs: ["y"],
      nodes: [node("LayerNormalization", ["x", "x"], ["y"])] }, "opset 13 is older"],
    ["an input of strings", { ...parts, inputs: { x: tensorType("string", [2]) }, outputs: ["h"] },
      "inputs of type string[2] are not supported"],
    ["an input that is a sequence", { ...parts, outputs: ["h"],
      inputs: { x: { kind: "sequence" as const, element: float(2) } } }, "sequence(float32[2])"],
    ["a value of an attribute", { ...parts, outputs: ["y"], inputs: { x: float(1, 1, 4, 4) },
      nodes: [node("Resize", ["x", "", "s"], ["y"], { mode: "lanczos" })],
      weights: { s: floats([4], 1, 1, 2, 2) } }, 'The mode "lanczos" is not supported'],
    ["random training noise is no reason, float8 is", { ...parts, outputs: ["y"],
      nodes: [node("Cast", ["x"], ["y"], { to: 17 })] }, "float8e4m3fn"],
  ])("%s", (_, some, reason) => {
    const error = refusal(() => lower(some));
    expect(error).toBeInstanceOf(UnsupportedOperators);
    expect(error.message).toContain(reason);
  });
});

describe("models that contradict themselves", () => {
  const base = { inputs: { x: float(2, 3) }, outputs: ["y"] };
  test.each([
    ["a cycle", { ...base, nodes: [
      node("Add", ["x", "b"], ["a"], {}, { name: "first" }),
      node("Relu", ["a"], ["b"], {}, { name: "second" }), node("Neg", ["b"], ["y"]),
    ] }, 'The nodes "second" <- "first" <- "second" depend on each other'],
    ["a missing weight", { ...base, nodes: [node("Add", ["x", "w"], ["y"])] },
      'The node "Add:y" (Add) reads "w", which no node, input or initializer gives'],
    ["a missing operand", { ...base, nodes: [node("MatMul", ["x"], ["y"])] },
      "Operand 1 is missing"],
    ["a wrong attribute", { ...base, nodes: [node("Softmax", ["x"], ["y"], { axis: "last" })] },
      'The attribute "axis" is of kind string instead of int'],
    ["an axis that is not there", { ...base, nodes: [node("Softmax", ["x"], ["y"], { axis: 2 })] },
      "Axis 2 does not exist: the operand has 2 axes"],
    ["shapes that do not meet", { ...base, nodes: [node("MatMul", ["x", "x"], ["y"])] },
      "dot expects batch and contracted axes that agree"],
    ["an output from nowhere", { ...base, nodes: [] }, 'The output "y" reads "y"'],
    ["two inputs of one name", { ...base, nodes: [node("Relu", ["x"], ["y"])],
      outputs: ["y", "y"] }, "Two outputs of the model have one name"],
    ["a value beyond any memory", { ...base, nodes: [node("Expand", ["x", "s"], ["y"])],
      weights: { s: ints(1_000_000, 1_000_000, 2, 3) } }, "has 6000000000000 elements"],
  ])("%s", (_, parts, message) => {
    const error = refusal(() => lower(parts));
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^test\.onnx/);
    expect(error.remedy).toBeTruthy();
  });

  test("nodes out of order are put in order", () => {
    const g = lower({
      ...base, nodes: [node("Neg", ["h"], ["y"]), node("Relu", ["x"], ["h"])],
    });
    expect(ops(g)).toEqual(["constant", "broadcast", "max", "neg"]);
  });
});

test("what cannot be exact is noted", () => {
  const { report } = importModel(model({
    nodes: [node("Add", ["x", "x"], ["y"])], inputs: { x: tensorType("float64", [2]) },
    outputs: ["y"],
  }));
  expect(report.notes).toEqual(["float64 values are computed in float32"]);
});
