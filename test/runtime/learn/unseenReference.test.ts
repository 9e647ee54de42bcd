/** Reference networks of other shapes than the eight files, written by plain loops. */
import { describe, expect, it } from "vitest";
import { checkReference } from "../../../runtime/learn/reference.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { referenceOracle, type LinkPlan, type OraclePlan } from "../../support/referenceOracle.ts";

const dense = (n: number, bias = true): LinkPlan => ({ kind: "dense", to: [n], bias });
const conv = (
  to: readonly number[], kernel: readonly [number, number], padding: number,
  more: Partial<LinkPlan> = {},
): LinkPlan => ({ kind: "conv", to, kernel, padding, ...more });

const base = { batch: 3, classes: 3, gain: 0.7 } as const;
const plans: Record<string, OraclePlan> = {
  "four blocks, some of one layer, biases left out": {
    ...base, activation: "tanh", what: "four blocks", input: [5],
    blocks: [
      { feed: dense(4, false), layers: [] }, { feed: dense(3), layers: [dense(4, false)] },
      { feed: dense(4, false), layers: [] }, { feed: dense(4), layers: [dense(3), dense(4)] },
    ],
  },
  "one sample, two classes": {
    ...base, batch: 1, classes: 2, activation: "sigmoid", what: "one block", input: [4],
    blocks: [{ feed: dense(5), layers: [dense(4), dense(3), dense(4)] }],
  },
  "linear units": {
    ...base, gain: 0.4, activation: "linear", what: "feed: Linear 4-5; block: [5,4]", input: [4],
    blocks: [{ feed: dense(5), layers: [dense(4)] }],
  },
  "hard clamps": {
    ...base, activation: "clamp", what: "", input: [6],
    blocks: [{ feed: dense(5), layers: [dense(5)] }, { feed: dense(5), layers: [dense(4)] }],
  },
  "a 5x5 feed, a 1x1 coupling, a rectangular image": {
    ...base, gain: 0.4, batch: 2, activation: "tanh",
    what: "input [1,4,5]; feed Conv 1-2 k5 p2; block [2,4,5]-conv k1 p0-[2,4,5]; " +
      "readout Linear 40-3",
    input: [1, 4, 5],
    blocks: [{ feed: conv([2, 4, 5], [5, 5], 2), layers: [conv([2, 4, 5], [1, 1], 0)] }],
  },
  "a pooled feed without bias, then dense layers over the flattened map": {
    ...base, batch: 2, activation: "sigmoid",
    what: "input [2,6,6]; feed0 Conv 2-2 k3 p1 no bias, AvgPool 2; block0 [2,3,3]-dense-[4]; " +
      "feed1 Linear 4-3; block1 [3,3]",
    input: [2, 6, 6],
    blocks: [
      {
        feed: conv([2, 3, 3], [3, 3], 1, { pool: 2, bias: false }), layers: [dense(4)],
      },
      { feed: dense(3), layers: [dense(3)] },
    ],
  },
  "pooling by 3 that leaves a column over, kernels that are not square, shapes alone": {
    ...base, batch: 2, activation: "tanh", what: "feed0 AvgPool 3", input: [1, 7, 8],
    blocks: [{
      feed: conv([2, 2, 2], [2, 1], 0, { pool: 3 }), layers: [conv([3, 1, 2], [2, 1], 0)],
    }],
  },
  "a pooled feed that only shapes describe": {
    ...base, batch: 2, activation: "sigmoid", what: "", input: [1, 6, 6],
    blocks: [{ feed: conv([2, 3, 3], [3, 3], 1, { pool: 2 }), layers: [dense(3)] }],
  },
  "a convolutional block behind a convolutional block, then a dense feed": {
    ...base, batch: 2, activation: "sigmoid",
    what: "input [1,4,4]; feed0 Conv 1-2 k3 p1; block0 [2,4,4]-conv k3 p1-[1,4,4]; " +
      "feed1 Conv 1-2 k2 p0; block1 [2,3,3]; feed2 Linear 18-4; block2 [4,3]",
    input: [1, 4, 4],
    blocks: [
      { feed: conv([2, 4, 4], [3, 3], 1), layers: [conv([1, 4, 4], [3, 3], 1)] },
      { feed: conv([2, 3, 3], [2, 2], 0), layers: [] },
      { feed: dense(4), layers: [dense(3)] },
    ],
  },
};

describe("unseen reference networks, against plain loops", () => {
  it.each(Object.entries(plans))("%s", async (name, plan) => {
    const file = referenceOracle(plan, 1, ["0.01", "0.2"]);
    const report = await checkReference(file, name, referenceEngine("f64"));
    expect(report.equilibriumMaxError).toBeLessThan(1e-10);
    expect(report.lossError).toBeLessThan(1e-12);
    // Differences of fourth order with h = 1e-3: truncation near 1e-12, rounding 1e-13/h.
    expect(report.exactGradientRelativeError).toBeLessThan(1e-8);
    for (const beta of ["0.01", "0.2"]) {
      expect(report.bpEp[beta]?.relativeErrorToStored, beta).toBeLessThan(1e-9);
    }
    expect(report.bpEp["0.01"]?.cosineToExact).toBeGreaterThan(0.999);
  });
});
