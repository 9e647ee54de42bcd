/**
 * Small ONNX models for tests, written as nodes and tensors, and a way to run one operator by
 * itself. Not a writer: models exist in memory, as the reader would give them.
 */
import { evaluateGraph } from "../../compiler/graph/evaluate.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import type { DType } from "../../compiler/graph/dtype.ts";
import {
  functionKey, type Attribute, type Model, type OnnxDim, type OnnxFunction, type OnnxGraph,
  type OnnxNode, type OnnxType, type TensorSource, type ValueInfo,
} from "../../compiler/onnx/model.ts";
import { specialise } from "../../compiler/onnx/specialise.ts";

/** What a test writes for an attribute; a number is an int when it is whole. */
export type AttributeValue =
  | number | string | readonly number[] | readonly string[] | { readonly float: number }
  | { readonly floats: readonly number[] } | Tensor | OnnxGraph | { readonly reference: string };

export const source = (name: string, t: Tensor): TensorSource => ({
  name, elementType: t.dtype, shape: t.shape,
  content: { kind: "typed", values: Array.from(t.data) },
});

function attribute(value: AttributeValue): Attribute {
  if (typeof value === "string") return { kind: "string", value };
  if (typeof value === "number") return { kind: Number.isInteger(value) ? "int" : "float", value };
  if (Array.isArray(value)) {
    const list = value as readonly (number | string)[];
    if (list.some((v) => typeof v === "string")) {
      return { kind: "strings", value: list as readonly string[] };
    }
    const kind = list.every((v) => Number.isInteger(v)) ? "ints" : "floats";
    return { kind, value: list as readonly number[] };
  }
  if ("float" in value) return { kind: "float", value: value.float };
  if ("floats" in value) return { kind: "floats", value: value.floats };
  if ("reference" in value) return { kind: "reference", value: value.reference };
  if ("nodes" in value) return { kind: "graph", value };
  const t = value as Tensor;
  // 16-bit floats and doubles are numbers here; only their bits would need decoding.
  return { kind: "tensor", value: source("", t) };
}

export function node(
  operator: string, inputs: readonly string[], outputs: readonly string[],
  attributes: Readonly<Record<string, AttributeValue>> = {},
  more: { readonly domain?: string; readonly name?: string } = {},
): OnnxNode {
  return {
    name: more.name ?? `${operator}:${outputs[0] ?? ""}`, operator, domain: more.domain ?? "",
    overload: "", inputs, outputs,
    attributes: new Map(Object.entries(attributes).map(([k, v]) => [k, attribute(v)])),
  };
}

export const tensorType = (
  elementType: string, shape?: readonly OnnxDim[],
): OnnxType => ({ kind: "tensor", elementType, shape });

const infos = (types: Readonly<Record<string, OnnxType>>): ValueInfo[] =>
  Object.entries(types).map(([name, type]) => ({ name, type }));

export interface GraphParts {
  readonly nodes: readonly OnnxNode[];
  readonly inputs?: Readonly<Record<string, OnnxType>>;
  readonly outputs: readonly string[];
  readonly weights?: Readonly<Record<string, Tensor>>;
}

export const graph = (parts: GraphParts): OnnxGraph => ({
  name: "g", nodes: parts.nodes, inputs: infos(parts.inputs ?? {}), valueInfo: [],
  outputs: parts.outputs.map((name) => ({ name, type: { kind: "unknown" } })),
  initializers: Object.entries(parts.weights ?? {}).map(([name, t]) => source(name, t)),
});

export interface ModelParts extends GraphParts {
  readonly opset?: number;
  readonly functions?: readonly OnnxFunction[];
}

export const model = (parts: ModelParts): Model => ({
  place: "test.onnx", irVersion: 10, producer: "test", metadata: new Map(),
  opsets: new Map([["", parts.opset ?? 21]]),
  graph: graph(parts),
  functions: new Map((parts.functions ?? []).map((f) =>
    [functionKey(f.domain, f.name, f.overload), f])),
});

export interface Call {
  readonly opset?: number;
  /** How many outputs to ask for. */
  readonly outputs?: number;
  readonly domain?: string;
}

/** Runs one operator on tensors; undefined stands for an operand that is not given. */
export function run(
  operator: string, operands: readonly (Tensor | undefined)[],
  attributes: Readonly<Record<string, AttributeValue>> = {}, call: Call = {},
): Tensor[] {
  const inputs = new Map<string, Tensor>();
  const names = operands.map((t, i) => {
    if (!t) return "";
    inputs.set(`x${i}`, t);
    return `x${i}`;
  });
  const outputs = Array.from({ length: call.outputs ?? 1 }, (_, i) => `y${i}`);
  const made = model({
    nodes: [node(operator, names, outputs, attributes, call.domain ? { domain: call.domain } : {})],
    inputs: Object.fromEntries([...inputs].map(([n, t]) => [n, tensorType(t.dtype, t.shape)])),
    outputs,
    ...(call.opset ? { opset: call.opset } : {}),
  });
  const results = evaluateGraph(specialise(made, inputs).graph, inputs);
  return outputs.map((name) => results.get(name) as Tensor);
}

/** The elements of the operator's first output, rounded for comparison. */
export function values(
  operator: string, operands: readonly (Tensor | undefined)[],
  attributes: Readonly<Record<string, AttributeValue>> = {}, call: Call = {},
): number[] {
  const [first] = run(operator, operands, attributes, call) as [Tensor];
  return elements(first);
}

export const elements = (t: Tensor): number[] => {
  const size = t.shape.reduce((p, d) => p * d, 1);
  return Array.from({ length: size }, (_, i) =>
    Number((t.data[t.splat ? 0 : i] as number).toPrecision(6)));
};

export const floats = (shape: readonly number[], ...data: number[]): Tensor =>
  tensor("float32", shape, data);
export const ints = (...data: number[]): Tensor => tensor("int64", [data.length], data);
export const typed = (dtype: DType, shape: readonly number[], ...data: number[]): Tensor =>
  tensor(dtype, shape, data);
export const number = (value: number, dtype: DType = "float32"): Tensor =>
  tensor(dtype, [], [value]);
