/**
 * ff-EBM files: ONNX models in which every block is a local function of the domain "crosstie" whose
 * body is its unrolled relaxation in standard operators, so any ONNX runtime executes what was
 * trained. What a runtime does not need (the energies, how segments run in training, the loss) is
 * in the file's metadata, and makes an ff-EBM of it again.
 *
 * Parameters and running statistics are initializers under their names: the metadata holds no
 * trained number, so a tool that changes weights changes the model.
 */
import { z } from "zod";
import { InternalError, UserError } from "../errors.ts";
import { parseGraph } from "../graph/parse.ts";
import { printGraph } from "../graph/print.ts";
import type { Graph, TensorType } from "../graph/graph.ts";
import { denseData, tensor, type Tensor } from "../graph/tensor.ts";
import { dtypes, isFloat } from "../graph/dtype.ts";
import type { Model } from "../onnx/model.ts";
import { readTensor } from "../onnx/readTensor.ts";
import { writeParts } from "../onnx/write.ts";
import { floatType, perSample } from "./block.ts";
import { verifyFfEbm, type FfEbm, type Stage } from "./ffEbm.ts";
import { inferenceGraph, logitsGraph, unrolledBlock, type Relaxation } from "./unroll.ts";

const shape = z.array(z.int().positive());
const port = z.strictObject({ name: z.string(), shape });
const slope = z.number().positive();
/** JSON has no infinities: an end that is null is one. */
const end = (infinity: number) => z.number().nullable().transform((x) => x ?? infinity);
/** A unit of an energy block, in JSON. */
export const unitSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("clamp"), slope, low: end(-Infinity), high: end(Infinity) }),
  z.strictObject({ kind: z.literal("sigmoid"), gain: slope, offset: z.number() }),
  z.strictObject({ kind: z.literal("tanh") }),
  z.strictObject({ kind: z.literal("linear") }),
]);
const writtenGraph = z.strictObject({
  text: z.string(),
  /** Large constants: little-endian float64 elements in base64. */
  tensors: z.record(z.string(), z.strictObject({
    dtype: z.enum(dtypes), shape: z.array(z.int().min(0)), data: z.string(),
  })),
});
type WrittenGraph = z.output<typeof writtenGraph>;

const digitalStage = z.strictObject({
  kind: z.literal("digital"), name: z.string(), graph: writtenGraph,
  inference: writtenGraph.optional(),
  running: z.array(z.strictObject({
    statistic: z.string(), output: z.string(), momentum: z.number(),
  })).optional(),
});
const analogStage = z.strictObject({
  kind: z.literal("analog"), name: z.string(),
  block: z.strictObject({
    /** "energy": the graph computes U. "field": it computes all pre-activations. */
    kind: z.enum(["energy", "field"]), graph: writtenGraph, name: z.string(),
    states: z.array(z.strictObject({ name: z.string(), shape, unit: unitSchema })).min(1),
    parameters: z.array(port), current: port, output: z.int().min(0),
  }),
});
const fileSchema = z.strictObject({
  format: z.literal("crosstie-ff-ebm"), version: z.literal(1),
  name: z.string(), input: port, target: port,
  parameters: z.array(port), statistics: z.array(port),
  stages: z.array(z.discriminatedUnion("kind", [digitalStage, analogStage])),
  loss: digitalStage,
  relaxation: z.strictObject({
    order: z.enum(["asynchronous", "synchronous"]), sweeps: z.int().positive(),
    damping: z.number().optional(),
  }),
  /** What the trainer that wrote the file wants to find again. */
  training: z.unknown(),
});
type Written = z.input<typeof fileSchema>;

const metadataKey = "crosstie.ff-ebm";

/** What an ff-EBM file holds. */
export interface FfEbmFile {
  readonly model: FfEbm;
  /** Parameters and running statistics. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** What the bodies of the functions are unrolled from. */
  readonly relaxation: Relaxation;
  readonly training?: unknown;
}

/** The bytes of the file. */
export function writeFfEbm({ model, tensors, relaxation, training = null }: FfEbmFile): Uint8Array {
  const last = logitsGraph(model);
  const [logits] = last.outputs;
  const port = ({ name, shape: own }: FfEbm["input"]): { name: string; type: TensorType } =>
    ({ name, type: floatType(perSample(own)) });
  const written: Written = {
    format: "crosstie-ff-ebm", version: 1, name: model.name, input: plainPort(model.input),
    target: plainPort(model.target), parameters: model.parameters.map(plainPort),
    statistics: model.statistics.map(plainPort), stages: model.stages.map(writtenStage),
    loss: writtenStage(model.loss) as Written["loss"], relaxation, training,
  };
  return writeParts({
    name: model.name, inputs: [port(model.input)], weights: tensors,
    outputs: [{ name: "logits", type: (logits as Graph["outputs"][number]).value.type }],
    parts: [
      ...model.stages.map((stage) => (stage.kind === "digital"
        ? { kind: "graph" as const, graph: inferenceGraph(stage) }
        : { kind: "call" as const, graph: unrolledBlock(stage.block, relaxation) })),
      { kind: "graph", graph: last },
    ],
  }, { metadata: { [metadataKey]: JSON.stringify(written) } });
}

