import { describe, expect, it } from "vitest";
import {
  activate, hardSigmoid, linearUnit, relu, smoothSigmoid, tanhUnit, unitRule, type Unit,
} from "../../../compiler/energy/units.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Value } from "../../../compiler/graph/graph.ts";
import { vjp } from "../../../compiler/passes/gradient.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";

type Make = (b: Builder, v: Value) => Value;

/** A function of one variable at several points, in float64. */
function values(make: Make, xs: readonly number[]): number[] {
  const b = new Builder("f");
  const x = b.input("x", { dtype: "float32", shape: [xs.length] });
  const graph = b.finish([{ name: "y", value: make(b, x) }]);
  const input = tensor("float32", [xs.length], Float64Array.from(xs));
  return Array.from(evaluateGraph(graph, new Map([["x", input]]), "f64").get("y")?.data ?? []);
}

const units: Record<string, Unit> = {
  hard: hardSigmoid, smooth: smoothSigmoid, tanh: tanhUnit, linear: linearUnit, relu,
  "half slope": { kind: "clamp", slope: 0.65, low: 0, high: 1 },
  "plain sigmoid": { kind: "sigmoid", gain: 1, offset: 0 },
};
const meanings: Record<string, (v: number) => number> = {
  hard: (v) => Math.min(Math.max(v, 0), 1),
  smooth: (v) => 1 / (1 + Math.exp(-(4 * v - 2))),
  tanh: Math.tanh,
  linear: (v) => v,
  relu: (v) => Math.max(v, 0),
  "half slope": (v) => Math.min(Math.max(0.65 * v, 0), 1),
  "plain sigmoid": (v) => 1 / (1 + Math.exp(-v)),
};

describe.each(Object.keys(units))("%s units", (name) => {
  const unit = units[name] as Unit;
  const rule = unitRule(unit);
  const inside = name === "tanh" ? [-0.9, -0.3, 0.2, 0.7] : [0.1, 0.35, 0.6, 0.95];

  it("activate as they say, into their domain", () => {
    const pres = [-3, -0.4, 0, 0.3, 0.8, 2.5];
    const found = values((b, v) => activate(b, v, unit), pres);
    found.forEach((s, i) =>
      expect(s).toBeCloseTo((meanings[name] as (v: number) => number)(pres[i] as number), 14));
    const { low, high } = rule.domain(unit as never);
    for (const s of found) expect(s >= low && s <= high).toBe(true);
  });

  it("have a self-energy whose slope is the inverse of the activation", () => {
    const back = values((b, s) => {
      const energy = rule.selfEnergy(b, s, unit as never);
      return activate(b, vjp(b, [energy], [b.full(energy, 1)], [s])[0] as Value, unit);
    }, inside);
    back.forEach((s, i) => expect(s).toBeCloseTo(inside[i] as number, 13));
  });

  it("have a finite self-energy at the ends of their domain", () => {
    const { low, high } = rule.domain(unit as never);
    const ends = [low, high].filter(Number.isFinite);
    for (const e of values((b, s) => rule.selfEnergy(b, s, unit as never), [0, ...ends])) {
      expect(Number.isFinite(e)).toBe(true);
    }
  });

  it("state their curvature where it is one", () => {
    const k = rule.curvature(unit as never);
    const energy = values((b, s) => rule.selfEnergy(b, s, unit as never), inside);
    const parabola = inside.map((s) => ((k ?? 1) * s * s) / 2);
    const same = energy.every((e, i) => Math.abs(e - (parabola[i] as number)) < 1e-12);
    expect(same).toBe(k !== undefined);
  });
});
