/**
 * Reference networks: float64 ff-EBMs in JSON with their equilibrium, loss and gradients, as
 * computed by other code. The file says what its layers are mostly by the shapes of parameters and
 * states; `what`, a line of text, adds what shapes leave open (padding, pooling).
 *
 * Reading is general on purpose: any number of blocks of any depth, dense and convolutional feeds
 * and couplings, average or max pooling behind either. Where shapes and text do not settle a layer
 * the reader says so instead of guessing.
 */
import { z } from "zod";
import {
  smoothSigmoid, hardSigmoid, linearUnit, tanhUnit, type Unit,
} from "../compiler/energy/units.ts";
import { UserError } from "../compiler/errors.ts";
import type { DigitalLayer } from "./digital.ts";
import { buildFfEbm, type BlockPlan, type BuiltFfEbm } from "./ffEbm.ts";
import type { Coupling, HopfieldLayer, Pooling } from "./hopfield.ts";

const arraySchema = z.object({
  shape: z.array(z.int().positive()).min(1),
  data: z.array(z.number()),
}).refine(({ shape, data }) => data.length === shape.reduce((p, d) => p * d, 1), {
  message: "the number of elements is not the product of the shape",
});
const tensorsSchema = z.record(z.string(), arraySchema);

const referenceSchema = z.object({
  what: z.string().default(""),
  activation: z.enum(["clamp", "sigmoid", "tanh", "linear"]),
  input: arraySchema,
  labels: z.array(z.int().min(0)).min(1),
  parameters: tensorsSchema,
  equilibrium: z.array(z.array(arraySchema).min(1)).min(1),
  loss_mean_cross_entropy: z.number(),
  exact_gradient: tensorsSchema,
  bp_ep_centered: z.record(z.string(), z.object({
    gradient: tensorsSchema.nullish(),
    relative_error_to_exact: z.number().optional(),
    cosine_to_exact: z.number().optional(),
  })),
});

export type ReferenceArray = z.infer<typeof arraySchema>;
export type ReferenceFile = z.infer<typeof referenceSchema>;

const units: Record<ReferenceFile["activation"], Unit> = {
  clamp: hardSigmoid, sigmoid: smoothSigmoid, tanh: tanhUnit, linear: linearUnit,
};

export interface ReferenceNet {
  /** Parameters have their names in the file. */
  readonly built: BuiltFfEbm;
  readonly file: ReferenceFile;
}

/** @throws UserError naming what of the file is wrong or left open. */
export function readReferenceNet(json: unknown, place: string): ReferenceNet {
  const parsed = referenceSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0] as z.core.$ZodIssue;
    throw new UserError(`${issue.path.join(".") || "the file"}: ${issue.message}`, {
      place, remedy: "give a reference network: see the description of --reference",
    });
  }
  const file = parsed.data;
  const batch = file.input.shape[0] as number;
  const bad = (sentence: string): UserError => new UserError(sentence, {
    place, remedy: "describe the layer in `what`, or correct the shapes",
  });
  if (file.labels.length !== batch) {
    throw bad(`there are ${file.labels.length} labels for ${batch} inputs`);
  }
  const used = new Set<string>();
  const reader: Reader = { file, bad, used };
  let source = file.input.shape.slice(1);
  const blocks = file.equilibrium.map((states, k): BlockPlan => {
    const shapes = states.map(({ shape }) => {
      if (shape[0] === batch) return shape.slice(1);
      throw bad(`a state of block ${k} has ${shape[0]} samples, not ${batch}`);
    });
    const feed = feedOf(reader, k, source, shapes[0] as number[]);
    const layers = shapes.map((shape, l) => layerOf(reader, k, l, shape, shapes[l - 1]));
    source = shapes.at(-1) as number[];
    return { feed, layers };
  });
  const readout = file.parameters["readout.weight"] ? [linearLayer(reader, "readout", source)] : [];
  const unknown = Object.keys(file.parameters).filter((name) => !used.has(name));
  if (unknown.length > 0) throw bad(`no layer has the parameter ${unknown.join(", ")}`);
  const built = buildFfEbm({
    name: "reference", input: file.input.shape.slice(1), blocks, readout, cost: "cross-entropy",
  });
  for (const { name, shape } of built.model.parameters) {
    const found = file.parameters[name];
    if (found?.shape.join() === shape.join()) continue;
    throw bad(`the parameter ${name} of shape [${shape}] is ${
      found ? `[${found.shape}] in the file` : "not in the file"}`);
  }
  return { built, file };
}

