/**
 * The verification ladder (../shared/reference/equilibrium-propagation.md, section 5): nudged
 * gradients against the implicit oracle, in float64, at rest.
 */
import { describe, expect, it } from "vitest";
import { fieldBlock, untie, type FieldBlock } from "../../../compiler/energy/field.ts";
import { blocksOf } from "../../../compiler/energy/ffEbm.ts";
import {
  hardSigmoid, smoothSigmoid, tanhUnit, type Unit,
} from "../../../compiler/energy/units.ts";
import type { Block } from "../../../compiler/energy/field.ts";
import type { EnergyBlock } from "../../../compiler/energy/block.ts";
import { buildFfEbm } from "../../../models/ffEbm.ts";
import { compareGradients, type Agreement } from "../../../runtime/learn/compare.ts";
import type { Stencil } from "../../../runtime/learn/estimators.ts";
import { stencilOf, type EstimatorName } from "../../../runtime/learn/estimators.ts";
import type { Solver } from "../../../runtime/learn/blockRunner.ts";
import type { GradientMethod } from "../../../runtime/learn/chain.ts";
import {
  Bench, bench, converged, densePlan, implicit, randomData, randomParameters, toRest,
  type Numbers,
} from "./support.ts";

const smooth: readonly (readonly [string, Unit])[] =
  [["tanh", tanhUnit], ["sigmoid", smoothSigmoid]];
/** A method with the stencil of that name. */
const nudged = (name: EstimatorName, beta: number, points?: number): Nudged =>
  ({ kind: "equilibrium", stencil: stencilOf(name, { beta, points }) });
type Nudged = Extract<GradientMethod, { readonly kind: "equilibrium" }>;
const toy = (unit: Unit): Bench => bench(densePlan(6, [[5, 4], [4, 5, 3], [4, 4]], 3, unit), 4);

async function agreement(
  b: Bench, numbers: Numbers, name: EstimatorName, beta: number, truth: Numbers, points?: number,
): Promise<Agreement> {
  const found = await b.gradient(numbers, nudged(name, beta, points));
  return compareGradients(found, truth).overall;
}

describe.each(smooth)("three blocks of %s units", (_name, unit) => {
  const b = toy(unit);
  const numbers = randomParameters(b.model, 11, 0.7);

  it("one-sided errors fall as beta, centered ones as beta squared", async () => {
    const truth = await b.gradient(numbers, implicit);
    const error = async (name: EstimatorName, beta: number): Promise<number> =>
      (await agreement(b, numbers, name, beta, truth)).relativeError;
    for (const name of ["p-ep", "n-ep"] as const) {
      const ratio = await error(name, 1e-2) / await error(name, 1e-3);
      expect(ratio, name).toBeGreaterThan(9);
      expect(ratio, name).toBeLessThan(11);
    }
    const ratio = await error("c-ep", 1e-2) / await error("c-ep", 1e-3);
    expect(ratio).toBeGreaterThan(90);
    expect(ratio).toBeLessThan(110);
    expect((await agreement(b, numbers, "c-ep", 1e-3, truth)).cosine).toBeGreaterThan(0.9999);
  });

  it("the holomorphic error falls geometrically in the number of points", async () => {
    const truth = await b.gradient(numbers, implicit);
    const errors: number[] = [];
    for (const points of [2, 4, 6, 8]) {
      errors.push((await agreement(b, numbers, "h-ep", 0.05, truth, points)).relativeError);
    }
    // An error r^N/R^N falls by the same factor with every two points.
    const factors = errors.slice(1).map((e, i) => e / (errors[i] as number));
    expect(Math.max(...factors)).toBeLessThan(0.05);
    expect(errors.at(-1)).toBeLessThan(1e-7);
  });

  it("two holomorphic points are the centered estimator, and odd stencils work", async () => {
    const truth = await b.gradient(numbers, nudged("c-ep", 0.1));
    const two = await agreement(b, numbers, "h-ep", 0.1, truth, 2);
    expect(two.relativeError).toBeLessThan(1e-13);
    const exact = await b.gradient(numbers, implicit);
    const five = await agreement(b, numbers, "h-ep", 0.05, exact, 5);
    const four = await agreement(b, numbers, "h-ep", 0.05, exact, 4);
    expect(five.relativeError).toBeLessThan(four.relativeError);
  });

  it("a zero nudge gives exactly zero; the centered one is even in beta", async () => {
    const phase = (beta: number, weight: number): Stencil["phases"][number] =>
      ({ beta: { re: beta, im: 0 }, weight: { re: weight, im: 0 } });
    const still: Stencil = {
      family: "nudged", isComplex: false, freeWeight: 0, phases: [phase(0, 7), phase(0, -7)],
    };
    const nothing = await b.gradient(numbers, { kind: "equilibrium", stencil: still });
    for (const values of nothing.values()) expect(values.every((x) => x === 0)).toBe(true);
    const at = (beta: number): Promise<Numbers> => b.gradient(numbers, {
      kind: "equilibrium",
      stencil: { ...still, phases: [phase(beta, 0.5 / beta), phase(-beta, -0.5 / beta)] },
    });
    const { overall } = compareGradients(await at(0.2), await at(-0.2));
    expect(overall.relativeError).toBeLessThan(1e-12);
  });

  it("no error gives exactly zero", async () => {
    // With a readout of zeros the cost does not depend on the state.
    const blind = new Map(numbers);
    const weight = blind.get("readout.weight") as Float64Array;
    blind.set("readout.weight", new Float64Array(weight.length));
    const found = await b.gradient(blind, nudged("c-ep", 0.2));
    for (const [name, values] of found) {
      if (!name.startsWith("readout")) expect(values.every((x) => x === 0), name).toBe(true);
    }
  });
});

