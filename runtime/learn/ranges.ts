/**
 * Converter ranges of a chip in a loop, found on real samples: the phases without converters, and
 * the magnitudes of what every array is driven with and gives at their ends, in either direction.
 * Nudged phases count too: an output that has learnt nothing yet moves further than it ever is in
 * the free phase. For what is read only to carry errors back there are no ranges; digital backprop
 * does that.
 */
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import { free } from "../../compiler/energy/nudge.ts";
import { sweepGraph } from "../../compiler/energy/sweep.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { Magnitudes } from "../chip/magnitudes.ts";
import type { Solver } from "./blockRunner.ts";
import { Chain, type GradientMethod } from "./chain.ts";
import {
  observed, rangeName, rangeTensor, type LoopConverters, type ObservedProduct,
} from "./converted.ts";
import { releaseAll, type Engine, type Held, type HeldMap, type Prepared } from "./engine.ts";

/** Samples that ranges are found on, at most. */
const MOST_SAMPLES = 16;

/** A graph of the model that reads arrays, and the block whose states it takes. */
interface Reader {
  readonly graph: Graph;
  readonly products: readonly ObservedProduct[];
  readonly block: string | undefined;
  prepared?: Promise<Prepared>;
}

interface Found {
  readonly output: Magnitudes;
  largest: number;
  /** The most that a column may give. */
  bound: number;
}

/** Samples of a batch, and what will nudge them. */
export interface RangeSamples {
  readonly input: Tensor;
  readonly target: Tensor;
  readonly method: GradientMethod;
}

export class Ranges {
  readonly #engine: Engine;
  readonly #chain: Chain;
  readonly #converters: LoopConverters;
  readonly #readers: readonly Reader[];

  /** @param parameters names of those on arrays */
  constructor(
    engine: Engine, model: FfEbm, solver: Solver, converters: LoopConverters,
    parameters: ReadonlySet<string>,
  ) {
    this.#engine = engine;
    this.#chain = new Chain(engine, model, solver);
    this.#converters = converters;
    // All layers from the states given: nothing moves before it is seen.
    this.#readers = [...model.stages, model.loss].map((stage): Reader => {
      const graph = stage.kind === "digital" ? stage.graph
        : sweepGraph(stage.block, { nudge: free, order: "synchronous", start: "input" });
      return {
        ...observed(graph, parameters),
        block: stage.kind === "analog" ? stage.name : undefined,
      };
    }).filter(({ products }) => products.length > 0);
  }

  /**
   * Ranges by the names of the inputs that take them, on the first few samples.
   * @param parameters as the chip holds them
   * @throws UserError when the target's inputs are unsigned and the samples' have both signs
   */
  async find(parameters: HeldMap, samples: RangeSamples): Promise<Map<string, Held>> {
    const engine = this.#engine;
    const [input, target] = [samples.input, samples.target].map((whole) =>
      engine.hold(firstOf(whole, MOST_SAMPLES))) as [Held, Held];
    const pass = await this.#chain.forward(parameters, input, target);
    const found = new Map<string, Found>();
    for (const reader of this.#readers) {
      const { block } = reader;
      const states = block === undefined ? [] : pass.blocks.get(block)?.states ?? [];
      await this.#observe(reader, new Map([...parameters, ...pass.values, ...states]), found);
      if (block === undefined) continue;
      this.#chain.runner(block).onNudged = (inputs) => this.#observe(reader, inputs, found);
    }
    if (samples.method.kind === "equilibrium") {
      const nudged = await this.#chain.backward(parameters, pass, { method: samples.method });
      releaseAll(engine, nudged.parameters.values());
    }
    this.#chain.release(pass);
    releaseAll(engine, [input, target]);
    return new Map([...found].map(([read, seen]) => [rangeName(read),
      engine.hold(tensor("float32", [4], rangeTensor(this.#converters, this.#fullScale(seen))))]));
  }

  async #observe(reader: Reader, inputs: HeldMap, found: Map<string, Found>): Promise<void> {
    reader.prepared ??= this.#engine.prepare(reader.graph);
    const outputs = await (await reader.prepared).run(inputs);
    const read = async (name: string): Promise<Float32Array> =>
      Float32Array.from((await this.#engine.read(outputs.get(name) as Held)).data);
    for (const product of reader.products) {
      const seen = found.get(product.read) ??
        { output: new Magnitudes(), largest: 0, bound: 0 };
      found.set(product.read, seen);
      seen.output.add(await read(product.output));
      const driven = await read(product.input);
      seen.largest = Math.max(seen.largest, largestOf(driven));
      if (this.#converters.isUnsigned) refuseBothSigns(driven, product.parameter);
      if (this.#converters.range === "max") {
        const weights = await this.#engine.read(inputs.get(product.parameter) as Held);
        seen.bound = largestOf(weights.data) * product.rows;
      }
    }
    releaseAll(this.#engine, outputs.values());
  }

  #fullScale({ output, largest, bound }: Found): { input: number; output: number } {
    const { range, cubic } = this.#converters;
    const linear = range === "max" ? largest * bound : output.percentile(range.percentile);
    // A law that bends upwards gives more than the linear cells that were observed.
    return { input: largest, output: linear * (1 + Math.max(cubic, 0)) };
  }
}

function refuseBothSigns(driven: Float32Array, parameter: string): void {
  if (!driven.some((v) => v < 0) || !driven.some((v) => v > 0)) return;
  throw new UserError(`the inputs of ${parameter} have both signs, the target's are unsigned`, {
    place: "target: input.sign", remedy: "Use sign-magnitude or two's complement inputs.",
  });
}

function largestOf(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    largest = Math.max(largest, Math.abs(values[i] as number));
  }
  return largest;
}

function firstOf({ shape, data }: Tensor, count: number): Tensor {
  const [samples, ...rest] = shape as [number, ...number[]];
  const kept = Math.min(samples, count);
  const size = rest.reduce((p, d) => p * d, kept);
  return tensor("float32", [kept, ...rest], Float32Array.from(data as ArrayLike<number>)
    .subarray(0, size));
}
