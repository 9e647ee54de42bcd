/**
 * Products as a chip reads them: what drives rows is rounded to the steps of the inputs, what
 * columns give to the codes of their converters; cells with a nonlinear law answer to amplitudes. A
 * rewrite of any graph that reads arrays (sweeps of free and nudged phases in either direction,
 * digital segments forward); gradients are taken of the graphs as they were: straight-through.
 *
 * A product is converted once, where the currents of its slices and row tiles come together;
 * `runtime/chip/simulatedGraph.ts` converts them one by one. Which ranges codes stand for is for
 * `ranges.ts` to say.
 */
import { UserError } from "../../compiler/errors.ts";
import type { Builder } from "../../compiler/graph/builder.ts";
import type { Graph, Value } from "../../compiler/graph/graph.ts";
import { prune, rewrite } from "../../compiler/passes/rewrite.ts";
import type { WeightChip } from "../chip/chipWeights.ts";
import type { CodeRange } from "../chip/converters.ts";
import { cubicShare } from "../chip/nonlinear.ts";
import { inputRange } from "../chip/passes.ts";
import { placedProducts, type PlacedProduct } from "./placed.ts";

/** The converters of a chip as a loop meets them, and the law of its cells. */
export interface LoopConverters {
  /** None where inputs are not rounded. */
  readonly input: CodeRange | undefined;
  /** Whether rows can only be driven one way: a product's sign is then the digital side's. */
  readonly isUnsigned: boolean;
  /** None where words are sensed digitally, or every level has a code of its own. */
  readonly output: CodeRange | undefined;
  /** s of I = g (v + s v^3), v in full scales of the input; 0 for linear cells. */
  readonly cubic: number;
  /** Full scale: the largest that can be, or a share of what samples give. */
  readonly range: "max" | { readonly percentile: number };
}

/**
 * How a chip reads its arrays; undefined where that is an exact product.
 * @param bits of inputs and outputs, instead of the target's
 * @throws UserError when the target's inputs have no meaning, the law is more than a cube, or
 *   converters are more than rounding
 */
export function loopConverters(chip: WeightChip, bits?: number): LoopConverters | undefined {
  const { target: { input, adc, encoding }, cells, imperfections } = chip;
  const { coding, sliceBits, readVoltage } = input;
  const cubic = cubicShare({
    input: { coding, sliceBits: sliceBits.value, readVolt: readVoltage.value },
    cells, imperfections,
  });
  const isUnsigned = input.sign === "unsigned" && imperfections.converters;
  if (!imperfections.converters) {
    return cubic === 0 ? undefined
      : {
        input: undefined, output: undefined, isUnsigned, cubic, range: { percentile: 1 },
      };
  }
  if (coding !== "digital") refuseFaults(chip.target);
  const { policy, percentile } = adc.range;
  const areApart = encoding.scheme !== "offset" &&
    (input.phases.value === 4 || encoding.subtract === "digital");
  const outputBits = bits ?? adc.bits.value;
  // Converters of one polarity each give their difference one bit more.
  const high = areApart ? 2 ** outputBits - 1 : Math.max(2 ** (outputBits - 1) - 1, 1);
  const isExact = bits === undefined && (coding === "digital" || policy === "granular");
  const steps = inputRange({ bits: bits ?? input.bits.value, sign: input.sign });
  return {
    input: isUnsigned ? { ...steps, low: -steps.high } : steps, isUnsigned, cubic,
    output: isExact ? undefined : { low: -high, high },
    range: policy === "max" ? "max" : { percentile: percentile?.value ?? 1 },
  };
}

/** A product is converted once here: it has no converter of its own that could be off. */
function refuseFaults({ name, adc }: WeightChip["target"]): void {
  const place = (["successiveApproximation", "gainSpread", "offsetSpread"] as const)
    .find((key) => adc[key] !== undefined);
  if (place === undefined) return;
  throw new UserError("faults of single converters are not part of a learning loop", {
    place: `target ${name}: adc.${place}`,
    remedy: "Remove it, or name the imperfections to learn with by --only, without converters.",
  });
}

/** Puts the products of a graph that have these parameters for weights behind converters. */
export type Convert = (graph: Graph, own: ReadonlySet<string>) => Graph;

/** Name of the input that holds the ranges of a read: [4], see `rangeTensor`. */
export const rangeName = (read: string): string => `chip.range ${read}`;

/** Steps per unit and units per step of the inputs, then of the outputs. */
export function rangeTensor(
  { input, output }: LoopConverters, full: { readonly input: number; readonly output: number },
): Float32Array {
  const steps = (range: number, high: number): [number, number] =>
    (range > 0 && Number.isFinite(range) ? [high / range, range / high] : [1, 1]);
  return Float32Array.of(
    ...steps(full.input, input?.high ?? 1), ...steps(full.output, output?.high ?? 1));
}

/** The graph with its products of these parameters behind converters. */
export function converted(
  graph: Graph, parameters: ReadonlySet<string>, { input, output, cubic }: LoopConverters,
): Graph {
  const products = placedProducts(graph, parameters);
  const ranges = new Map<string, Value>();
  const rangeOf = (b: Builder, read: string): Value => {
    const known = ranges.get(read) ??
      b.input(rangeName(read), { dtype: "float32", shape: [4] });
    ranges.set(read, known);
    return known;
  };
  return rewrite(graph, ({ b, node, inputs }) => {
    const product = products.get(node);
    if (!product) return undefined;
    const range = rangeOf(b, product.read);
    const driven = (x: Value): Value => {
      const held = input ? coded(b, x, range, 0, input) : x;
      return cubic === 0 ? held : answered(b, held, range, input?.high ?? 1, cubic);
    };
    const own = inputs.map((v, side) => (side === product.side ? v : driven(v)));
    const y = b.add(node.op, own, node.attrs);
    return output ? coded(b, y, range, 2, output) : y;
  });
}

const numberOf = (b: Builder, range: Value, at: number): Value =>
  b.reshape(b.slice(range, [at], [1]), []);

/** clip(round(x steps)) units, with the two numbers at `at` of a range. */
function coded(b: Builder, x: Value, range: Value, at: number, { low, high }: CodeRange): Value {
  const code = b.unary("round", b.mul(x, numberOf(b, range, at)));
  const clipped = b.min(b.max(code, b.full(code, low)), b.full(code, high));
  return b.mul(clipped, numberOf(b, range, at + 1));
}

/** x (1 + s v^2), v the input in full scales, of which each has so many steps. */
function answered(b: Builder, x: Value, range: Value, steps: number, cubic: number): Value {
  const v = b.mul(b.mul(x, numberOf(b, range, 0)), b.full(x, 1 / steps));
  return b.mul(x, b.addition(b.full(x, 1), b.mul(b.mul(v, v), b.full(x, cubic))));
}

/** What a product of a graph is driven with and gives, as outputs of these names. */
export interface ObservedProduct extends PlacedProduct {
  readonly input: string;
  readonly output: string;
}

/** The graph with its products for outputs, before converters. */
export function observed(
  graph: Graph, parameters: ReadonlySet<string>,
): { readonly graph: Graph; readonly products: readonly ObservedProduct[] } {
  const found = [...placedProducts(graph, parameters)].map(([node, product], i) => ({
    ...product, node, input: `driven ${i}`, output: `given ${i}`,
  }));
  const outputs = found.flatMap(({ node, side, input, output }) => [
    { name: input, value: node.inputs[1 - side] as Value },
    { name: output, value: node.outputs[0] as Value },
  ]);
  return { graph: prune({ ...graph, name: `${graph.name}.observed`, outputs }), products: found };
}
