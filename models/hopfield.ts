/**
 * Deep Hopfield networks as energy blocks: layers coupled by dense or convolutional weights,
 * pooling inside the coupling, skip connections inside the block.
 *
 *   U = -s_1.a - sum <s_l, P(W_l * s_m)> - sum b_l.s_l      (m = l-1, or a skip's)
 *
 * (equilibrium-propagation.md, section 0.) Weights are named block.layerL.W, [out, in] or
 * [out, in, kh, kw]; biases block.layerL.b, one per unit or per channel. A coupling without
 * weights is a skip that adds one layer to another.
 */
import { energyBlock, inner, type EnergyBlock, type StateSpec } from "../compiler/energy/block.ts";
import { valueOf, type Values } from "../compiler/energy/inline.ts";
import type { Unit } from "../compiler/energy/units.ts";
import { InternalError, UserError } from "../compiler/errors.ts";
import type { Builder } from "../compiler/graph/builder.ts";
import type { Value } from "../compiler/graph/graph.ts";
import {
  addPerChannel, convolve, convolvedShape, flat, pool, pooledShape, product, type LayerParameter,
} from "./digital.ts";
import { constantInit, uniformInit, type Init } from "./init.ts";

export interface Pooling {
  readonly kind: "average" | "max";
  readonly size: number;
}

export type CouplingKind =
  | { readonly kind: "dense" }
  | {
      readonly kind: "conv"; readonly kernel: readonly [number, number];
      readonly padding: readonly [number, number]; readonly pooling?: Pooling | undefined;
    }
  | { readonly kind: "identity" };

export type Coupling = CouplingKind & {
  /** Index of the layer it comes from; the one before by default. */
  readonly from?: number;
  readonly init?: Init;
};

export interface HopfieldLayer {
  readonly shape: readonly number[];
  readonly unit: Unit;
  /** None for the first layer, which the current drives. */
  readonly couplings?: readonly Coupling[];
  /** True by default where there are couplings. */
  readonly bias?: boolean;
}

export interface HopfieldBlock {
  readonly block: EnergyBlock;
  readonly parameters: readonly LayerParameter[];
}

interface Placed {
  readonly coupling: Coupling;
  readonly from: number;
  readonly to: number;
  readonly weight: LayerParameter | undefined;
}

const size = (shape: readonly number[]): number => shape.reduce((p, d) => p * d, 1);

/** @throws UserError when a coupling does not connect the shapes of its layers. */
export function hopfieldBlock(name: string, layers: readonly HopfieldLayer[]): HopfieldBlock {
  if (layers.length === 0) {
    throw new UserError("A block needs at least one layer", { place: name });
  }
  const states = layers.map(({ shape, unit }, l): StateSpec =>
    ({ name: `${name}.s${l + 1}`, shape, unit }));
  const placed = layers.flatMap(({ couplings = [] }, to) =>
    couplings.map((coupling) => place(name, layers, coupling, to)));
  const biases = layers.map(({ shape, couplings = [], bias }, l): LayerParameter | undefined =>
    (bias ?? couplings.length > 0)
      ? { name: `${name}.layer${l + 1}.b`, shape: shape.slice(0, 1), init: constantInit(0) }
      : undefined);
  const parameters = layers.flatMap((_, l) => [
    ...placed.flatMap(({ to, weight }) => (to === l && weight ? [weight] : [])),
    ...biases[l] ? [biases[l]] : [],
  ]);
  const spec = {
    name, states,
    parameters: parameters.map(({ name: own, shape }) => ({ name: own, shape })),
    current: { name: `${name}.a`, shape: (layers[0] as HopfieldLayer).shape },
    output: layers.length - 1,
  };
  const block = energyBlock(spec, (b, values) => {
    const state = (l: number): Value => valueOf(values, (states[l] as StateSpec).name);
    let u = b.unary("neg", inner(b, state(0), valueOf(values, spec.current.name)));
    for (const link of placed) {
      const to = state(link.to);
      u = b.sub(u, inner(b, to, carried(b, link, state(link.from), to, values)));
    }
    biases.forEach((bias, l) => {
      if (!bias) return;
      const spread = addPerChannel(b, b.full(state(l), 0), valueOf(values, bias.name));
      u = b.sub(u, inner(b, state(l), spread));
    });
    return u;
  });
  return { block, parameters };
}

/** What a coupling carries up from one layer to another: P(W * s). */
function carried(
  b: Builder, { coupling, weight }: Placed, from: Value, to: Value, values: Values,
): Value {
  if (coupling.kind === "identity") return b.reshape(from, to.type.shape);
  const w = valueOf(values, (weight as LayerParameter).name);
  if (coupling.kind === "dense") return b.reshape(product(b, flat(b, from), w), to.type.shape);
  const wide = convolve(b, from, w, coupling.padding);
  return coupling.pooling ? pool(b, wide, coupling.pooling.kind, coupling.pooling.size) : wide;
}

/** Checks a coupling's shapes and gives it its weight. */
function place(
  name: string, layers: readonly HopfieldLayer[], coupling: Coupling, to: number,
): Placed {
  const from = coupling.from ?? to - 1;
  const [source, target] = [layers[from]?.shape, (layers[to] as HopfieldLayer).shape];
  if (!source || from === to) {
    throw new InternalError(`${name}: no layer ${from} to couple layer ${to} with`);
  }
  const wrong = (got: readonly number[]): UserError => new UserError(
    `A ${coupling.kind} coupling makes [${got}] of [${source}], and the layer has [${target}]`,
    { place: `${name}, layer ${to + 1}`, remedy: "change the layer's shape or the coupling" });
  const suffix = from === to - 1 ? "" : String(from + 1);
  const weightName = `${name}.layer${to + 1}.W${suffix}`;
  const weighted = (shape: readonly number[], fanIn: number): Placed => ({
    coupling, from, to,
    weight: { name: weightName, shape, init: coupling.init ?? uniformInit(1 / Math.sqrt(fanIn)) },
  });
  switch (coupling.kind) {
    case "identity":
      if (size(source) !== size(target)) throw wrong(source);
      return { coupling, from, to, weight: undefined };
    case "dense":
      return weighted([size(target), size(source)], size(source));
    case "conv": {
      if (source.length !== 3 || target.length !== 3) throw wrong(source);
      const { kernel, padding, pooling } = coupling;
      const wide = convolvedShape(source, target[0] as number, kernel, padding);
      const got = pooling ? pooledShape(wide, pooling.size) : wide;
      if (got.some((d, i) => d !== target[i])) throw wrong(got);
      const channels = source[0] as number;
      return weighted([target[0] as number, channels, ...kernel], channels * kernel[0] * kernel[1]);
    }
  }
}
