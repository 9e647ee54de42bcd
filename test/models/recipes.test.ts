/** Recipes: settings that go together with their models. What they reach is in models/README.md. */
import { describe, expect, it } from "vitest";
import { blocksOf } from "../../compiler/energy/ffEbm.ts";
import { buildFfEbm } from "../../models/ffEbm.ts";
import { recipes, type Recipe } from "../../models/recipes.ts";
import { trainingSettings } from "../../runtime/learn/settings.ts";

describe.each(Object.entries<Recipe>(recipes))("%s", (name, { plan, training }) => {
  const { model } = buildFfEbm(plan);

  it("is called what its model is called", () => expect(plan.name).toBe(name));

  it("sweeps often enough for a nudge to reach the first layer of every block", () => {
    const deepest = Math.max(...blocksOf(model).map(({ states }) => states.length));
    // Two neighbouring layers are updated in a sweep.
    expect(2 * training.nudgedSweeps).toBeGreaterThanOrEqual(deepest);
    expect(training.freeSweeps).toBeGreaterThanOrEqual(training.nudgedSweeps);
  });

  it("gives rates to parameters that exist, the slowest to biases inside blocks", () => {
    const { rates } = trainingSettings({}, model, training);
    if (training.rates === undefined) return;
    const inside = blocksOf(model).flatMap(({ parameters }) => parameters.map((p) => p.name));
    expect(Object.keys(rates).sort()).toEqual([...inside].sort());
    for (const [parameter, rate] of Object.entries(rates)) {
      expect(rate, parameter).toBe(parameter.endsWith(".b") ? 0.01 : 0.1);
    }
  });
});
