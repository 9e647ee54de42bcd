import { describe, expect, it } from "vitest";
import { tensor } from "../../../compiler/graph/tensor.ts";
import type { Held } from "../../../runtime/learn/engine.ts";
import { cosine, epochOrder, stepSign } from "../../../runtime/learn/order.ts";
import {
  momentSpecs, Stepper, type Optimiser, type ParameterRule,
} from "../../../runtime/learn/optimiser.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { normalStream } from "../../../models/init.ts";

const parameters = [{ name: "w", shape: [2, 3] }, { name: "b", shape: [2] }];
const sizes: Record<string, number> = { w: 6, b: 2 };
const ruleFor = (name: string): ParameterRule => (name === "w"
  ? { rate: 1, decay: 0.1, bound: 0.9 } : { rate: 0.25, decay: 0 });
const numbers = (seed: number, name: string): Float64Array => {
  const normal = normalStream(seed, name);
  return Float64Array.from({ length: sizes[name] as number }, (_, i) => normal(i));
};

/** Plain loops over one parameter: theta after each of three steps. */
type Loop = (theta: Float64Array, g: Float64Array, t: number, rate: number, k: State) => void;
interface State { m: Float64Array; v: Float64Array }
const loops: Record<string, readonly [Optimiser, Loop]> = {
  "SGD with momentum": [{ kind: "sgd", momentum: 0.9 }, (theta, g, _t, rate, { m }) =>
    theta.forEach((_, i) => {
      m[i] = 0.9 * (m[i] as number) + (g[i] as number);
      theta[i] = (theta[i] as number) - rate * (m[i] as number);
    })],
  "Adam": [{ kind: "adam", beta2: 0.99 }, (theta, g, t, rate, { m, v }) =>
    theta.forEach((_, i) => {
      m[i] = 0.9 * (m[i] as number) + 0.1 * (g[i] as number);
      v[i] = 0.99 * (v[i] as number) + 0.01 * (g[i] as number) ** 2;
      const mean = (m[i] as number) / (1 - 0.9 ** t);
      const size = Math.sqrt((v[i] as number) / (1 - 0.99 ** t)) + 1e-8;
      theta[i] = (theta[i] as number) - (rate * mean) / size;
    })],
};

describe("optimisers equal plain loops, with decay, rates and bounds", () => {
  it.each(Object.keys(loops))("%s", async (name) => {
    const [optimiser, loop] = loops[name] as readonly [Optimiser, Loop];
    const engine = referenceEngine("f64");
    const hold = (shape: readonly number[], data: Float64Array): Held =>
      engine.hold(tensor("float32", shape, data));
    const state = new Map<string, Held>();
    const truth = new Map<string, Float64Array>();
    const kept = new Map<string, State>();
    for (const { name: p, shape } of parameters) {
      state.set(p, hold(shape, numbers(1, p)));
      truth.set(p, numbers(1, p));
      const size = sizes[p] as number;
      kept.set(p, { m: new Float64Array(size), v: new Float64Array(size) });
    }
    for (const { name: m, shape } of momentSpecs(parameters, optimiser)) {
      state.set(m, hold(shape, new Float64Array(shape.reduce((p, d) => p * d, 1))));
    }
    const stepper = await Stepper.create(engine, parameters, optimiser, ruleFor, state);
    let clipped = 0;
    for (let t = 1; t <= 4; t++) {
      // float32 holds the rate that is handed over, so it must be a float32 number here.
      const rate = Math.fround(0.3 / t);
      const gradients = new Map(parameters.map(({ name: p, shape }) =>
        [p, hold(shape, numbers(t + 1, p))]));
      await stepper.step(gradients, rate, t);
      for (const { name: p } of parameters) {
        const theta = truth.get(p) as Float64Array;
        const { rate: share, decay, bound } = ruleFor(p);
        const g = numbers(t + 1, p).map((x, i) => x + decay * (theta[i] as number));
        loop(theta, g, t, rate * share, kept.get(p) as State);
        if (bound === undefined) continue;
        theta.forEach((x, i) => {
          if (Math.abs(x) > bound) clipped++;
          theta[i] = Math.min(Math.max(x, -bound), bound);
        });
      }
    }
    expect(clipped).toBeGreaterThan(0);
    for (const { name: p } of parameters) {
      const found = (await engine.read(stepper.state.get(p) as Held)).data;
      // Adam's bias corrections go through float32.
      truth.get(p)?.forEach((x, i) => expect(found[i]).toBeCloseTo(x, 6));
    }
  });
});

describe("what training draws from its seed", () => {
  it("is a permutation per epoch, the same every time, another for another seed", () => {
    const order = epochOrder(1000, 7, 3);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(epochOrder(1000, 7, 3)).toEqual(order);
    expect(epochOrder(1000, 7, 4)).not.toEqual(order);
    expect(epochOrder(1000, 8, 3)).not.toEqual(order);
  });

  it("puts every sample everywhere equally often", () => {
    const counts = new Array<number>(5).fill(0);
    for (let epoch = 0; epoch < 5000; epoch++) {
      const at = epochOrder(5, 1, epoch).indexOf(0);
      counts[at] = (counts[at] as number) + 1;
    }
    // Binomial, mean 1000, deviation 28: five deviations.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(141);
  });

  it("are signs of both kinds", () => {
    const signs = Array.from({ length: 200 }, (_, step) => stepSign(3, step));
    const positive = signs.filter((s) => s === 1).length;
    expect(positive).toBeGreaterThan(65);
    expect(positive).toBeLessThan(135);
  });

  it("and a cosine from the first rate to the last", () => {
    expect(cosine(0.1, 0.01, 0)).toBeCloseTo(0.1, 15);
    expect(cosine(0.1, 0.01, 0.5)).toBeCloseTo(0.055, 15);
    expect(cosine(0.1, 0.01, 1)).toBeCloseTo(0.01, 15);
  });
});
