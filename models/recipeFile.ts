/**
 * Recipes as JSON files, so that a network of one's own needs no code: the same data as in
 * `recipes.ts`, checked field by field. An end of a clamp that is null is infinite.
 */
import { z } from "zod";
import { unitSchema } from "../compiler/energy/ffEbmFile.ts";
import { orders } from "../compiler/energy/sweep.ts";
import { UserError } from "../compiler/errors.ts";
import { preprocessingSchema } from "./card.ts";
import type { DigitalKind, DigitalLayer } from "./digital.ts";
import { costs, type FfEbmPlan } from "./ffEbm.ts";
import type { CouplingKind, HopfieldLayer } from "./hopfield.ts";
import type { Init } from "./init.ts";
import { optimiserNames, type RecipeTraining } from "./recipes.ts";

const positive = z.number().positive();
const atLeastZero = z.number().min(0);
const count = z.int().positive();
const shape = z.array(count).min(1);
const pair = <T extends z.ZodType>(of: T) => z.tuple([of, of]);
const padding = pair(z.int().min(0));

export const trainingSchema = z.strictObject({
  beta: positive, freeSweeps: count, nudgedSweeps: count, tolerance: atLeastZero.optional(),
  order: z.enum(orders).optional(), optimiser: z.enum(optimiserNames).optional(),
  momentum: atLeastZero.optional(), learningRate: positive, finalRate: atLeastZero.optional(),
  decay: atLeastZero, rates: z.record(z.string(), atLeastZero).optional(),
  clip: positive.optional(), batch: count, epochs: count,
  augmentation: z.strictObject({
    flip: z.boolean().optional(), shift: z.int().min(0).optional(),
  }).optional(),
}) satisfies z.ZodType<RecipeTraining>;

const initSchema: z.ZodType<Init> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("constant"), value: z.number() }),
  z.strictObject({ kind: z.literal("uniform"), bound: positive }),
  z.strictObject({ kind: z.literal("symmetric"), variance: positive }),
]);

const bias = z.boolean().optional();
const prefix = z.string().optional();
const digital = {
  linear: z.strictObject({ kind: z.literal("linear"), prefix, out: count, bias }),
  conv: z.strictObject({
    kind: z.literal("conv"), prefix, out: count, kernel: pair(count), padding, bias,
  }),
  averagePool: z.strictObject({ kind: z.literal("averagePool"), prefix, size: count }),
  maxPool: z.strictObject({ kind: z.literal("maxPool"), prefix, size: count }),
  batchNorm: z.strictObject({
    kind: z.literal("batchNorm"), prefix, momentum: atLeastZero.optional(),
    epsilon: positive.optional(),
  }),
  relu: z.strictObject({ kind: z.literal("relu"), prefix }),
  flatten: z.strictObject({ kind: z.literal("flatten"), prefix }),
} satisfies { [K in DigitalKind]: z.ZodType };
const digitalSchema: z.ZodType<DigitalLayer> =
  z.discriminatedUnion("kind", Object.values(digital) as [typeof digital.linear]);

const link = { from: z.int().min(0).optional(), init: initSchema.optional() };
const couplings = {
  dense: z.strictObject({ kind: z.literal("dense"), ...link }),
  conv: z.strictObject({
    kind: z.literal("conv"), kernel: pair(count), padding, ...link,
    pooling: z.strictObject({ kind: z.enum(["average", "max"]), size: count }).optional(),
  }),
  identity: z.strictObject({ kind: z.literal("identity"), ...link }),
} satisfies { [K in CouplingKind["kind"]]: z.ZodType };
const layerSchema: z.ZodType<HopfieldLayer> = z.strictObject({
  shape, unit: unitSchema, bias,
  couplings: z.array(z.discriminatedUnion("kind",
    Object.values(couplings) as [typeof couplings.dense])).optional(),
});

const planSchema: z.ZodType<FfEbmPlan> = z.strictObject({
  name: z.string().min(1), input: shape, cost: z.enum(costs), readout: z.array(digitalSchema),
  blocks: z.array(z.strictObject({
    feed: z.array(digitalSchema), layers: z.array(layerSchema).min(1),
  })).min(1),
});

const recipeSchema = z.strictObject({
  what: z.string().default(""),
  /** The data set that it is for, and how pixels become inputs; without it, `--data` says. */
  dataset: z.string().optional(),
  preprocessing: preprocessingSchema.optional(),
  plan: planSchema,
  training: trainingSchema,
});
export type RecipeFile = z.output<typeof recipeSchema>;

/** @throws UserError naming the field that is wrong. */
export function readRecipe(json: unknown, place: string): RecipeFile {
  const parsed = recipeSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UserError(`${issue?.path.join(".") || "the file"}: ${issue?.message}`, {
    place, remedy: "correct the recipe: models/README.md shows one",
  });
}