const plainPort = ({ name, shape: own }: FfEbm["input"]): { name: string; shape: number[] } =>
  ({ name, shape: [...own] });

function writtenStage(stage: Stage): Written["stages"][number] {
  const { name } = stage;
  if (stage.kind === "analog") {
    const { block } = stage;
    const graph = block.kind === "energy" ? block.interaction : block.field;
    return {
      kind: "analog", name, block: {
        kind: block.kind, graph: writtenGraphOf(graph), name: block.name, output: block.output,
        states: block.states.map((state) => ({ ...plainPort(state), unit: state.unit })),
        parameters: block.parameters.map(plainPort), current: plainPort(block.current),
      },
    };
  }
  const { graph, inference, running } = stage;
  return {
    kind: "digital", name, graph: writtenGraphOf(graph),
    ...inference ? { inference: writtenGraphOf(inference) } : {},
    ...running ? { running: running.map((each) => ({ ...each })) } : {},
  };
}

function writtenGraphOf(graph: Graph): WrittenGraph {
  const { text, tensors } = printGraph(graph);
  return {
    text, tensors: Object.fromEntries([...tensors].map(([name, t]) => [name,
      { dtype: t.dtype, shape: [...t.shape], data: toBase64(denseData(t)) }])),
  };
}

/**
 * The ff-EBM that a file holds; undefined for any other ONNX model.
 * @throws UserError when it is damaged: the metadata is of another version, a weight is missing
 */
export function readFfEbm(file: Model): FfEbmFile | undefined {
  const text = file.metadata.get(metadataKey);
  if (text === undefined) return undefined;
  const parsed = fileSchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new UserError(`its description of energy blocks is not one that this version reads (${
      issue?.path.join(".")}: ${issue?.message})`,
    { place: file.place, remedy: "train the model again, or use the version that wrote it" });
  }
  const { name, input, target, parameters, statistics, stages, loss, relaxation, training } =
    parsed.data;
  const model = verifyFfEbm({
    name, input, target, parameters, statistics,
    stages: stages.map((stage) => stageOf(stage, file.place)),
    loss: stageOf(loss, file.place) as FfEbm["loss"],
  });
  const found = new Map(file.graph.initializers.map((source) => [source.name, source]));
  const tensors = new Map([...parameters, ...statistics].map((wanted) => {
    const source = found.get(wanted.name);
    if (source?.shape.join() === wanted.shape.join()) {
      return [wanted.name, readTensor(source, file.place)] as const;
    }
    throw new UserError(`the weight ${wanted.name} of shape [${wanted.shape}] is missing`, {
      place: file.place, remedy: "copy the file again, or train the model again",
    });
  }));
  return { model, tensors, relaxation, training };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function stageOf(stage: z.output<typeof fileSchema>["stages"][number], place: string): Stage {
  const { name } = stage;
  const read = ({ text, tensors }: WrittenGraph): Graph => parseGraph(text,
    new Map(Object.entries(tensors).map(([key, t]) =>
      [key, constantFrom(t)])), `${place}: ${name}`);
  if (stage.kind === "digital") {
    const { graph, inference, running } = stage;
    return {
      kind: "digital", name, graph: read(graph),
      ...inference ? { inference: read(inference) } : {}, ...running ? { running } : {},
    };
  }
  const { kind, graph, ...spec } = stage.block;
  if (spec.output >= spec.states.length) throw new InternalError(`${name} has no output`);
  return {
    kind: "analog", name,
    block: kind === "energy" ? { ...spec, kind, interaction: read(graph) }
      : { ...spec, kind, field: read(graph) },
  };
}

function constantFrom({ dtype, shape: own, data }: WrittenGraph["tensors"][string]): Tensor {
  const values = fromBase64(data);
  // Decimal fractions such as a batch-norm's epsilon are held wider than their type.
  const isWide = isFloat(dtype) && values.some((x) => !Object.is(Math.fround(x), x));
  return tensor(dtype, own, isWide ? values : Array.from(values));
}

const chunk = 0x8000;

function toBase64(values: ArrayLike<number>): string {
  const bytes = new Uint8Array(Float64Array.from(values).buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += chunk) {
    text += String.fromCharCode(...bytes.subarray(i, i + chunk));
  }
  return btoa(text);
}

function fromBase64(text: string): Float64Array {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Float64Array(bytes.buffer);
}