describe("boundary gradients", () => {
  it("equal finite differences on the current, sign included, at every block", async () => {
    const widths = [[4, 3], [3, 4, 3], [3, 3]];
    const whole = bench(densePlan(5, widths, 3, tanhUnit), 3);
    const numbers = randomParameters(whole.model, 21, 0.8);
    const pass = await whole.forward(numbers);
    const { boundaries } = await whole.chain.backward(whole.parameters(numbers), pass, {
      method: nudged("c-ep", 1e-3), keepBoundaries: true,
    });
    expect(boundaries.size).toBe(3);
    for (const [k, block] of blocksOf(whole.model).entries()) {
      const current = await whole.engine.read(pass.blocks.get(block.name)?.current as never);
      const found = (await whole.engine.read(boundaries.get(block.name) as never)).data;
      // The rest of the net, driven by the current itself.
      const loss = async (a: Float64Array): Promise<number> => {
        const tail = whole.model.stages.slice(2 * k + 1);
        const model = { ...whole.model, stages: tail, input: block.current };
        const part = new Bench({ model, starts: [] }, { ...whole.data, input: a });
        const held = await part.forward(numbers);
        return Array.from((await part.engine.read(held.loss)).data).reduce((s, x) => s + x, 0);
      };
      const a = Float64Array.from(current.data);
      for (let i = 0; i < a.length; i += 2) {
        const moved = (h: number): Float64Array => a.map((x, j) => (j === i ? x + h : x));
        const truth = (await loss(moved(1e-4)) - await loss(moved(-1e-4))) / 2e-4;
        const error = Math.abs((found[i] as number) - truth);
        expect(error).toBeLessThan(1e-5 + 1e-3 * Math.abs(truth));
        if (Math.abs(truth) < 1e-4) continue;
        expect(Math.sign(found[i] as number)).toBe(Math.sign(truth));
      }
    }
  });
});

describe("step by step", () => {
  it("increments of EP are the terms of truncated backprop (synchronous)", async () => {
    const steps = 8;
    const solver: Solver = {
      order: "synchronous", free: converged, nudged: { sweeps: steps },
    };
    const b = bench(densePlan(5, [[5, 4, 4]], 3, tanhUnit), 4, solver);
    const numbers = randomParameters(b.model, 31, 0.6);
    const increments: Numbers[] = [];
    const beta = 1e-5;
    const held = b.parameters(numbers);
    await b.gradient(numbers, {
      kind: "continual", beta, sweeps: steps,
      step: async (increment) => {
        const own: Numbers = new Map();
        for (const [name, h] of increment) {
          if (!name.startsWith("block")) continue;
          own.set(name, Float64Array.from((await b.engine.read(h)).data));
        }
        increments.push(own);
        return held;
      },
    });
    // Truncated backprop over t sweeps minus that over t-1 is its t-th term.
    let before: Numbers | undefined;
    for (let t = 1; t <= steps; t++) {
      const total = await b.gradient(numbers, { kind: "truncated" }, t);
      let [difference, size] = [0, 0];
      for (const [name, increment] of increments[t - 1] as Numbers) {
        if (!total.has(name)) continue;
        increment.forEach((x, i) => {
          const term = (total.get(name)?.[i] as number) - (before?.get(name)?.[i] ?? 0);
          difference += (x - term) ** 2;
          size += term ** 2;
        });
      }
      expect(size, `step ${t}`).toBeGreaterThan(0);
      expect(Math.sqrt(difference / size), `step ${t}`).toBeLessThan(2e-3);
      before = total;
    }
  });

  it("the increments add up to the one-sided gradient", async () => {
    const solver: Solver = { ...toRest, nudged: { sweeps: 12 } };
    const b = bench(densePlan(5, [[5, 4], [4, 4]], 3, smoothSigmoid), 3, solver);
    const numbers = randomParameters(b.model, 32);
    const held = b.parameters(numbers);
    const sum = await b.gradient(numbers,
      { kind: "continual", beta: 0.1, sweeps: 12, step: async () => held });
    const once = await b.gradient(numbers, nudged("p-ep", 0.1));
    expect(compareGradients(sum, once).overall.relativeError).toBeLessThan(1e-9);
  });
});

