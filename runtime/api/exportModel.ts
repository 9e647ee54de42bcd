/**
 * `export` as a function: an ONNX file in, the graph that crosstie makes of it out, as an ONNX file
 * that any runtime loads. Folded and simplified; with other weights (a training's checkpoint); with
 * a target, every node says which unit of which segment it belongs to.
 *
 * The partition is told, not enforced: the file computes everything wherever it is run.
 */
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { compile, optimise, type Compiled } from "../../compiler/compile.ts";
import { UserError } from "../../compiler/errors.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import { constantOf, type Graph, type Node, type Value } from "../../compiler/graph/graph.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import {
  weightBytes, writeModel, writeWithData, type WriteOptions,
} from "../../compiler/onnx/write.ts";
import type { Objective } from "../../compiler/partition/place.ts";
import { copyNode } from "../../compiler/passes/rewrite.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { readTensors } from "../data/tensorStore.ts";
import { writeFileAtomic } from "../files/atomic.ts";
import { loadModel } from "../files/modelFiles.ts";
import { loadTarget } from "../files/targetFiles.ts";
import { placeOptions } from "./compileModel.ts";
import { isDirectory } from "./executable.ts";

export interface ExportRequest {
  /** Path of the ONNX file. */
  readonly model: string;
  /** Path of the file to write; it is replaced. */
  readonly out: string;
  /** Preset name or path of a target file: the nodes then say where they run on it. */
  readonly target?: string | undefined;
  readonly objective?: Objective | undefined;
  /** A .safetensors file: weights of the model, by name, that replace the file's own. */
  readonly weights?: string | undefined;
  /** Numbers for symbolic sizes. */
  readonly bind?: Readonly<Record<string, number>> | undefined;
  /** Weights go to OUT.data beside the model; without it only where one file cannot hold them. */
  readonly externalData?: boolean | undefined;
}

export interface ExportResult {
  readonly model: string;
  /** The file with the weights, where they lie apart. */
  readonly data: string | null;
  /** Nodes of the graph that was written. */
  readonly nodes: number;
  /** Bytes of the weights. */
  readonly weightBytes: number;
  readonly target: string | null;
  /** How many weights were replaced. */
  readonly replaced: number;
}

/** A protobuf message ends at 2 GiB, and its encoder holds it twice; weights beyond lie apart. */
const mostInside = 2 ** 30;

/** @throws UserError when the model cannot be read or written as ONNX, or the disk refuses */
export async function exportModel(request: ExportRequest): Promise<ExportResult> {
  const { model: path, out, target } = request;
  if (await isDirectory(path)) {
    throw new UserError("is an artifact: it holds kernels, and no graph any more", {
      place: path, remedy: "Export the model that it was compiled from, with --target.",
    });
  }
  const imported = importModel(await loadModel(path), request.bind ? { bind: request.bind } : {});
  const weights = request.weights === undefined ? new Map<string, Tensor>()
    : await readTensors(request.weights);
  const { graph: trained, replaced } = withWeights(imported.graph, weights, request.weights ?? "");
  const partition = target === undefined ? undefined : await partitionOf(trained, request, target);
  const graph = partition?.compiled.graph ?? verifyGraph(optimise(trained));
  const bytes = weightBytes(graph);
  const apart = request.externalData === true || bytes > mostInside;
  const options = partition?.words ?? {};
  if (apart) await writeApart(graph, out, options);
  else await writeFileAtomic(out, writeModel(graph, options));
  return {
    model: out, data: apart ? dataFile(out) : null, nodes: graph.nodes.length,
    weightBytes: bytes, target: partition?.compiled.options.target.name ?? null, replaced,
  };
}

const dataFile = (out: string): string => join(dirname(out), `${basename(out)}.data`);

/** Data first: a model appears only beside its weights. */
async function writeApart(graph: Graph, out: string, options: WriteOptions): Promise<void> {
  const path = dataFile(out);
  if (await stat(path).then(() => true, () => false)) {
    throw new UserError("exists, and a model may be reading it", {
      place: path, remedy: "Remove it, or export under another name.",
    });
  }
  const { model, data } = writeWithData(graph, basename(path), options);
  await writeFileAtomic(path, data);
  await writeFileAtomic(out, model);
}

/** The graph with constants replaced by name. */
function withWeights(
  graph: Graph, weights: ReadonlyMap<string, Tensor>, place: string,
): { readonly graph: Graph; readonly replaced: number } {
  if (weights.size === 0) return { graph, replaced: 0 };
  const b = new Builder(graph.name);
  const copies = new Map<Value, Value>();
  for (const v of graph.inputs) copies.set(v, b.input(v.name, v.type));
  let replaced = 0;
  for (const node of graph.nodes) {
    const value = node.outputs[0] as Value;
    const held = constantOf(value);
    const given = held && weights.get(value.name);
    if (!given) {
      copies.set(value, copyNode(b, node, node.inputs.map((v) => copies.get(v) as Value)));
      continue;
    }
    if (String(given.shape) !== String(held.shape) || given.dtype !== held.dtype) {
      throw new UserError(`The weight "${value.name}" is ${given.dtype}[${given.shape}] there, ` +
        `and ${held.dtype}[${held.shape}] in the model`, {
        place, remedy: "Give weights that were trained from this model.",
      });
    }
    copies.set(value, b.constant(given, value.name));
    replaced++;
  }
  if (replaced === 0) {
    throw new UserError("holds no tensor with the name of a weight of the model", {
      place, remedy: "Give weights that were trained from this model.",
    });
  }
  const outputs = graph.outputs.map(({ name, value }) =>
    ({ name, value: copies.get(value) as Value }));
  return { graph: verifyGraph(b.finish(outputs)), replaced };
}

const segmentNames = { analog: "analog block", digital: "digital segment" } as const;

/** The compiled graph, and what is written of its partition. */
async function partitionOf(
  graph: Graph, { objective = "energy" }: ExportRequest, name: string,
): Promise<{ readonly compiled: Compiled; readonly words: WriteOptions }> {
  const { target } = loadTarget(name);
  const compiled = compile(graph, {
    target, objective, analog: "auto", ...(await placeOptions({ objective }, target)),
  });
  const places = new Map<Node, string[]>();
  const segments = compiled.hybrid.segments.map(({ id, kind, units }) => {
    for (const unit of units) {
      const words = `unit ${unit.id} of the ${segmentNames[kind]} ${id}`;
      for (const node of unit.cluster.nodes) {
        places.set(node, [...places.get(node) ?? [], words]);
      }
    }
    return { id, kind, units: units.map((u) => u.id) };
  });
  const partition = { target: target.name, objective, segments };
  return {
    compiled,
    words: {
      // A node that several units read is computed in each of them.
      describe: (node) => places.get(node)?.join("; "),
      metadata: { "crosstie.partition": JSON.stringify(partition) },
    },
  };
}
