/** Every pass, and all of them in a row, on random graphs: the verifier and evaluation agree. */
import { expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { printGraph } from "../../../compiler/graph/print.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { optimise, passes } from "../../../compiler/compile.ts";
import { expectSame } from "../../support/passes.ts";
import { Random, randomGraph } from "../../support/randomGraph.ts";

const named = new Map(passes.map((pass) => [pass.name, pass]));
/** Constants are combined in float32: a few roundings of 2^-24, on values of the order of 1. */
const ROUNDED = 1e-5;

it.each([...named.values()])("$name keeps the meaning of random graphs", (pass) => {
  for (let seed = 1; seed <= 60; seed++) {
    const { graph } = randomGraph(seed, 12);
    const passed = verifyGraph(pass.run(graph));
    expectSame(graph, passed, ROUNDED, `seed ${seed}`);
  }
});

it("constant folding leaves nothing of a graph whose inputs are given", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const { graph, inputs } = randomGraph(seed, 10);
    const { text, tensors } = printGraph(graph);
    const given = parseGraph(text.replace(/input %(\S+):/g, "%$1 = constant @$1:"),
      new Map([...tensors, ...inputs]));
    const folded = verifyGraph((named.get("fold-constants") as (typeof passes)[number]).run(given));
    const left = folded.nodes.map((node) => node.op)
      .filter((op) => op !== "constant" && op !== "broadcast" && op !== "window" && op !== "pad");
    expect(left, `seed ${seed}`).toEqual([]);
    expectSame(given, folded, ROUNDED, `seed ${seed}`);
  }
});

/** Chains of contractions with scales, biases and activations, read once or twice. */
function affineChain(seed: number): Graph {
  const r = new Random(seed);
  const b = new Builder("chain");
  let channels = r.int(1, 3);
  let v = b.input("x", { dtype: "float32", shape: [symbol("N"), channels, 4, 4] });
  const read: Value[] = [];
  for (let i = 0; i < 8; i++) {
    const perChannel = r.pick([[], [channels, 1, 1], [1, channels, 1, 1]]);
    const shape = r.next() < 0.1 ? [1, 1, 4, 1] : perChannel;
    const constant = b.constant(r.tensor(shape, 0.5, 1.5), `c${i}`);
    const how = r.int(0, 6);
    if (how <= 1) {
      const out = r.int(1, 3);
      const w = b.constant(r.tensor([out, channels, 1, 3]), `w${i}`);
      v = b.add("conv", [v, w], {
        strides: [1, 1], dilations: [1, 1], low: [0, 1], high: [0, 1], groups: 1,
      });
      channels = out;
    } else if (how <= 3) v = r.next() < 0.5 ? b.mul(v, constant) : b.mul(constant, v);
    else if (how <= 5) v = r.next() < 0.5 ? b.addition(v, constant) : b.addition(constant, v);
    else v = b.max(v, b.full(v, 0));
    if (r.next() < 0.1) read.push(v);
  }
  const outputs = [...new Set([v, ...read])];
  return b.finish(outputs.map((value, i) => ({ name: `out${i}`, value })));
}

it("all passes together keep the meaning of affine chains and fold their constants", () => {
  const count = (graph: Graph): number =>
    graph.nodes.filter((node) => node.op === "mul" || node.op === "add").length;
  let [before, after] = [0, 0];
  for (let seed = 1; seed <= 150; seed++) {
    const graph = verifyGraph(affineChain(seed));
    const passed = verifyGraph(optimise(graph));
    expectSame(graph, passed, ROUNDED, `seed ${seed}`);
    before += count(graph);
    after += count(passed);
  }
  expect(after).toBeLessThan(0.85 * before);
});
