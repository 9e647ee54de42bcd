/**
 * Reads ONNX files: bytes to the plain, checked types of `model.ts`. What is checked here is what
 * later code relies on (names, counts, sizes that fit their tensors); whether an operator or type
 * is supported is not.
 */
import { UserError } from "../errors.ts";
import { dtypeOf, bytesPerElement, elementTypeName } from "./elementTypes.ts";
import {
  functionKey, type Attribute, type Model, type OnnxDim, type OnnxFunction, type OnnxGraph,
  type OnnxNode, type OnnxType, type TensorContent, type TensorSource, type ValueInfo,
} from "./model.ts";
import type { MessageName, Wire } from "./schema.ts";
import { decodeMessage } from "./wire.ts";

const again = "download or export the file again";

/** What is wrong with a file, while it is unwrapped; becomes a UserError that names the file. */
class Damage extends Error {}

function parse<M extends MessageName, T>(
  bytes: Uint8Array, place: string, message: M, what: string, build: (wire: Wire<M>) => T,
): T {
  if (bytes.length === 0) throw new UserError("The file is empty", { place, remedy: again });
  if (new TextDecoder().decode(bytes.subarray(0, 42)).startsWith("version https://git-lfs")) {
    throw new UserError("This is a Git LFS pointer, not the file it stands for", {
      place, remedy: "fetch the file itself with `git lfs pull`",
    });
  }
  try {
    return build(decodeMessage(message, bytes));
  } catch (error) {
    if (error instanceof UserError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`Not a readable ${what}: ${reason}`, { place, remedy: again });
  }
}

/**
 * Decodes a model. Weights stay views of `bytes`, which must therefore not be changed.
 * @param place what messages call the file
 * @throws UserError when the bytes are not a whole ONNX model
 */
export function decodeModel(bytes: Uint8Array, place: string): Model {
  return parse(bytes, place, "Model", "ONNX model", (wire) => modelOf(wire, place));
}

/** Decodes a file that holds one tensor, as the backend test suite's inputs and outputs do. */
export function decodeTensor(bytes: Uint8Array, place: string): TensorSource {
  return parse(bytes, place, "Tensor", "ONNX tensor", tensorOf);
}

function modelOf(wire: Wire<"Model">, place: string): Model {
  if (!wire.graph) throw new Damage("it holds no graph");
  const functions = wire.functions.map(functionOf);
  const opsets = opsetsOf(wire.opsetImport);
  if (opsets.size === 0) opsets.set("", 1);
  return {
    place,
    irVersion: wire.irVersion ?? 0,
    producer: [wire.producerName, wire.producerVersion].filter(Boolean).join(" "),
    opsets,
    graph: graphOf(wire.graph),
    functions: new Map(functions.map((f) => [functionKey(f.domain, f.name, f.overload), f])),
    metadata: new Map(wire.metadata.map((e) => [e.key ?? "", e.value ?? ""])),
  };
}

/** The default domain has two spellings. */
const domainOf = (name: string | undefined): string => (name === "ai.onnx" ? "" : name ?? "");

const opsetsOf = (imports: readonly Wire<"OperatorSet">[]): Map<string, number> =>
  new Map(imports.map((i) => [domainOf(i.domain), i.version ?? 1]));

function graphOf(wire: Wire<"Graph">): OnnxGraph {
  if (wire.sparseInitializer.length > 0) throw new Damage("sparse initializers are not supported");
  const initializers = wire.initializer.map(tensorOf);
  const seen = new Set<string>();
  for (const { name } of initializers) {
    if (seen.has(name)) throw new Damage(`two initializers are called "${name}"`);
    seen.add(name);
  }
  return {
    name: wire.name ?? "",
    nodes: nodesOf(wire.node),
    initializers,
    inputs: wire.input.map(valueInfoOf),
    outputs: wire.output.map(valueInfoOf),
    valueInfo: wire.valueInfo.map(valueInfoOf),
  };
}

