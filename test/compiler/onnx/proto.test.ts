/** Reading ONNX files: agrees with onnx-proto's own decoder, copies no weights, refuses damage. */
import { readFileSync } from "node:fs";
import onnxProto from "onnx-proto";
import { describe, expect, test } from "vitest";
import { UserError } from "../../../compiler/errors.ts";
import type { Attribute, OnnxGraph } from "../../../compiler/onnx/model.ts";
import { decodeModel, decodeTensor } from "../../../compiler/onnx/proto.ts";
import { readTensor } from "../../../compiler/onnx/readTensor.ts";

const { onnx } = onnxProto;
const read = (name: string): Uint8Array =>
  readFileSync(new URL(`../../../models/${name}`, import.meta.url));

const plainAttribute = (a: Attribute): unknown =>
  (a.kind === "tensor" ? a.value.shape : a.kind === "graph" ? plain(a.value) : a.value);

const plain = (graph: OnnxGraph): unknown => ({
  nodes: graph.nodes.map((n) => ({
    type: n.operator, inputs: n.inputs, outputs: n.outputs,
    attributes: [...n.attributes].map(([name, a]) => [name, plainAttribute(a)]),
  })),
  initializers: graph.initializers.map((t) => [t.name, t.shape]),
  inputs: graph.inputs.map((i) => i.name),
  outputs: graph.outputs.map((o) => o.name),
});

/** The same facts from onnx-proto's messages. */
function theirs(graph: InstanceType<typeof onnx.GraphProto>): unknown {
  const value = (a: InstanceType<typeof onnx.AttributeProto>): unknown => {
    const kinds = onnx.AttributeProto.AttributeType;
    switch (a.type) {
      case kinds.FLOAT: return a.f;
      case kinds.INT: return Number(a.i);
      case kinds.STRING: return new TextDecoder().decode(a.s);
      case kinds.TENSOR: return a.t?.dims?.map(Number);
      case kinds.FLOATS: return a.floats;
      case kinds.INTS: return a.ints.map(Number);
      default: throw new Error(`attribute type ${a.type} is not in these files`);
    }
  };
  return {
    nodes: graph.node.map((n) => ({
      type: n.opType, inputs: n.input, outputs: n.output,
      attributes: n.attribute?.map((a) =>
        [a.name, value(a as InstanceType<typeof onnx.AttributeProto>)]),
    })),
    initializers: graph.initializer.map((t) => [t.name, t.dims?.map(Number)]),
    inputs: graph.input.map((i) => i.name),
    outputs: graph.output.map((o) => o.name),
  };
}

test.each(["mnist-vit.onnx", "cifar10-resnet8.onnx", "mnist-mlp.onnx"])(
  "%s reads as onnx-proto reads it", (name) => {
    const bytes = read(name);
    const reference = onnx.ModelProto.decode(bytes).graph as InstanceType<typeof onnx.GraphProto>;
    expect(plain(decodeModel(bytes, name).graph)).toEqual(theirs(reference));
  });

test("weights are views of the file", () => {
  const bytes = read("mnist-mlp.onnx");
  const { graph } = decodeModel(bytes, "mnist-mlp.onnx");
  const weights = graph.initializers.filter((t) => t.content.kind === "raw");
  expect(weights.length).toBeGreaterThan(0);
  for (const { content } of weights) {
    if (content.kind === "raw") expect(content.bytes.buffer).toBe(bytes.buffer);
  }
});

// ---- messages put together by hand ---------------------------------------------------------

