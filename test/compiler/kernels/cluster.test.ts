/** Clusters: each rule of what gets memory, on a small graph; and what holds of all graphs. */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { formClusters, isInline, type Cluster } from "../../../compiler/kernels/cluster.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { difference } from "../../support/difference.ts";
import { randomInputs } from "../../support/passes.ts";
import { Random, randomGraph } from "../../support/randomGraph.ts";

const parse = (lines: string): Graph => verifyGraph(parseGraph(`graph g {\n${lines}\n}`));
const show = ({ root, nodes, reads }: Cluster): string =>
  `${root.name} = ${nodes.map((n) => n.op).join(" ")} of ${reads.map((v) => v.name).join(" ")}`;
const clusters = (lines: string, maxBuffers = 8, boundaries: string[] = []): string[] => {
  const graph = parse(lines);
  const values = graph.nodes.flatMap((n) => n.outputs).filter((v) => boundaries.includes(v.name));
  return formClusters(graph, { maxBuffers, boundaries: new Set(values) }).map(show);
};

describe("one kernel", () => {
  it("computes a chain of elementwise nodes", () => {
    expect(clusters(`input %x: float32[N,4]
      %a = sin %x  %b = neg %a  %c = mul %b, %x
      output y = %c`)).toEqual(["c = sin neg mul of x"]);
  });

  it("holds a convolution with bias, residual addition and activation behind it", () => {
    expect(clusters(`input %x: float32[N,2,4,4]
      input %skip: float32[N,2,4,4]
      %w = constant [1, 2, 3, 4]: float32[2,2,1,1]
      %c = conv %x, %w {strides=[1,1], dilations=[1,1], low=[0,0], high=[0,0], groups=1}
      %k = constant [1, 2]: float32[2]
      %k1 = reshape %k {shape = [2,1,1]}
      %ks = broadcast %k1 {shape = [N,2,4,4]}
      %b = add %c, %ks
      %r = add %b, %skip
      %y = tanh %r
      output y = %y`))
      .toEqual(["y = conv reshape broadcast add add tanh of x w k skip"]);
  });

  it("moves what a contraction reads, and what it yields, on the way", () => {
    expect(clusters(`input %x: float32[2,3,4]
      input %w: float32[3,5]
      %t = transpose %x {perm = [0,2,1]}
      %d = dot %t, %w {batch = 0, contract = 1}
      %back = transpose %d {perm = [0,2,1]}
      %flat = reshape %back {shape = [2,20]}
      output y = %flat`)).toEqual(["flat = transpose dot transpose reshape of x w"]);
  });

  it("reads literals from its own text, not from memory", () => {
    expect(clusters(`input %x: float32[4]
      %s = constant splat 2: float32[4]
      %o = constant [3]: float32[1]
      %os = broadcast %o {shape = [4]}
      %a = mul %x, %s
      %b = add %a, %os
      output y = %b`)).toEqual(["b = broadcast mul add of x"]);
  });
});

