/** The text form of graphs: exact round trips, and complaints that say where, what and how. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../../compiler/errors.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { addDims, mulDims, symbol } from "../../../compiler/graph/dim.ts";
import { dtypes } from "../../../compiler/graph/dtype.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { printGraph } from "../../../compiler/graph/print.ts";
import { signatures } from "../../../compiler/graph/signature.ts";
import { newData, splat, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { graphFacts } from "../../support/graphFacts.ts";
import { generator, Random, randomGraph } from "../../support/randomGraph.ts";

function returns(graph: Graph): Graph {
  const { text, tensors } = printGraph(graph);
  const again = verifyGraph(parseGraph(text, tensors));
  expect(graphFacts(again)).toStrictEqual(graphFacts(graph));
  expect(printGraph(again)).toStrictEqual({ text, tensors });
  return again;
}

/** One graph with every primitive that random graphs lack, symbolic sizes and odd names. */
function everything(): Graph {
  const b = new Builder("every primitive: \"quoted\"\n");
  const n = symbol("N");
  const x = b.input("onnx::Conv_0/x.1", { dtype: "float32", shape: [n, 2, 5, 5] });
  const k = b.input("key", { dtype: "uint32", shape: [2] });
  const w = b.constant(tensor("float32", [4, 1, 2, 2], [...new Array<number>(16).keys()]), "w");
  const conv = b.from("/conv/\u2028 Conv", () => b.from("inner # \"", () => b.add("conv", [x, w], {
    strides: [1, 2], dilations: [2, 1], low: [1, 0], high: [0, 3], groups: 2,
  })));
  const size = b.size(addDims(mulDims(n, 49), -3), "int32");
  const bits = b.add("bitcast", [conv], { dtype: "int32" });
  const iota = b.iota([n, 3], 1, "int64");
  const random = b.add("random", [k], { shape: [n, mulDims(n, 2)] });
  const normal = b.add("normal", [k], { shape: [n, 8], axis: 1 });
  const flat = b.reshape(x, [mulDims(n, 50)]);
  const cut = b.slice(flat, [1], [addDims(mulDims(n, 49), -1)], [1]);
  const rows = b.slice(x, [addDims(n, -1), 0, 0, 0], [1, 2, 5, 5]);
  const padded = [-0, NaN, -Infinity, 0.1].map((value) => b.pad(flat, [-1], [2], value, [0]));
  const nan = b.unary("isnan", b.unary("erf", conv));
  const shifted = b.binary("shl", bits, b.full(bits, 3));
  const values = [conv, size, shifted, iota, random, normal, cut, rows, ...padded, b.not(nan), k];
  return b.finish(values.map((value, i) => ({ name: `out ${i}`, value })));
}

const anyNumber = fc.oneof(fc.double(), fc.integer(), fc.constantFrom(-0, NaN, Infinity));
const anyTensor: fc.Arbitrary<Tensor> = fc.tuple(
  fc.constantFrom(...dtypes), fc.array(fc.nat(4), { maxLength: 3 }), fc.boolean(),
  fc.array(anyNumber, { minLength: 64, maxLength: 64 }),
).map(([dtype, shape, isSplat, numbers]) => {
  const data = newData(dtype, isSplat ? 1 : shape.reduce((p, d) => p * d, 1));
  // What the arrays hold is what typed arrays make of any number, unchecked int64 included.
  data.forEach((_, i) => {
    data[i] = numbers[i] as number;
  });
  return { dtype, shape, data, splat: isSplat };
});

