/**
 * Predicted against simulated loss of accuracy over partitions of a model: what the quality model
 * says without a run, and what chips that were programmed lose on images, with everything on that
 * they can suffer from. Used by the slow test and, at full length, by the measurement.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { priceFacts } from "../../compiler/partition/price.ts";
import { unitNoises } from "../../compiler/partition/quality/predict.ts";
import { evaluate } from "../../compiler/partition/unitGraph.ts";
import { cardSchema } from "../../models/card.ts";
import { compileModel } from "../../runtime/api/compileModel.ts";
import { openSimulator } from "../../runtime/api/chip.ts";
import { openArtifact } from "../../runtime/api/executable.ts";
import type { ChipBlocks, HybridSession } from "../../runtime/execute/hybridSession.ts";
import { openDataset, type Dataset } from "../../runtime/data/dataset.ts";
import { openDevice } from "../../runtime/device/open.ts";
import { loadTarget } from "../../runtime/files/targetFiles.ts";
import { openProfiledModel } from "../../runtime/profile/model.ts";
import { Random } from "./randomGraph.ts";

export interface LossRequest {
  readonly model: string;
  readonly target: string;
  readonly partitions: number;
  /** Images to evaluate on, from the start of the test set. */
  readonly images: number;
  /** Chips to program per partition. */
  readonly chips: number;
  readonly seed: number;
}

export interface PartitionLoss {
  /** How many units are analog. */
  readonly analog: number;
  /** Predicted error power over signal power at the output. */
  readonly noise: number;
  /** The same as it was, over all images and chips. */
  readonly simulated: number;
  /** Accuracy of the digital program less that of the chips, on average. */
  readonly loss: number;
}

const BATCH = 100;
const CALIBRATION = 64;

/** Partitions of all sizes in turn, drawn from the seed; each is measured and predicted. */
export async function predictedLosses(
  { model, target, partitions, images, chips, seed }: LossRequest,
  onPartition: (found: PartitionLoss) => void = () => undefined,
): Promise<PartitionLoss[]> {
  // Other images than those that are evaluated.
  const profiled = await openProfiledModel({
    model, data: "cifar10:test[9000:9064]", samples: CALIBRATION, method: "gradients", seed,
  });
  const loaded = loadTarget(target);
  const noise = unitNoises(profiled.quality.units, loaded.target, loaded.device);
  const labels = profiled.facts.units.filter((u) => u.shape).map((u) => u.label);
  const r = new Random(seed);
  const folder = mkdtempSync(join(tmpdir(), "crosstie-loss-"));
  const device = await openDevice("wasm");
  const found: PartitionLoss[] = [];
  try {
    for (let p = 0; p < partitions; p++) {
      const analog = drawn(labels, 1 + Math.floor((p * labels.length) / partitions), r);
      const graph = priceFacts(profiled.facts, loaded.target, { analog, noise });
      const sides = new Map(graph.units.map((u) => [u.id, u.pinned ?? "digital"]));
      const out = join(folder, String(p));
      await compileModel({ model, target, analog, out });
      const { hybrid, artifact } = await openArtifact(out, device);
      const dataset = await openDataset(`cifar10:test[0:${images}]`, {
        ...datasetOptions(artifact.plan.card),
      });
      const chip = await openSimulator(artifact, device, { seed });
      if (chip === undefined) throw new Error("no unit of the partition is analog");
      const wanted = await scoresOf(hybrid, dataset);
      if (chip.needsCalibration) {
        await chip.calibrate(hybrid, [feedOf(hybrid, dataset, 0, CALIBRATION)]);
      }
      let [correct, missed] = [0, 0];
      for (let trial = 0; trial < chips; trial++) {
        chip.reprogram(trial);
        const scores = await scoresOf(hybrid, dataset, chip);
        correct += accuracy(scores, dataset) / chips;
        missed += scores.reduce((sum, y, i) => sum + (y - (wanted[i] as number)) ** 2, 0) / chips;
      }
      chip.release();
      const one = {
        analog: analog.length, noise: evaluate(graph, sides).noise as number,
        simulated: missed / wanted.reduce((sum, y) => sum + y * y, 0),
        loss: accuracy(wanted, dataset) - correct,
      };
      onPartition(one);
      found.push(one);
      rmSync(out, { recursive: true });
    }
  } finally {
    device.destroy();
    rmSync(folder, { recursive: true });
  }
  return found;
}

/** So many of the names, in any order. */
function drawn(names: readonly string[], count: number, r: Random): string[] {
  return names.map((name) => ({ name, at: r.next() })).sort((a, b) => a.at - b.at)
    .slice(0, count).map(({ name }) => name);
}

function datasetOptions(json: unknown): object {
  const card = cardSchema.parse(json);
  return { preprocessing: card.preprocessing, shape: card.inputShape };
}

function feedOf(
  hybrid: HybridSession, dataset: Dataset, begin: number, end: number,
): Map<string, Tensor> {
  const { images } = dataset.batch(begin, end);
  const shape = [end - begin, ...dataset.sampleShape];
  return new Map([[hybrid.program.inputs[0]?.name ?? "", tensor("float32", shape, images)]]);
}

/** The model's outputs for all images, one after the other. */
async function scoresOf(
  hybrid: HybridSession, dataset: Dataset, chip?: ChipBlocks,
): Promise<Float32Array> {
  const parts: Tensor[] = [];
  for (let begin = 0; begin < dataset.count; begin += BATCH) {
    const end = Math.min(begin + BATCH, dataset.count);
    const [logits] = [...(await hybrid.run(feedOf(hybrid, dataset, begin, end), chip)).values()];
    parts.push(logits as Tensor);
  }
  return Float32Array.from(parts.flatMap(({ data }) => [...(data as Float32Array)]));
}

/** Share of the images whose label has the highest score. */
function accuracy(scores: Float32Array, dataset: Dataset): number {
  const { labels } = dataset.batch(0, dataset.count);
  const classes = scores.length / dataset.count;
  let correct = 0;
  for (let i = 0; i < dataset.count; i++) {
    const own = scores.subarray(i * classes, (i + 1) * classes);
    if (own.indexOf(Math.max(...own)) === labels[i]) correct++;
  }
  return correct / dataset.count;
}
