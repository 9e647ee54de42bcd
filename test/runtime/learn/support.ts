/** Small models with seeded parameters, and their gradients as plain numbers. */
import type { RelaxOptions } from "../../../runtime/learn/relax.ts";
import type { Solver } from "../../../runtime/learn/blockRunner.ts";
import { Chain, type ForwardPass, type GradientMethod } from "../../../runtime/learn/chain.ts";
import type { Engine, Held } from "../../../runtime/learn/engine.ts";
import { readAll } from "../../../runtime/learn/reference.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import type { FfEbm } from "../../../compiler/energy/ffEbm.ts";
import type { Unit } from "../../../compiler/energy/units.ts";
import { buildFfEbm, type BuiltFfEbm, type FfEbmPlan } from "../../../models/ffEbm.ts";
import type { HopfieldLayer } from "../../../models/hopfield.ts";
import { normalStream } from "../../../models/init.ts";

export type Numbers = Map<string, Float64Array>;

export const converged: RelaxOptions = { sweeps: 3000, tolerance: 1e-15, rounding: 1e-12 };
export const toRest: Solver = { order: "asynchronous", free: converged, nudged: converged };

/** Dense layers of these widths, one coupled to the next. */
export const denseLayers = (widths: readonly number[], unit: Unit, last = unit): HopfieldLayer[] =>
  widths.map((width, l) => ({
    shape: [width], unit: l === widths.length - 1 ? last : unit,
    ...l > 0 ? { couplings: [{ kind: "dense" as const }] } : {},
  }));

/** A chain of dense blocks with linear feeds and, for cross-entropy, a linear readout. */
export function densePlan(
  input: number, blocks: readonly (readonly number[])[], classes: number, unit: Unit,
): FfEbmPlan {
  return {
    name: "dense", input: [input], cost: "cross-entropy",
    readout: [{ kind: "linear", out: classes }],
    blocks: blocks.map((widths) => ({
      feed: [{ kind: "linear", out: widths[0] as number }], layers: denseLayers(widths, unit),
    })),
  };
}

/** Normal numbers of deviation gain/sqrt(fan-in); biases of deviation 0.2. */
export function randomParameters(model: FfEbm, seed: number, gain = 1): Numbers {
  return new Map(model.parameters.map(({ name, shape }) => {
    const normal = normalStream(seed, name);
    const fanIn = shape.slice(1).reduce((p, d) => p * d, 1);
    const scale = shape.length === 1 ? 0.2 : gain / Math.sqrt(fanIn);
    const size = shape.reduce((p, d) => p * d, 1);
    return [name, Float64Array.from({ length: size }, (_, i) => scale * normal(i))];
  }));
}

export interface Data {
  readonly input: Float64Array;
  readonly target: Float64Array;
  readonly batch: number;
}

export function randomData({ input, target }: FfEbm, batch: number, seed = 5): Data {
  const normal = normalStream(seed, "data");
  const size = input.shape.reduce((p, d) => p * d, 1);
  const classes = target.shape[0] as number;
  const targets = new Float64Array(batch * classes);
  for (let n = 0; n < batch; n++) targets[n * classes + (n % classes)] = 1;
  const inputs = Float64Array.from({ length: batch * size }, (_, i) => normal(i));
  return { batch, input: inputs, target: targets };
}

/** A model with its parameters and one batch, on an engine. */
export class Bench {
  readonly model: FfEbm;
  readonly chain: Chain;
  readonly engine: Engine;
  readonly data: Data;

  constructor(
    built: BuiltFfEbm, data: Data, solver: Solver = toRest, engine: Engine = referenceEngine("f64"),
  ) {
    this.model = built.model;
    this.engine = engine;
    this.chain = new Chain(engine, built.model, solver);
    this.data = data;
  }

  hold(shape: readonly number[], data: Float64Array): Held {
    return this.engine.hold(tensor("float32", shape, data));
  }

  parameters(numbers: Numbers): Map<string, Held> {
    return new Map([...this.model.parameters, ...this.model.statistics].flatMap(({ name, shape }) =>
      (numbers.has(name) ? [[name, this.hold(shape, numbers.get(name) as Float64Array)]] : [])));
  }

  forward(numbers: Numbers, record = 0): Promise<ForwardPass> {
    const { batch, input, target } = this.data;
    return this.chain.forward(this.parameters(numbers),
      this.hold([batch, ...this.model.input.shape], input),
      this.hold([batch, ...this.model.target.shape], target), "training", record);
  }

  async loss(numbers: Numbers): Promise<number> {
    const { data } = await this.engine.read((await this.forward(numbers)).loss);
    return Array.from(data).reduce((sum, x) => sum + x, 0) / data.length;
  }

  async gradient(numbers: Numbers, method: GradientMethod, record = 0): Promise<Numbers> {
    const pass = await this.forward(numbers, record);
    const { parameters } = await this.chain.backward(this.parameters(numbers), pass, { method });
    const read = await readAll(this.engine, parameters);
    return new Map([...read].map(([name, x]) => [name, Float64Array.from(x)]));
  }

  /** Central differences of the mean loss at every `stride`-th element of every parameter. */
  async differences(
    numbers: Numbers, stride = 1, h = 1e-5,
  ): Promise<Map<string, Map<number, number>>> {
    const found = new Map<string, Map<number, number>>();
    for (const [name, values] of numbers) {
      const own = new Map<number, number>();
      for (let i = 0; i < values.length; i += stride) {
        const at = async (x: number): Promise<number> => {
          const moved = Float64Array.from(values);
          moved[i] = (values[i] as number) + x;
          return this.loss(new Map(numbers).set(name, moved));
        };
        own.set(i, (await at(h) - await at(-h)) / (2 * h));
      }
      found.set(name, own);
    }
    return found;
  }
}

export const bench = (plan: FfEbmPlan, batch: number, solver?: Solver): Bench => {
  const built = buildFfEbm(plan);
  return new Bench(built, randomData(built.model, batch), solver);
};

export const implicit: GradientMethod = { kind: "implicit", adjoint: converged };