describe("round trip", () => {
  it("keeps random graphs exactly", () => {
    for (let seed = 1; seed <= 150; seed++) returns(randomGraph(seed, 14).graph);
  });

  it("keeps symbolic sizes, odd names, origins and special numbers", () => {
    const graph = returns(everything());
    const pads = graph.nodes.filter((node) => node.op === "pad")
      .map((node) => (node.attrs as { value: number }).value);
    expect(pads.map((v) => (Object.is(v, -0) ? "-0" : String(v))).sort())
      .toEqual(["-0", "-Infinity", "0.1", "NaN"]);
  });

  it("keeps every constant bit by bit", () => {
    let [inline, beside] = [0, 0];
    fc.assert(fc.property(anyTensor, fc.string({ unit: "binary" }), (held, name) => {
      const b = new Builder();
      const graph = b.finish([{ name: "out", value: b.constant(held, name) }]);
      const { tensors } = printGraph(graph);
      if (tensors.size === 0) inline++;
      else beside++;
      returns(graph);
    }), { seed: 5, numRuns: 600 });
    expect(Math.min(inline, beside)).toBeGreaterThan(50);
  });

  it("keeps float64 data of the reference mode and unusual NaNs beside the text", () => {
    const b = new Builder();
    const wide = splat("float32", [3], 0.1, "f64");
    const payload = new Float32Array(new Uint32Array([0x7fc00001]).buffer);
    const odd: Tensor = { dtype: "float32", shape: [1], data: payload, splat: false };
    const values = [wide, odd].map((t, i) => b.constant(t, `c${i}`));
    const graph = b.finish(values.map((value) => ({ name: value.name, value })));
    expect([...printGraph(graph).tensors.keys()]).toEqual(["c0", "c1"]);
    returns(graph);
  });

  it("writes a graph that reads like its network", () => {
    const b = new Builder("tiny");
    const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 2] });
    const w = b.constant(tensor("float32", [2, 1], [0.1, -0]), "w");
    const y = b.from("/fc/Gemm", () => b.dot(x, w, 0, 1));
    const r = b.from("/relu", () => b.max(y, b.full(y, 0)));
    expect(printGraph(b.finish([{ name: "y", value: r }])).text).toMatchInlineSnapshot(`
      "graph tiny {
        input %x: float32[N,2]
        %w = constant [0.1, -0]: float32[2,1]
        %/fc/Gemm.dot = dot %x, %w {batch = 0, contract = 1}: float32[N,1] from "/fc/Gemm"
        %/relu.constant = constant 0: float32[] from "/relu"
        %/relu.broadcast = broadcast %/relu.constant {shape = [N,1]}: float32[N,1] from "/relu"
        %/relu.max = max %/fc/Gemm.dot, %/relu.broadcast: float32[N,1] from "/relu"
        output y = %/relu.max
      }
      "
    `);
  });

  it("has a signature for each of its primitives, and reads each of them", () => {
    const seen = new Set<string>();
    everything().nodes.forEach((node) => seen.add(node.op));
    for (let seed = 1; seed <= 60; seed++) {
      randomGraph(seed, 20).graph.nodes.forEach((node) => seen.add(node.op));
    }
    // Elementwise primitives are written alike: those without attributes need no example each.
    const missing = Object.entries(signatures)
      .filter(([op, { attrs }]) => !seen.has(op) && Object.keys(attrs).length > 0);
    expect(missing).toEqual([]);
  });
});

