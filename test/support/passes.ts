/** Runs a pass on a graph in text and hands back text; on the way, that nothing changed meaning. */
import { expect } from "vitest";
import { evalShape } from "../../compiler/graph/dim.ts";
import { isFloat } from "../../compiler/graph/dtype.ts";
import { evaluateGraph } from "../../compiler/graph/evaluate.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { printGraph } from "../../compiler/graph/print.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import type { Pass } from "../../compiler/passes/rewrite.ts";
import { difference } from "./difference.ts";
import { Random } from "./randomGraph.ts";
import { tensorOf } from "./threeWays.ts";

/** Random inputs of a graph, with every symbolic size 3. */
export function randomInputs(graph: Graph, seed: number): Map<string, Tensor> {
  const r = new Random(seed);
  const three = new Proxy({}, { get: () => 3 });
  return new Map(graph.inputs.map(({ name, type }) => [name, tensorOf(type.dtype,
    evalShape(type.shape, three), () => (isFloat(type.dtype) ? 4 * r.next() - 2 : r.int(0, 2)),
    "f32")]));
}

/**
 * Both graphs compute the same on random inputs, to within `tolerance` of the largest element
 * (float32 constants that a pass combines are rounded once more; 0: bit by bit).
 */
export function expectSame(before: Graph, after: Graph, tolerance: number, where = ""): void {
  for (let seed = 1; seed <= 3; seed++) {
    const inputs = randomInputs(before, seed);
    const expected = evaluateGraph(before, inputs, "f64");
    const actual = evaluateGraph(after, inputs, "f64");
    expect([...actual.keys()]).toEqual([...expected.keys()]);
    for (const [name, t] of expected) {
      const error = difference(actual.get(name) as Tensor, t);
      expect(error, `${where} ${name}`).toBeLessThanOrEqual(tolerance);
    }
  }
}

/** The text after the pass; `lines` are those inside the braces. */
export function after(pass: Pass, lines: string, tolerance = 0): string {
  const graph = verifyGraph(parseGraph(`graph g {\n${lines}\n}`));
  const passed = verifyGraph(pass.run(graph));
  expectSame(graph, passed, tolerance);
  // A pass that has done its work finds nothing more to do.
  expect(printGraph(pass.run(passed)).text).toBe(printGraph(passed).text);
  return printGraph(passed).text.split("\n").slice(1, -2).map((line) => line.trim()).join("\n");
}
