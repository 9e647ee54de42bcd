/** Kernels and programs as JSON: exact round trips on random graphs, messages for edited files. */
import { describe, expect, it } from "vitest";
import { UserError } from "../../../compiler/errors.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { collect, operandsOf } from "../../../compiler/kernels/expr.ts";
import { rootsOf, type Kernel } from "../../../compiler/kernels/kernel.ts";
import { kernelToJson, type KernelJson } from "../../../compiler/kernels/kernelJson.ts";
import { kernelFromJson } from "../../../compiler/kernels/kernelReader.ts";
import { buildProgram, type Program } from "../../../compiler/kernels/program.ts";
import {
  programFromJson, programSchema, programToJson, type ProgramJson,
} from "../../../compiler/kernels/serialise.ts";
import { Random, randomGraph } from "../../support/randomGraph.ts";

/** The DAG with operands as places in the list: ids aside, every field of every node. */
function nodesOf(kernel: Kernel): object[] {
  const nodes = collect(rootsOf(kernel.body));
  return nodes.map(({ id: _, ...e }, i) => {
    const operands = operandsOf(nodes[i] as (typeof nodes)[number]);
    const own = Object.entries(e).filter(([, v]) => !operands.includes(v as never));
    return { ...Object.fromEntries(own), operands: operands.map((o) => nodes.indexOf(o)) };
  });
}

const through = <T>(json: T): T => JSON.parse(JSON.stringify(json)) as T;
const tensorsOf = (program: Program): Map<string, Tensor> => new Map(program.constants.map((c) =>
  [program.buffers[c.buffer]?.name ?? "", c.tensor]));

/** Symbolic batch, convolution, softmax, integers, a random stream, special constants. */
function symbolicGraph(): Graph {
  const n = symbol("N");
  const b = new Builder("symbolic");
  const x = b.input("x", { dtype: "float32", shape: [n, 2, 6, 6] });
  const key = b.input("key", { dtype: "uint32", shape: [2] });
  const w = b.constant(tensor("float32", [4, 2, 3, 3], new Array<number>(72).fill(0.5)), "w");
  const conv = b.from("/conv", () => b.add("conv", [x, w], {
    strides: [2, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups: 1,
  }));
  const [rows] = conv.type.shape;
  const flat = b.reshape(b.max(conv, b.full(conv, -0)), [rows ?? 0, 72]);
  const e = b.unary("exp", b.sub(flat, b.reduce("max", flat, [1], true)));
  const soft = b.div(e, b.reduce("sum", e, [1], true));
  const best = b.binaryWith("min", soft, Infinity);
  const odd = b.pad(best, [0, 1], [0, 0], NaN);
  const bits = b.add("random", [key], { shape: [n, 3] });
  const small = b.cast(b.cast(bits, "uint8"), "float32");
  const count = b.cast(b.size(n, "int32"), "float32");
  const values = [odd, b.mul(small, count), b.binary("lt", soft, b.full(soft, 0.1)),
    b.add("argsort", [soft], { descending: true }), w];
  return b.finish(values.map((value, i) => ({ name: `out${i}`, value })));
}

/** A convolution with its epilogue and a row reduction: few kernels, most kinds of nodes. */
function smallGraph(): Graph {
  const b = new Builder("small");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 2, 4, 4] });
  const w = b.constant(tensor("float32", [3, 2, 2, 2], new Array<number>(24).fill(0.5)), "w");
  const conv = b.add("conv", [x, w], {
    strides: [2, 1], dilations: [1, 1], low: [1, 0], high: [0, 1], groups: 1,
  });
  const y = b.unary("tanh", b.max(conv, b.full(conv, -0)));
  const sum = b.reduce("sum", y, [1, 2, 3], true);
  return b.finish([{ name: "y", value: b.div(y, sum) }]);
}

