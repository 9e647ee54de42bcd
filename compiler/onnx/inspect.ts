/**
 * What a model is, without compiling it: sizes, types, work, operators, and everything that would
 * stop an import, all at once. Works on any file that decodes; weights are not read (they count
 * by their shapes), so a large model costs little more than its own bytes.
 */
import {
  addDims, dimToString, evalDim, symbolsOf, type Dim,
} from "../graph/dim.ts";
import { isFloat } from "../graph/dtype.ts";
import { constantOf, type Node, type Value } from "../graph/graph.ts";
import { sizeOf, splat, type Tensor } from "../graph/tensor.ts";
import { ancestors } from "../passes/gradient.ts";
import { primitiveOf } from "../ops/registry.ts";
import { dtypeOf } from "./elementTypes.ts";
import { Importer } from "./import.ts";
import { showOnnxType, type Model, type OnnxGraph, type TensorSource } from "./model.ts";
import { readTensor } from "./readTensor.ts";
import { Missing } from "./scope.ts";
import type { Unsupported } from "./unsupported.ts";

export interface InspectedValue {
  readonly name: string;
  /** Element type, or the whole type where it is no tensor. */
  readonly dtype: string;
  /** Sizes as numbers or symbols; undefined where the file does not say. */
  readonly shape: readonly (number | string)[] | undefined;
}

export interface Inspection {
  /** Version of ONNX's own operator set. */
  readonly opset: number;
  /** All operator sets by domain. */
  readonly opsets: Readonly<Record<string, number>>;
  readonly producer: string;
  readonly nodes: number;
  /** Elements of float weights: initializers, and constants of more than one element. */
  readonly parameters: number;
  /** Multiply-accumulates with every symbolic size 1; null while a size must be bound first. */
  readonly macs: number | null;
  /** The same with symbols: "1843200*N". */
  readonly macsSymbolic: string | null;
  readonly inputs: readonly InspectedValue[];
  readonly outputs: readonly InspectedValue[];
  /** How many nodes of each operator, the most frequent first. */
  readonly operators: Readonly<Record<string, number>>;
  readonly unsupported: readonly Unsupported[];
  /** What else stands in the way of an import as it is: sizes to bind, contradictions. */
  readonly problems: readonly string[];
}

/** Weights of up to this many elements are read: shapes, axes and the like decide types. */
const smallWeight = 4096;

function outline(source: TensorSource, place: string): Tensor {
  const dtype = dtypeOf(source.elementType);
  const small = sizeOf(source.shape) <= smallWeight && source.content.kind !== "external";
  return small || !dtype ? readTensor(source, place) : splat(dtype, source.shape, 0);
}

/** @param bind numbers for symbolic sizes, as for an import */
export function inspectModel(
  model: Model, bind: Readonly<Record<string, number>> = {},
): Inspection {
  const importer = new Importer(model, { bind }, { lenient: true, readWeight: outline });
  const slots = importer.lowerAll();
  const values = slots.flatMap(({ slot }) => (slot instanceof Missing ? [] : [slot]));
  const complete = values.length === slots.length;
  const live = ancestors(values);
  const macs = complete ? macsOf(live) : undefined;
  const { operators, nodes, parameters, constants } = tally(model);
  return {
    opset: model.opsets.get("") ?? 0,
    opsets: Object.fromEntries([...model.opsets].map(([d, v]) => [d || "ai.onnx", v])),
    producer: model.producer,
    nodes,
    // Constants among the nodes count as far as they are used, or all where that is not known.
    parameters: parameters + (complete ? generated(live, importer) : constants),
    macs: macs === undefined ? null : atOne(macs),
    macsSymbolic: macs === undefined ? null : dimToString(macs),
    inputs: inputsOf(model, importer),
    outputs: slots.map(({ name, slot }) => (slot instanceof Missing ? declared(model, name)
      : typed(name, slot))),
    operators,
    unsupported: importer.findings.all,
    problems: importer.problems,
  };
}

const macsOf = (nodes: readonly Node[]): Dim =>
  nodes.map((node) => primitiveOf(node.op).work(node).macs).reduce<Dim>(addDims, 0);

/** Elements of float constants that are no initializers: Constant and ConstantOfShape weights. */
function generated(nodes: readonly Node[], importer: Importer): number {
  return nodes.map((node) => node.outputs[0] as Value).reduce((sum, v) => {
    const held = constantOf(v);
    const counts = held && isFloat(held.dtype) && sizeOf(held.shape) > 1 && !importer.isWeight(v);
    return counts ? sum + sizeOf(held.shape) : sum;
  }, 0);
}

const atOne = (d: Dim): number =>
  evalDim(d, Object.fromEntries(symbolsOf(d).map((name) => [name, 1])));

const typed = (name: string, v: Value): InspectedValue => ({
  name, dtype: v.type.dtype,
  shape: v.type.shape.map((d) => (typeof d === "number" ? d : dimToString(d))),
});

function inputsOf(model: Model, importer: Importer): InspectedValue[] {
  const weights = new Set(model.graph.initializers.map((t) => t.name));
  const lowered = new Map(importer.inputs.map((v) => [v.name, v]));
  return model.graph.inputs.filter((i) => !weights.has(i.name)).map(({ name, type }) => {
    const value = lowered.get(name);
    return value ? typed(name, value) : { name, dtype: showOnnxType(type), shape: undefined };
  });
}

function declared(model: Model, name: string): InspectedValue {
  const info = model.graph.outputs.find((o) => o.name === name);
  const type = info?.type ?? { kind: "unknown" as const };
  return type.kind === "tensor"
    ? { name, dtype: type.elementType, shape: type.shape?.map((d) => d ?? "?") }
    : { name, dtype: showOnnxType(type), shape: undefined };
}

/** Counts of the file as it is, bodies of subgraphs and local functions included. */
function tally(
  model: Model,
): Pick<Inspection, "operators" | "nodes" | "parameters"> & { readonly constants: number } {
  const counts = new Map<string, number>();
  let [nodes, parameters, constants] = [0, 0, 0];
  const isWeight = (t: TensorSource): boolean => /^b?float/.test(t.elementType);
  type Body = Pick<OnnxGraph, "nodes" | "initializers">;
  const visit = ({ nodes: inside, initializers }: Body): void => {
    for (const t of initializers) if (isWeight(t)) parameters += sizeOf(t.shape);
    for (const { operator, domain, attributes } of inside) {
      nodes++;
      const key = domain === "" ? operator : `${domain}.${operator}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
      for (const a of attributes.values()) {
        if (a.kind === "graph") visit(a.value);
        const size = a.kind === "tensor" && isWeight(a.value) ? sizeOf(a.value.shape) : 0;
        if (size > 1) constants += size;
      }
    }
  };
  visit(model.graph);
  for (const body of model.functions.values()) visit({ nodes: body.nodes, initializers: [] });
  const sorted = [...counts].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  return { nodes, parameters, constants, operators: Object.fromEntries(sorted) };
}
