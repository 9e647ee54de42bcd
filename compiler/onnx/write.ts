/**
 * Writes a graph as an ONNX file: opset 21, IR version 10, one or a few standard operators per
 * primitive (`writeRules.ts`), symbolic sizes as named dimensions. Works on any graph, folded or
 * trained; what the importer recognised as one operator comes out as its primitives.
 *
 * Encoding is onnx-proto's. A protobuf message ends at 2 GB; larger models have their weights in a
 * file beside them, given out here tensor by tensor (`writeWithData`), so none is held twice.
 */
import onnxProto from "onnx-proto";
import { dimToString, isStatic, symbolsOf, type Dim } from "../graph/dim.ts";
import type { DType } from "../graph/dtype.ts";
import {
  constantOf, type Graph, type Node, type TensorType, type Value,
} from "../graph/graph.ts";
import { floatToBfloat, floatToHalf } from "../graph/half.ts";
import { denseData, sizeOf, splat, tensor, type Tensor } from "../graph/tensor.ts";
import { UserError } from "../errors.ts";
import { bytesPerElement, elementTypeCode } from "./elementTypes.ts";
import { writeNode } from "./writeNode.ts";
import type { NodeWriter, WrittenAttribute } from "./writeRules.ts";

const { onnx } = onnxProto;
type NodeProto = NonNullable<Parameters<typeof onnx.NodeProto.create>[0]>;
type AttributeProto = NonNullable<Parameters<typeof onnx.AttributeProto.create>[0]>;
type TensorProto = NonNullable<Parameters<typeof onnx.TensorProto.create>[0]>;
type ValueInfoProto = NonNullable<Parameters<typeof onnx.ValueInfoProto.create>[0]>;
type FunctionProto = NonNullable<Parameters<typeof onnx.FunctionProto.create>[0]>;

/** The operator set that files are written in. */
export const writtenOpset = 21;
const irVersion = 10;

/** A repeated element is written as such from this many elements on. */
const largeSplat = 64;

/** Weights of fewer bytes stay in the model file: shapes and the like are read while importing. */
const smallBytes = 4096;
/** Where each weight of a data file begins, so that readers may map it into memory. */
const alignment = 64;

