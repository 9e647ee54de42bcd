/**
 * Optimisers as graphs: one step over all parameters at once, on the engine, from parameters,
 * gradients and moments to new parameters and moments. What changes from step to step (learning
 * rate, bias corrections) is a small input; what differs between parameters (their share of the
 * rate, decay, bounds) is compiled in.
 */
import { floatType, type ParameterSpec } from "../../compiler/energy/block.ts";
import { real } from "../../compiler/energy/constants.ts";
import { finish } from "../../compiler/energy/inline.ts";
import { clampTo } from "../../compiler/energy/units.ts";
import { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { tensor } from "../../compiler/graph/tensor.ts";
import { releaseAll, type Engine, type Held, type HeldMap, type Prepared } from "./engine.ts";

export interface OptimiserKinds {
  /** m <- momentum*m + g, theta <- theta - rate*m. */
  sgd: { readonly momentum: number };
  /** Kingma & Ba, arXiv 1412.6980, with its defaults for what is not given. */
  adam: { readonly beta1?: number; readonly beta2?: number; readonly epsilon?: number };
}
export type OptimiserKind = keyof OptimiserKinds;
export type Optimiser = {
  [K in OptimiserKind]: { readonly kind: K } & OptimiserKinds[K]
}[OptimiserKind];
type OptimiserOf<K extends OptimiserKind> = Extract<Optimiser, { readonly kind: K }>;

/** What is particular to a parameter. */
export interface ParameterRule {
  /** Factor on the learning rate. */
  readonly rate: number;
  /** Added to the gradient: decay*theta (L2, as PyTorch's `weight_decay`). */
  readonly decay: number;
  /** Largest magnitude, where the weight is a physical one. */
  readonly bound?: number | undefined;
}

interface Step { readonly theta: Value; readonly moments: readonly Value[] }

interface OptimiserRule<K extends OptimiserKind> {
  /** Names of the moments that are kept per parameter. */
  readonly moments: readonly string[];
  /** Numbers of step t (1, 2, ...) that the graph needs beside the learning rate. */
  scalars(optimiser: OptimiserOf<K>, t: number): readonly number[];
  /** theta - rate*..., from the decayed gradient; `scalars` are as above, each a scalar value. */
  step(
    b: Builder, optimiser: OptimiserOf<K>, theta: Value, gradient: Value,
    moments: readonly Value[], rate: Value, scalars: readonly Value[],
  ): Step;
}

const blend = (b: Builder, old: Value, share: number, fresh: Value): Value =>
  b.addition(b.mul(real(b, share, old), old), b.mul(real(b, 1 - share, fresh), fresh));

const rules: { readonly [K in OptimiserKind]: OptimiserRule<K> } = {
  sgd: {
    moments: ["momentum"],
    scalars: () => [],
    step(b, { momentum }, theta, gradient, [m], rate) {
      const moved = b.addition(b.mul(real(b, momentum, theta), m as Value), gradient);
      return { theta: b.sub(theta, b.mul(rate, moved)), moments: [moved] };
    },
  },
  adam: {
    moments: ["mean", "square"],
    scalars: ({ beta1 = 0.9, beta2 = 0.999 }, t) => [1 / (1 - beta1 ** t), 1 / (1 - beta2 ** t)],
    step(b, optimiser, theta, gradient, [m, v], rate, [c1, c2]) {
      const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8 } = optimiser;
      const mean = blend(b, m as Value, beta1, gradient);
      const square = blend(b, v as Value, beta2, b.mul(gradient, gradient));
      const size = b.unary("sqrt", b.mul(square, c2 as Value));
      const direction = b.div(b.mul(mean, c1 as Value), b.addition(size, real(b, epsilon, size)));
      return { theta: b.sub(theta, b.mul(rate, direction)), moments: [mean, square] };
    },
  },
};
const ruleOf = (optimiser: Optimiser): OptimiserRule<OptimiserKind> =>
  rules[optimiser.kind] as unknown as OptimiserRule<OptimiserKind>;

export const gradientName = (parameter: string): string => `gradient.${parameter}`;
export const momentName = (parameter: string, moment: string): string => `${moment}.${parameter}`;
const scalarsName = "step.scalars";

