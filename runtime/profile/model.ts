/**
 * A model as the profiler prices it: plain data, independent of any target, small enough to send to
 * a worker. Importing and calibrating happen once; every target and configuration starts from this.
 */
import { createHash } from "node:crypto";
import { basename } from "node:path";
import { prepare } from "../../compiler/compile.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import { factsOf, type GraphFacts } from "../../compiler/partition/facts.ts";
import { loadModel } from "../files/modelFiles.ts";
import { findQuality, type ModelQuality, type QualityRequest } from "./quality.ts";

export interface ProfiledModel {
  readonly name: string;
  readonly facts: GraphFacts;
  readonly quality: ModelQuality;
  /** SHA-256 of all of it: equal models have equal profiles. */
  readonly digest: string;
}

export interface ModelRequest extends QualityRequest {
  /** Path of the ONNX file. */
  readonly model: string;
  /** Numbers for symbolic sizes. */
  readonly bind?: Readonly<Record<string, number>>;
}

/** @throws UserError when the model cannot be imported, or gradients were asked for and fail */
export async function openProfiledModel(request: ModelRequest): Promise<ProfiledModel> {
  const model = await loadModel(request.model);
  const { graph } = importModel(model, request.bind ? { bind: request.bind } : {});
  const placeable = prepare(graph);
  const facts = factsOf(placeable.graph, placeable.units);
  const quality = await findQuality(placeable, request.model, request);
  const name = basename(request.model).replace(/\.onnx$/i, "");
  return { name, facts, quality, digest: digestOf(facts, quality) };
}

function digestOf(facts: GraphFacts, { method, basis, units }: ModelQuality): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify({ facts, method, basis }));
  for (const [id, { shape, weights, inputs, gains, signal }] of units) {
    hash.update(JSON.stringify({ id, shape, gains, signal }));
    for (const sample of [weights.column, weights.tensor, inputs]) {
      hash.update(new Uint8Array(sample.buffer, sample.byteOffset, sample.byteLength));
    }
  }
  return hash.digest("hex");
}