export interface WriteOptions {
  /** Text kept with what a node of the graph is written as (the `doc_string` of ONNX nodes). */
  readonly describe?: (node: Node) => string | undefined;
  /** Entries of the file's own metadata. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A model whose weights lie in another file. */
export interface WrittenWithData {
  readonly model: Uint8Array;
  /** The data file's content, in pieces that are made when asked for. */
  readonly data: Iterable<Uint8Array>;
}

/**
 * The bytes of an ONNX model that computes the graph.
 * @throws UnsupportedError for what no stable ONNX operator expresses (random bits, bit casts)
 */
export function writeModel(graph: Graph, options: WriteOptions = {}): Uint8Array {
  return new Writer(graph.name, options).model(graph);
}

/** As `writeModel`, with weights in a file that the model calls `location`. */
export function writeWithData(
  graph: Graph, location: string, options: WriteOptions = {},
): WrittenWithData {
  const writer = new Writer(graph.name, options, location);
  return { model: writer.model(graph), data: writer.data() };
}

/** One step of a model that is written in parts: a graph as it stands, or one that is called. */
export interface WrittenPart {
  readonly kind: "graph" | "call";
  /** Its inputs and outputs are values of the model, by name. */
  readonly graph: Graph;
}

interface NamedType { readonly name: string; readonly type: TensorType }

/** A model as a sequence of parts that hand values on by name. */
export interface PartedModel {
  readonly name: string;
  readonly inputs: readonly NamedType[];
  readonly outputs: readonly NamedType[];
  /** Values that are weights; they keep their names in the file. */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly parts: readonly WrittenPart[];
}

/** The domain of the functions that crosstie writes. */
export const functionDomain = "crosstie";

/**
 * The bytes of an ONNX model in which every part of kind "call" is a local function, so that any
 * runtime executes it and a reader still sees where it begins and ends.
 * @throws UnsupportedError for what no stable ONNX operator expresses
 */
export const writeParts = (model: PartedModel, options: WriteOptions = {}): Uint8Array =>
  new Writer(model.name, options).parted(model);

/** Bytes that a graph's weights take in a file. */
export const weightBytes = (graph: Graph): number => graph.nodes.reduce((sum, node) => {
  const t = node.outputs[0] && constantOf(node.outputs[0]);
  return t && !t.splat ? sum + sizeOf(t.shape) * bytesPerElement[t.dtype] : sum;
}, 0);

type Elements = ArrayLike<number> & Iterable<number>;

/** The elements as they lie in a file; their own array where that is the same. */
const encoders: Readonly<Record<DType, (values: Elements) => ArrayBufferView>> = {
  float16: (v) => Uint16Array.from(v, floatToHalf),
  bfloat16: (v) => Uint16Array.from(v, floatToBfloat),
  float32: (v) => (v instanceof Float32Array ? v : Float32Array.from(v)),
  float64: (v) => (v instanceof Float64Array ? v : Float64Array.from(v)),
  int8: (v) => Int8Array.from(v), int16: (v) => Int16Array.from(v),
  int32: (v) => (v instanceof Int32Array ? v : Int32Array.from(v)),
  int64: (v) => BigInt64Array.from(v, BigInt),
  uint8: (v) => (v instanceof Uint8Array ? v : Uint8Array.from(v)),
  uint16: (v) => Uint16Array.from(v), uint32: (v) => Uint32Array.from(v),
  uint64: (v) => BigUint64Array.from(v, BigInt),
  bool: (v) => Uint8Array.from(v),
};

function bytesOf(t: Tensor): Uint8Array {
  const { buffer, byteOffset, byteLength } = encoders[t.dtype](denseData(t));
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

const tensorProto = (name: string, t: Tensor): TensorProto => ({
  name, dims: [...t.shape], dataType: elementTypeCode(t.dtype), rawData: bytesOf(t),
});

function attributeProto(name: string, value: WrittenAttribute): AttributeProto {
  const { INT, INTS, STRING, TENSOR } = onnx.AttributeProto.AttributeType;
  if (typeof value === "number") return { name, type: INT, i: value };
  if (typeof value === "string") return { name, type: STRING, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: INTS, ints: [...(value as readonly number[])] };
  return { name, type: TENSOR, t: tensorProto("", value as Tensor) };
}

/** How weights are held: by the model, or as nodes where a body has nothing else. */
type WeightPlace = "initializer" | "constant";

class Writer implements NodeWriter {
  /** What messages and the file call what is written. */
  readonly #place: string;
  readonly #weightPlace: WeightPlace;
  /** The graph that is being written: its inputs give sizes their numbers. */
  #graph: Graph | undefined;
  readonly #nodes: NodeProto[] = [];
  readonly #weights: TensorProto[] = [];
  readonly #names = new Map<Value, string>();
  readonly #taken = new Set<string>();
  readonly #shared = new Map<string, string>();
  readonly #options: WriteOptions;
  /** Name of the data file, when there is one, and the weights that lie in it. */
  readonly #location: string | undefined;
  readonly #outside: Tensor[] = [];
  #outsideBytes = 0;
  /** What the next emitted names are made from: the value that is being written. */
  #prefix = "";
  /** Text for the nodes that are being written. */
  #docString: string | undefined;

  constructor(
    place: string, options: WriteOptions, location?: string,
    weightPlace: WeightPlace = "initializer",
  ) {
    this.#place = place;
    this.#options = options;
    this.#location = location;
    this.#weightPlace = weightPlace;
  }

  model(graph: Graph): Uint8Array {
    const inputs = graph.inputs.map(({ name, type }) => ({ name, type }));
    const outputs = graph.outputs.map(({ name, value: { type } }) => ({ name, type }));
    this.#reserve([...inputs, ...outputs]);
    this.#outputsAs(this.#body(graph));
    return this.#encoded(inputs, outputs, []);
  }

  parted({ inputs, outputs, weights, parts }: PartedModel): Uint8Array {
    this.#reserve([...inputs, ...outputs, ...[...weights.keys()].map((name) => ({ name }))]);
    const names = new Map(inputs.map(({ name }) => [name, name]));
    for (const [name, t] of weights) {
      this.#weights.push(this.#weight(name, t));
      names.set(name, name);
    }
    const functions: FunctionProto[] = [];
    for (const { kind, graph } of parts) {
      if (kind === "call") functions.push(this.#call(graph, names));
      else this.#body(graph, names).forEach((held, name) => names.set(name, held));
    }
    this.#outputsAs(new Map(outputs.map(({ name }) => [name, names.get(name) as string])));
    return this.#encoded(inputs, outputs, functions);
  }

  /** Calls the graph as a function of its name, and gives the function. */
  #call(graph: Graph, names: Map<string, string>): FunctionProto {
    const held = graph.outputs.map(({ name }) => [name, this.#fresh(name)] as const);
    this.#nodes.push({
      opType: graph.name, domain: functionDomain, name: graph.name,
      input: graph.inputs.map(({ name }) => names.get(name) as string),
      output: held.map(([, name]) => name),
    });
    for (const [name, own] of held) names.set(name, own);
    return new Writer(graph.name, {}, undefined, "constant").#function(graph);
  }

  #function(graph: Graph): FunctionProto {
    this.#reserve([...graph.inputs, ...graph.outputs]);
    this.#outputsAs(this.#body(graph));
    return {
      name: graph.name, domain: functionDomain,
      opsetImport: [{ domain: "", version: writtenOpset }],
      input: graph.inputs.map(({ name }) => name), output: graph.outputs.map(({ name }) => name),
      node: this.#nodes,
    };
  }

  #encoded(
    inputs: readonly NamedType[], outputs: readonly NamedType[], functions: FunctionProto[],
  ): Uint8Array {
    const metadata = Object.entries(this.#options.metadata ?? {});
    const own = functions.length === 0 ? [] : [{ domain: functionDomain, version: 1 }];
    return onnx.ModelProto.encode({
      irVersion, producerName: "crosstie", functions,
      opsetImport: [{ domain: "", version: writtenOpset }, ...own],
      metadataProps: metadata.map(([key, value]) => ({ key, value })),
      graph: {
        name: this.#place || "graph", node: this.#nodes, initializer: this.#weights,
        input: inputs.map(valueInfo), output: outputs.map(valueInfo),
      },
    }).finish();
  }

  #reserve(named: readonly { readonly name: string }[]): void {
    for (const { name } of named) this.#taken.add(name);
  }

