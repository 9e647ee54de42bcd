/**
 * The deepest recipe: six layers in one energy block, which small starts and equal rates leave at
 * chance.
 */
import { expect, it } from "vitest";
import { trainModel } from "../../runtime/learn/trainModel.ts";

it("trains six layers as one deep Hopfield network", async () => {
  const { history } = await trainModel({
    model: "mnist-split-6", data: "mnist:train[0:1024]", test: "mnist:test[0:16]",
    training: { batch: 16, epochs: 1 },
  });
  // Over the whole of the first epoch; chance is 0.1, with a standard deviation of 0.01.
  expect(history[0]?.trainAccuracy).toBeGreaterThan(0.2);
  expect(history[0]?.freeResidual).toBeLessThan(0.5);
}, 180_000);
