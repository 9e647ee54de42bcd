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
  /** Of training images; none unless given. */
  readonly augmentation?: Augmentation | undefined;
}

/** How training images are varied. */
export interface Augmentation {
  /** Half of them are mirrored, left and right. */
  readonly flip?: boolean | undefined;
  /** Up to how many pixels they are shifted, down or up and right or left. */
  readonly shift?: number | undefined;
}

export const optimiserNames = ["adam", "sgd"] as const;
export type OptimiserName = (typeof optimiserNames)[number];

const grey: Preprocessing = { scale: 1 / 255, mean: [0], std: [1], layout: "NCHW" };
const colour: Preprocessing = {
  scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616], layout: "NCHW",
};
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

/**
 * Uniform weights of standard deviation 1.4/sqrt(fan-in): with slope 1/2 and half of the units at
 * 0, signals shrink by about 2 per layer. More, and blocks of six layers no longer settle.
 */
const bounded = (fanIn: number): Coupling["init"] =>
  uniformInit((1.4 * Math.sqrt(3)) / Math.sqrt(fanIn));

/**
 * Learning rates of what is inside blocks. Adam's steps are as large whatever the gradient, and
 * coherent: at the digital side's rate the norms of symmetric couplings soon pass the point up to
 * which a block settles, and biases pass the small signals of upper layers, whose units then stay
 * at 0 for every input.
 */
const slowBlocks = (blocks: readonly BlockPlan[]): Record<string, number> =>
  Object.fromEntries(blocks.flatMap(({ layers }, k) => layers.flatMap(({ couplings }, l) =>
    (couplings ? [[`block${k}.layer${l + 1}.W`, 0.1], [`block${k}.layer${l + 1}.b`, 0.01]] : []))));

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

type BlockSize = 1 | 2 | 3 | 6;
/** Free and nudged sweeps: a nudge takes half a sweep per layer to the bottom of a block. */
const sweepsOf: Record<BlockSize, readonly [number, number]> =
  { 1: [2, 1], 2: [5, 2], 3: [6, 3], 6: [16, 6] };

/** The six-layer network as blocks of `size` layers; padding 3 is a frame of 2 and padding 1. */
function split(size: BlockSize): Recipe {
  const blocks = splitChain([1, 28, 28], sixLayers, size, halfSlope, 3);
  const [freeSweeps, nudgedSweeps] = sweepsOf[size];
  return {
    what: `Six convolutional layers on MNIST as blocks of ${size}`,
    dataset: "mnist", preprocessing: grey,
    plan: {
      name: `mnist-split-${size}`, input: [1, 28, 28], cost: "cross-entropy",
      readout: [{ kind: "linear", out: 10 }], blocks,
    },
    training: {
      beta: 0.2, freeSweeps, nudgedSweeps, learningRate: 5e-3, decay: 0,
      rates: slowBlocks(blocks), batch: 32, epochs: 1,
    },
  };
}

const conv3 = { kernel: [3, 3] as const, padding: [1, 1] as const };
/** Convolution, pooling and batch-norm, on the digital side. */
const pooledConv = (out: number, padding: number): DigitalLayer[] => [
  { kind: "conv", out, kernel: [3, 3], padding: [padding, padding], bias: false },
  { kind: "averagePool", size: 2 }, { kind: "batchNorm" },
];

/**
 * Two energy blocks behind digital feeds that halve the image: 32x32 (with `padding`) -> 8x8 with
 * a convolutional coupling, 4x4 with a dense one. `widths` are the channels of the two convolutions
 * in front, of the second block, and the units of the last layer.
 */
const convolutional = (
  name: string, input: readonly number[], padding: number,
  [first, second, third, last]: readonly [number, number, number, number],
): FfEbmPlan => ({
  name, input, cost: "cross-entropy", readout: [{ kind: "linear", out: 10 }],
  blocks: [
    {
      feed: [...pooledConv(first, padding), { kind: "relu" }, ...pooledConv(second, 1)],
      layers: [
        { shape: [second, 8, 8], unit: halfSlope },
        {
          shape: [second, 8, 8], unit: halfSlope,
          couplings: [{ kind: "conv", ...conv3, init: bounded(9 * second) }],
        },
      ],
    },
    {
      feed: pooledConv(third, 1),
      layers: [
        { shape: [third, 4, 4], unit: halfSlope },
        {
          shape: [last], unit: halfSlope,
          couplings: [{ kind: "dense", init: bounded(16 * third) }],
        },
      ],
    },
  ],
});
const mnistConv = convolutional("mnist-conv", [1, 28, 28], 3, [16, 32, 64, 128]);
const cifarConv = convolutional("cifar10-conv", [3, 32, 32], 1, [24, 48, 96, 128]);

export const recipes = {
  "mnist-dhn": {
    what: "A deep Hopfield network 784-512-10 on MNIST",
    dataset: "mnist", preprocessing: grey, plan: denseHopfield,
    training: {
      beta: 0.2, freeSweeps: 10, nudgedSweeps: 10, learningRate: 1e-3, decay: 0, batch: 64,
      epochs: 8,
    },
  },
  "mnist-conv": {
    what: "A convolutional ff-EBM of two energy blocks on MNIST",
    dataset: "mnist", preprocessing: grey, plan: mnistConv,
    training: {
      beta: 0.2, freeSweeps: 5, nudgedSweeps: 2, learningRate: 5e-3, decay: 0,
      rates: slowBlocks(mnistConv.blocks), batch: 32, epochs: 3,
    },
  },
  "cifar10-conv": {
    what: "A narrow convolutional ff-EBM of two energy blocks on CIFAR-10",
    dataset: "cifar10", preprocessing: colour, plan: cifarConv,
    training: {
      beta: 0.2, freeSweeps: 5, nudgedSweeps: 2, learningRate: 5e-3, decay: 0,
      rates: slowBlocks(cifarConv.blocks), batch: 32, epochs: 14,
      augmentation: { flip: true, shift: 2 },
    },
  },
  "mnist-split-1": split(1),
  "mnist-split-2": split(2),
  "mnist-split-3": split(3),
  "mnist-split-6": split(6),
} satisfies Record<string, Recipe>;
