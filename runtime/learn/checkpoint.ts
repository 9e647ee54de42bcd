/**
 * Checkpoints: one .safetensors file, written whole or not at all, with every tensor of a training
 * run (parameters, running statistics, optimiser moments) and, in its metadata, where the run
 * stands and what was asked of it. A run that goes on from one computes what it would have computed
 * without stopping, bit for bit: nothing else is state.
 */
import { z } from "zod";
import { UserError } from "../../compiler/errors.ts";
import { readSafetensors, writeSafetensors } from "../data/safetensors.ts";

export const epochSchema = z.object({
  epoch: z.int().positive(),
  samples: z.int().positive(),
  loss: z.number(),
  trainAccuracy: z.number(),
  accuracy: z.number().nullable(),
  freeResidual: z.number(),
  nudgedResidual: z.number(),
  learningRate: z.number(),
  seconds: z.number(),
  samplesPerSecond: z.number(),
});
/** One line of a training run's history. */
export type EpochRecord = z.infer<typeof epochSchema>;

const positionSchema = z.object({
  format: z.literal("crosstie-checkpoint"),
  version: z.literal(1),
  /** What was asked: the run goes on only under the same. */
  settings: z.record(z.string(), z.unknown()),
  /** Epochs finished, and steps of the next one. */
  epoch: z.int().min(0),
  step: z.int().min(0),
  /** Sums over the epoch under way. */
  sums: z.object({
    loss: z.number(), correct: z.int(), samples: z.int(),
    freeResidual: z.number(), nudgedResidual: z.number(), seconds: z.number(),
  }),
  history: z.array(epochSchema),
});
export type Position = z.infer<typeof positionSchema>;

export interface Checkpoint {
  readonly position: Position;
  readonly tensors: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;
}

const key = "crosstie";

/** @throws UserError for what is the disk's fault; the file is then as it was. */
export async function writeCheckpoint(path: string, checkpoint: Checkpoint): Promise<void> {
  await writeSafetensors(path, [...checkpoint.tensors].map(([name, { shape, data }]) =>
    ({ name, dtype: "F32" as const, shape, chunks: () => [data] })),
  { [key]: JSON.stringify(checkpoint.position) });
}

/** @throws UserError when there is none, or it is of another kind. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const { tensors, metadata } = await readSafetensors(path);
  let json: unknown;
  try {
    json = JSON.parse(metadata[key] ?? "");
  } catch {
    json = undefined;
  }
  const parsed = positionSchema.safeParse(json);
  if (!parsed.success) {
    throw new UserError("this file is not a checkpoint of this version", {
      place: path, remedy: "start the training again without --resume",
    });
  }
  return {
    position: parsed.data,
    tensors: new Map([...tensors].map(([name, { shape, data }]) =>
      [name, { shape, data: Float32Array.from(data as Float32Array) }])),
  };
}

/** @throws UserError naming the first setting that differs. */
export function demandSameSettings(
  stored: Readonly<Record<string, unknown>>, asked: Readonly<Record<string, unknown>>, path: string,
): void {
  for (const name of new Set([...Object.keys(stored), ...Object.keys(asked)])) {
    const [was, is] = [stored[name], asked[name]].map((x) => JSON.stringify(x));
    if (was === is) continue;
    throw new UserError(`The checkpoint was made with ${name} ${was}, and now it is ${is}`, {
      place: path, remedy: "resume with the settings that the run was started with",
    });
  }
}
