/**
 * The digital layers of an ff-EBM: what the feed in front of a block and the readout behind the
 * last one may be made of. One record per kind; shapes are those of one sample. Stride 1, square
 * windows, PyTorch's layout and conventions (weights [out, in, kh, kw], average pooling without
 * padding), since that is what published ff-EBMs are written in.
 *
 * Not an operator library: models that need more come as ONNX.
 */
import { UserError } from "../compiler/errors.ts";
import { mulDims, type Dim } from "../compiler/graph/dim.ts";
import type { Builder } from "../compiler/graph/builder.ts";
import type { Value } from "../compiler/graph/graph.ts";
import type { ParameterSpec } from "../compiler/energy/block.ts";
import { real } from "../compiler/energy/constants.ts";
import { constantInit, uniformInit, type Init } from "./init.ts";

export interface DigitalLayers {
  linear: { readonly out: number; readonly bias?: boolean };
  conv: {
    readonly out: number; readonly kernel: readonly [number, number];
    readonly padding: readonly [number, number]; readonly bias?: boolean;
  };
  averagePool: { readonly size: number };
  maxPool: { readonly size: number };
  batchNorm: { readonly momentum?: number; readonly epsilon?: number };
  relu: Readonly<Record<never, never>>;
  flatten: Readonly<Record<never, never>>;
}
export type DigitalKind = keyof DigitalLayers;
/** `prefix` names the parameters; without it the builder numbers the layers as PyTorch does. */
export type DigitalLayer = {
  [K in DigitalKind]: { readonly kind: K; readonly prefix?: string } & DigitalLayers[K]
}[DigitalKind];
type LayerOf<K extends DigitalKind> = Extract<DigitalLayer, { readonly kind: K }>;

export interface LayerParameter extends ParameterSpec {
  readonly init: Init;
}

/** What a layer adds to while it is applied. */
export interface LayerContext {
  readonly b: Builder;
  /** A parameter or statistic of the layer, by its short name. */
  readonly parameter: (name: string) => Value;
  readonly isTraining: boolean;
  /** Reports a batch statistic that a running one follows. */
  readonly report: (name: string, value: Value, momentum: number) => void;
}

interface LayerRule<K extends DigitalKind> {
  /** Shape of the output. @throws UserError when the layer cannot take the input. */
  shape(layer: LayerOf<K>, input: readonly number[]): readonly number[];
  parameters(layer: LayerOf<K>, input: readonly number[]): readonly LayerParameter[];
  statistics(layer: LayerOf<K>, input: readonly number[]): readonly LayerParameter[];
  apply(context: LayerContext, x: Value, layer: LayerOf<K>): Value;
}

const none = (): readonly LayerParameter[] => [];
const sizeOf = (shape: readonly number[]): number => shape.reduce((p, d) => p * d, 1);

function demand(
  condition: boolean, layer: string, expected: string, input: readonly number[],
): void {
  if (condition) return;
  throw new UserError(`A ${layer} layer needs ${expected}, and its input is [${input}]`, {
    place: "model", remedy: "change the layer or what stands before it",
  });
}

/** [N, ...] as [N, elements]. */
export function flat(b: Builder, x: Value): Value {
  const [batch, ...rest] = x.type.shape;
  return b.reshape(x, [batch as Dim, rest.reduce(mulDims, 1 as Dim)]);
}

/** x W^T for W [out, in]. */
export const product = (b: Builder, x: Value, w: Value): Value =>
  b.dot(x, b.transpose(w, [1, 0]), 0, 1);

export const convolve = (
  b: Builder, x: Value, w: Value, padding: readonly [number, number],
): Value => b.add("conv", [x, w],
  { strides: [1, 1], dilations: [1, 1], low: padding, high: padding, groups: 1 });

/** Adds one number per channel, axis 1. */
export function addPerChannel(b: Builder, x: Value, bias: Value): Value {
  const shape = x.type.shape.map((d, i) => (i === 1 ? d : 1)).slice(1);
  return b.addition(x, b.reshape(bias, shape));
}

export function pool(b: Builder, x: Value, kind: "average" | "max", size: number): Value {
  const cut = b.add("window", [x],
    { sizes: [size, size], strides: [size, size], dilations: [1, 1] });
  const axes = [cut.type.shape.length - 2, cut.type.shape.length - 1];
  if (kind === "max") return b.reduce("max", cut, axes);
  const sum = b.reduce("sum", cut, axes);
  return b.mul(real(b, 1 / (size * size), sum), sum);
}

export const pooledShape = ([c, h, w]: readonly number[], size: number): readonly number[] =>
  [c as number, Math.floor(h as number / size), Math.floor(w as number / size)];

export function convolvedShape(
  [, h, w]: readonly number[], out: number, kernel: readonly [number, number],
  padding: readonly [number, number],
): readonly [number, number, number] {
  return [out, (h as number) + 2 * padding[0] - kernel[0] + 1,
    (w as number) + 2 * padding[1] - kernel[1] + 1];
}

