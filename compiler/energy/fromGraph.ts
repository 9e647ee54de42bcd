/**
 * An imported feedforward graph as an ff-EBM: every contraction that ends in an activation we know
 * becomes a block. Where there is none (transformers: GELU is not monotone, so no unit), every
 * product with trained weights becomes a block of linear units instead. One-layer blocks keep the
 * graph's meaning exactly (s = act(a) is the activation). With a larger block size, consecutive
 * layers that see only each other are merged into one block whose couplings act both ways; that
 * is another model, a start for training.
 *
 * A merged layer may be anything between two activations (convolution, pooling, batch-norm with
 * fixed statistics): with f_l that part of the graph, U = -s_1.a - sum <s_l, f_l(s_{l-1})>, in
 * the scales that `settling.ts` finds.
 */
import { UserError } from "../errors.ts";
import { Builder } from "../graph/builder.ts";
import { isStatic } from "../graph/dim.ts";
import { isFloat } from "../graph/dtype.ts";
import { constantOf, type Graph, type Node, type Value } from "../graph/graph.ts";
import { sizeOf, type Tensor } from "../graph/tensor.ts";
import { ancestors } from "../passes/gradient.ts";
import { copyNode, prune, rewrite } from "../passes/rewrite.ts";
import { activationsOf, type Activation } from "./activations.ts";
import {
  batchDim, batchSymbol, energyBlock, floatType, inner, type EnergyBlock,
} from "./block.ts";
import { real } from "./constants.ts";
import { verifyFfEbm, type DigitalStage, type FfEbm, type Stage } from "./ffEbm.ts";
import { linearUnit } from "./units.ts";
import { finish, inlineGraph, valueOf, type Values } from "./inline.ts";
import { isAffine, settlingScales, type CouplingMap } from "./settling.ts";

export interface ConversionOptions {
  /** Layers per block, at most. */
  readonly blockSize: number;
  /** Loss [N] from logits and target, both [N, classes]. */
  readonly loss: (b: Builder, logits: Value, target: Value) => Value;
  /** Constants that training leaves alone, by name; others with several elements are trained. */
  readonly isFrozen?: ((name: string) => boolean) | undefined;
}

export interface Conversion {
  readonly model: FfEbm;
  /** What the parameters are in the graph, by name. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Values that are the layers of each block. */
  readonly blocks: readonly { readonly name: string; readonly layers: readonly string[] }[];
  /** True when layers were merged: the model then means something else than the graph. */
  readonly isChanged: boolean;
}

const targetName = "target";

/** @throws UserError when the graph is no classifier of one input with a symbolic batch. */
export function ffEbmFromGraph(graph: Graph, options: ConversionOptions): Conversion {
  const first = lift(graph, options.isFrozen ?? (() => false));
  const { parameters } = first;
  let lifted = first.lifted;
  let plan = planBlocks(lifted, activationsOf(lifted), options.blockSize);
  if (plan.length === 0) {
    const linear = withLinearUnits(lifted, parameters);
    lifted = linear.graph;
    plan = planBlocks(lifted, linear.activations, options.blockSize);
  }
  if (plan.length === 0) {
    throw new UserError("It has no product of samples with trained weights, so no block", {
      place: graph.name, remedy: "train a model with a dense or convolutional layer",
    });
  }
  const [input] = lifted.inputs as [Value];
  const logits = (lifted.outputs[0] as { value: Value }).value;
  const cutter = new Cutter(lifted, input);
  const stages: Stage[] = [];
  plan.forEach((layers, k) => {
    const { pre } = layers[0] as Layer;
    const fed = cutter.segment(`feed${k}`, pre);
    if (fed) stages.push(fed);
    const block = blockOf(`block${k}`, layers, parameters);
    stages.push({ kind: "analog", name: block.name, block });
    cutter.available.add((layers.at(-1) as Layer).post);
  });
  const classes = logits.type.shape.slice(1) as number[];
  const loss = cutter.ending(logits, (b, z) => {
    const y = b.input(targetName, floatType([batchDim, ...classes]));
    return options.loss(b, z, y);
  });
  const shapes = new Map(lifted.inputs.map((v) => [v.name, v.type.shape as readonly number[]]));
  const model = verifyFfEbm({
    name: graph.name, input: { name: input.name, shape: input.type.shape.slice(1) as number[] },
    target: { name: targetName, shape: classes },
    parameters: [...parameters.keys()].map((name) =>
      ({ name, shape: shapes.get(name) as readonly number[] })),
    statistics: [], stages, loss,
  });
  return {
    model, parameters,
    blocks: plan.map((layers, k) =>
      ({ name: `block${k}`, layers: layers.map(({ post }) => post.name) })),
    isChanged: plan.some((layers) => layers.length > 1),
  };
}