describe("round trip", () => {
  const graphs = [symbolicGraph(), ...Array.from({ length: 100 }, (_, i) =>
    randomGraph(i + 1, 12).graph)];

  it("keeps every kernel of random graphs, ranges and sharing included", () => {
    let kernels = 0;
    for (const graph of graphs) {
      for (const kernel of buildProgram(graph).kernels) {
        const json = kernelToJson(kernel);
        const again = kernelFromJson(through(json), "kernel");
        expect(kernelToJson(again)).toStrictEqual(json);
        expect(nodesOf(again)).toStrictEqual(nodesOf(kernel));
        expect({ ...again, body: 0 }).toStrictEqual({ ...kernel, body: 0 });
        kernels++;
      }
    }
    expect(kernels).toBeGreaterThan(500);
  });

  it("keeps programs, with tensors outside", () => {
    for (const graph of graphs.slice(0, 40)) {
      const program = buildProgram(graph);
      const json = programSchema.parse(through(programToJson(program)));
      const again = programFromJson(json, tensorsOf(program), "plan.json");
      const { kernels, ...rest } = program;
      const { kernels: others, ...restAgain } = again;
      expect(restAgain).toStrictEqual(rest);
      expect(others.map(kernelToJson)).toStrictEqual(kernels.map(kernelToJson));
    }
  });
});