  /** Writes a graph's nodes; gives what its outputs are called. */
  #body(graph: Graph, given: ReadonlyMap<string, string> = new Map()): Map<string, string> {
    this.#graph = graph;
    for (const v of graph.inputs) this.#names.set(v, given.get(v.name) ?? v.name);
    for (const node of graph.nodes) this.#write(node);
    return new Map(graph.outputs.map(({ name, value }) => [name, this.nameOf(value)]));
  }

  /** Makes values known by the names that the outside sees. */
  #outputsAs(held: ReadonlyMap<string, string>): void {
    for (const [wanted, name] of held) {
      if (name === wanted) continue;
      this.#nodes.push({ opType: "Identity", input: [name], output: [wanted] });
    }
  }

  #write(node: Node): void {
    const value = node.outputs[0] as Value;
    this.#prefix = value.name;
    this.#docString = this.#options.describe?.(node);
    this.#names.set(value, writeNode(this, node));
  }

  nameOf(v: Value): string {
    const name = this.#names.get(v);
    if (name !== undefined) return name;
    throw new UserError(`The value "${v.name}" is used before it is computed`, {
      place: this.#place, remedy: "verify the graph before writing it",
    });
  }

  #fresh(wanted: string): string {
    let name = wanted;
    for (let i = 1; this.#taken.has(name); i++) name = `${wanted}_${i}`;
    this.#taken.add(name);
    return name;
  }

  emit(
    operator: string, inputs: readonly string[],
    attributes: Readonly<Record<string, WrittenAttribute>> = {},
  ): string {
    // "TopK:1" asks for the second output.
    const [opType, place] = operator.split(":") as [string, string?];
    const name = this.#fresh(this.#prefix || opType);
    // Outputs before it are not optional everywhere: they get names that nobody reads.
    const unread = Array.from({ length: Number(place ?? 0) }, () => this.#fresh(`${name}.unread`));
    this.#nodes.push({
      opType, name: `${name}/${opType}`, input: [...inputs],
      output: [...unread, name],
      attribute: Object.entries(attributes).map(([key, value]) => attributeProto(key, value)),
      ...(this.#docString === undefined ? {} : { docString: this.#docString }),
    });
    return name;
  }

  weight(t: Tensor): string {
    const size = sizeOf(t.shape);
    const small = size <= 16 && !t.splat;
    const key = `${t.dtype} [${t.shape}] ${small ? Array.from(t.data, show).join() : ""}`;
    const known = small ? this.#shared.get(key) : undefined;
    if (known !== undefined) return known;
    if (t.splat && size >= largeSplat) {
      const shape = this.weight(tensor("int64", [t.shape.length], [...t.shape]));
      const value = splat(t.dtype, [1], t.data[0] as number);
      return this.emit("ConstantOfShape", [shape], { value });
    }
    const name = this.#weightPlace === "constant" ? this.emit("Constant", [], { value: t })
      : this.#fresh(`${this.#prefix || "weight"}.value`);
    if (this.#weightPlace === "initializer") this.#weights.push(this.#weight(name, t));
    if (small) this.#shared.set(key, name);
    return name;
  }

  #weight(name: string, t: Tensor): TensorProto {
    const length = sizeOf(t.shape) * bytesPerElement[t.dtype];
    if (this.#location === undefined || length < smallBytes) return tensorProto(name, t);
    const place = { location: this.#location, offset: this.#outsideBytes, length };
    this.#outside.push(t);
    this.#outsideBytes += length + padding(length);
    return {
      name, dims: [...t.shape], dataType: elementTypeCode(t.dtype),
      dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
      externalData: Object.entries(place).map(([key, value]) => ({ key, value: String(value) })),
    };
  }

  /** What the data file holds, once the model is written. */
  *data(): Generator<Uint8Array> {
    for (const t of this.#outside) {
      const bytes = bytesOf(t);
      yield bytes;
      yield new Uint8Array(padding(bytes.length));
    }
  }

  size(d: Dim): string {
    if (typeof d === "number") return this.weight(tensor("int64", [1], [d]));
    const key = `size ${dimToString(d)}`;
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    let total: string | undefined;
    for (const [product, coefficient] of d.terms) {
      const factors = product === "" ? [] : product.split("*").map((s) => this.#symbol(s));
      const constant = this.weight(tensor("int64", [1], [coefficient]));
      const all = coefficient === 1 && factors.length > 0 ? factors : [constant, ...factors];
      const term = all.reduce((p, f) => this.emit("Mul", [p, f]));
      total = total === undefined ? term : this.emit("Add", [total, term]);
    }
    const name = total as string;
    this.#shared.set(key, name);
    return name;
  }

  /** A symbol is the size of an input's axis that is nothing but this symbol. */
  #symbol(symbol: string): string {
    const key = `symbol ${symbol}`;
    const known = this.#shared.get(key);
    if (known !== undefined) return known;
    for (const v of this.#graph?.inputs ?? []) {
      const axis = v.type.shape.findIndex((d) => dimToString(d) === symbol);
      if (axis < 0) continue;
      const name = this.emit("Shape", [this.nameOf(v)], { start: axis, end: axis + 1 });
      this.#shared.set(key, name);
      return name;
    }
    throw new UserError(`No input has the size ${symbol} as an axis of its own`, {
      place: this.#place, remedy: `bind ${symbol} to a number before exporting`,
    });
  }

  shape(dims: readonly Dim[]): string {
    if (isStatic(dims)) return this.weight(tensor("int64", [dims.length], [...dims]));
    return this.emit("Concat", dims.map((d) => this.size(d)), { axis: 0 });
  }
}

/** Bytes that fill up to the alignment. */
const padding = (length: number): number => (alignment - length % alignment) % alignment;

/** Text that tells -0 from 0 and keeps NaN. */
const show = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));

function valueInfo({ name, type }: NamedType): ValueInfoProto {
  const dim = type.shape.map((d) => (typeof d === "number" ? { dimValue: d }
    : symbolsOf(d).length === 1 && dimToString(d) === symbolsOf(d)[0]
      ? { dimParam: dimToString(d) } : {}));
  return { name, type: { tensorType: { elemType: elementTypeCode(type.dtype), shape: { dim } } } };
}