interface Lifted {
  readonly lifted: Graph;
  readonly parameters: ReadonlyMap<string, Tensor>;
}

/** The graph over the batch symbol N, with its trained constants as inputs behind its input. */
function lift(graph: Graph, isFrozen: (name: string) => boolean): Lifted {
  const refuse = (sentence: string, place: string): UserError => new UserError(sentence, {
    place, remedy: "train a classifier: one float input [N, ..] with a symbolic N, logits [N, K]",
  });
  const [input] = graph.inputs;
  if (!input || graph.inputs.length !== 1 || !isFloat(input.type.dtype)) {
    throw refuse(`The model has ${graph.inputs.length} inputs`, graph.name);
  }
  const [batch, ...rest] = input.type.shape;
  const symbols = typeof batch === "object" ? [...batch.terms.keys()] : [];
  if (symbols.length !== 1 || !isStatic(rest)) {
    throw refuse(`Its shape is [${input.type.shape.map(String)}]`, `input ${input.name}`);
  }
  const named = new Builder(graph.name);
  const first = named.input(input.name, { ...input.type, shape: [batchDim, ...rest] });
  const values = inlineGraph(
    named, graph, new Map([[input.name, first]]), { [symbols[0] as string]: batchDim });
  const renamed = named.finish([...values].map(([name, value]) => ({ name, value })));

  const parameters = new Map<string, Tensor>();
  const b = new Builder(graph.name);
  const copies = new Map<Value, Value>([[first, b.input(first.name, first.type)]]);
  for (const node of renamed.nodes) {
    const value = node.outputs[0] as Value;
    const tensor = constantOf(value);
    const isTrained = tensor && isFloat(tensor.dtype) && !tensor.splat &&
      sizeOf(tensor.shape) > 1 && !isFrozen(value.name);
    if (!isTrained) continue;
    copies.set(value, b.input(value.name, value.type));
    parameters.set(value.name, tensor);
  }
  for (const node of renamed.nodes) {
    const output = node.outputs[0] as Value;
    if (copies.has(output)) continue;
    copies.set(output, copyNode(b, node, node.inputs.map((v) => copies.get(v) as Value)));
  }
  const [only, ...others] = renamed.outputs;
  const logits = copies.get(only?.value as Value) as Value;
  const shape = logits.type.shape;
  const isLogits = shape.length === 2 && String(shape[0]) === batchSymbol &&
    typeof shape[1] === "number";
  if (others.length > 0 || !isLogits) {
    throw refuse(`Its shape is [${shape.map(String)}], or it is not the only one`,
      `output ${only?.name}`);
  }
  return { lifted: prune(b.finish([{ name: "logits", value: logits }])), parameters };
}

interface Layer extends Activation {
  /** Nodes between the layer before (or what feeds the block) and `pre`, in graph order. */
  readonly cone: readonly Node[];
}

/** Everything that `target` is computed from, back to the boundary, in graph order. */
function coneOf(graph: Graph, target: Value, boundary: ReadonlySet<Value>): Node[] {
  const inside = new Set<Node>();
  const stack = [target];
  while (stack.length > 0) {
    const v = stack.pop() as Value;
    if (boundary.has(v) || !v.node || inside.has(v.node)) continue;
    inside.add(v.node);
    stack.push(...v.node.inputs);
  }
  return graph.nodes.filter((node) => inside.has(node));
}

const contractions = new Set<string>(["dot", "conv"]);

/** The layers of every block, in graph order. */
function planBlocks(
  graph: Graph, all: readonly Activation[], blockSize: number,
): Layer[][] {
  const [input] = graph.inputs as [Value];
  // States have a row per sample; activations of anything else stay in digital segments.
  const activations = all.filter(({ post: { type: { shape: [batch, ...rest] } } }) =>
    String(batch) === batchSymbol && isStatic(rest));
  const posts = new Set(activations.map(({ post }) => post));
  const boundary = new Set([...posts, input]);
  const layers = activations.map((activation): Layer =>
    ({ ...activation, cone: coneOf(graph, activation.pre, boundary) }))
    .filter(({ cone }) => cone.some(({ op }) => contractions.has(op)));
  const readers = readersOf(graph);
  const blocks: Layer[][] = [];
  for (const layer of layers) {
    const home = blocks.find((block) =>
      block.length < blockSize && follows(layer, block.at(-1) as Layer, posts, input, readers));
    if (home) home.push(layer);
    else blocks.push([layer]);
  }
  return blocks;
}

