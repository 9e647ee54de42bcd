/** The verifier: what it says of graphs that are not what a graph must be. */
import { expect, it } from "vitest";
import type { Graph, Node, Value } from "../../../compiler/graph/graph.ts";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { randomGraph } from "../../support/randomGraph.ts";

const build = (): Graph => parseGraph(`graph g {
  input %x: float32[N,3]
  %a = sin %x
  %b = cos %a
  %c = add %a, %b
  output y = %c
}`);
type Mutable<T> = { -readonly [K in keyof T]: T[K] };
const nodeOf = (graph: Graph, i: number): Mutable<Node> => graph.nodes[i] as Mutable<Node>;
const outputOf = (graph: Graph, i: number): Mutable<Value> =>
  graph.nodes[i]?.outputs[0] as Mutable<Value>;

function complaint(change: (graph: Mutable<Graph>) => void): string {
  const graph = build();
  change(graph);
  try {
    verifyGraph(graph);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing";
}

it("passes what it should, and returns it", () => {
  const graph = build();
  expect(verifyGraph(graph)).toBe(graph);
  for (let seed = 1; seed <= 30; seed++) verifyGraph(randomGraph(seed, 12).graph);
});

it.each<[string, (graph: Mutable<Graph>) => void, string]>([
  ["a value used before it is computed", (g) => { g.nodes = [...g.nodes].reverse(); },
    "c: expected operand a defined before it, got a later or foreign value"],
  ["a value of another graph", (g) => { nodeOf(g, 1).inputs = build().nodes[0]?.outputs ?? []; },
    "b: expected operand a defined before it, got a later or foreign value"],
  ["a type that is not the inferred one",
    (g) => { outputOf(g, 1).type = { dtype: "float32", shape: [3] }; },
    "b: expected float32[N,3], got float32[3]"],
  ["another element type",
    (g) => { outputOf(g, 2).type = { ...outputOf(g, 2).type, dtype: "float64" }; },
    "c: expected float32[N,3], got float64[N,3]"],
  ["a name used twice", (g) => { outputOf(g, 1).name = "x"; },
    "x: expected a name of its own, got a name used twice"],
  ["an operand too many", (g) => { nodeOf(g, 0).inputs = [...g.inputs, ...g.inputs]; },
    "value a: sin expects 1 operand(s), got 2"],
  ["operands that do not fit",
    (g) => { Object.assign(nodeOf(g, 2), { op: "dot", attrs: { batch: 0, contract: 1 } }); },
    "value c: dot expects batch and contracted axes that agree, " +
      "got float32[N,3] with float32[N,3]"],
  ["two outputs of one node", (g) => { nodeOf(g, 0).outputs = [outputOf(g, 0), outputOf(g, 1)]; },
    "sin: expected one output, got 2"],
  ["no output", (g) => { nodeOf(g, 0).outputs = []; }, "sin: expected one output, got 0"],
  ["a value that belongs to another node", (g) => { outputOf(g, 1).node = nodeOf(g, 0); },
    "b: expected a link back to its node, got another node"],
  ["an output that is not computed",
    (g) => { g.outputs = [{ name: "y", value: { ...outputOf(g, 0), name: "ghost" } }]; },
    "y: expected an output computed in the graph, got ghost"],
  ["an output name used twice", (g) => { g.outputs = [...g.outputs, ...g.outputs]; },
    "y: expected an output name of its own, got a name used twice"],
])("names %s", (_, change, message) => {
  expect(complaint(change)).toBe(`internal: graph g, ${message}`);
});
