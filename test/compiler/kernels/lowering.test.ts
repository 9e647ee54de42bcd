/** Clusters, lowering and the interpreter against node-by-node evaluation, on random graphs. */
import { expect, test } from "vitest";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { difference } from "../../support/difference.ts";
import { randomGraph, stepNames } from "../../support/randomGraph.ts";

test("random graphs compile to kernels that compute what evaluation computes", async () => {
  const covered = new Set<string>();
  let kernels = 0;
  let nodes = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const { graph, inputs, used } = randomGraph(seed, 12);
    verifyGraph(graph);
    used.forEach((name) => covered.add(name));
    const expected = evaluateGraph(graph, inputs, "f64");
    const program = buildProgram(graph);
    kernels += program.kernels.length;
    nodes += graph.nodes.filter((n) => n.op !== "constant").length;
    const session = await Session.create(new InterpreterDevice("f64"), program);
    const actual = await session.run(inputs);
    for (const [name, value] of expected) {
      // The same float64 operations in another order: a few hundred roundings at most.
      const error = difference(actual.get(name) as Tensor, value);
      expect(error, `seed ${seed}, ${name}`).toBeLessThan(1e-10);
    }
  }
  expect([...covered].sort()).toEqual([...stepNames].sort());
  // Fusion happened: far fewer kernels than nodes.
  expect(kernels).toBeLessThan(0.8 * nodes);
});
