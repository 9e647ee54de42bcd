/**
 * Small ff-EBMs, one for each thing that a block may be made of: units, couplings, pooling, skips,
 * costs, untied weights. Weights are seeded and small enough for the relaxation to settle.
 */
import type { FfEbm } from "../../compiler/energy/ffEbm.ts";
import { copyName, untie } from "../../compiler/energy/field.ts";
import {
  hardSigmoid, linearUnit, relu, smoothSigmoid, tanhUnit, type Unit,
} from "../../compiler/energy/units.ts";
import { tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import type { DigitalLayer } from "../../models/digital.ts";
import { buildFfEbm, type FfEbmPlan } from "../../models/ffEbm.ts";
import type { Coupling, HopfieldLayer, Pooling } from "../../models/hopfield.ts";
import { normalStream } from "../../models/init.ts";

const conv3 = { kind: "conv", kernel: [3, 3], padding: [1, 1] } as const;
const dense: Coupling = { kind: "dense" };
const layer = (shape: readonly number[], unit: Unit, ...couplings: Coupling[]): HopfieldLayer =>
  ({ shape, unit, ...couplings.length === 0 ? {} : { couplings } });

const denseNet = (unit: Unit): FfEbmPlan => ({
  name: "dense", input: [6], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
  blocks: [
    { feed: [{ kind: "linear", out: 5 }], layers: [layer([5], unit), layer([4], unit, dense)] },
    {
      feed: [{ kind: "linear", out: 6 }],
      layers: [layer([6], unit), layer([5], unit, dense), layer([4], unit, dense)],
    },
  ],
});

function convNet(pooling: Pooling | undefined, unit: Unit, feed: DigitalLayer[]): FfEbmPlan {
  const side = pooling ? 4 : 8;
  return {
    name: "conv", input: [2, 8, 8], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
    blocks: [{
      feed: [{ ...conv3, out: 3, bias: false }, ...feed],
      layers: [
        layer([3, 8, 8], unit), layer([4, side, side], unit, { ...conv3, pooling }),
        layer([5], unit, dense),
      ],
    }],
  };
}

/** Slope 1/2 at most: a skip without weights has strength 1, and steeper units get two minima. */
const gentle: Unit = { kind: "sigmoid", gain: 2, offset: -1 };

export const zooPlans = {
  "hard clamp": denseNet(hardSigmoid),
  "half slope": denseNet({ kind: "clamp", slope: 0.5, low: 0, high: 1 }),
  "clamp of both signs": denseNet({ kind: "clamp", slope: 1, low: -1, high: 1 }),
  "ReLU": denseNet(relu),
  "sigmoid": denseNet(smoothSigmoid),
  "tanh": denseNet(tanhUnit),
  "linear output, squared error": {
    name: "linear", input: [6], cost: "squared-error", readout: [],
    blocks: [{
      feed: [{ kind: "linear", out: 8 }],
      layers: [layer([8], hardSigmoid), layer([3], linearUnit, dense)],
    }],
  },
  "convolution": convNet(undefined, hardSigmoid, []),
  "average pooling, batch-norm": convNet({ kind: "average", size: 2 }, hardSigmoid,
    [{ kind: "batchNorm" }]),
  "max pooling": convNet({ kind: "max", size: 2 }, smoothSigmoid, []),
  "skip connection": {
    name: "skip", input: [2, 6, 6], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
    blocks: [{
      feed: [{ ...conv3, out: 3 }],
      layers: [
        layer([3, 6, 6], gentle), layer([3, 6, 6], gentle, conv3),
        layer([3, 6, 6], gentle, conv3, { kind: "identity", from: 0 }),
      ],
    }],
  },
  "one layer": {
    name: "single", input: [6], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
    blocks: [
      { feed: [{ kind: "linear", out: 5 }], layers: [layer([5], tanhUnit)] },
      { feed: [{ kind: "linear", out: 4 }], layers: [layer([4], relu)] },
    ],
  },
} satisfies Record<string, FfEbmPlan>;
export type ZooName = keyof typeof zooPlans;
export const zooNames = Object.keys(zooPlans) as ZooName[];

export interface ZooModel {
  readonly model: FfEbm;
  /** Parameters and running statistics. */
  readonly tensors: ReadonlyMap<string, Tensor>;
}

/** The model with seeded numbers; identity skips are scaled by nothing, so weights are small. */
export function zooModel(name: ZooName, seed = 1, gain = 0.4): ZooModel {
  const { model } = buildFfEbm(zooPlans[name]);
  return { model, tensors: seededTensors(model, seed, gain) };
}

/** A dense model whose blocks have untied weights; `split` is how far the copies lie apart. */
export function untiedModel(seed = 1, split = 0.3): ZooModel {
  const tied = buildFfEbm(zooPlans.sigmoid).model;
  const stages = tied.stages.map((stage) => (stage.kind === "analog" &&
    stage.block.kind === "energy" ? { ...stage, block: untie(stage.block) } : stage));
  const numbers = seededTensors(tied, seed, 0.4);
  const tensors = new Map<string, Tensor>();
  const parameters = stages.flatMap((stage) =>
    (stage.kind === "analog" ? stage.block.parameters : []));
  const digital = tied.parameters.filter(({ name }) => !name.startsWith("block"));
  for (const { name, shape } of [...digital, ...parameters]) {
    const [origin = name] = name.split(copyName("", ""));
    const base = numbers.get(origin) as Tensor;
    const normal = normalStream(seed, `${name} apart`);
    const apart = name === origin ? 0 : split;
    tensors.set(name, tensor("float32", shape, Float32Array.from(base.data as Float32Array,
      (x, i) => x + apart * 0.2 * normal(i))));
  }
  return { model: { ...tied, stages, parameters: [...digital, ...parameters] }, tensors };
}

function seededTensors(model: FfEbm, seed: number, gain: number): Map<string, Tensor> {
  return new Map([...model.parameters, ...model.statistics].map(({ name, shape }) => {
    const normal = normalStream(seed, name);
    const fanIn = shape.slice(1).reduce((p, d) => p * d, 1);
    const scale = shape.length === 1 ? 0.2 : gain / Math.sqrt(fanIn);
    // Variances and batch-norm's scales must be positive.
    const offset = /running_var|feed\d\.\d\.weight$/.test(name) && shape.length === 1 ? 1 : 0;
    const size = shape.reduce((p, d) => p * d, 1);
    const data = Float32Array.from({ length: size }, (_, i) => offset + scale * normal(i));
    return [name, tensor("float32", shape, data)];
  }));
}