interface Reader {
  readonly file: ReferenceFile;
  readonly bad: (sentence: string) => UserError;
  /** Names of parameters that some layer has. */
  readonly used: Set<string>;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((p, d) => p * d, 1);

function linearLayer(
  { file, bad, used }: Reader, prefix: string, source: readonly number[],
): DigitalLayer {
  const { shape } = file.parameters[`${prefix}.weight`] as ReferenceArray;
  if (shape[1] !== sizeOf(source)) {
    throw bad(`${prefix} takes ${shape[1]} inputs, and [${source}] comes before it`);
  }
  used.add(`${prefix}.weight`).add(`${prefix}.bias`);
  const bias = file.parameters[`${prefix}.bias`] !== undefined;
  return { kind: "linear", out: shape[0] as number, bias, prefix };
}

/** The feed of block k: a linear or convolutional layer, and perhaps pooling. */
function feedOf(
  reader: Reader, k: number, source: readonly number[], target: readonly number[],
): DigitalLayer[] {
  const { file, bad, used } = reader;
  const pattern = new RegExp(`^(feed${k}(?:\\.\\d+)?)\\.weight$`);
  const prefixes = Object.keys(file.parameters).flatMap((name) => pattern.exec(name)?.[1] ?? []);
  if (prefixes.length !== 1) {
    throw bad(`block ${k} needs one feed${k}.weight, the file has ${prefixes.length}`);
  }
  const prefix = prefixes[0] as string;
  const { shape } = file.parameters[`${prefix}.weight`] as ReferenceArray;
  const text = partOf(file.what, `feed${k}`);
  if (shape.length === 2) return [linearLayer(reader, prefix, source)];
  if (shape.length !== 4) throw bad(`${prefix}.weight has ${shape.length} axes, not 2 or 4`);
  const { padding, pooling } = spatial(reader, `feed${k}`, text, shape, source, target);
  used.add(`${prefix}.weight`).add(`${prefix}.bias`);
  const bias = file.parameters[`${prefix}.bias`] !== undefined;
  const kernel = [shape[2] as number, shape[3] as number] as const;
  const conv: DigitalLayer =
    { kind: "conv", out: shape[0] as number, kernel, padding, bias, prefix };
  if (!pooling) return [conv];
  const kind = pooling.kind === "average" ? "averagePool" : "maxPool";
  return [conv, { kind, size: pooling.size }];
}

function layerOf(
  reader: Reader, k: number, l: number, shape: readonly number[],
  before: readonly number[] | undefined,
): HopfieldLayer {
  const { file, bad, used } = reader;
  const unit = units[file.activation];
  if (!before) return { shape, unit };
  const name = `block${k}.layer${l + 1}`;
  const weight = file.parameters[`${name}.W`];
  if (!weight) throw bad(`${name}.W is missing`);
  used.add(`${name}.W`).add(`${name}.b`);
  const bias = file.parameters[`${name}.b`] !== undefined;
  const coupling = couplingOf(reader, name, k, l, weight.shape, before, shape);
  return { shape, unit, bias, couplings: [coupling] };
}

function couplingOf(
  reader: Reader, name: string, k: number, l: number, weight: readonly number[],
  before: readonly number[], shape: readonly number[],
): Coupling {
  if (weight.length === 2) {
    if (weight[0] !== sizeOf(shape) || weight[1] !== sizeOf(before)) {
      throw reader.bad(`${name}.W [${weight}] does not carry [${before}] to [${shape}]`);
    }
    return { kind: "dense" };
  }
  if (weight.length !== 4) throw reader.bad(`${name}.W has ${weight.length} axes, not 2 or 4`);
  // "block1 [6,4,4]-conv k3 p0-[4,2,2]-dense-[6]": link number l stands before the l-th shape.
  const link = partOf(reader.file.what, `block${k}`).split(/\[[^\]]*\]/)[l] ?? "";
  const { padding, pooling } = spatial(reader, name, link, weight, before, shape);
  return { kind: "conv", kernel: [weight[2] as number, weight[3] as number], padding, pooling };
}

