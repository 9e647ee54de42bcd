import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  energyBlock, energyGraph, inner, perSample, sumPerSample, type EnergyBlock,
} from "../../../compiler/energy/block.ts";
import { layoutOf } from "../../../compiler/energy/minimiser.ts";
import { free, type Nudge } from "../../../compiler/energy/nudge.ts";
import {
  afterName, residualGraph, residualName, sweepGraph, sweepGroups, type SweepOptions,
} from "../../../compiler/energy/sweep.ts";
import { valueOf } from "../../../compiler/energy/inline.ts";
import {
  hardSigmoid, linearUnit, smoothSigmoid, tanhUnit, type Unit,
} from "../../../compiler/energy/units.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { buildFfEbm, type CostKind } from "../../../models/ffEbm.ts";
import { hopfieldBlock, type HopfieldLayer } from "../../../models/hopfield.ts";
import { normalStream } from "../../../models/init.ts";

const chain = (widths: readonly number[], unit: Unit, last = unit): HopfieldLayer[] =>
  widths.map((w, l) => ({
    shape: [w], unit: l === widths.length - 1 ? last : unit,
    ...l > 0 ? { couplings: [{ kind: "dense" as const }] } : {},
  }));
const denseBlock = (widths: readonly number[], unit: Unit, last?: Unit): EnergyBlock =>
  hopfieldBlock("b", chain(widths, unit, last)).block;

const halfSlope: Unit = { kind: "clamp", slope: 0.5, low: 0, high: 1 };

const asynchronous: SweepOptions = { nudge: free, order: "asynchronous", start: "input" };
const synchronous: SweepOptions = { ...asynchronous, order: "synchronous" };

/** Random inputs of a block: parameters and current of deviation `scale`, states in [0, 1]. */
function randomInputs(
  block: EnergyBlock, seed: number, scale: number, batch = 2,
): Map<string, Tensor> {
  type Entry = [string, Tensor];
  const make = (name: string, shape: readonly number[], f: (x: number) => number): Entry => {
    const normal = normalStream(seed, name);
    const length = shape.reduce((p, d) => p * d, 1);
    return [name, tensor("float32", shape, Float64Array.from({ length }, (_, i) => f(normal(i))))];
  };
  return new Map([
    ...block.states.map(({ name, shape }) =>
      make(name, [batch, ...shape], (x) => Math.min(Math.max(0.5 + x / 3, 0), 1))),
    make(block.current.name, [batch, ...block.current.shape], (x) => x),
    ...block.parameters.map(({ name, shape }) => make(name, shape, (x) => scale * x)),
  ]);
}

const run = evaluateGraph;
const energies = (block: EnergyBlock, inputs: ReadonlyMap<string, Tensor>): number[] =>
  Array.from(run(energyGraph(block), inputs, "f64").get("energy")?.data ?? []);

