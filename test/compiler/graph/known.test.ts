/** Shape arithmetic of exported models disappears: its results are known as sizes at import. */
import { describe, expect, it } from "vitest";
import { dimToString } from "../../../compiler/graph/dim.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { KnownValues } from "../../../compiler/graph/known.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { printGraph } from "../../../compiler/graph/print.ts";
import { elementAt, sizeOf, type Tensor } from "../../../compiler/graph/tensor.ts";
import { randomGraph } from "../../support/randomGraph.ts";

/** What is known of each output, as text; undefined where it depends on data. */
function knownOf(lines: string): Record<string, string[] | undefined> {
  const graph = parseGraph(`graph g { input %x: float32[N,3,T,7]\n${lines} }`);
  const known = new KnownValues();
  return Object.fromEntries(graph.outputs.map(({ name, value }) =>
    [name, known.elements(value)?.map(dimToString)]));
}

/** `Shape` of x as the importer builds it: sizes put side by side. */
const shapeOfX = `
  %n = size {dim = N, dtype = int64}
  %t = size {dim = T, dtype = int64}
  %n1 = reshape %n {shape = [1]}
  %t1 = reshape %t {shape = [1]}
  %three = constant [3]: int64[1]
  %seven = constant [7]: int64[1]
  %shape = concat %n1, %three, %t1, %seven {axis = 0}`;

describe("chains over a symbolic batch", () => {
  it("Shape -> Gather -> Concat is the new shape", () => {
    expect(knownOf(`${shapeOfX}
      %first = constant 0: int64[]
      %batch = gather %shape, %first {axis = 0}
      %batch1 = reshape %batch {shape = [1]}
      %rest = constant [-1]: int64[1]
      %new = concat %batch1, %rest {axis = 0}
      output shape = %shape
      output new = %new`)).toEqual({ shape: ["N", "3", "T", "7"], new: ["N", "-1"] });
  });

  it("Shape -> Slice -> ReduceProd is a product of sizes", () => {
    expect(knownOf(`${shapeOfX}
      %tail = slice %shape {starts = [1], sizes = [3], steps = [1]}
      %product = reduce %tail {kind = prod, axes = [0]}
      %all = reduce %shape {kind = sum, axes = [0]}
      %odd = slice %shape {starts = [0], sizes = [2], steps = [2]}
      %back = flip %shape {axes = [0]}
      output product = %product
      output all = %all
      output odd = %odd
      output back = %back`)).toEqual({
      product: ["21*T"], all: ["10+N+T"], odd: ["N", "T"], back: ["7", "T", "3", "N"],
    });
  });

  it("Add, Sub, Mul and an exact Div are done on sizes", () => {
    expect(knownOf(`%n = size {dim = 6*N, dtype = int64}
      %two = constant 2: int64[]
      %five = constant 5: int64[]
      %plus = add %n, %five
      %minus = sub %n, %n
      %times = mul %plus, %two
      %half = div %n, %two
      %odd = div %n, %five
      %as32 = cast %half {dtype = int32}
      %asFloat = cast %half {dtype = float32}
      output plus = %plus output minus = %minus output times = %times output half = %half
      output odd = %odd output as32 = %as32 output asFloat = %asFloat`)).toEqual({
      plus: ["5+6*N"], minus: ["0"], times: ["10+12*N"], half: ["3*N"],
      odd: undefined, as32: ["3*N"], asFloat: undefined,
    });
  });

  it("Where and Equal are decided only where every size decides alike", () => {
    expect(knownOf(`%n = size {dim = N, dtype = int64}
      %next = size {dim = N+1, dtype = int64}
      %one = constant 1: int64[]
      %same = eq %n, %n
      %other = eq %n, %next
      %unsure = eq %n, %one
      %chosen = where %same, %next, %one
      %skipped = where %other, %n, %one
      %open = where %unsure, %n, %one
      output same = %same output other = %other output unsure = %unsure
      output chosen = %chosen output skipped = %skipped output open = %open`)).toEqual({
      same: ["1"], other: ["0"], unsure: undefined,
      chosen: ["1+N"], skipped: ["1"], open: undefined,
    });
  });

  it("ConstantOfShape -> Where, the chain of Expand, is known", () => {
    expect(knownOf(`${shapeOfX}
      %minus = constant splat -1: int64[4]
      %wanted = constant [-1, 3, -1, 14]: int64[4]
      %keep = eq %wanted, %minus
      %final = where %keep, %shape, %wanted
      output final = %final`)).toEqual({ final: ["N", "3", "T", "14"] });
  });
});

it("does not follow data, random numbers or long vectors", () => {
  expect(knownOf(`%zero = constant 0: int32[]
    %key = constant [1, 2]: uint32[2]
    %bits = random %key {shape = [2]}
    %long = constant splat 1: int32[5000]
    %row = reduce %x {kind = sum, axes = [0,1,2]}
    %whole = cast %row {dtype = int32}
    output bits = %bits output long = %long output whole = %whole output zero = %zero`)).toEqual({
    bits: undefined, long: undefined, whole: undefined, zero: ["0"],
  });
});

it("knows a branch taken though the other depends on data", () => {
  expect(knownOf(`%yes = constant [1, 0]: bool[2]
    %five = constant splat 5: int32[2]
    %row = reduce %x {kind = sum, axes = [0,1,2]}
    %two = slice %row {starts = [0], sizes = [2], steps = [1]}
    %data = cast %two {dtype = int32}
    %mixed = where %yes, %five, %data
    %all = constant [1, 1]: bool[2]
    %taken = where %all, %five, %data
    output mixed = %mixed output taken = %taken`)).toEqual({ mixed: undefined, taken: ["5", "5"] });
});

/** The graph with its inputs given as constants, so that everything in it is known. */
function withConstantInputs(graph: Graph, inputs: ReadonlyMap<string, Tensor>): Graph {
  const { text, tensors } = printGraph(graph);
  const given = text.replace(/input %(\S+):/g, "%$1 = constant @$1:");
  return parseGraph(given, new Map([...tensors, ...inputs]));
}

it("agrees with evaluation wherever everything is given", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const { graph, inputs } = randomGraph(seed, 8);
    const expected = evaluateGraph(graph, inputs, "f64");
    const known = new KnownValues();
    for (const { name, value } of withConstantInputs(graph, inputs).outputs) {
      const t = expected.get(name) as Tensor;
      const elements = Array.from({ length: sizeOf(t.shape) }, (_, i) => elementAt(t, i));
      expect(known.numbers(value), `seed ${seed}, ${name}`).toEqual(elements);
    }
  }
});
