/** The oracle first: implicit differentiation against finite differences of the converged loss. */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { batchDim, floatType } from "../../../compiler/energy/block.ts";
import { verifyFfEbm, type DigitalStage } from "../../../compiler/energy/ffEbm.ts";
import {
  smoothSigmoid, tanhUnit, linearUnit, hardSigmoid,
} from "../../../compiler/energy/units.ts";
import type { FfEbmPlan } from "../../../models/ffEbm.ts";
import { buildFfEbm } from "../../../models/ffEbm.ts";
import type { HopfieldLayer } from "../../../models/hopfield.ts";
import {
  Bench, bench, densePlan, implicit, randomData, randomParameters, type Numbers,
} from "./support.ts";

/** Largest |difference| between a gradient and finite differences, over the largest entry. */
async function worst(b: Bench, numbers: Numbers, stride: number): Promise<number> {
  const gradient = await b.gradient(numbers, implicit);
  expect([...gradient.keys()].sort()).toEqual([...numbers.keys()].sort());
  let [error, size] = [0, 0];
  for (const [name, own] of await b.differences(numbers, stride)) {
    for (const [i, truth] of own) {
      error = Math.max(error, Math.abs(truth - (gradient.get(name)?.[i] as number)));
      size = Math.max(size, Math.abs(truth));
    }
  }
  expect(size).toBeGreaterThan(1e-3);
  return error / size;
}

const conv3 = { kind: "conv" as const, kernel: [3, 3] as const, padding: [1, 1] as const };

/** Convolutions, pooling inside a coupling, a skip inside the block, pooling in the feed. */
function convPlan(pooling: "average" | "max", unit = smoothSigmoid): FfEbmPlan {
  const layers: HopfieldLayer[] = [
    { shape: [2, 4, 4], unit },
    {
      shape: [3, 2, 2], unit,
      couplings: [{ ...conv3, pooling: { kind: pooling, size: 2 } }],
    },
    { shape: [3, 2, 2], unit, couplings: [conv3] },
    {
      shape: [4], unit, couplings: [{ kind: "dense" }, { kind: "dense", from: 1 }],
    },
  ];
  return {
    name: "conv", input: [1, 8, 8], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
    blocks: [{
      feed: [
        { ...conv3, out: 2 },
        { kind: pooling === "max" ? "maxPool" : "averagePool", size: 2 },
      ],
      layers,
    }],
  };
}

describe("implicit gradients equal finite differences of the converged loss", () => {
  it("three dense blocks of tanh units", async () => {
    const b = bench(densePlan(5, [[4, 3], [3, 4, 3], [3, 3]], 3, tanhUnit), 4);
    expect(await worst(b, randomParameters(b.model, 1), 9)).toBeLessThan(1e-6);
  });

  const poolings = ["average", "max"] as const;
  it.each(poolings)("convolutions with %s pooling and a skip", async (pooling) => {
    const b = bench(convPlan(pooling), 2);
    expect(await worst(b, randomParameters(b.model, 2), 67)).toBeLessThan(1e-6);
  });

  it("an identity skip inside a block", async () => {
    const unit = smoothSigmoid;
    const b = bench({
      name: "skip", input: [4], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
      blocks: [{
        feed: [{ kind: "linear", out: 4 }],
        layers: [
          { shape: [4], unit },
          { shape: [5], unit, couplings: [{ kind: "dense" }] },
          { shape: [4], unit, couplings: [{ kind: "dense" }, { kind: "identity", from: 0 }] },
        ],
      }],
    }, 3);
    expect(await worst(b, randomParameters(b.model, 3), 5)).toBeLessThan(1e-6);
  });

  it("batch-norm in two feeds, which mixes samples", async () => {
    const unit = tanhUnit;
    const b = bench({
      name: "norm", input: [1, 4, 4], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
      blocks: [
        {
          feed: [{ ...conv3, out: 2, bias: false }, { kind: "batchNorm" }],
          layers: [{ shape: [2, 4, 4], unit }, { shape: [2, 4, 4], unit, couplings: [conv3] }],
        },
        {
          feed: [
            { ...conv3, out: 3, bias: false }, { kind: "averagePool", size: 2 },
            { kind: "batchNorm" },
          ],
          layers: [
            { shape: [3, 2, 2], unit }, { shape: [4], unit, couplings: [{ kind: "dense" }] },
          ],
        },
      ],
    }, 4);
    expect(await worst(b, randomParameters(b.model, 4, 0.7), 29)).toBeLessThan(1e-6);
  });

  it("squared error at a linear output layer, inside the block", async () => {
    const b = bench({
      name: "squares", input: [5], cost: "squared-error", readout: [],
      blocks: [{
        feed: [{ kind: "linear", out: 6 }],
        layers: [
          { shape: [6], unit: hardSigmoid },
          { shape: [3], unit: linearUnit, couplings: [{ kind: "dense" }] },
        ],
      }],
    }, 4);
    expect(await worst(b, randomParameters(b.model, 5, 0.8), 3)).toBeLessThan(1e-6);
  });

  it("a digital skip around a block", async () => {
    const built = buildFfEbm(densePlan(4, [[4, 3], [3, 3]], 3, tanhUnit));
    // The second feed reads the first current as well as the first block's output.
    const stages = built.model.stages.map((stage) => {
      if (stage.name !== "feed1") return stage;
      const b = new Builder("feed1");
      const y = b.input("block0.s2", floatType([batchDim, 3]));
      const a = b.input("block0.a", floatType([batchDim, 4]));
      const w = b.input("feed1.weight", floatType([3, 3]));
      const bias = b.input("feed1.bias", floatType([3]));
      const product = b.dot(b.addition(y, b.sliceAxis(a, 1, 0, 3)), b.transpose(w, [1, 0]), 0, 1);
      const graph = b.finish([{ name: "block1.a", value: b.addition(product, bias) }]);
      return { kind: "digital", name: "feed1", graph } satisfies DigitalStage;
    });
    const model = verifyFfEbm({ ...built.model, stages });
    const b = new Bench({ ...built, model }, randomData(model, 3));
    expect(await worst(b, randomParameters(model, 6), 4)).toBeLessThan(1e-6);
  });
});