function nodesOf(wires: readonly Wire<"Node">[]): OnnxNode[] {
  const taken = new Map<string, number>();
  for (const { name } of wires) if (name) taken.set(name, 0);
  const used = new Set<string>();
  const unique = (wanted: string): string => {
    if (!used.has(wanted)) return wanted;
    for (;;) {
      const count = (taken.get(wanted) ?? 0) + 1;
      taken.set(wanted, count);
      const name = `${wanted}_${count}`;
      if (!used.has(name) && !taken.has(name)) return name;
    }
  };
  return wires.map((wire, i) => {
    if (!wire.opType) throw new Damage(`node ${wire.name || i} names no operator`);
    const name = unique(wire.name || `${wire.opType}_${i}`);
    used.add(name);
    return {
      name,
      operator: wire.opType,
      domain: domainOf(wire.domain),
      overload: wire.overload ?? "",
      inputs: wire.input,
      outputs: wire.output,
      attributes: attributesOf(wire.attribute),
    };
  });
}

const attributesOf = (wires: readonly Wire<"Attribute">[]): Map<string, Attribute> =>
  new Map(wires.map((wire) => [wire.name ?? "", attributeOf(wire)]));

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

type AttributeReader = (wire: Wire<"Attribute">) => Attribute | undefined;
const whole = <T>(value: T | undefined, make: (value: T) => Attribute): Attribute | undefined =>
  value === undefined ? undefined : make(value);

/** AttributeProto.AttributeType. */
const attributeReaders: Readonly<Record<number, AttributeReader>> = {
  1: ({ f }) => ({ kind: "float", value: f ?? 0 }),
  2: ({ i }) => ({ kind: "int", value: i ?? 0 }),
  3: ({ s }) => ({ kind: "string", value: s ? text(s) : "" }),
  4: ({ t }) => whole(t, (value) => ({ kind: "tensor", value: tensorOf(value) })),
  5: ({ g }) => whole(g, (value) => ({ kind: "graph", value: graphOf(value) })),
  6: ({ floats }) => ({ kind: "floats", value: Array.from(floats) }),
  7: ({ ints }) => ({ kind: "ints", value: Array.from(ints) }),
  8: ({ strings }) => ({ kind: "strings", value: strings.map(text) }),
  9: ({ tensors }) => ({ kind: "tensors", value: tensors.map(tensorOf) }),
  10: ({ graphs }) => ({ kind: "graphs", value: graphs.map(graphOf) }),
  11: () => ({ kind: "sparse tensor", value: undefined }),
  12: () => ({ kind: "sparse tensor", value: undefined }),
  13: () => ({ kind: "type", value: undefined }),
  14: () => ({ kind: "type", value: undefined }),
};

function attributeOf(wire: Wire<"Attribute">): Attribute {
  if (wire.refAttrName) return { kind: "reference", value: wire.refAttrName };
  const read = attributeReaders[wire.type ?? guessType(wire)];
  const attribute = read?.(wire);
  if (!attribute) {
    throw new Damage(`attribute "${wire.name ?? ""}" of type ${wire.type} has no value`);
  }
  return attribute;
}

/** IR version 1 had no type field: it is the one field that is filled. */
function guessType(wire: Wire<"Attribute">): number {
  const filled: [unknown, number][] = [
    [wire.f, 1], [wire.i, 2], [wire.s, 3], [wire.t, 4], [wire.g, 5],
    [wire.floats.length || undefined, 6], [wire.ints.length || undefined, 7],
    [wire.strings.length || undefined, 8], [wire.tensors.length || undefined, 9],
    [wire.graphs.length || undefined, 10],
  ];
  return filled.find(([value]) => value !== undefined)?.[1] ?? 7;
}

