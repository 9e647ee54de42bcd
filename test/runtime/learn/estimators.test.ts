import { describe, expect, it } from "vitest";
import { hardSigmoid, linearUnit, relu } from "../../../compiler/energy/units.ts";
import { compareGradients } from "../../../runtime/learn/compare.ts";
import {
  estimatorNames, stencilOf, type EstimatorName, type Stencil,
} from "../../../runtime/learn/estimators.ts";
import {
  bench, densePlan, implicit, randomParameters, type Data, type Numbers,
} from "./support.ts";

interface Sum { re: number; im: number }
const times = (x: Sum, y: Sum): Sum =>
  ({ re: x.re * y.re - x.im * y.im, im: x.re * y.im + x.im * y.re });

/** sum over all phases of weight*beta^power; conjugate pairs have but one member in the table. */
function moment({ phases, freeWeight }: Stencil, power: number): Sum {
  const total: Sum = { re: power === 0 ? freeWeight : 0, im: 0 };
  for (const { beta, weight } of phases) {
    let term: Sum = { ...weight };
    for (let i = 0; i < power; i++) term = times(term, beta);
    total.re += term.re;
    total.im += term.im;
  }
  return total;
}

const all: readonly (readonly [EstimatorName, number | undefined])[] = [
  ...estimatorNames.filter((name) => name !== "h-ep").map((name) => [name, undefined] as const),
  ...[2, 3, 4, 5, 8].map((points) => ["h-ep", points] as const),
];

describe("stencils", () => {
  it.each(all)("%s (%s points) differentiates once", (name, points) => {
    const stencil = stencilOf(name, { beta: 0.3, points });
    expect(moment(stencil, 0).re).toBeCloseTo(0, 14);
    expect(moment(stencil, 1).re).toBeCloseTo(1, 14);
    expect(stencil.phases[0]?.beta.im).toBe(0);
  });

  it.each([2, 3, 4, 5, 8])("of %d points err from order N on", (points) => {
    const stencil = stencilOf("h-ep", { beta: 0.3, points });
    for (let power = 2; power <= points; power++) {
      expect(moment(stencil, power).re, `power ${power}`).toBeCloseTo(0, 14);
    }
    expect(Math.abs(moment(stencil, points + 1).re)).toBeGreaterThan(1e-7);
  });

  it("are symmetric, positive or negative as their names say", () => {
    const betas = (name: EstimatorName): number[] =>
      stencilOf(name, { beta: 0.2 }).phases.map(({ beta }) => beta.re);
    expect(betas("p-ep")).toEqual([0.2]);
    expect(betas("n-ep")).toEqual([-0.2]);
    expect(betas("c-ep")).toEqual([0.2, -0.2]);
    expect(betas("cl")).toEqual([1]);
    const random = stencilOf("random-ep", { beta: 0.2, sign: -1 });
    expect(random).toEqual(stencilOf("n-ep", { beta: 0.2 }));
  });

  it.each([0, -0.2, Number.NaN, Infinity])("refuse a nudge of %d", (beta) => {
    expect(() => stencilOf("c-ep", { beta })).toThrow(/--beta: A nudge of/);
  });
  it("refuse one point", () => {
    expect(() => stencilOf("h-ep", { beta: 1, points: 1 })).toThrow(/--points: 1 points/);
  });
});

const plan = {
  name: "squares", input: [5], cost: "squared-error" as const, readout: [],
  blocks: [{
    feed: [{ kind: "linear" as const, out: 6 }],
    layers: [
      { shape: [6], unit: hardSigmoid },
      { shape: [5], unit: hardSigmoid, couplings: [{ kind: "dense" as const }] },
      { shape: [3], unit: linearUnit, couplings: [{ kind: "dense" as const }] },
    ],
  }],
};

describe("the seven algorithms of the comparative study, against plain loops", () => {
  const b = bench(plan, 3);
  const numbers = randomParameters(b.model, 71, 0.7);
  const names = ["cl", "p-ep", "n-ep", "c-ep", "p-cpl", "n-cpl", "c-cpl"] as const;

  it.each(names)("%s", async (name) => {
    const stencil = stencilOf(name, { beta: 0.3 });
    const found = await b.gradient(numbers, { kind: "equilibrium", stencil });
    const truth = byLoops(numbers, b.data, name, 0.3);
    const { overall } = compareGradients(found, truth);
    expect(Math.hypot(...(truth.get("block0.layer2.W") as Float64Array))).toBeGreaterThan(1e-3);
    expect(overall.relativeError).toBeLessThan(1e-9);
  });

  it("differ from each other", async () => {
    const found: Numbers[] = [];
    for (const name of names) {
      found.push(await b.gradient(numbers,
        { kind: "equilibrium", stencil: stencilOf(name, { beta: 0.3 }) }));
    }
    found.forEach((x, i) => found.slice(i + 1).forEach((y) =>
      expect(compareGradients(x, y).overall.relativeError).toBeGreaterThan(1e-4)));
  });
});

type Layer = Float64Array;
interface Rest { readonly s: readonly [Layer, Layer, Layer]; readonly a: Layer }

/**
 * Table 2 of the reference (section 2), literally: states by unit-by-unit minimisation, updates as
 * differences of dE/dtheta. The three layers are coupled by W2 [5, 6] and W3 [3, 5].
 */