describe("an edited program", () => {
  const program = buildProgram(smallGraph());
  const tensors = tensorsOf(program);
  const original = programToJson(program);
  const message = (change: (json: ProgramJson) => void, held = tensors): string => {
    const json = through(original);
    change(json);
    try {
      programFromJson(programSchema.parse(json), held, "plan.json");
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      expect(error.remedy).toMatch(/^[A-Z].{10}/);
      return error.message.replace(` ${error.remedy}.`, "");
    }
    throw new Error("nothing was wrong with it");
  };
  type Node = KernelJson["nodes"][number];
  type Kind<K> = Extract<Node, { kind: K }>;
  const kernel = (json: ProgramJson, i = 0): KernelJson => json.kernels[i] as KernelJson;
  const node = <K extends Node["kind"]>(json: ProgramJson, kind: K): Kind<K> =>
    kernel(json).nodes.find((n) => n.kind === kind) as Kind<K>;
  const body = (json: ProgramJson): Record<string, unknown> => kernel(json).body;
  const role = (json: ProgramJson, wanted: string): number =>
    json.buffers.findIndex((b) => b.role === wanted);
  const edit = <T extends object>(part: T | undefined, changes: Partial<T>): void =>
    void Object.assign(part as T, changes);

  it.each<[string, string, (json: ProgramJson) => void]>([
    ["an operand that comes later", "kernels[0].nodes[17]: there is no node 900 before it.",
      (j) => { node(j, "load").index = 900; }],
    ["a buffer that is not read", "kernels[0].nodes[17]: no buffer 1 to read.",
      (j) => { node(j, "load").buffer = 1; }],
    ["an element of the wrong type", "kernels[0].nodes[17]: f32 is read as i32.",
      (j) => { node(j, "load").type = "i32"; }],
    ["an axis that is not there", "kernels[0].nodes[0]: no axis 9.",
      (j) => { node(j, "axis").axis = 9; }],
    ["an operator without a meaning", "kernels[0].nodes[21]: not is not defined on f32.",
      (j) => { node(j, "unary").op = "not"; }],
    ["a condition that is none", "kernels[0].nodes[52]: a condition of i32.",
      (j) => { node(j, "guard").cond = 0; }],
    ["a constant out of range", "kernels[0].nodes[1]: i32 holds no nan.",
      (j) => { node(j, "const").value = "nan"; }],
    ["a store into what is read", "kernels[0].body.store: there is no buffer 0 to write.",
      (j) => { body(j).store = { buffer: 0, index: 0, value: 0 }; }],
    ["a sum of its own result", "kernels[0].body.a: it uses the accumulator before there is one.",
      (j) => { body(j).a = kernel(j).nodes.findIndex((n) => n.kind === "acc"); }],
    ["an unknown symbol", "kernels[0].arguments[1].size: the symbol N is not among the symbols.",
      (j) => { kernel(j).symbols = []; }],
    ["a size that is none", "kernels[0].arguments[0].size:1:3: expected a size, " +
      "such as 3 or 49*N, got the end of the text.",
      (j) => { edit(kernel(j).arguments[0], { size: "3*" }); }],
    ["a negative extent", "kernels[0].body: a size of -3.",
      (j) => { body(j).m = [{ name: "m", extent: "-3" }]; }],
    ["two kernels of one name", "kernels: two of them have one name.",
      (j) => { kernel(j, 1).name = kernel(j).name; }],
    ["a kernel that is not there", "dispatches[0]: there is no kernel 44.",
      (j) => { edit(j.dispatches[0], { kernel: 44 }); }],
    ["a buffer of another size", "dispatches[0]: x is not what argument 2 of conv_tanh holds.",
      (j) => { edit(j.buffers[0], { shape: ["7"] }); }],
    ["too few buffers", "dispatches[0]: conv_tanh takes 3 buffers, not 2.",
      (j) => { j.dispatches[0]?.buffers.pop(); }],
    ["an input that is written", "dispatches[2]: div cannot be written.",
      (j) => { edit(j.buffers[role(j, "output")], { role: "input" }); }],
    ["a slot that is too small", "buffers[2].slot: slot 0 of 1 elements is too small.",
      (j) => { j.memory.slots[0] = "1"; }],
    ["a slot that is not there", "buffers[2].slot: there is no slot 9.",
      (j) => { edit(j.buffers[role(j, "slot")], { slot: 9 }); }],
    ["an output in a slot", "outputs[0]: a slot buffer is no output.",
      (j) => { edit(j.outputs[0], { buffer: role(j, "slot") }); }],
    ["a symbol that is not bound", "symbols: N of conv_tanh is missing.",
      (j) => { j.symbols = []; }],
  ])("names %s", (_, expected, change) => {
    expect(message(change)).toBe(`plan.json: ${expected}`);
  });

  it("names a constant that is missing or of another shape", () => {
    const other = new Map([["w", tensor("float32", [1], [0])]]);
    expect(message(() => undefined, new Map()))
      .toBe("plan.json: buffers[1]: the tensor \"w\" is missing.");
    expect(message(() => undefined, other))
      .toBe("plan.json: buffers[1]: the tensor \"w\" is float32[1], not float32[3,2,2,2].");
  });

  it("ends in a user error whatever is edited, or is still a program", () => {
    const r = new Random(3);
    let [schema, parts] = [0, 0];
    for (let n = 0; n < 1200; n++) {
      const parsed = programSchema.safeParse(edited(r, through(original)));
      if (!parsed.success) {
        schema++;
        continue;
      }
      try {
        const held = programFromJson(parsed.data, tensors, "plan.json");
        expect(held.kernels.length).toBe(parsed.data.kernels.length);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        expect(error.message).toMatch(/^plan\.json: /);
        parts++;
      }
    }
    expect(Math.min(schema, parts)).toBeGreaterThan(150);
  });
});

/** Replaces one value somewhere in a JSON document by a value of another place, or drops it. */
function edited(r: Random, root: unknown): unknown {
  const spots: [Record<string, unknown>, string][] = [];
  const walk = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      spots.push([node as Record<string, unknown>, key]);
      walk(value);
    }
  };
  walk(root);
  const [holder, key] = r.pick(spots);
  const how = r.int(0, 5);
  if (how === 0) holder[key] = r.pick([0, 1, 7, 1000, -1, 0.5, "N", "-3", "N*", "f32", null]);
  else if (how === 1 && Array.isArray(holder)) holder.splice(Number(key), 1);
  else if (how === 1) delete holder[key];
  else {
    // A value of the same kind of place is most likely to pass the schema.
    const alike = spots.filter(([h, k]) => typeof h[k] === typeof holder[key] &&
      (Array.isArray(holder) || k === key));
    const [from, name] = r.pick(alike);
    holder[key] = from[name];
  }
  return root;
}
