/**
 * What a trained model's file says of its training beside the model: the data it is for, and
 * settings to go on with. Checked when it is read, because files come from anywhere.
 */
import { z } from "zod";
import { preprocessingSchema } from "../../models/card.ts";
import { trainingSchema } from "../../models/recipeFile.ts";

export const trainedFor = z.strictObject({
  dataset: z.string().optional(),
  preprocessing: preprocessingSchema.optional(),
  training: trainingSchema,
}).transform(({ dataset, preprocessing, training }) => ({ dataset, preprocessing, training }));
export type TrainedFor = z.output<typeof trainedFor>;