const varint = (n: number): number[] =>
  (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
const bytesField = (field: number, bytes: readonly number[]): number[] =>
  [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
const intField = (field: number, value: number): number[] =>
  [...varint(field * 8), ...varint(value)];
const text = (s: string): number[] => [...new TextEncoder().encode(s)];

describe("tensors", () => {
  const decode = (...fields: number[][]): ReturnType<typeof readTensor> => readTensor(
    decodeTensor(Uint8Array.from(fields.flat()), "t.pb"), "t.pb");

  test("numbers may be packed, single, or in several pieces", () => {
    const t = decode(intField(1, 4), intField(2, 6), bytesField(5, [1, 2]), intField(5, 3),
      bytesField(5, [4]));
    expect([t.dtype, [...t.data]]).toEqual(["int32", [1, 2, 3, 4]]);
  });

  test("64-bit integers are exact to 2^53 and signed", () => {
    const raw = new Uint8Array(new BigInt64Array([-2n, 2n ** 53n, -(2n ** 40n)]).buffer);
    const t = decode(intField(1, 3), intField(2, 7), bytesField(9, [...raw]));
    expect([...t.data]).toEqual([-2, 2 ** 53, -(2 ** 40)]);
  });

  test("float16 and bfloat16 are widened, from raw bytes and from typed fields", () => {
    expect([...decode(intField(1, 2), intField(2, 10), bytesField(9, [0, 0x3c, 0, 0xc0])).data])
      .toEqual([1, -2]);
    const pi = decode(intField(1, 1), intField(2, 16), intField(5, 0x4049));
    expect([...pi.data]).toEqual([3.140625]);
  });

  test("uint64 beyond the signed range comes back from its two's complement", () => {
    const negative = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    const t = decode(intField(1, 1), intField(2, 13), [...varint(11 * 8), ...negative]);
    expect([...t.data]).toEqual([2 ** 64]);
  });

  test.each([
    ["more elements than bytes", [intField(1, 2 ** 40), intField(2, 1), bytesField(9, [0, 0])]],
    ["fewer elements than values", [intField(1, 1), intField(2, 6), bytesField(5, [1, 2])]],
    ["a packed list cut off", [[...varint(5 * 8 + 2), 100, 1]]],
    ["packed floats of a broken length", [intField(1, 1), bytesField(4, [1, 2, 3])]],
    ["a wrong wire type", [bytesField(2, [1])]],
  ])("%s: an error that names the file", (_, fields) => {
    expect(() => decode(...fields)).toThrow(UserError);
    expect(() => decode(...fields)).toThrow(/^t\.pb: Not a readable ONNX tensor: /);
  });

  test.each([[8, "string"], [17, "float8e4m3fn"], [22, "int4"], [14, "complex64"]])(
    "element type %i is refused as %s", (code, name) => {
      expect(() => decode(intField(1, 0), intField(2, code)))
        .toThrow(`elements of type ${name}`);
    });
});

describe("damaged models", () => {
  const graph = bytesField(7, bytesField(2, text("g")));
  const decode = (...fields: number[][]): unknown =>
    decodeModel(Uint8Array.from(fields.flat()), "m.onnx");

  test("an empty file, a file without a graph, a Git LFS pointer", () => {
    expect(() => decode()).toThrow("m.onnx: The file is empty");
    expect(() => decode(intField(1, 8))).toThrow("it holds no graph");
    expect(() => decode(text("version https://git-lfs.github.com/spec/v1\noid sha256:00")))
      .toThrow("Git LFS pointer");
  });

  test("a varint without an end, and a length beyond the file", () => {
    expect(() => decode(graph, new Array<number>(20).fill(0xff))).toThrow(UserError);
    expect(() => decode([...varint(7 * 8 + 2), ...varint(2 ** 31 - 1), 1])).toThrow(UserError);
  });

  test("nesting without end", () => {
    // Graph -> node -> attribute -> graph -> ...
    let inner: number[] = [];
    for (let i = 0; i < 400; i++) {
      inner = bytesField(1, [...text(""), ...bytesField(4, text("If")),
        ...bytesField(5, bytesField(6, inner))]);
    }
    expect(() => decode(bytesField(7, inner))).toThrow("nested more than");
  });

  test("an unknown field is skipped, also by a newer writer", () => {
    expect(decode(graph, bytesField(99, [1, 2, 3]), intField(77, 5))).toMatchObject({
      place: "m.onnx", graph: { name: "g" },
    });
  });
});