describe("how layers are minimised is found by differentiating", () => {
  const nudgedBy = (cost: CostKind, last: Unit): { block: EnergyBlock; nudge: Nudge } => {
    const { model } = buildFfEbm({
      name: "m", input: [3], cost, readout: [],
      blocks: [{ feed: [{ kind: "linear", out: 4 }], layers: chain([4, 3], hardSigmoid, last) }],
    });
    const block = model.stages.flatMap((s) => (s.kind === "analog" ? [s.block] : []))[0];
    return {
      block: block as EnergyBlock,
      nudge: { kind: "cost", cost: { graph: model.loss.graph, state: "block0.s2" } },
    };
  };

  it("couplings between layers leave each exactly solvable, max-pooling included", () => {
    const { kinds } = layoutOf(denseBlock([4, 3, 2], tanhUnit), free);
    expect(kinds).toEqual(["exact", "exact", "exact"]);
    const conv = hopfieldBlock("c", [
      { shape: [2, 4, 4], unit: hardSigmoid },
      {
        shape: [3, 2, 2], unit: hardSigmoid,
        couplings: [{
          kind: "conv", kernel: [3, 3], padding: [1, 1], pooling: { kind: "max", size: 2 },
        }],
      },
    ]);
    expect(layoutOf(conv.block, free).kinds).toEqual(["exact", "exact"]);
  });

  it("squared error makes a parabolic output quadratic, a smooth one iterated", () => {
    const linear = nudgedBy("squared-error", linearUnit);
    expect(layoutOf(linear.block, linear.nudge).kinds).toEqual(["exact", "quadratic"]);
    const smooth = nudgedBy("squared-error", smoothSigmoid);
    expect(layoutOf(smooth.block, smooth.nudge).kinds).toEqual(["exact", "iterated"]);
  });

  it("cross-entropy is iterated", () => {
    const { block, nudge } = nudgedBy("cross-entropy", linearUnit);
    expect(layoutOf(block, nudge).kinds).toEqual(["exact", "iterated"]);
  });

  it("a linear output under squared error moves to (v + beta*y)/(1 + beta)", () => {
    const { block, nudge } = nudgedBy("squared-error", linearUnit);
    const inputs = randomInputs(block, 3, 1);
    for (const beta of [0.2, 3, -0.4]) {
      const given = new Map(inputs)
        .set("nudge.beta", tensor("float32", [2], Float64Array.of(beta, beta)))
        .set("target", tensor("float32", [2, 3], Float64Array.of(1, 0, 0, 0, 0, 1)));
      const options = { nudge, order: "asynchronous", start: "output" } as const;
      const found = run(sweepGraph(block, options, [[1]]), given, "f64").get("block0.s2");
      const [s1, w, bias] = ["block0.s1", "block0.layer2.W", "block0.layer2.b"]
        .map((name) => given.get(name)?.data as Float64Array);
      const y = given.get("target")?.data as Float64Array;
      for (let n = 0; n < 2; n++) {
        for (let o = 0; o < 3; o++) {
          let v = bias?.[o] as number;
          for (let i = 0; i < 4; i++) {
            v += (w?.[o * 4 + i] as number) * (s1?.[n * 4 + i] as number);
          }
          const expected = (v + beta * (y[n * 3 + o] as number)) / (1 + beta);
          expect(found?.data[n * 3 + o]).toBeCloseTo(expected, 12);
        }
      }
    }
  });

  it("a resistive network moves to its weighted mean, clipped to the units' range", () => {
    const range: Unit = { kind: "clamp", slope: 1e9, low: 0, high: 1 };
    // U = sum_ij g_ij (v_j - a_i)^2/2 with no self-energy beyond the parabola of the unit.
    const block = energyBlock({
      name: "r", output: 0,
      states: [{ name: "r.v", shape: [2], unit: range }],
      parameters: [{ name: "r.g", shape: [3, 2] }], current: { name: "r.a", shape: [3] },
    }, (b, values) => {
      const [v, a, g] = ["r.v", "r.a", "r.g"].map((name) => valueOf(values, name));
      const rows = b.reshape(a as never, [...perSample([3]), 1]);
      const difference = b.sub(b.reshape(v as never, [...perSample([1]), 2]), rows);
      const energy = b.mul(g as never, b.mul(difference, difference));
      return sumPerSample(b, b.mul(b.full(energy, 0.5), energy));
    });
    expect(layoutOf(block, free).kinds).toEqual(["quadratic"]);
    const g = Float64Array.of(1, 2, 3, 0.5, 0.25, 4);
    const given = new Map([
      ["r.v", tensor("float32", [1, 2], Float64Array.of(0.3, 0.9))],
      ["r.a", tensor("float32", [1, 3], Float64Array.of(0.2, 0.7, 0.4))],
      ["r.g", tensor("float32", [3, 2], g)],
    ]);
    const found = run(sweepGraph(block, asynchronous), given, "f64").get("r.v")?.data;
    const mean = (j: number): number =>
      (0.2 * (g[j] as number) + 0.7 * (g[2 + j] as number) + 0.4 * (g[4 + j] as number)) /
      ((g[j] as number) + (g[2 + j] as number) + (g[4 + j] as number));
    expect(found?.[0]).toBeCloseTo(mean(0), 7);
    expect(found?.[1]).toBeCloseTo(mean(1), 7);
  });

  it("a layer that sees itself is iterated, and rests where its force balances", () => {
    const block = energyBlock({
      name: "l", output: 0, states: [{ name: "l.s", shape: [3], unit: smoothSigmoid }],
      parameters: [{ name: "l.J", shape: [3, 3] }], current: { name: "l.a", shape: [3] },
    }, (b, values) => {
      const s = valueOf(values, "l.s");
      const inside = b.dot(s, valueOf(values, "l.J"), 0, 1);
      return b.unary("neg", b.addition(inner(b, s, valueOf(values, "l.a")), inner(b, s, inside)));
    });
    expect(layoutOf(block, free).kinds).toEqual(["iterated"]);
    const given = randomInputs(block, 5, 0.2);
    const graph = sweepGraph(block, { ...asynchronous, damping: 0.5 });
    let state = given.get("l.s") as Tensor;
    for (let t = 0; t < 200; t++) {
      state = run(graph, new Map(given).set("l.s", state), "f64").get("l.s") as Tensor;
    }
    const plain = sweepGraph(block, asynchronous);
    const next = run(plain, new Map(given).set("l.s", state), "f64").get("l.s") as Tensor;
    next.data.forEach((x: number, i: number) => expect(x).toBeCloseTo(state.data[i] as number, 12));
  });
});

