/** A model file of two small layers with samples for it, for commands that need files. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Builder } from "../../compiler/graph/builder.ts";
import { symbol } from "../../compiler/graph/dim.ts";
import { writeModel } from "../../compiler/onnx/write.ts";
import { writeNpy } from "../../runtime/data/npy.ts";
import { Random } from "./randomGraph.ts";

/** Samples: more than `simulate` runs in one batch. */
const SAMPLES = 40;

export interface SmallModel {
  readonly model: string;
  /** As `--data` takes it; all labels are 0. */
  readonly data: string;
}

/** Writes model and samples into a folder. */
export async function writeSmallModel(folder: string): Promise<SmallModel> {
  const r = new Random(12);
  const model = join(folder, "small.onnx");
  const [images, labels] = [join(folder, "images.npy"), join(folder, "labels.npy")];
  const b = new Builder("small");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 20] });
  const hidden = b.dot(x, b.constant(r.tensor([20, 12]), "first"), 0, 1);
  const active = b.max(hidden, b.full(hidden, 0));
  const logits = b.dot(active, b.constant(r.tensor([12, 4]), "second"), 0, 1);
  writeFileSync(model, writeModel(b.finish([{ name: "logits", value: logits }])));
  const data = r.tensor([SAMPLES, 20]).data as Float32Array;
  await writeNpy(images, { dtype: "f4", shape: [SAMPLES, 20], data });
  await writeNpy(labels, { dtype: "i4", shape: [SAMPLES], data: new Int32Array(SAMPLES) });
  return { model, data: `${images},${labels}` };
}
