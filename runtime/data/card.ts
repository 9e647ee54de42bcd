/** Finds and reads the card that lies beside a model; `models/card.ts` says what it holds. */
import { cardSchema, type ModelCard } from "../../models/card.ts";
import { UserError } from "../../compiler/errors.ts";
import { readJson } from "../files/read.ts";
import { stat } from "node:fs/promises";

export const cardPath = (modelPath: string): string => modelPath.replace(/\.onnx$/i, "") + ".json";

/**
 * The card NAME.json of a model NAME.onnx, or undefined when there is none.
 * Throws UserError naming the file and the field when it is there but not a card.
 */
export async function loadCard(modelPath: string): Promise<ModelCard | undefined> {
  const path = cardPath(modelPath);
  if (!await stat(path).then((s) => s.isFile(), () => false)) return undefined;
  const parsed = cardSchema.safeParse(await readJson(path));
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((i) => `${i.path.join(".") || "card"}: ${i.message}`);
  throw new UserError(`not a model card (${faults.join("; ")})`, {
    place: path, remedy: "Correct the fields, or move the file away from the model.",
  });
}