/** The graph with a linear unit, which changes nothing, behind every product with parameters. */
function withLinearUnits(
  graph: Graph, parameters: ReadonlyMap<string, Tensor>,
): { readonly graph: Graph; readonly activations: readonly Activation[] } {
  const isTrained = (v: Value): boolean => !dependsOnBatch(v) && (parameters.has(v.name) ||
    ancestors([v]).some((node) => node.inputs.some(({ name }) => parameters.has(name))));
  const activations: Activation[] = [];
  const marked = rewrite(graph, ({ b, node, inputs }) => {
    const [value] = node.outputs as [Value];
    const [batch, ...rest] = value.type.shape;
    const isLayer = contractions.has(node.op) && node.inputs.some(isTrained) &&
      String(batch) === batchSymbol && isStatic(rest);
    if (!isLayer) return undefined;
    const pre = copyNode(b, node, inputs);
    const post = b.add("reshape", [pre], { shape: pre.type.shape }, `${value.name}.unit`);
    activations.push({ pre, post, unit: linearUnit });
    return post;
  });
  return { graph: marked, activations };
}

function readersOf(graph: Graph): Map<Value, Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const v of node.inputs) readers.set(v, [...readers.get(v) ?? [], node]);
  }
  return readers;
}

/**
 * Whether a layer sees nothing but the one before, and is the only one to see it. What is computed
 * on the way must not be needed elsewhere either.
 */
function follows(
  layer: Layer, before: Layer, posts: ReadonlySet<Value>, input: Value,
  readers: ReadonlyMap<Value, readonly Node[]>,
): boolean {
  const cone = new Set(layer.cone);
  const seen = new Set(layer.cone.flatMap((node) => node.inputs)
    .filter((v) => posts.has(v) || v === input));
  if (seen.size !== 1 || !seen.has(before.post)) return false;
  const own = (v: Value): boolean => (readers.get(v) ?? []).every((node) => cone.has(node));
  const activation = ancestorsBetween(layer);
  const inner = layer.cone.map((node) => node.outputs[0] as Value)
    .filter((v) => dependsOnBatch(v));
  // A maximum on the way (max pooling) has kinks where its winner changes; signals that come back
  // keep changing it, and the block would not settle. It stays between blocks.
  if (!isAffine(couplingOf(layer, before))) return false;
  return own(before.post) && inner.every((v) => (readers.get(v) ?? []).every((node) =>
    cone.has(node) || (v === layer.pre && activation.has(node))));
}

/** Nodes of the activation itself. */
function ancestorsBetween({ pre, post }: Activation): Set<Node> {
  const inside = new Set<Node>();
  const stack = [post];
  while (stack.length > 0) {
    const v = stack.pop() as Value;
    if (v === pre || !v.node || inside.has(v.node)) continue;
    inside.add(v.node);
    stack.push(...v.node.inputs);
  }
  return inside;
}

/** Values without a batch axis are the same for all samples: cheap, and made where needed. */
const dependsOnBatch = (v: Value): boolean =>
  v.type.shape.some((d) => typeof d !== "number") && ancestors([v]).some((node) =>
    node.inputs.some((x) => !x.node && x.type.shape.some((d) => typeof d !== "number")));

/** f_l: what leads from the layer before to this one's pre-activation, as a graph. */
function couplingOf({ cone, pre }: Layer, before: Layer): CouplingMap {
  const b = new Builder(pre.name);
  const outside = new Set(cone.map((node) => node.outputs[0] as Value));
  const copies = new Map<Value, Value>();
  for (const v of [before.post, ...cone.flatMap((node) => node.inputs)]) {
    if (!outside.has(v) && !copies.has(v)) copies.set(v, b.input(v.name, v.type));
  }
  for (const node of cone) {
    const operands = node.inputs.map((v) => copies.get(v) as Value);
    copies.set(node.outputs[0] as Value, copyNode(b, node, operands));
  }
  const graph = finish(b, [[pre.name, copies.get(pre) as Value]]);
  return { graph, from: before.post.name, to: pre.name };
}

