/**
 * What a trained model's file says of its training beside the model: the data it is for, and
 * settings to go on with. Checked when it is read, because files come from anywhere.
 */
import { z } from "zod";
import { orders } from "../../compiler/energy/sweep.ts";
import { preprocessingSchema } from "../../models/card.ts";
import { optimiserNames } from "../../models/recipes.ts";

const positive = z.number().positive();
const count = z.int().positive();

export const trainedFor = z.strictObject({
  dataset: z.string().optional(),
  preprocessing: preprocessingSchema.optional(),
  training: z.strictObject({
    beta: positive, freeSweeps: count, nudgedSweeps: count, tolerance: z.number().min(0).optional(),
    order: z.enum(orders).optional(), optimiser: z.enum(optimiserNames).optional(),
    momentum: z.number().min(0).optional(), learningRate: positive,
    finalRate: z.number().min(0).optional(), decay: z.number().min(0),
    rates: z.record(z.string(), z.number().min(0)).optional(), clip: positive.optional(),
    batch: count, epochs: count,
  }),
}).transform(({ dataset, preprocessing, training }) => ({ dataset, preprocessing, training }));
export type TrainedFor = z.output<typeof trainedFor>;
