/** Recipes in JSON: what the code's recipes are, and what is refused. */
import { describe, expect, it } from "vitest";
import { readRecipe } from "../../models/recipeFile.ts";
import { recipes } from "../../models/recipes.ts";
import { zooNames, zooPlans } from "../support/ffEbmZoo.ts";

const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe("a recipe in JSON", () => {
  it.each(Object.entries(recipes))("may be %s", (name, recipe) => {
    expect(readRecipe(throughJson(recipe), name)).toEqual(recipe);
  });

  it.each(zooNames)("may have a plan with %s", (name) => {
    const { training } = recipes["mnist-dhn"];
    const plan = zooPlans[name];
    expect(throughJson(readRecipe(throughJson({ plan, training }), name).plan))
      .toEqual(throughJson(plan));
  });

  it.each([
    [{ training: { ...recipes["mnist-dhn"].training, beta: 0 } }, /own\.json: training\.beta/],
    [{ plan: { ...recipes["mnist-dhn"].plan, cost: "hinge" } }, /own\.json: plan\.cost/],
    [{ learningRate: 1 }, /own\.json: .*learningRate/],
  ])("is refused by its field: %j", (change, message) => {
    expect(() => readRecipe({ ...throughJson(recipes["mnist-dhn"]) as object, ...change },
      "own.json")).toThrow(message);
  });
});