describe("one-layer blocks", () => {
  it("are a feedforward net: implicit gradients are backprop, EP's converge to them", async () => {
    const b = bench(densePlan(6, [[5], [4], [4]], 3, tanhUnit), 4);
    const numbers = randomParameters(b.model, 41);
    const truth = backprop(numbers, b);
    expect(compareGradients(await b.gradient(numbers, implicit), truth).overall.relativeError)
      .toBeLessThan(1e-13);
    const error = async (beta: number): Promise<number> =>
      (await agreement(b, numbers, "c-ep", beta, truth)).relativeError;
    expect(await error(1e-3)).toBeLessThan(1e-5);
    expect(await error(1e-2) / await error(1e-3)).toBeGreaterThan(90);
  });
});

/** Backprop through x -> tanh(W x + b), three times, and a softmax readout: plain loops. */
function backprop(numbers: Numbers, { data }: Bench): Numbers {
  const layers = ["feed0", "feed1", "feed2", "readout"];
  const grads: Numbers = new Map([...numbers].map(([n, v]) => [n, new Float64Array(v.length)]));
  for (let n = 0; n < data.batch; n++) {
    const width = data.input.length / data.batch;
    const acts = [data.input.subarray(n * width, (n + 1) * width)];
    for (const name of layers) {
      const [w, bias] = [numbers.get(`${name}.weight`), numbers.get(`${name}.bias`)] as
        [Float64Array, Float64Array];
      const x = acts.at(-1) as Float64Array;
      acts.push(bias.map((c, o) => {
        const v = x.reduce((sum, xi, i) => sum + xi * (w[o * x.length + i] as number), c);
        return name === "readout" ? v : Math.tanh(v);
      }));
    }
    const logits = acts.at(-1) as Float64Array;
    const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
    let delta = logits.map((z, k) =>
      Math.exp(z) / total - (data.target[n * logits.length + k] as number));
    for (let l = layers.length - 1; l >= 0; l--) {
      const name = layers[l] as string;
      const w = numbers.get(`${name}.weight`) as Float64Array;
      const x = acts[l] as Float64Array;
      const [gw, gb] = [grads.get(`${name}.weight`), grads.get(`${name}.bias`)] as
        [Float64Array, Float64Array];
      delta.forEach((d, o) => {
        gb[o] = (gb[o] as number) + d / data.batch;
        x.forEach((xi, i) => {
          gw[o * x.length + i] = (gw[o * x.length + i] as number) + (d * xi) / data.batch;
        });
      });
      delta = x.map((xi, i) => (1 - xi * xi) * delta.reduce((sum, d, o) =>
        sum + d * (w[o * x.length + i] as number), 0));
    }
  }
  return grads;
}

