/**
 * The cross-entropy of a trained model as a graph of its weights, with its gradient: what the
 * gradient tests differentiate. The loss is ONNX's own operator, added behind the model's output.
 */
import { isFloat } from "../../compiler/graph/dtype.ts";
import { constantOf, type Graph, type Value } from "../../compiler/graph/graph.ts";
import { denseData, sizeOf, tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { optimise } from "../../compiler/compile.ts";
import { inlineGraph } from "../../compiler/energy/inline.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import type { Model } from "../../compiler/onnx/model.ts";
import { gradient } from "../../compiler/passes/gradient.ts";
import { rewrite } from "../../compiler/passes/rewrite.ts";
import type { Device } from "../../runtime/device/device.ts";
import { InterpreterDevice } from "../../runtime/device/interpreter/interpreterDevice.ts";
import { Session } from "../../runtime/execute/session.ts";
import { loadModel } from "../../runtime/files/modelFiles.ts";
import { modelPath, samplesOf } from "./models.ts";
import { node, tensorType } from "./onnxModel.ts";
import type { Random } from "./randomGraph.ts";

/** A scalar function of named tensors. */
export interface Differentiable {
  /** Output "loss". */
  readonly loss: Graph;
  /** Outputs "loss", and one per name of `wrt`. */
  readonly gradient: Graph;
  readonly wrt: readonly string[];
  readonly inputs: ReadonlyMap<string, Tensor>;
}

/** Every float constant of more than one element becomes an input of its own name. */
function withWeightsAsInputs(graph: Graph): { graph: Graph; weights: Map<string, Tensor> } {
  const weights = new Map<string, Tensor>();
  const opened = rewrite(graph, ({ b, node: { outputs } }) => {
    const [v] = outputs as readonly [Value];
    const held = constantOf(v);
    if (!held || !isFloat(held.dtype) || sizeOf(held.shape) < 2 || held.splat) return undefined;
    weights.set(v.name, held);
    return b.input(v.name, v.type);
  });
  return { graph: opened, weights };
}

/** Float tensors as float64 numbers of unchanged type, as the float64 interpreter reads them. */
const widened = (t: Tensor): Tensor =>
  (isFloat(t.dtype) ? { ...t, data: Float64Array.from(denseData(t)), splat: false } : t);

/** The graph's output "loss" with its gradient; every float input is differentiated by. */
export function differentiate(
  loss: Graph, inputs: ReadonlyMap<string, Tensor>,
): Differentiable {
  const b = new Builder(`${loss.name} gradient`);
  const values = new Map(loss.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  const scalar = inlineGraph(b, loss, values).get("loss") as Value;
  const wrt = loss.inputs.filter((v) => isFloat(v.type.dtype)).map((v) => v.name);
  const parts = gradient(b, scalar, wrt.map((name) => values.get(name) as Value));
  const names = ["loss", ...wrt];
  const outputs = [scalar, ...parts].map((value, i) => ({ name: names[i] as string, value }));
  return { loss, gradient: verifyGraph(b.finish(outputs)), wrt, inputs };
}

/** `model` with the mean cross-entropy of its first output as its only output. */
function withCrossEntropy(model: Model): Model {
  const { graph } = model;
  const logits = graph.outputs[0]?.name as string;
  return {
    ...model,
    graph: {
      ...graph,
      nodes: [...graph.nodes, node("SoftmaxCrossEntropyLoss", [logits, "target"], ["loss"])],
      inputs: [...graph.inputs, { name: "target", type: tensorType("int64", [undefined]) }],
      outputs: [{ name: "loss", type: { kind: "unknown" } }],
    },
  };
}

/**
 * A shipped model's loss on its first stored samples, with random targets: at the right ones a
 * trained model's gradient nearly vanishes, and nothing could be compared with it.
 */
export async function modelLoss(
  name: string, batch: number, random: Random,
): Promise<Differentiable> {
  const model = withCrossEntropy(await loadModel(modelPath(name)));
  const { graph, weights } = withWeightsAsInputs(importModel(model).graph);
  const { input } = await samplesOf(name, batch);
  const target = tensor("int64", [batch], Array.from({ length: batch }, () => random.int(0, 9)));
  const image = graph.inputs.find((v) => v.type.shape.length > 1 && !weights.has(v.name)) as Value;
  // Equal pixels tie in maxima, which have no slope there.
  const noisy = { ...input, data: input.data.map((x) => x + random.next() / 10) };
  const inputs = new Map([[image.name, noisy], ["target", target], ...weights]);
  return differentiate(graph, inputs);
}

/** A graph compiled for a device, as a function of its inputs. */
export async function compiled(
  device: Device, graph: Graph,
): Promise<(inputs: ReadonlyMap<string, Tensor>) => Promise<Map<string, Tensor>>> {
  const session = await Session.create(device, buildProgram(optimise(graph)));
  return (inputs) => session.run(inputs);
}

/** The same in float64, through the interpreter. */
export async function compiledWide(
  graph: Graph,
): Promise<(inputs: ReadonlyMap<string, Tensor>) => Promise<Map<string, Tensor>>> {
  const run = await compiled(new InterpreterDevice("f64"), graph);
  return (inputs) => run(new Map([...inputs].map(([name, t]) => [name, widened(t)])));
}

/** Largest distance of a tensor of `actual` from that of `expected`, over the latter's length. */
export function furthest(
  actual: ReadonlyMap<string, Tensor>, expected: ReadonlyMap<string, Tensor>,
): { readonly name: string; readonly distance: number } {
  let worst = { name: "", distance: 0 };
  for (const [name, want] of expected) {
    const got = denseData(actual.get(name) as Tensor);
    let [squares, length] = [0, 0];
    denseData(want).forEach((x, i) => {
      squares += (x - (got[i] as number)) ** 2;
      length += x ** 2;
    });
    // A tensor without influence has a gradient of exact zeros everywhere.
    const distance = squares === 0 ? 0 : Math.sqrt(squares / length);
    if (!(distance <= worst.distance)) worst = { name, distance };
  }
  return worst;
}

/**
 * How far the gradient is from the loss's slope, relative to the slope, along the direction that
 * `directionOf` makes of each tensor and its gradient. Central differences in float64. The step
 * moves the inputs by 1e-8 of their length: rounding leaves some 1e-15 / 1e-8 = 1e-7 of the slope
 * and the third derivative far less; but a ReLU or maximum whose kink lies within the step bends
 * the difference by its whole share of the slope. There are some 1e5 of them, so crossings are to
 * be expected at 1e-5 and none at 1e-8 (measured: steps of 1e-7 met one, in the uphill direction
 * of the network with ReLU6).
 */
export async function slopeError(
  { loss, wrt, inputs }: Differentiable, gradients: ReadonlyMap<string, Tensor>,
  directionOf: (name: string, gradient: ArrayLike<number>) => readonly number[],
): Promise<number> {
  const lossAt = await compiledWide(loss);
  const directions = new Map(wrt.map((name) =>
    [name, directionOf(name, denseData(gradients.get(name) as Tensor))]));
  const lengthOf = (lists: Iterable<ArrayLike<number>>): number =>
    Math.sqrt([...lists].reduce((sum, list) =>
      sum + Array.from(list).reduce((part, x) => part + x * x, 0), 0));
  const numbers = (name: string): ArrayLike<number> => denseData(inputs.get(name) as Tensor);
  const step = 1e-8 * lengthOf(wrt.map(numbers)) / lengthOf(directions.values());
  const at = async (t: number): Promise<number> => {
    const moved = new Map([...inputs].map(([name, x]): [string, Tensor] => {
      const direction = directions.get(name);
      if (!direction) return [name, x];
      const data = Float64Array.from(denseData(x), (v, i) => v + t * (direction[i] as number));
      return [name, { ...x, data, splat: false }];
    }));
    return (await lossAt(moved)).get("loss")?.data[0] as number;
  };
  const measured = (await at(step) - await at(-step)) / (2 * step);
  let expected = 0;
  for (const [name, direction] of directions) {
    const slopes = denseData(gradients.get(name) as Tensor);
    direction.forEach((d, i) => void (expected += d * (slopes[i] as number)));
  }
  return Math.abs(measured - expected) / Math.abs(expected);
}

/** Directions that no cancellation weakens (a weighted gradient), and that favour no element. */
export const directionsFor = (random: Random): Record<
  "uphill" | "any", (name: string, gradient: ArrayLike<number>) => readonly number[]
> => ({
  uphill: (_, gradient) => Array.from(gradient, (g) => g * (0.5 + random.next())),
  any: (_, gradient) => Array.from(gradient, () => random.pick([-1, 1])),
});
