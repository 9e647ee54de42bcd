/**
 * Predicted quality against chips that were programmed: a short version of
 * `test/bench/predictedLoss.bench.ts`, which takes 30 partitions and more images and chips. So few
 * images tell accuracies apart to some percent only; the error power of the outputs, which is what
 * is predicted, they tell well.
 */
import { expect, it } from "vitest";
import { needCifar } from "../../support/cifar.ts";
import { describeNeeding } from "../../support/notRun.ts";
import { predictedLosses } from "../../support/predictedLoss.ts";
import { rankCorrelation } from "./support.ts";

/**
 * Rankings of 8 without any relation correlate more than this once in a hundred: the one-sided
 * critical value of Spearman's coefficient (Zar, JASA 67, 1972).
 */
const CRITICAL = 0.833;

describeNeeding(needCifar, "8 partitions of the residual net on NeuRRAM", () => {
  it("are as noisy as predicted, in order, and lose accuracy", async () => {
    const found = await predictedLosses({
      model: "models/cifar10-resnet8.onnx", target: "neurram-rram",
      partitions: 8, images: 64, chips: 1, seed: 1,
    });
    const rank = rankCorrelation(found.map((p) => p.noise), found.map((p) => p.simulated));
    console.log(`rank correlation ${rank.toFixed(3)}`);
    expect(rank).toBeGreaterThan(CRITICAL);
    expect(Math.max(...found.map((p) => p.loss))).toBeGreaterThan(0);
  }, 300_000);
});