/**
 * The part of `what` that describes a feed or a block: from its name to the next semicolon. The
 * first may go without its number.
 */
function partOf(what: string, name: string): string {
  const parts = what.split(";").map((part) => part.trim());
  for (const called of [name, ...name.endsWith("0") ? [name.slice(0, -1)] : []]) {
    const part = parts.find((p) => new RegExp(`^${called}\\b`).test(p));
    if (part) return part.slice(called.length);
  }
  return "";
}

interface Spatial {
  readonly padding: readonly [number, number];
  readonly pooling: Pooling | undefined;
}

interface Candidate {
  readonly padding: readonly [number, number];
  readonly size: number;
}

const maxPooling = 8;

/**
 * Padding and pooling of a convolution, stride 1: of the pairs that make the shapes, the one that
 * the text states. Where it states nothing, no pooling goes before pooling, equal paddings before
 * unequal ones, and pooling by 2 before others.
 */
function spatial(
  { bad }: Reader, name: string, text: string, weight: readonly number[],
  source: readonly number[], target: readonly number[],
): Spatial {
  const [out, channels, ...kernel] = weight as [number, number, number, number];
  if (source.length !== 3 || target.length !== 3 || source[0] !== channels || target[0] !== out) {
    throw bad(`${name}, weights [${weight}], cannot carry [${source}] to [${target}]`);
  }
  const makes = ({ padding, size }: Candidate): boolean => [0, 1].every((i) => {
    const wide = (source[i + 1] as number) + 2 * (padding[i] as number) - (kernel[i] as number) + 1;
    return Math.floor(wide / size) === target[i + 1];
  });
  const possible = range(maxPooling).flatMap((s) => range(kernel[0] + 1).flatMap((high) =>
    range(kernel[1] + 1).map((wide): Candidate => ({ padding: [high, wide], size: s + 1 }))))
    .filter(makes);
  const stated = statedIn(text);
  const matching = possible.filter(({ padding: [a, b], size }) =>
    (stated.padding === undefined || (a === stated.padding && b === stated.padding)) &&
    (stated.size === undefined || size === stated.size));
  type Candidates = readonly Candidate[];
  const prefer = (of: Candidates, keep: (c: Candidate) => boolean): Candidates =>
    (of.some(keep) ? of.filter(keep) : of);
  const plain = prefer(prefer(matching, ({ size }) => size === 1),
    ({ padding: [a, b] }) => a === b);
  const preferred = prefer(plain, ({ size }) => size === 2);
  if (preferred.length !== 1) {
    throw bad(`${name}: ${preferred.length === 0 ? "no" : "more than one"} padding and pooling ` +
      `makes [${target}] of [${source}] with a kernel of [${kernel}] as "${text.trim()}" says`);
  }
  const { padding, size } = preferred[0] as Candidate;
  return { padding, pooling: size === 1 ? undefined : { kind: stated.kind, size } };
}

/** "k3 p1, AvgPool 2": padding 1, average pooling of size 2; undefined what is not stated. */
function statedIn(text: string): {
  readonly padding: number | undefined; readonly size: number | undefined;
  readonly kind: Pooling["kind"];
} {
  const padding = /\bp(?:ad(?:ding)?)?\s*=?\s*(\d+)\b/i.exec(text)?.[1];
  const pooling = /pool(?:2d)?\s*[=(]?\s*(\d+)?/i.exec(text);
  return {
    padding: padding === undefined ? undefined : Number(padding),
    size: pooling ? Number(pooling[1] ?? 2) : undefined,
    kind: /max[-\s]?pool/i.test(text) ? "max" : "average",
  };
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
