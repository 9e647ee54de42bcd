/**
 * Training recipes by name: an ff-EBM, the data it learns from, and settings. Data, not code: what
 * a recipe reaches is measured, and stated where it is documented, not here.
 */
import type { Order } from "../compiler/energy/sweep.ts";
import { hardSigmoid, linearUnit, type Unit } from "../compiler/energy/units.ts";
import type { Preprocessing } from "./card.ts";
import type { DigitalLayer } from "./digital.ts";
import type { BlockPlan, FfEbmPlan } from "./ffEbm.ts";
import type { Coupling, HopfieldLayer } from "./hopfield.ts";
import { uniformInit } from "./init.ts";

export interface Recipe {
  /** In a sentence. */
  readonly what: string;
  readonly dataset: "mnist" | "cifar10";
  readonly preprocessing: Preprocessing;
  readonly plan: FfEbmPlan;
  readonly training: RecipeTraining;
}

/** The part of the settings that a recipe chooses; algorithms and seeds are the caller's. */
export interface RecipeTraining {
  readonly beta: number;
  /** Sweeps of each phase; caps where there is a tolerance. */
  readonly freeSweeps: number;
  readonly nudgedSweeps: number;
  /** Largest change of a unit in a sweep at which a phase ends; without it, sweeps are fixed. */
  readonly tolerance?: number | undefined;
  /** Asynchronous unless given. */
  readonly order?: Order | undefined;
  /** Adam unless given; momentum is SGD's, 0 unless given. */
  readonly optimiser?: OptimiserName | undefined;
  readonly momentum?: number | undefined;
  readonly learningRate: number;
  /** Where the cosine that the rate follows ends; 0 unless given. */
  readonly finalRate?: number | undefined;
  readonly decay: number;
  /** Factors on the learning rate, by parameter or by what the names of several begin with. */
  readonly rates?: Readonly<Record<string, number>> | undefined;
  /** Largest magnitude of the blocks' weights. */
  readonly clip?: number | undefined;
  readonly batch: number;
  readonly epochs: number;
}

export const optimiserNames = ["adam", "sgd"] as const;
export type OptimiserName = (typeof optimiserNames)[number];

const grey: Preprocessing = { scale: 1 / 255, mean: [0], std: [1], layout: "NCHW" };
/** Laborieux et al. 2021: clamp(v/2, 0, 1). */
const halfSlope: Unit = { kind: "clamp", slope: 0.5, low: 0, high: 1 };

const denseHopfield: FfEbmPlan = {
  name: "mnist-dhn", input: [784], cost: "squared-error", readout: [],
  blocks: [{
    feed: [{ kind: "linear", out: 512 }],
    layers: [
      { shape: [512], unit: hardSigmoid },
      { shape: [10], unit: linearUnit, couplings: [{ kind: "dense" }] },
    ],
  }],
};

/** One layer of a convolutional chain: 3x3 with padding 1, or dense; perhaps pooled. */
interface ChainLayer { readonly out: number; readonly pools?: boolean; readonly isDense?: boolean }

/** Uniform weights of standard deviation 0.7/sqrt(fan-in). */
const bounded = (fanIn: number): Coupling["init"] =>
  uniformInit((0.7 * Math.sqrt(3)) / Math.sqrt(fanIn));

/**
 * A chain of layers cut into blocks of `size`. The first layer of each block is its feed
 * (convolution without bias, pooling, batch-norm), the others are couplings within the block.
 * `padding` is that of the very first convolution.
 */
export function splitChain(
  input: readonly number[], layers: readonly ChainLayer[], size: number, unit: Unit,
  padding: number,
): BlockPlan[] {
  const blocks: { feed: DigitalLayer[]; layers: HopfieldLayer[] }[] = [];
  let shape = input;
  layers.forEach(({ out, pools, isDense }, l) => {
    const flat = shape.reduce((p, d) => p * d, 1);
    const pad = l === 0 ? padding : 1;
    const [channels, h, w] = shape as readonly [number, number, number];
    const side = (d: number): number => Math.floor((d + 2 * pad - 2) / (pools ? 2 : 1));
    const square = { kernel: [3, 3] as const, padding: [pad, pad] as const };
    shape = isDense ? [out] : [out, side(h), side(w)];
    if (l % size === 0) {
      const first: DigitalLayer = isDense ? { kind: "linear", out, bias: false }
        : { kind: "conv", out, ...square, bias: false };
      const feed: DigitalLayer[] = [
        first, ...pools ? [{ kind: "averagePool" as const, size: 2 }] : [], { kind: "batchNorm" },
      ];
      blocks.push({ feed, layers: [{ shape, unit }] });
      return;
    }
    const coupling: Coupling = isDense ? { kind: "dense", init: bounded(flat) } : {
      kind: "conv", ...square, init: bounded(9 * channels),
      ...pools ? { pooling: { kind: "average", size: 2 } } : {},
    };
    blocks.at(-1)?.layers.push({ shape, unit, couplings: [coupling] });
  });
  return blocks;
}

const sixLayers: readonly ChainLayer[] = [
  { out: 16, pools: true }, { out: 32, pools: true }, { out: 32 }, { out: 64, pools: true },
  { out: 64 }, { out: 64, isDense: true },
];

/** The six-layer network as blocks of `size` layers; padding 3 is a frame of 2 and padding 1. */
const split = (size: number): Recipe => ({
  what: `Six convolutional layers on MNIST as blocks of ${size}`,
  dataset: "mnist", preprocessing: grey,
  plan: {
    name: `mnist-split-${size}`, input: [1, 28, 28], cost: "cross-entropy",
    readout: [{ kind: "linear", out: 10 }],
    blocks: splitChain([1, 28, 28], sixLayers, size, halfSlope, 3),
  },
  training: {
    beta: 0.2, freeSweeps: 20, nudgedSweeps: 5, learningRate: 2e-3, decay: 0, batch: 64, epochs: 4,
  },
});

export const recipes = {
  "mnist-dhn": {
    what: "A deep Hopfield network 784-512-10 on MNIST",
    dataset: "mnist", preprocessing: grey, plan: denseHopfield,
    training: {
      beta: 0.2, freeSweeps: 10, nudgedSweeps: 10, learningRate: 1e-3, decay: 0, batch: 64,
      epochs: 8,
    },
  },
  "mnist-split-1": split(1),
  "mnist-split-2": split(2),
  "mnist-split-3": split(3),
  "mnist-split-6": split(6),
} satisfies Record<string, Recipe>;