describe("groups", () => {
  it("are the even and the odd layers of a chain", () => {
    const block = denseBlock([2, 2, 2, 2, 2], hardSigmoid);
    const layout = layoutOf(block, free);
    expect(sweepGroups(block, layout, asynchronous)).toEqual([[0, 2, 4], [1, 3]]);
    const four = denseBlock([2, 2, 2, 2], hardSigmoid);
    expect(sweepGroups(four, layoutOf(four, free), { ...asynchronous, start: "output" }))
      .toEqual([[1, 3], [0, 2]]);
  });

  it("keep layers apart that a skip couples", () => {
    const { block } = hopfieldBlock("s", [
      { shape: [2], unit: hardSigmoid },
      { shape: [2], unit: hardSigmoid, couplings: [{ kind: "dense" }] },
      {
        shape: [2], unit: hardSigmoid,
        couplings: [{ kind: "dense" }, { kind: "identity", from: 0 }],
      },
    ]);
    expect(sweepGroups(block, layoutOf(block, free), asynchronous)).toEqual([[0], [1], [2]]);
  });

  it("leave a clamped output alone", () => {
    const block = denseBlock([2, 2, 2], hardSigmoid);
    const options: SweepOptions = { ...asynchronous, nudge: { kind: "clamped" } };
    expect(sweepGroups(block, layoutOf(block, options.nudge), options)).toEqual([[0], [1]]);
    expect(sweepGraph(block, options).outputs.map(({ name }) => name)).toEqual(["b.s1", "b.s2"]);
  });
});

describe("asynchronous sweeps", () => {
  it("never raise the energy of hard-clamp dense blocks", () => {
    fc.assert(fc.property(fc.nat(1e6), fc.integer({ min: 2, max: 4 }), (seed, depth) => {
      const block = denseBlock(Array.from({ length: depth }, (_, l) => 3 + ((seed >> l) % 3)),
        hardSigmoid);
      const layout = layoutOf(block, free);
      const halves = sweepGroups(block, layout, asynchronous)
        .map((group) => sweepGraph(block, asynchronous, [group]));
      let inputs = randomInputs(block, seed, 1.5);
      let before = energies(block, inputs);
      for (let t = 0; t < 6; t++) {
        for (const half of halves) {
          const moved = run(half, inputs, "f64");
          inputs = new Map([...inputs, ...moved]);
          const after = energies(block, inputs);
          after.forEach((e, n) => expect(e).toBeLessThanOrEqual((before[n] as number) + 1e-12));
          before = after;
        }
      }
    }), { numRuns: 12, seed: 1 });
  });

  it("and synchronous ones do raise it, when couplings are strong", () => {
    const block = denseBlock([4, 4, 4], hardSigmoid);
    const graph = sweepGraph(block, synchronous);
    let rises = 0;
    for (let seed = 0; seed < 10; seed++) {
      let inputs = randomInputs(block, seed, 3);
      for (let t = 0; t < 8; t++) {
        const before = energies(block, inputs);
        inputs = new Map([...inputs, ...run(graph, inputs, "f64")]);
        energies(block, inputs).forEach((e, n) => {
          if (e > (before[n] as number) + 1e-9) rises++;
        });
      }
    }
    expect(rises).toBeGreaterThan(0);
  });

  it.each([
    ["hard", hardSigmoid], ["smooth", smoothSigmoid], ["half slope", halfSlope],
  ] as const)("put a group of %s units where no other state is lower", (_name, unit) => {
    const block = denseBlock([3, 4, 2], unit);
    const half = sweepGraph(block, asynchronous, [[1]]);
    fc.assert(fc.property(fc.nat(1e6), fc.array(fc.double({ min: 0, max: 1, noNaN: true }),
      { minLength: 8, maxLength: 8 }), (seed, other) => {
      const inputs = randomInputs(block, seed, 1);
      const best = energies(block, new Map([...inputs, ...run(half, inputs, "f64")]));
      const state = tensor("float32", [2, 4], Float64Array.from(other));
      const elsewhere = new Map(inputs).set("b.s2", state);
      energies(block, elsewhere).forEach((e, n) =>
        expect(e).toBeGreaterThanOrEqual((best[n] as number) - 1e-12));
    }), { numRuns: 40, seed: 2 });
  });
});

describe("the graphs", () => {
  it("are valid, and report the largest change", () => {
    const block = denseBlock([3, 2], tanhUnit);
    const graph = verifyGraph(sweepGraph(block, asynchronous));
    const inputs = randomInputs(block, 9, 1);
    const outputs = run(graph, inputs, "f64");
    const changes = block.states.flatMap(({ name }) => Array.from(outputs.get(name)?.data ?? [],
      (x, i) => Math.abs(x - (inputs.get(name)?.data[i] as number))));
    const pairs = new Map([...inputs, ...[...outputs].map(([name, t]) =>
      [afterName(name), t] as const)]);
    const residual = run(verifyGraph(residualGraph(graph)), pairs, "f64").get(residualName);
    expect(residual?.data[0]).toBe(Math.max(...changes));
  });
});
