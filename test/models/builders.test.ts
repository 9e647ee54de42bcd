import { describe, expect, it } from "vitest";
import { costBlock, mixesSamples, verifyFfEbm } from "../../compiler/energy/ffEbm.ts";
import { hardSigmoid, linearUnit } from "../../compiler/energy/units.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { buildFfEbm, startValues, type FfEbmPlan } from "../../models/ffEbm.ts";
import { hopfieldBlock } from "../../models/hopfield.ts";
import { initialValues, symmetricInit } from "../../models/init.ts";

const conv3 = { kind: "conv" as const, kernel: [3, 3] as const, padding: [1, 1] as const };
const unit = hardSigmoid;

const plan: FfEbmPlan = {
  name: "net", input: [1, 8, 8], cost: "cross-entropy",
  readout: [{ kind: "batchNorm" }, { kind: "linear", out: 10 }],
  blocks: [
    {
      feed: [
        { ...conv3, out: 4, bias: false }, { kind: "averagePool", size: 2 }, { kind: "batchNorm" },
      ],
      layers: [{ shape: [4, 4, 4], unit }, { shape: [6, 4, 4], unit, couplings: [conv3] }],
    },
    {
      feed: [{ kind: "linear", out: 12 }],
      layers: [
        { shape: [12], unit }, { shape: [5], unit: linearUnit, couplings: [{ kind: "dense" }] },
      ],
    },
  ],
};

type Starts = ReturnType<typeof startValues>;

describe("building an ff-EBM", () => {
  const { model, starts } = buildFfEbm(plan);

  it("names its parameters as PyTorch counts layers, and its blocks' by layer", () => {
    expect(model.parameters.map(({ name, shape }) => `${name} [${shape}]`)).toEqual([
      "feed0.0.weight [4,1,3,3]", "feed0.2.weight [4]", "feed0.2.bias [4]",
      "block0.layer2.W [6,4,3,3]", "block0.layer2.b [6]",
      "feed1.weight [12,96]", "feed1.bias [12]",
      "block1.layer2.W [5,12]", "block1.layer2.b [5]",
      "readout.0.weight [5]", "readout.0.bias [5]",
      "readout.1.weight [10,5]", "readout.1.bias [10]",
    ]);
    expect(model.statistics.map(({ name }) => name)).toEqual([
      "feed0.2.running_mean", "feed0.2.running_var",
      "readout.0.running_mean", "readout.0.running_var",
    ]);
  });

  it("makes valid graphs, with another for inference only where batch-norm is", () => {
    const digital = [...model.stages, model.loss].flatMap((s) => (s.kind === "digital" ? [s] : []));
    for (const stage of digital) {
      verifyGraph(stage.graph);
      if (stage.inference) verifyGraph(stage.inference);
    }
    expect(digital.map(({ inference }) => inference !== undefined)).toEqual([true, false, true]);
    expect(digital.map(({ graph }) => mixesSamples(graph))).toEqual([true, false, true]);
    expect(digital.map((s) => (s.inference ? mixesSamples(s.inference) : false)))
      .toEqual([false, false, false]);
  });

  it("lets the cost nudge the last block only", () => {
    expect(costBlock(model)?.name).toBe("block1");
  });

  it("starts the same from the same seed, within the bounds of its layers", () => {
    const [first, again, other] = [1, 1, 2].map((seed) => startValues({ model, starts }, seed)) as
      [Starts, Starts, Starts];
    expect(first).toEqual(again);
    expect(first.get("feed1.weight")).not.toEqual(other.get("feed1.weight"));
    const bound = 1 / Math.sqrt(96);
    const weights = first.get("feed1.weight")?.data ?? [];
    expect(Math.max(...weights)).toBeLessThanOrEqual(bound);
    expect(Math.max(...weights)).toBeGreaterThan(0.9 * bound);
    expect([...first.get("readout.0.running_var")?.data ?? []]).toEqual([1, 1, 1, 1, 1]);
  });

  it("draws symmetric kernels of the stated variances", () => {
    const kernels = initialValues(symmetricInit(0.03), [2000, 1, 3, 3], 1, "w");
    let [diagonal, rest] = [0, 0];
    for (let k = 0; k < 2000; k++) {
      const at = (r: number, c: number): number => kernels[9 * k + 3 * r + c] as number;
      expect(at(0, 1)).toBe(at(1, 0));
      diagonal += at(1, 1) ** 2 / 2000;
      rest += at(0, 2) ** 2 / 2000;
    }
    // Sample variances of 2000 normal numbers: relative deviation sqrt(2/2000) = 0.03.
    expect(diagonal / 0.08).toBeCloseTo(1, 0);
    expect(Math.abs(diagonal / 0.08 - 1)).toBeLessThan(0.16);
    expect(Math.abs(rest / 0.01 - 1)).toBeLessThan(0.16);
  });
});

describe("what does not fit is refused by name", () => {
  it.each([
    ["a feed and a first layer", { ...plan, blocks: [{
      feed: [{ kind: "linear" as const, out: 3 }], layers: [{ shape: [4], unit }],
    }] }, /block 0: Its feed makes \[3\] and its first layer has \[4\]/],
    ["a convolution after a dense layer", { ...plan, blocks: [{
      feed: [{ kind: "linear" as const, out: 3 }, { ...conv3, out: 2 }],
      layers: [{ shape: [2, 1, 1], unit }],
    }] }, /convolution layer needs an input \[channels, height, width\], and its input is \[3\]/],
  ])("%s", (_name, wrong, message) => {
    expect(() => buildFfEbm(wrong)).toThrow(message);
  });

  it("a coupling and its layer", () => {
    expect(() => hopfieldBlock("b", [
      { shape: [2, 4, 4], unit }, { shape: [3, 4, 5], unit, couplings: [conv3] },
    ])).toThrow(/b, layer 2: A conv coupling makes \[3,4,4\] of \[2,4,4\], and the layer has/);
    expect(() => hopfieldBlock("b", [])).toThrow(/at least one layer/);
  });

  it("a value read before it is written, or written twice", () => {
    const { model } = buildFfEbm(plan);
    const [first, second, ...rest] = model.stages;
    expect(() => verifyFfEbm({ ...model, stages: [second as never, first as never, ...rest] }))
      .toThrow(/reads block0\.a before it is there/);
    expect(() => verifyFfEbm({ ...model, stages: [first as never, first as never, ...rest] }))
      .toThrow(/writes .* which there is already/);
  });
});