describe("memory is given to", () => {
  it("outputs and segment boundaries", () => {
    const lines = `input %x: float32[4]
      %a = sin %x  %b = neg %a  %c = abs %b
      output a = %a
      output c = %c`;
    expect(clusters(lines)).toEqual(["a = sin of x", "c = neg abs of a"]);
    expect(clusters(lines, 8, ["b"])).toEqual(["a = sin of x", "b = neg of a", "c = abs of b"]);
  });

  it("the steps of a softmax: what two kernels read, and each reduction", () => {
    expect(clusters(`input %x: float32[N,10]
      %m = reduce %x {kind = max, axes = [1]}
      %m1 = reshape %m {shape = [N,1]}
      %ms = broadcast %m1 {shape = [N,10]}
      %d = sub %x, %ms
      %e = exp %d
      %s = reduce %e {kind = sum, axes = [1]}
      %s1 = reshape %s {shape = [N,1]}
      %ss = broadcast %s1 {shape = [N,10]}
      %y = div %e, %ss
      output y = %y`)).toEqual([
      "m1 = reduce reshape of x", "e = broadcast sub exp of x m1", "s1 = reduce reshape of e",
      "y = broadcast div of e s1",
    ]);
  });

  it("costly values with several readers, while cheap ones are computed again", () => {
    const lines = (op: string): string => `input %x: float32[4]
      %a = ${op} %x
      %b = sin %a
      %c = cos %a
      output b = %b
      output c = %c`;
    expect(clusters(lines("exp"))).toEqual(["a = exp of x", "b = sin of a", "c = cos of a"]);
    expect(clusters(lines("neg"))).toEqual(["b = neg sin of x", "c = neg cos of x"]);
  });

  it("costly values whose readers are behind movement", () => {
    expect(clusters(`input %x: float32[4]
      %a = exp %x
      %f = flip %a {axes = [0]}
      %y = add %a, %f
      output y = %y`)).toEqual(["a = exp of x", "y = flip add of a"]);
  });

  it("computed operands of contractions, which read each element many times", () => {
    const lines = (op: string): string => `input %x: float32[4,4]
      %a = ${op}
      %t = transpose %a {perm = [1,0]}
      %d = dot %t, %x {batch = 0, contract = 1}
      output y = %d`;
    expect(clusters(lines("exp %x"))).toEqual(["a = exp of x", "d = transpose dot of a x"]);
    expect(clusters(lines("neg %x"))).toEqual(["d = neg transpose dot of x"]);
  });

  it("computed operands of scatter, sort, windows and gather", () => {
    expect(clusters(`input %x: float32[4,3]
      input %rows: int32[2]
      input %u: float32[2,3]
      %a = sin %x
      %s = scatter %a, %rows, %u {kind = add}
      %b = cos %x
      %o = argsort %b {descending = false}
      %c = tan %x
      %w = window %c {sizes = [2], strides = [1], dilations = [1]}
      %e = neg %x
      %g = gather %e, %rows {axis = 0}
      output s = %s
      output o = %o
      output w = %w
      output g = %g`)).toEqual([
      "a = sin of x", "s = scatter of a rows u", "b = cos of x", "o = argsort of b",
      "c = tan of x", "w = window of c", "e = neg of x", "g = gather of e rows",
    ]);
  });

  it("costly values that are repeated, or that a branch may compute for nothing", () => {
    expect(clusters(`input %x: float32[4,1]
      %a = exp %x
      %r = broadcast %a {shape = [4,9]}
      %p = pad %x {low = [0,0], high = [0,1], interior = [0,0], value = 0}
      %e = exp %p
      %q = pad %e {low = [1,0], high = [0,0], interior = [0,0], value = 0}
      output r = %r
      output q = %q`)).toEqual([
      "a = exp of x", "r = broadcast of a", "e = pad exp of x", "q = pad of e",
    ]);
  });

  it("the latest of two contractions carries the chain; the other is finished before", () => {
    expect(clusters(`input %x: float32[4,4]
      input %w: float32[4,4]
      %a = dot %x, %w {batch = 0, contract = 1}
      %b = dot %w, %x {batch = 0, contract = 1}
      %s = add %a, %b
      %y = tanh %s
      output y = %y`)).toEqual(["a = dot of x w", "y = dot add tanh of a w x"]);
  });

  it("a contraction that is read twice", () => {
    expect(clusters(`input %x: float32[4,4]
      %a = dot %x, %x {batch = 0, contract = 1}
      %b = tanh %a
      %y = add %a, %b
      output y = %y`)).toEqual(["a = dot of x", "y = tanh add of a"]);
  });

  it("operands that bring more buffers than one kernel may bind", () => {
    const sum = (n: number): string => `${Array.from({ length: n }, (_, i) =>
      `input %x${i}: float32[4]`).join("\n")}
      ${Array.from({ length: n - 1 }, (_, i) =>
        `%s${i + 1} = add ${i === 0 ? "%x0" : `%s${i}`}, %x${i + 1}`).join("\n")}
      output y = %s${n - 1}`;
    expect(clusters(sum(4), 8)).toEqual(["s3 = add add add of x0 x1 x2 x3"]);
    expect(clusters(sum(4), 3)).toEqual(
      ["s1 = add of x0 x1", "s2 = add of s1 x2", "s3 = add of s2 x3"]);
    expect(clusters(sum(5), 4)).toEqual(["s2 = add add of x0 x1 x2", "s4 = add add of s2 x3 x4"]);
  });
});

