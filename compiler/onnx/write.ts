/**
 * Writes a graph as an ONNX file: opset 21, IR version 10, one or a few standard operators per
 * primitive (`writeRules.ts`), symbolic sizes as named dimensions. Works on any graph, folded or
 * trained; what the importer recognised as one operator comes out as its primitives.
 *
 * Encoding is onnx-proto's. Everything is held in memory; a model beyond 2 GB needs external data,
 * which is not written here.
 */
import onnxProto from "onnx-proto";
import { dimToString, isStatic, symbolsOf, type Dim } from "../graph/dim.ts";
import type { DType } from "../graph/dtype.ts";
import type { Graph, Node, PrimName, Value } from "../graph/graph.ts";
import { floatToBfloat, floatToHalf } from "../graph/half.ts";
import { sizeOf, splat, tensor, type Tensor } from "../graph/tensor.ts";
import { UserError } from "../errors.ts";
import { elementTypeCode } from "./elementTypes.ts";
import { writeRules, type NodeWriter, type WrittenAttribute } from "./writeRules.ts";

const { onnx } = onnxProto;
type NodeProto = NonNullable<Parameters<typeof onnx.NodeProto.create>[0]>;
type AttributeProto = NonNullable<Parameters<typeof onnx.AttributeProto.create>[0]>;
type TensorProto = NonNullable<Parameters<typeof onnx.TensorProto.create>[0]>;
type ValueInfoProto = NonNullable<Parameters<typeof onnx.ValueInfoProto.create>[0]>;

const [opset, irVersion] = [21, 10];

/** A repeated element is written as such from this many elements on. */
const largeSplat = 64;

/**
 * The bytes of an ONNX model that computes the graph.
 * @throws UnsupportedError for what no stable ONNX operator expresses (random bits, bit casts)
 */
export function writeModel(graph: Graph): Uint8Array {
  const writer = new Writer(graph);
  return writer.model();
}

const encoders: Partial<Record<DType, (values: readonly number[]) => ArrayBufferView>> = {
  float16: (v) => Uint16Array.from(v, floatToHalf),
  bfloat16: (v) => Uint16Array.from(v, floatToBfloat),
  float32: (v) => Float32Array.from(v),
  float64: (v) => Float64Array.from(v),
  int8: (v) => Int8Array.from(v), int16: (v) => Int16Array.from(v),
  int32: (v) => Int32Array.from(v), int64: (v) => BigInt64Array.from(v, BigInt),
  uint8: (v) => Uint8Array.from(v), uint16: (v) => Uint16Array.from(v),
  uint32: (v) => Uint32Array.from(v), uint64: (v) => BigUint64Array.from(v, BigInt),
  bool: (v) => Uint8Array.from(v),
};

function tensorProto(name: string, t: Tensor): TensorProto {
  const size = sizeOf(t.shape);
  const values = t.splat ? new Array<number>(size).fill(t.data[0] as number) : Array.from(t.data);
  const encode = encoders[t.dtype] as NonNullable<(typeof encoders)[DType]>;
  const { buffer, byteOffset, byteLength } = encode(values);
  return {
    name, dims: [...t.shape], dataType: elementTypeCode(t.dtype),
    rawData: new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength),
  };
}

function attributeProto(name: string, value: WrittenAttribute): AttributeProto {
  const { INT, INTS, STRING, TENSOR } = onnx.AttributeProto.AttributeType;
  if (typeof value === "number") return { name, type: INT, i: value };
  if (typeof value === "string") return { name, type: STRING, s: new TextEncoder().encode(value) };
  if (Array.isArray(value)) return { name, type: INTS, ints: [...(value as readonly number[])] };
  return { name, type: TENSOR, t: tensorProto("", value as Tensor) };
}

class Writer implements NodeWriter {
  readonly #graph: Graph;
  readonly #nodes: NodeProto[] = [];
  readonly #weights: TensorProto[] = [];
  readonly #names = new Map<Value, string>();
  readonly #taken = new Set<string>();
  readonly #shared = new Map<string, string>();
  /** What the next emitted names are made from: the value that is being written. */
  #prefix = "";

  constructor(graph: Graph) {
    this.#graph = graph;
    const places = [...graph.inputs.map((v) => v.name), ...graph.outputs.map((o) => o.name)];
    for (const name of places) this.#taken.add(name);
  }

  model(): Uint8Array {
    const { inputs, outputs, nodes, name } = this.#graph;
    for (const v of inputs) this.#names.set(v, v.name);
    for (const node of nodes) this.#write(node);
    for (const { name: wanted, value } of outputs) {
      const held = this.nameOf(value);
      if (held === wanted) continue;
      this.#nodes.push({ opType: "Identity", input: [held], output: [wanted] });
    }
    return onnx.ModelProto.encode({
      irVersion, producerName: "crosstie", opsetImport: [{ domain: "", version: opset }],
      graph: {
        name: name || "graph", node: this.#nodes, initializer: this.#weights,
        input: inputs.map((v) => valueInfo(v.name, v)),
        output: outputs.map((o) => valueInfo(o.name, o.value)),
      },
    }).finish();
  }

  #write<O extends PrimName>(node: Node<O>): void {
    const value = node.outputs[0] as Value;
    this.#prefix = value.name;
    this.#names.set(value, writeRules[node.op](this, node));
  }

  nameOf(v: Value): string {
    const name = this.#names.get(v);
    if (name !== undefined) return name;
    throw new UserError(`The value "${v.name}" is used before it is computed`, {
      place: this.#graph.name, remedy: "verify the graph before writing it",
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
    const name = this.#fresh(`${this.#prefix || "weight"}.value`);
    this.#weights.push(tensorProto(name, t));
    if (small) this.#shared.set(key, name);
    return name;
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
    for (const v of this.#graph.inputs) {
      const axis = v.type.shape.findIndex((d) => dimToString(d) === symbol);
      if (axis < 0) continue;
      const name = this.emit("Shape", [v.name], { start: axis, end: axis + 1 });
      this.#shared.set(key, name);
      return name;
    }
    throw new UserError(`No input has the size ${symbol} as an axis of its own`, {
      place: this.#graph.name, remedy: `bind ${symbol} to a number before exporting`,
    });
  }

  shape(dims: readonly Dim[]): string {
    if (isStatic(dims)) return this.weight(tensor("int64", [dims.length], [...dims]));
    return this.emit("Concat", dims.map((d) => this.size(d)), { axis: 0 });
  }
}

/** Text that tells -0 from 0 and keeps NaN. */
const show = (x: number): string => (Object.is(x, -0) ? "-0" : String(x));

function valueInfo(name: string, { type }: Value): ValueInfoProto {
  const dim = type.shape.map((d) => (typeof d === "number" ? { dimValue: d }
    : symbolsOf(d).length === 1 && dimToString(d) === symbolsOf(d)[0]
      ? { dimParam: dimToString(d) } : {}));
  return { name, type: { tensorType: { elemType: elementTypeCode(type.dtype), shape: { dim } } } };
}
