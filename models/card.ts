/**
 * The model card, NAME.json beside NAME.onnx: what a model was trained on, what its input must
 * look like, how well it did and under which licence it comes. With a card, a data set's name is
 * all that a command needs. Not a description of the graph: that is in the .onnx file.
 */
import { z } from "zod";

/**
 * How stored pixels p (0 to 255) of channel c become the model's input:
 * x = (p * scale - mean[c]) / std[c].
 */
export const preprocessingSchema = z.strictObject({
  scale: z.number().positive(),
  mean: z.array(z.number()).min(1),
  std: z.array(z.number().positive()).min(1),
  /** The order of a sample's axes: channels, rows, columns. */
  layout: z.literal("NCHW"),
}).refine(({ mean, std }) => mean.length === std.length, {
  message: "mean and std need one entry per channel each",
});

export type Preprocessing = z.infer<typeof preprocessingSchema>;

export const cardSchema = z.strictObject({
  name: z.string().min(1),
  dataset: z.enum(["mnist", "fashion-mnist", "cifar10"]),
  /** The split on which `measuredAccuracy` was measured, whole. */
  split: z.enum(["train", "test"]),
  preprocessing: preprocessingSchema,
  /** One sample, without the batch axis. */
  inputShape: z.array(z.int().positive()).min(1),
  classes: z.array(z.string().min(1)).min(2),
  /** Share of right answers, 0 to 1, in float32 by the framework that trained the model. */
  measuredAccuracy: z.number().min(0).max(1),
  /** Trained numbers in the file. */
  parameters: z.int().positive(),
  opset: z.int().positive(),
  /** SPDX identifier. */
  licence: z.string().min(1),
  /** Where the model comes from, in a sentence. */
  source: z.string().min(1),
});

export type ModelCard = z.infer<typeof cardSchema>;