function stepGraph(
  parameters: readonly ParameterSpec[], optimiser: Optimiser,
  ruleFor: (name: string) => ParameterRule,
): ReturnType<Builder["finish"]> {
  const b = new Builder("optimiser");
  const rule = ruleOf(optimiser);
  const count = 1 + rule.scalars(optimiser as never, 1).length;
  const all = b.input(scalarsName, floatType([count]));
  const scalar = (i: number): Value => b.reshape(b.sliceAxis(all, 0, i, i + 1), []);
  return finish(b, parameters.flatMap(({ name, shape }) => {
    const type = floatType(shape);
    const { rate, decay, bound } = ruleFor(name);
    const theta = b.input(name, type);
    const given = b.input(gradientName(name), type);
    const moments = rule.moments.map((m) => b.input(momentName(name, m), type));
    const gradient = decay === 0 ? given
      : b.addition(given, b.mul(real(b, decay, theta), theta));
    const own = b.mul(scalar(0), real(b, rate, scalar(0)));
    const others = Array.from({ length: count - 1 }, (_, i) => scalar(i + 1));
    const next = rule.step(b, optimiser as never, theta, gradient, moments, own, others);
    const bounded = bound === undefined ? next.theta : clampTo(b, next.theta, -bound, bound);
    return [[name, bounded] as const, ...rule.moments.map((m, i) =>
      [momentName(name, m), next.moments[i] as Value] as const)];
  }));
}

/** Names of everything that an optimiser keeps, with their shapes. */
export const momentSpecs = (
  parameters: readonly ParameterSpec[], optimiser: Optimiser,
): ParameterSpec[] => parameters.flatMap(({ name, shape }) =>
  ruleOf(optimiser).moments.map((m) => ({ name: momentName(name, m), shape })));

/** What moves parameters along gradients, and keeps them and its moments. */
export interface Stepping {
  /** Parameters and moments; valid until the next step but one. */
  readonly state: HeldMap;
  /** Step number `t`, from 1. Gradients stay the caller's. */
  step(gradients: HeldMap, learningRate: number, t: number): Promise<void>;
  /** Puts other values in place of some parameters. */
  replace(values: HeldMap): void;
  release(): void;
}

/** Steps an optimiser on an engine; owns the moments, and the parameters from the first step on. */
export class Stepper implements Stepping {
  readonly #engine: Engine;
  readonly #optimiser: Optimiser;
  readonly #prepared: Prepared;
  /** Parameters and moments, and the tensors that the next step writes to. */
  #now: Map<string, Held>;
  #spare = new Map<string, Held>();

  private constructor(
    engine: Engine, optimiser: Optimiser, prepared: Prepared, state: Map<string, Held>,
  ) {
    this.#engine = engine;
    this.#optimiser = optimiser;
    this.#prepared = prepared;
    this.#now = state;
  }

  /** @param state parameters and moments by name; the stepper owns them from here on */
  static async create(
    engine: Engine, parameters: readonly ParameterSpec[], optimiser: Optimiser,
    ruleFor: (name: string) => ParameterRule, state: Map<string, Held>,
  ): Promise<Stepper> {
    const prepared = await engine.prepare(stepGraph(parameters, optimiser, ruleFor));
    return new Stepper(engine, optimiser, prepared, state);
  }

  /** Parameters and moments; valid until the next step but one. */
  get state(): HeldMap {
    return this.#now;
  }

  /** Step number `t`, from 1. Gradients stay the caller's. */
  async step(gradients: HeldMap, learningRate: number, t: number): Promise<void> {
    const scalars = Float32Array.of(
      learningRate, ...ruleOf(this.#optimiser).scalars(this.#optimiser as never, t));
    const held = this.#engine.hold(tensor("float32", [scalars.length], scalars));
    const named = [...gradients].map(([name, g]) => [gradientName(name), g] as const);
    const inputs = new Map([...this.#now, ...named]).set(scalarsName, held);
    const next = await this.#prepared.run(inputs, this.#spare);
    this.#engine.release(held);
    this.#spare = this.#now;
    this.#now = next;
  }

  /** Puts other values in place of some parameters: continual learning moves them itself. */
  replace(values: HeldMap): void {
    for (const [name, held] of values) {
      this.#engine.release(this.#now.get(name) as Held);
      this.#now.set(name, held);
    }
  }

  release(): void {
    releaseAll(this.#engine, [...this.#now.values(), ...this.#spare.values()]);
  }
}
