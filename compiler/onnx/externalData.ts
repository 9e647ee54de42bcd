/**
 * Tensors whose elements lie outside the model file. What a model may name is kept inside the
 * model's own folder; who reads it is the caller's `resolver` (files in Node, fetches or a file
 * picker in a browser).
 */
import { UserError } from "../errors.ts";
import { sizeOf } from "../graph/tensor.ts";
import { bytesPerElement, dtypeOf } from "./elementTypes.ts";
import type { Attribute, Model, OnnxGraph, OnnxNode, TensorSource } from "./model.ts";

/** Bytes [offset, offset + length) of the file at `location`, relative to the model. */
export type ExternalResolver = (
  location: string, offset: number, length: number,
) => Promise<Uint8Array> | Uint8Array;

/**
 * A location as a relative path with forward slashes, or an error. A model comes from a stranger:
 * it must not make us read /etc/passwd, a parent folder or another drive.
 */
export function safeLocation(location: string, place: string): string {
  const parts = location.split("/");
  // Control characters, and what Windows takes for a separator, a drive or a stream.
   
  const odd = /[\u0000-\u001f\\:]/.test(location);
  if (location === "" || odd || location.startsWith("/") || parts.includes("..")) {
    throw new UserError(`The external data path ${JSON.stringify(location)} leaves its folder`, {
      place, remedy: "save the model again with its data file beside it",
    });
  }
  return parts.filter((part) => part !== "" && part !== ".").join("/");
}

export interface LoadOptions {
  /** Leave tensors of more bytes than this where they are. */
  readonly atMostBytes?: number;
}

/**
 * The same model with external tensors in memory, each read once and held once.
 * @throws UserError for an unsafe path, or data that is shorter than its tensor
 */
export async function loadExternal(
  model: Model, resolver: ExternalResolver, options: LoadOptions = {},
): Promise<Model> {
  const atMost = options.atMostBytes ?? Infinity;
  const { place } = model;

  const tensor = async (source: TensorSource): Promise<TensorSource> => {
    const { content, elementType, name, shape } = source;
    if (content.kind !== "external") return source;
    const location = safeLocation(content.location, place);
    const dtype = dtypeOf(elementType);
    if (!dtype) return source;
    const expected = sizeOf(shape) * bytesPerElement[dtype];
    const wrong = (actual: number): UserError => new UserError(
      `The data of "${name}" in ${location} has ${actual} bytes instead of ${expected}`,
      { place, remedy: "save the model and its data file together" });
    if (content.length !== undefined && content.length !== expected) throw wrong(content.length);
    if (expected > atMost) return source;
    const bytes = await resolver(location, content.offset, expected);
    if (bytes.length !== expected) throw wrong(bytes.length);
    return { ...source, content: { kind: "raw", bytes } };
  };

  const attribute = async (held: Attribute): Promise<Attribute> => {
    if (held.kind === "tensor") return { ...held, value: await tensor(held.value) };
    if (held.kind === "graph") return { ...held, value: await graph(held.value) };
    return held;
  };

  const node = async (held: OnnxNode): Promise<OnnxNode> => {
    if (![...held.attributes.values()].some(mayHoldTensors)) return held;
    const attributes = new Map<string, Attribute>();
    for (const [key, value] of held.attributes) attributes.set(key, await attribute(value));
    return { ...held, attributes };
  };

  const graph = async (held: OnnxGraph): Promise<OnnxGraph> => {
    const initializers: TensorSource[] = [];
    // One after another: a model of many gigabytes must not be read twice over at once.
    for (const source of held.initializers) initializers.push(await tensor(source));
    const nodes: OnnxNode[] = [];
    for (const each of held.nodes) nodes.push(await node(each));
    return { ...held, initializers, nodes };
  };

  return { ...model, graph: await graph(model.graph) };
}

const mayHoldTensors = (a: Attribute): boolean => a.kind === "tensor" || a.kind === "graph";

/** Whether any tensor of the main graph or its subgraphs lies outside the file. */
export function hasExternalData(graph: OnnxGraph): boolean {
  return graph.initializers.some((t) => t.content.kind === "external") ||
    graph.nodes.some((n) => [...n.attributes.values()].some((a) =>
      (a.kind === "tensor" && a.value.content.kind === "external") ||
      (a.kind === "graph" && hasExternalData(a.value))));
}