/** The block of these layers: U = -s_1.a - sum <s_l, f_l(s_{l-1})>, in scales that settle. */
function blockOf(
  name: string, layers: readonly Layer[], parameters: ReadonlyMap<string, Tensor>,
): EnergyBlock {
  const couplings = layers.slice(1).map((layer, i) => couplingOf(layer, layers[i] as Layer));
  const scales = settlingScales(layers.map(({ unit }) => unit), couplings, parameters);
  const states = layers.map(({ post, unit }) =>
    ({ name: post.name, shape: post.type.shape.slice(1) as number[], unit }));
  const used = new Set(layers.slice(1).flatMap(({ cone }) =>
    cone.flatMap((node) => node.inputs.map((v) => v.name))));
  const own = [...parameters].filter(([key]) => used.has(key))
    .map(([key, { shape }]) => ({ name: key, shape }));
  const { pre } = layers[0] as Layer;
  const current = { name: pre.name, shape: pre.type.shape.slice(1) as number[] };
  return energyBlock({ name, states, parameters: own, current, output: layers.length - 1 },
    (b, values: Values) => {
      const state = (l: number): Value => valueOf(values, (layers[l] as Layer).post.name);
      const scaled = (v: Value, scale: number): Value =>
        (scale === 1 ? v : b.mul(real(b, scale, v), v));
      const scaleOf = (l: number): number => scales[l] as number;
      let u = b.unary("neg", inner(b, state(0), scaled(valueOf(values, current.name), scaleOf(0))));
      couplings.forEach(({ graph, from, to }, i) => {
        const given = new Map(values).set(from, scaled(state(i), 1 / scaleOf(i)));
        const pre = valueOf(inlineGraph(b, graph, given), to);
        u = b.sub(u, inner(b, state(i + 1), scaled(pre, scaleOf(i + 1))));
      });
      return u;
    });
}

/** Cuts digital segments out of what blocks leave over, in order. */
class Cutter {
  readonly #graph: Graph;
  /** Values that exist already: the input, outputs of blocks, what segments wrote. */
  readonly available: Set<Value>;

  constructor(graph: Graph, input: Value) {
    this.#graph = graph;
    this.available = new Set([input]);
  }

  /** The segment that computes `target`; undefined when it exists already. */
  segment(name: string, target: Value): DigitalStage | undefined {
    if (this.available.has(target)) return undefined;
    const { b, copies, cone } = this.#copy(name, target);
    // What others need of this segment's values is handed on with them.
    const inside = new Set(cone);
    const isNeeded = new Set(this.#graph.nodes.filter((node) => !inside.has(node))
      .flatMap((node) => node.inputs));
    const written = cone.map((node) => node.outputs[0] as Value)
      .filter((v) => v === target || (isNeeded.has(v) && dependsOnBatch(v)));
    written.forEach((v) => this.available.add(v));
    const graph = finish(b, written.map((v) => [v.name, copies.get(v) as Value]));
    return { kind: "digital", name, graph };
  }

  /** The last segment: what is left of the graph, and the loss. */
  ending(logits: Value, loss: (b: Builder, logits: Value) => Value): DigitalStage {
    const { b, copies } = this.#copy("readout", logits);
    const z = copies.get(logits) as Value;
    const graph = finish(b, [["loss", loss(b, z)], ["logits", z]]);
    return { kind: "digital", name: "readout", graph };
  }

  #copy(name: string, target: Value): {
    readonly b: Builder; readonly copies: ReadonlyMap<Value, Value>; readonly cone: Node[];
  } {
    const b = new Builder(name);
    const copies = new Map<Value, Value>();
    const cone = coneOf(this.#graph, target, this.available);
    const read = (v: Value): Value => {
      const known = copies.get(v);
      if (known) return known;
      const made = b.input(v.name, v.type);
      copies.set(v, made);
      return made;
    };
    // Inputs first: a graph's inputs keep their names.
    const inside = new Set(cone.map((node) => node.outputs[0] as Value));
    const outside = cone.flatMap((node) => node.inputs).filter((v) => !inside.has(v));
    (cone.length === 0 ? [target] : outside).forEach(read);
    for (const node of cone) {
      copies.set(node.outputs[0] as Value, copyNode(b, node, node.inputs.map(read)));
    }
    return { b, copies, cone };
  }
}