describe("untied weights", () => {
  const plan = densePlan(5, [[5, 4, 4]], 3, tanhUnit);
  const built = buildFfEbm(plan);
  const withBlock = (block: Block): Bench => {
    const stages = built.model.stages.map((stage) =>
      (stage.kind === "analog" ? { ...stage, block } : stage));
    const outside = built.model.parameters.filter(({ name }) => !name.startsWith("block"));
    const model = { ...built.model, stages, parameters: [...outside, ...block.parameters] };
    return new Bench({ model, starts: [] }, randomData(model, 4));
  };
  const tiedBlock = blocksOf(built.model)[0] as EnergyBlock;
  const free: FieldBlock = untie(tiedBlock);
  const tied = randomParameters(built.model, 51, 0.7);
  const copies = (asymmetry: number): Numbers => new Map([
    ...[...tied].filter(([name]) => !name.startsWith("block")),
    ...free.parameters.map(({ name }) => {
      const original = name.split("@")[0] as string;
      const values = tied.get(original) as Float64Array;
      // The copies that carry down are disturbed, in proportion to their size.
      const isDown = ["layer2.W@block0.s1", "layer3.W@block0.s2"].some((w) => name.endsWith(w));
      const other = randomParameters(built.model, 99, 0.7).get(original) as Float64Array;
      const size = isDown ? asymmetry : 0;
      return [name, values.map((v, i) => v + size * (other[i] as number))] as const;
    }),
  ]);

  it("have two copies of each coupling and one of each bias", () => {
    expect(free.parameters.map(({ name }) => name)).toEqual([
      "block0.layer2.W@block0.s1", "block0.layer2.W@block0.s2", "block0.layer2.b",
      "block0.layer3.W@block0.s2", "block0.layer3.W@block0.s3", "block0.layer3.b",
    ]);
  });

  it("give the tied gradient as the sum over copies when the copies are equal", async () => {
    const one = withBlock(tiedBlock);
    const two = withBlock(free);
    const truth = await one.gradient(tied, implicit);
    const found = await two.gradient(copies(0), nudged("c-ep", 1e-4));
    const summed: Numbers = new Map([...truth].map(([name, values]) => {
      const parts = [...found].filter(([copy]) => copy.split("@")[0] === name);
      return [name, values.map((_, i) => parts.reduce((s, [, p]) => s + (p[i] as number), 0))];
    }));
    expect(compareGradients(summed, truth).overall.relativeError).toBeLessThan(1e-6);
  });

  it.each([0.3, 1])("at asymmetry %d: biased, and corrected to cosine 1", async (asymmetry) => {
    const b = withBlock(free);
    const numbers = copies(asymmetry);
    const truth = await b.gradient(numbers, implicit);
    const method = nudged("c-ep", 1e-3);
    const plain = compareGradients(await b.gradient(numbers, method), truth).overall;
    const transposed = await b.gradient(numbers, { ...method, isTransposed: true });
    const corrected = compareGradients(transposed, truth).overall;
    expect(plain.cosine).toBeLessThan(0.9999);
    expect(corrected.cosine).toBeGreaterThan(1 - 1e-9);
    expect(corrected.relativeError).toBeLessThan(1e-4);
  });

  it("refuses a field whose pre-activation has another shape than its state", () => {
    expect(() => fieldBlock({ ...free, parameters: [] }, (_b, values) =>
      new Map(free.states.map(({ name }) => [name, values.get("block0.a") as never]))))
      .toThrow(/pre-activation of block0\.s2/);
  });
});

describe("bounds on the cost (squared error, one block)", () => {
  it("F is concave in beta, and the one-sided surrogates enclose the cost", async () => {
    const b = bench({
      name: "bounds", input: [5], cost: "squared-error", readout: [],
      blocks: [{
        feed: [{ kind: "linear", out: 6 }],
        layers: [
          { shape: [6], unit: hardSigmoid },
          { shape: [3], unit: hardSigmoid, couplings: [{ kind: "dense" }] },
        ],
      }],
    }, 1);
    const numbers = randomParameters(b.model, 61, 0.6);
    const at = async (beta: number): Promise<number> => totalEnergy(b, numbers, beta);
    const [minus, zero, plus] = [await at(-0.3), await at(0), await at(0.3)];
    const cost = await b.loss(numbers);
    expect(plus + minus).toBeLessThanOrEqual(2 * zero + 1e-12);
    expect((plus - zero) / 0.3).toBeLessThanOrEqual(cost + 1e-12);
    expect((zero - minus) / 0.3).toBeGreaterThanOrEqual(cost - 1e-12);
    // The bounds are not trivially equal.
    expect((zero - minus) / 0.3 - (plus - zero) / 0.3).toBeGreaterThan(1e-4);
  });
});

/** min_s E + beta*C of the sole sample, by loops. */
async function totalEnergy(b: Bench, numbers: Numbers, beta: number): Promise<number> {
  const pass = await b.forward(numbers);
  const read = async (name: string): Promise<Float64Array> =>
    Float64Array.from((await b.engine.read(pass.values.get(name) as never)).data);
  const a = await read("block0.a");
  const w = numbers.get("block0.layer2.W") as Float64Array;
  const bias = numbers.get("block0.layer2.b") as Float64Array;
  const y = b.data.target;
  const clamp = (v: number): number => Math.min(Math.max(v, 0), 1);
  const s1 = new Float64Array(6);
  const s2 = new Float64Array(3);
  for (let t = 0; t < 2000; t++) {
    for (let i = 0; i < 6; i++) {
      s1[i] = clamp(s2.reduce((sum, s, o) => sum + s * (w[o * 6 + i] as number), a[i] as number));
    }
    for (let o = 0; o < 3; o++) {
      const v = s1.reduce((sum, s, i) => sum + s * (w[o * 6 + i] as number), bias[o] as number);
      s2[o] = clamp((v + beta * (y[o] as number)) / (1 + beta));
    }
  }
  let energy = 0;
  s1.forEach((s, i) => { energy += (s * s) / 2 - s * (a[i] as number); });
  s2.forEach((s, o) => {
    const v = s1.reduce((sum, x, i) => sum + x * (w[o * 6 + i] as number), bias[o] as number);
    energy += (s * s) / 2 - s * v + (beta * (s - (y[o] as number)) ** 2) / 2;
  });
  return energy;
}