describe("complaints", () => {
  const head = "graph g {\n  input %x: float32[N,3]\n";
  const complaint = (text: string): UserError => {
    try {
      parseGraph(text, new Map(), "g.txt");
    } catch (error) {
      if (error instanceof UserError) return error;
      throw error;
    }
    throw new Error("nothing was wrong with it");
  };
  it.each<[string, string, string]>([
    ["an unknown primitive", "%y = sine %x: float32[N,3]",
      "3:8: expected a primitive, got \"sine\""],
    ["an undefined operand", "%y = sin %z: float32[N,3]",
      "3:12: expected a value defined above, got \"%z\""],
    ["a wrong number of operands", "%y = add %x: float32[N,3]",
      "3:8: add expects 2 operand(s), got 1"],
    ["operands that do not fit", "%y = dot %x, %x {batch = 0, contract = 1}",
      "3:8: dot expects batch and contracted axes that agree, got float32[N,3] with float32[N,3]"],
    ["a type that is not the inferred one", "%y = sin %x: float32[N,4]",
      "3:14: expected float32[N,3], which sin infers, got float32[N,4]"],
    ["a missing attribute", "%y = reduce %x {kind = sum}",
      "3:18: expected the attribute(s) axes of reduce, got none"],
    ["an unknown attribute", "%y = reduce %x {kind = sum, axis = [1]}",
      "3:31: expected an attribute of reduce (kind, axes), got \"axis\""],
    ["an attribute where there are none", "%y = sin %x {axis = 1}",
      "3:16: expected no attribute, sin has none, got \"axis\""],
    ["an attribute given twice", "%y = cumulate %x {kind = sum, axis = 1, axis = 1}",
      "3:43: expected each attribute once, got \"axis\""],
    ["a word that is not a choice", "%y = cumulate %x {kind = max, axis = 1}",
      "3:28: expected a running reduction (sum, prod), got \"max\""],
    ["a fraction where a whole number belongs", "%y = cumulate %x {kind = sum, axis = 0.5}",
      "3:40: expected a whole number, got \"0.5\""],
    ["a name used twice", "%x = sin %x",
      "3:3: expected a name of its own, got \"%x\""],
    ["a constant of too few elements", "%c = constant [1, 2]: float32[3]",
      "3:17: expected 3 elements, got 2"],
    ["an element out of range", "%c = constant [256]: uint8[1]",
      "3:17: expected elements that uint8 holds, got 256"],
    ["a tensor that was not given", "%c = constant @weights: float32[3]",
      "3:17: expected a tensor that was given with the text, got \"@weights\""],
    ["a symbolic constant", "%c = constant splat 1: float32[N]",
      "3:26: expected a constant's shape in numbers, got float32[N]"],
    ["a negative size", "input %z: float32[-1]",
      "3:20: expected sizes of 0 or more, got -1"],
    ["an unknown element type", "input %z: float[1]",
      `3:13: expected an element type (${dtypes.join(", ")}), got "float"`],
    ["a string that does not end", "%c = sin %x from \"conv",
      "3:20: expected the name of an ONNX node, in quotes, got \"\\\"\""],
    ["a text that ends early", "%y = sin %x",
      "4:1: expected \"input\", \"output\", a node or \"}\", got the end of the text"],
  ])("name %s", (_, line, message) => {
    const error = complaint(`${head}  ${line}\n`);
    expect(error.message).toBe(`g.txt:${message}. ${error.remedy}.`);
    expect(error.remedy).toMatch(/^[A-Z].{20}/);
  });

  it("checks a given tensor against the stated type", () => {
    const text = "graph g { %c = constant @c: float32[3] }";
    const tensors = new Map([["c", tensor("float32", [2], [1, 2])]]);
    expect(() => parseGraph(text, tensors)).toThrow(
      "graph text:1:27: expected the type of @c, float32[2], got float32[3].");
  });

  it("are all that hostile text gives", () => {
    const graphs = [everything(), randomGraph(3, 12).graph, randomGraph(8, 12).graph];
    const originals = graphs.map(printGraph);
    const r = new Random(11);
    let refused = 0;
    for (let n = 0; n < 3000; n++) {
      const { text, tensors } = originals[n % 3] as ReturnType<typeof printGraph>;
      try {
        verifyGraph(parseGraph(mutate(r, text), tensors));
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.message).toMatch(/^graph text:\d+:\d+: /);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1500);
  });

  it("come for any text at all", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(() => parseGraph(text)).toThrow(UserError);
      expect(() => parseGraph(`graph g {${text}`)).toThrow(UserError);
    }), { seed: 2, numRuns: 500 });
  });
});

const intruders = ["-1", "0", "99999999", "1e30", "nan", "-0", "N", "[", "\"", "#"];

/** Edits as a person or a broken disk makes them: words swapped, dropped, doubled, cut. */
function mutate(r: Random, text: string): string {
  const words = text.split(/(?<=[\s,=[\]{}*+-])|(?=[\s,=[\]{}*+-])/);
  const edits = r.int(1, 3);
  for (let i = 0; i < edits && words.length > 0; i++) {
    const at = r.int(0, words.length - 1);
    const how = r.int(0, 5);
    if (how === 0) words.splice(at, 1);
    else if (how === 1) words.splice(at, 0, r.pick(words));
    else if (how === 2) words[at] = r.pick(words);
    else if (how === 3) words[at] = r.pick(intruders);
    else if (how === 4) words.splice(at);
    else {
      const word = words[at] as string;
      const c = r.int(0, word.length);
      words[at] = word.slice(0, c) + String.fromCharCode(r.int(32, 127)) + word.slice(c + 1);
    }
  }
  return words.join("");
}

it("reads numbers as they were for every float32", () => {
  const next = generator(4);
  const words = Uint32Array.from({ length: 4000 }, () => Math.floor(next() * 2 ** 32));
  const data = new Float32Array(words.buffer).map((x) => (Number.isNaN(x) ? 1 : x));
  const b = new Builder();
  for (let i = 0; i < 4000; i += 16) {
    b.constant(tensor("float32", [16], data.slice(i, i + 16)), `c${i}`);
  }
  returns(b.finish([]));
});