function byLoops(
  numbers: Numbers, data: Data, name: string, beta: number,
): Numbers {
  const get = (n: string): Layer => numbers.get(n) as Layer;
  const [w1, b1] = [get("feed0.weight"), get("feed0.bias")];
  const [w2, b2, w3, b3] = ["layer2.W", "layer2.b", "layer3.W", "layer3.b"]
    .map((n) => get(`block0.${n}`)) as [Layer, Layer, Layer, Layer];
  const grads: Numbers = new Map([...numbers].map(([n, v]) => [n, new Float64Array(v.length)]));
  const clamp = (v: number): number => Math.min(Math.max(v, 0), 1);
  for (let n = 0; n < data.batch; n++) {
    const x = data.input.subarray(n * 5, n * 5 + 5);
    const y = data.target.subarray(n * 3, n * 3 + 3);
    const a = b1.map((c, i) => x.reduce((sum, xi, j) => sum + xi * (w1[i * 5 + j] as number), c));
    /** The minimum of E + strength*C; with `held`, of E with the output held there. */
    const rest = (strength: number, held?: Layer): Rest => {
      const s = [new Float64Array(6), new Float64Array(5), held ?? new Float64Array(3)] as const;
      for (let t = 0; t < 400; t++) {
        s[0].forEach((_, i) => {
          const v = s[1].reduce((sum, u, j) => sum + u * (w2[j * 6 + i] as number), a[i] as number);
          s[0][i] = clamp(v);
        });
        s[1].forEach((_, j) => {
          let v = b2[j] as number;
          s[0].forEach((u, i) => { v += u * (w2[j * 6 + i] as number); });
          s[2].forEach((u, o) => { v += u * (w3[o * 5 + j] as number); });
          s[1][j] = clamp(v);
        });
        if (held) continue;
        s[2].forEach((_, o) => {
          let v = b3[o] as number;
          s[1].forEach((u, j) => { v += u * (w3[o * 5 + j] as number); });
          s[2][o] = (v + strength * (y[o] as number)) / (1 + strength);
        });
      }
      return { s: s as Rest["s"], a };
    };
    const free = rest(0);
    const output = free.s[2];
    const put = (strength: number): Rest =>
      rest(0, output.map((o, k) => o + strength * ((y[k] as number) - o)));
    // Each algorithm as (state, coefficient) pairs of the gradient, the negative of the update.
    const table: Record<string, readonly (readonly [Rest, number])[]> = {
      "cl": [[rest(0, Float64Array.from(y)), 1], [free, -1]],
      "p-ep": [[rest(beta), 1 / beta], [free, -1 / beta]],
      "n-ep": [[free, 1 / beta], [rest(-beta), -1 / beta]],
      "c-ep": [[rest(beta), 1 / (2 * beta)], [rest(-beta), -1 / (2 * beta)]],
      "p-cpl": [[put(beta), 1 / beta], [free, -1 / beta]],
      "n-cpl": [[free, 1 / beta], [put(-beta), -1 / beta]],
      "c-cpl": [[put(beta), 1 / (2 * beta)], [put(-beta), -1 / (2 * beta)]],
    };
    for (const [{ s }, c] of table[name] as readonly (readonly [Rest, number])[]) {
      const add = (n2: string, at: number, v: number): void => {
        const g = grads.get(n2) as Layer;
        g[at] = (g[at] as number) - (c * v) / data.batch;
      };
      s[0].forEach((u, i) => {
        add("feed0.bias", i, u);
        x.forEach((xj, j) => add("feed0.weight", i * 5 + j, u * xj));
        s[1].forEach((v, j) => add("block0.layer2.W", j * 6 + i, u * v));
      });
      s[1].forEach((u, j) => {
        add("block0.layer2.b", j, u);
        s[2].forEach((v, o) => add("block0.layer3.W", o * 5 + j, u * v));
      });
      s[2].forEach((u, o) => add("block0.layer3.b", o, u));
    }
  }
  return grads;
}

describe("the holomorphic estimator", () => {
  it("refuses units with kinks, naming the state", async () => {
    const b = bench(densePlan(4, [[3, 3]], 3, relu), 2);
    const numbers = randomParameters(b.model, 81, 0.3);
    const stencil = stencilOf("h-ep", { beta: 0.1, points: 4 });
    await expect(b.gradient(numbers, { kind: "equilibrium", stencil }))
      .rejects.toThrow(/block0: The clamp units of block0\.s1 are not holomorphic/);
  });
});

describe("truncated and recurrent backprop", () => {
  it("converge to the implicit gradient with the number of sweeps", async () => {
    const b = bench(densePlan(5, [[5, 4], [4, 3]], 3, hardSigmoid), 3);
    const numbers = randomParameters(b.model, 91, 0.7);
    const truth = await b.gradient(numbers, implicit);
    const error = (found: Numbers): number => compareGradients(found, truth).overall.relativeError;
    const truncated = async (sweeps: number): Promise<number> =>
      error(await b.gradient(numbers, { kind: "truncated" }, sweeps));
    const recurrent = async (sweeps: number): Promise<number> =>
      error(await b.gradient(numbers, { kind: "implicit", adjoint: { sweeps } }));
    expect(await truncated(40)).toBeLessThan(1e-6);
    expect(await recurrent(40)).toBeLessThan(1e-6);
    expect(await truncated(3)).toBeGreaterThan(await truncated(12));
    // At rest, t steps of one are t steps of the other.
    expect(await recurrent(5)).toBeCloseTo(await truncated(5), 9);
  });
});