/** PyTorch's default: U(+-1/sqrt(fan_in)) for weights and biases. */
const byFanIn = (name: string, shape: readonly number[], fanIn: number): LayerParameter =>
  ({ name, shape, init: uniformInit(1 / Math.sqrt(fanIn)) });

const poolRule = (kind: "average" | "max"): LayerRule<"averagePool"> & LayerRule<"maxPool"> => ({
  shape({ size }: { readonly size: number }, input) {
    demand(input.length === 3, "pooling", "an input [channels, height, width]", input);
    return pooledShape(input, size);
  },
  parameters: none, statistics: none,
  apply: ({ b }, x, { size }: { readonly size: number }) => pool(b, x, kind, size),
});

export const digitalRules: { readonly [K in DigitalKind]: LayerRule<K> } = {
  linear: {
    shape: ({ out }) => [out],
    parameters({ out, bias = true }, input) {
      const size = sizeOf(input);
      return [byFanIn("weight", [out, size], size), ...bias ? [byFanIn("bias", [out], size)] : []];
    },
    statistics: none,
    apply({ b, parameter }, x, { bias = true }) {
      const y = product(b, flat(b, x), parameter("weight"));
      return bias ? b.addition(y, parameter("bias")) : y;
    },
  },
  conv: {
    shape({ out, kernel, padding }, input) {
      demand(input.length === 3, "convolution", "an input [channels, height, width]", input);
      const shape = convolvedShape(input, out, kernel, padding);
      demand(shape.every((d) => d > 0), "convolution", `at least ${kernel} pixels`, input);
      return shape;
    },
    parameters({ out, kernel, bias = true }, input) {
      const fanIn = (input[0] as number) * kernel[0] * kernel[1];
      return [byFanIn("weight", [out, input[0] as number, ...kernel], fanIn),
        ...bias ? [byFanIn("bias", [out], fanIn)] : []];
    },
    statistics: none,
    apply({ b, parameter }, x, { padding, bias = true }) {
      const y = convolve(b, x, parameter("weight"), padding);
      return bias ? addPerChannel(b, y, parameter("bias")) : y;
    },
  },
  averagePool: poolRule("average"),
  maxPool: poolRule("max"),
  batchNorm: {
    shape: (_layer, input) => input,
    parameters: (_layer, [channels]) => [
      { name: "weight", shape: [channels as number], init: constantInit(1) },
      { name: "bias", shape: [channels as number], init: constantInit(0) },
    ],
    statistics: (_layer, [channels]) => [
      { name: "running_mean", shape: [channels as number], init: constantInit(0) },
      { name: "running_var", shape: [channels as number], init: constantInit(1) },
    ],
    apply: normalised,
  },
  relu: {
    shape: (_layer, input) => input, parameters: none, statistics: none,
    apply: ({ b }, x) => b.max(x, b.full(x, 0)),
  },
  flatten: {
    shape: (_layer, input) => [sizeOf(input)], parameters: none, statistics: none,
    apply: ({ b }, x) => flat(b, x),
  },
};

export const digitalRule = (layer: DigitalLayer): LayerRule<DigitalKind> =>
  digitalRules[layer.kind] as unknown as LayerRule<DigitalKind>;

/**
 * Batch-norm over batch and space. In training with the statistics of the batch, which therefore
 * mixes samples; the running variance follows the unbiased estimate, as in PyTorch.
 */
function normalised(
  { b, parameter, isTraining, report }: LayerContext, x: Value,
  { momentum = 0.1, epsilon = 1e-5 }: LayerOf<"batchNorm">,
): Value {
  const spread = (v: Value): Value =>
    b.reshape(v, x.type.shape.map((d, i) => (i === 1 ? d : 1)));
  const { mean, variance } = isTraining ? batchStatistics(b, x, momentum, report)
    : { mean: spread(parameter("running_mean")), variance: spread(parameter("running_var")) };
  const scale = b.unary("sqrt", b.addition(variance, real(b, epsilon, variance)));
  const unit = b.div(b.sub(x, mean), scale);
  return b.addition(b.mul(unit, spread(parameter("weight"))), spread(parameter("bias")));
}

function batchStatistics(
  b: Builder, x: Value, momentum: number, report: LayerContext["report"],
): { mean: Value; variance: Value } {
  const axes = x.type.shape.map((_, i) => i).filter((i) => i !== 1);
  const mean = b.mean(x, axes, true);
  const centred = b.sub(x, mean);
  const variance = b.mean(b.mul(centred, centred), axes, true);
  const count = axes.map((i) => x.type.shape[i] as Dim).reduce(mulDims, 1 as Dim);
  const n = b.cast(b.size(count, "int32"), x.type.dtype);
  const others = b.max(b.sub(n, b.full(n, 1)), b.full(n, 1));
  const channels = [x.type.shape[1] as Dim];
  report("running_mean", b.reshape(mean, channels), momentum);
  report("running_var", b.reshape(b.mul(variance, b.div(n, others)), channels), momentum);
  return { mean, variance };
}
