/**
 * The plan: what an artifact's `plan.json` holds. Data that a person can read and a runtime can
 * execute without knowing ONNX: segments in order, kernels with their buffers and dispatches,
 * placements with their prices, and the names of the files beside it. Schema here; writing and
 * reading files is `runtime/files/artifactFiles.ts`.
 */
import { z } from "zod";
import { dtypes } from "../graph/dtype.ts";
import { programSchema } from "../kernels/serialise.ts";
import { OBJECTIVES } from "../partition/place.ts";

export const PLAN_FORMAT = "crosstie-plan";
export const PLAN_VERSION = 1;

/** Files of an artifact, as the plan names them. */
export const artifactFiles = {
  plan: "plan.json",
  kernels: "kernels",
  wasm: "kernels.wasm",
  weights: "weights.safetensors",
  crossbars: "crossbars.json",
  conductances: "conductances.safetensors",
  report: "report.html",
} as const;

const finite = z.number().refine(Number.isFinite, "a finite number");
const count = z.number().int().min(0);
const costSchema = z.strictObject({ energyJ: finite, latencyS: finite, areaM2: finite });
export type PlanCost = z.output<typeof costSchema>;

const segmentSchema = z.strictObject({
  id: z.string(),
  kind: z.enum(["digital", "analog"]),
  /** ONNX nodes, in order. */
  nodes: z.array(z.string()),
  units: z.array(z.string()),
  macs: finite,
  /** Indices into the program's dispatches; an analog block has one, its digital twin. */
  dispatches: z.array(count),
  cost: costSchema,
  /** An analog block as a graph in text, constants by name. */
  graph: z.string().optional(),
});
export type PlanSegment = z.output<typeof segmentSchema>;

const placedSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  placement: z.enum(["digital", "analog"]),
  reason: z.string().optional(),
  digital: costSchema,
  analog: costSchema.optional(),
  /** The target whose arrays hold an analog unit, where there are several. */
  home: z.string().optional(),
  /** Copies of an analog unit's weights, where there is more than one. */
  replicas: count.min(2).optional(),
});

const valueSchema = z.strictObject({
  name: z.string(),
  dtype: z.enum(dtypes),
  /** Sizes as text: "3", "N", "49*N". */
  shape: z.array(z.string()),
});

/** Blocks that relax: their layers settle together, `sweeps` sweeps from zero. */
const energySchema = z.strictObject({
  blocks: z.array(z.strictObject({ name: z.string(), layers: z.array(z.string()).min(1) })),
  sweeps: count.min(1),
  /** True when feedforward layers were merged: the weights know nothing of the way back yet. */
  needsTraining: z.boolean(),
});
export type PlanEnergy = z.output<typeof energySchema>;

const shaderSchema = z.strictObject({
  kernel: z.string(),
  file: z.string().regex(/^kernels\/[A-Za-z0-9_]+\.wgsl$/, "a file in kernels/"),
});

export const planSchema = z.strictObject({
  format: z.literal(PLAN_FORMAT),
  version: z.literal(PLAN_VERSION),
  generator: z.string(),
  model: z.strictObject({ name: z.string(), opset: count, parameters: count }),
  /** The target file's JSON; `targets/target.ts` says what it holds. */
  target: z.record(z.string(), z.unknown()),
  /** The device file of the target's cells. */
  device: z.record(z.string(), z.unknown()).optional(),
  /** Further targets whose arrays hold units, each with its device. */
  others: z.array(z.strictObject({
    target: z.record(z.string(), z.unknown()), device: z.record(z.string(), z.unknown()),
  })).optional(),
  options: z.strictObject({
    objective: z.enum(OBJECTIVES),
    /** A rule, or the units that are analog by node name or id. */
    analog: z.union([z.enum(["auto", "all", "none"]), z.array(z.string())]),
    /** Arrays that there were; as many chips as it takes without it. */
    arrays: z.union([count, z.record(z.string(), count)]).optional(),
    /** Copies of a unit that the optimiser had, at most; and those asked for by name. */
    replicas: z.strictObject({
      most: count.min(1).optional(), exactly: z.record(z.string(), count.min(1)).optional(),
    }).optional(),
    /** Figures of the target that were replaced, by name; `target` holds them already. */
    figures: z.record(z.string(), finite).optional(),
    blockSize: count.min(1),
  }),
  /** Energy blocks, where the model has some. */
  energy: energySchema.optional(),
  inputs: z.array(valueSchema),
  outputs: z.array(valueSchema),
  segments: z.array(segmentSchema),
  partition: z.strictObject({
    objective: finite,
    bound: finite,
    optimal: z.boolean(),
    units: z.array(placedSchema),
  }),
  cost: costSchema,
  tiles: count,
  program: programSchema,
  shaders: z.array(shaderSchema),
  /** Digest of each other file (SHA-256, hex): an edited artifact is told from a whole one. */
  digests: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
  /** The model's card, when it has one: data set and preprocessing. */
  card: z.unknown().optional(),
});
export type Plan = z.output<typeof planSchema>;