function functionOf(wire: Wire<"Function">): OnnxFunction {
  if (!wire.name) throw new Damage("a local function has no name");
  return {
    name: wire.name,
    domain: domainOf(wire.domain),
    overload: wire.overload ?? "",
    inputs: wire.input,
    outputs: wire.output,
    nodes: nodesOf(wire.node),
    opsets: opsetsOf(wire.opsetImport),
    attributeNames: wire.attribute,
    attributeDefaults: attributesOf(wire.attributeProto),
  };
}

function valueInfoOf(wire: Wire<"ValueInfo">): ValueInfo {
  return { name: wire.name ?? "", type: wire.type ? typeOf(wire.type) : { kind: "unknown" } };
}

function typeOf(wire: Wire<"Type">): OnnxType {
  if (wire.tensor) {
    const { elemType, shape } = wire.tensor;
    return {
      kind: "tensor", elementType: elementTypeName(elemType ?? 0),
      shape: shape?.dim.map(dimOf),
    };
  }
  if (wire.sequence?.elem) return { kind: "sequence", element: typeOf(wire.sequence.elem) };
  if (wire.optional?.elem) return { kind: "optional", element: typeOf(wire.optional.elem) };
  return { kind: wire.map ? "map" : wire.sparseTensor ? "sparse tensor" : "unknown" };
}

/** Some exporters write a negative size, or an empty name, for a size they do not know. */
function dimOf(wire: Wire<"Dimension">): OnnxDim {
  if (wire.value !== undefined && wire.value >= 0) return wire.value;
  return wire.param || undefined;
}

function tensorOf(wire: Wire<"Tensor">): TensorSource {
  const name = wire.name ?? "";
  const shape = Array.from(wire.dims);
  const size = shape.reduce((product, d) => product * d, 1);
  if (shape.some((d) => d < 0) || !Number.isSafeInteger(size)) {
    throw new Damage(`tensor "${name}" has the shape [${shape}]`);
  }
  const elementType = elementTypeName(wire.dataType ?? 0);
  const source = { name, elementType, shape, content: contentOf(wire, elementType) };
  checkSize(source, size);
  return source;
}

function contentOf(wire: Wire<"Tensor">, elementType: string): TensorContent {
  if (wire.dataLocation === 1) return externalOf(wire);
  if (elementType === "string") return { kind: "strings", values: wire.stringData.map(text) };
  if (wire.rawData) return { kind: "raw", bytes: wire.rawData };
  const lists = [
    wire.floatData, wire.int32Data, wire.int64Data, wire.doubleData, wire.uint64Data,
  ];
  return { kind: "typed", values: lists.find((list) => list.length > 0) ?? [] };
}

function externalOf(wire: Wire<"Tensor">): TensorContent {
  const entries = new Map(wire.externalData.map((e) => [e.key, e.value ?? ""]));
  const number = (key: string): number | undefined => {
    const value = entries.get(key);
    if (value === undefined) return undefined;
    if (!/^\d+$/.test(value) || !Number.isSafeInteger(Number(value))) {
      throw new Damage(`tensor "${wire.name}" has the external ${key} "${value}"`);
    }
    return Number(value);
  };
  const location = entries.get("location");
  if (!location) throw new Damage(`tensor "${wire.name}" lies outside the file, without a place`);
  return { kind: "external", location, offset: number("offset") ?? 0, length: number("length") };
}

/** A shape may promise no more elements than the file has: nobody allocates by the promise. */
function checkSize({ name, elementType, content }: TensorSource, size: number): void {
  const dtype = dtypeOf(elementType);
  if (!dtype) return;
  const [actual, expected] = content.kind === "raw"
    ? [content.bytes.length, size * bytesPerElement[dtype]]
    : content.kind === "typed" ? [content.values.length, size] : [0, 0];
  if (actual !== expected) {
    const unit = content.kind === "raw" ? "bytes" : "elements";
    throw new Damage(`tensor "${name}" has ${actual} ${unit} instead of ${expected}`);
  }
}