describe("of every graph", () => {
  const all = [...new Array<number>(120).keys()].map((i) => randomGraph(i + 1, 16).graph);

  it("clusters compute each value that has memory once, before it is read", () => {
    for (const graph of all) {
      const made = new Set<Value>(graph.inputs);
      for (const { root, reads } of formClusters(graph, { maxBuffers: 8 })) {
        for (const v of reads) expect(made.has(v) || v.node?.op === "constant").toBe(true);
        expect(made.has(root)).toBe(false);
        made.add(root);
      }
      for (const { value } of graph.outputs) {
        expect(made.has(value) || value.node?.op === "constant").toBe(true);
      }
    }
  });

  it("a cluster's nodes are those between what it reads and its root", () => {
    for (const graph of all) {
      for (const { root, nodes, reads, heart, chain } of formClusters(graph, { maxBuffers: 8 })) {
        const inside = new Set(nodes.flatMap((n) => n.outputs));
        expect(inside.has(root)).toBe(true);
        for (const node of nodes) {
          for (const v of node.inputs) {
            expect(inside.has(v) || reads.includes(v) || isInline(v), v.name).toBe(true);
          }
        }
        if (heart) expect(nodes).toContain(heart);
        for (const node of chain) expect(nodes).toContain(node);
      }
    }
  });

  /** Cheap sums of many inputs, read here and there: as many buffers as one kernel can reach. */
  const sums = [...new Array<number>(150).keys()].map((seed) => {
    const r = new Random(seed);
    const b = new Builder();
    const type = { dtype: "float32", shape: [4] } as const;
    const pool: Value[] = Array.from({ length: 12 }, (_, i) => b.input(`x${i}`, type));
    for (let i = 0; i < 40; i++) {
      const recent = pool.slice(-8);
      pool.push(r.next() < 0.2 ? b.unary("neg", r.pick(recent))
        : b.binary(r.pick(["add", "sub"] as const), r.pick(recent), r.pick(pool)));
    }
    return b.finish(pool.slice(-3).map((value, i) => ({ name: `y${i}`, value })));
  });

  it("no kernel binds more buffers than allowed, down to what its own node needs", () => {
    let limited = 0;
    for (const graph of [...all, ...sums]) {
      for (const maxBuffers of [4, 5, 8]) {
        for (const { reads, nodes } of formClusters(graph, { maxBuffers })) {
          const own = Math.max(...nodes.map((n) => new Set(n.inputs).size));
          expect(reads.length + 1).toBeLessThanOrEqual(Math.max(maxBuffers, own + 1));
          if (reads.length + 1 === maxBuffers) limited++;
        }
      }
    }
    expect(limited).toBeGreaterThan(20);
  });

  it("a limit changes kernels, not results", async () => {
    for (const graph of sums.slice(0, 40)) {
      const inputs = randomInputs(graph, 1);
      const expected = evaluateGraph(graph, inputs, "f64");
      const program = buildProgram(graph, { maxBuffers: 4 });
      const session = await Session.create(new InterpreterDevice("f64"), program);
      for (const [name, t] of await session.run(inputs)) {
        expect(difference(t, expected.get(name) as Tensor)).toBe(0);
      }
    }
  });
});
