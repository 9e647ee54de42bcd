/**
 * Noise gains from gradients against noise that is really injected: into weights (once per trial),
 * products and inputs (at every position) of single units and of random sets of units.
 */
import { beforeAll, describe, expect, it } from "vitest";
import { prepare } from "../../../compiler/compile.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import type { Graph, Value } from "../../../compiler/graph/graph.ts";
import { sizeOf, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { scalesOf, type UnitQuality } from "../../../compiler/partition/quality/sample.ts";
import type { Unit } from "../../../compiler/partition/units.ts";
import { copyNode } from "../../../compiler/passes/rewrite.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { measureQuality } from "../../../runtime/profile/calibrate.ts";
import { Random } from "../../support/randomGraph.ts";
import { normal, rankCorrelation } from "./support.ts";

const SAMPLES = 6;

/** Two convolutions with a shortcut, an average over positions, a dense layer read twice. */
function net(r: Random): Graph {
  const b = new Builder("net");
  const weights = (name: string, shape: number[]): Value =>
    b.constant(tensor("float32", shape, Float32Array.from(
      { length: sizeOf(shape) }, () => normal(r) / Math.sqrt(sizeOf(shape.slice(1))))), name);
  const relu = (v: Value): Value => b.max(v, b.full(v, 0));
  const conv = (x: Value, w: Value, groups = 1): Value => b.add("conv", [x, w], {
    strides: [1, 1], dilations: [1, 1], low: [1, 1], high: [1, 1], groups,
  });
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), 2, 5, 5] });
  const first = relu(conv(x, weights("a", [4, 2, 3, 3])));
  const second = relu(b.addition(conv(first, weights("b", [4, 2, 3, 3]), 2), first));
  const pooled = b.mean(second, [2, 3]);
  const dense = relu(b.dot(pooled, weights("c", [4, 8]), 0, 1));
  const left = b.transpose(b.dot(weights("d", [5, 8]), b.transpose(dense, [1, 0]), 0, 1), [1, 0]);
  return b.finish([{ name: "y", value: b.addition(left, b.unary("tanh", left)) }]);
}

type Kind = "weights" | "products" | "inputs";
/** Standard deviations in shares of full scale, by unit and kind. */
type Dose = ReadonlyMap<string, Partial<Record<Kind, number>>>;

/** The graph with additive noise at the named places, as inputs `unit.kind`. */
function noisyGraph(graph: Graph, units: readonly Unit[], dose: Dose): Graph {
  const b = new Builder("noisy");
  const mapped = new Map<Value, Value>();
  for (const v of graph.inputs) mapped.set(v, b.input(v.name, v.type));
  for (const node of graph.nodes) {
    const unit = units.find((u) => u.analog?.heart === node);
    const kinds = unit && dose.get(unit.id);
    const add = (v: Value, kind: Kind): Value => kinds?.[kind] === undefined ? v
      : b.addition(v, b.input(`${unit!.id}.${kind}`, v.type));
    const inputs = node.inputs.map((v) => {
      const held = mapped.get(v)!;
      return unit ? add(held, v === unit.analog!.input ? "inputs" : "weights") : held;
    });
    mapped.set(node.outputs[0]!, add(copyNode(b, node, inputs), "products"));
  }
  return b.finish(graph.outputs.map(({ name, value }) => ({ name, value: mapped.get(value)! })));
}

const r = new Random(11);
const { graph, units } = prepare(net(r));
const mappable = units.filter((u) => u.analog);
const input = tensor("float32", [SAMPLES, 2, 5, 5],
  Float32Array.from({ length: SAMPLES * 50 }, () => normal(r)));
const clean = evaluateGraph(graph, new Map([["x", input]]), "f64").get("y")!;
const signal = [...clean.data].reduce((sum, y) => sum + Number(y) ** 2, 0);

/** The scale of every element of a value: its column's, times full scale of the inputs. */
function scaleAt(unit: Unit, kind: Kind, shape: readonly number[], largest: number) {
  const { matrix, heart } = unit.analog!;
  const scales = scalesOf(matrix).column;
  if (kind === "inputs") return () => largest;
  const perElement = (flat: number, axis: number): number => {
    const inner = sizeOf(shape.slice(axis + 1));
    return scales[Math.floor(flat / inner) % shape[axis]!]!;
  };
  const convolves = heart.op === "conv";
  const fromRight = !convolves && unit.analog!.input === heart.inputs[0];
  if (kind === "weights") return (i: number) => perElement(i, fromRight ? 1 : 0);
  return (i: number) => perElement(i, convolves || fromRight ? 1 : 0) * largest;
}

/** Noise over signal at the output, by injecting and evaluating. */
function injected(dose: Dose, largest: ReadonlyMap<string, number>, trials: number): number {
  const noisy = noisyGraph(graph, units, dose);
  let power = 0;
  for (let t = 0; t < trials; t++) {
    const feeds = new Map<string, Tensor>([["x", input]]);
    for (const v of noisy.inputs.slice(1)) {
      const [id, kind] = v.name.split(".") as [string, Kind];
      const unit = units.find((u) => u.id === id)!;
      const shape = v.type.shape.map((d) => (typeof d === "number" ? d : SAMPLES));
      const scale = scaleAt(unit, kind, shape, largest.get(id)!);
      const sigma = dose.get(id)![kind]!;
      feeds.set(v.name, tensor("float32", shape, Float32Array.from(
        { length: sizeOf(shape) }, (_, i) => sigma * scale(i) * normal(r))));
    }
    const y = evaluateGraph(noisy, feeds, "f64").get("y")!;
    y.data.forEach((value, i) => {
      power += (Number(value) - Number(clean.data[i])) ** 2 / trials;
    });
  }
  return power / signal;
}

const predicted = (dose: Dose, quality: ReadonlyMap<string, UnitQuality>): number =>
  [...dose].reduce((sum, [id, kinds]) => sum +
    (Object.entries(kinds) as [Kind, number][]).reduce((part, [kind, sigma]) =>
      part + quality.get(id)!.gains.column[kind] * sigma ** 2, 0), 0);

let quality: Map<string, UnitQuality>;
const largest = new Map<string, number>();
beforeAll(async () => {
  const device = await openWasmDevice();
  const runs = [{ feeds: new Map([["x", input]]), count: SAMPLES }];
  quality = await measureQuality(graph, units, runs, device, { rounds: 40, seed: 3 });
  const drives = { ...graph, outputs: mappable.map((u) =>
    ({ name: u.id, value: u.analog!.input })) };
  for (const [id, { data }] of evaluateGraph(drives, new Map([["x", input]]))) {
    largest.set(id, Math.max(...[...data].map((x) => Math.abs(Number(x)))));
  }
});

describe("noise gains of a small net", () => {
  it("has every kind of unit in it", () => {
    expect(mappable.map((u) => u.analog!.heart.op)).toEqual(["conv", "conv", "dot", "dot"]);
    expect(mappable.some((u) => u.analog!.matrix.groups === 2)).toBe(true);
    expect(mappable.some((u) => u.analog!.input === u.analog!.heart.inputs[1])).toBe(true);
  });

  it("are what injected noise shows, for each unit and kind", () => {
    for (const { id } of mappable) {
      for (const kind of ["weights", "products", "inputs"] as const) {
        const dose: Dose = new Map([[id, { [kind]: 1e-4 }]]);
        const ratio = predicted(dose, quality) / injected(dose, largest, 60);
        // 40 rounds of signs and 60 trials, each with some tens of independent outputs. Errors of
        // inputs are taken as independent of the signs' path: exact for one path per input.
        expect([id, kind, ratio > 0.7 && ratio < 1.4]).toEqual([id, kind, true]);
      }
    }
  });

  it("rank 30 random sets of noisy units like injection does", () => {
    const doses = Array.from({ length: 30 }, (): Dose =>
      new Map(mappable.filter(() => r.next() < 0.6).map((u) => [u.id, {
        weights: 10 ** (-4 - 1.5 * r.next()), products: 10 ** (-4 - 1.5 * r.next()),
        inputs: 10 ** (-4 - 1.5 * r.next()),
      }])));
    const kept = doses.filter((dose) => dose.size > 0);
    const correlation = rankCorrelation(
      kept.map((dose) => predicted(dose, quality)),
      kept.map((dose) => injected(dose, largest, 12)),
    );
    expect(correlation).toBeGreaterThan(0.95);
  });

  it("measure the size of outputs and the share of inputs", () => {
    for (const { id, analog } of mappable) {
      const unit = quality.get(id)!;
      expect(Math.max(...unit.inputs.map(Math.abs))).toBeLessThanOrEqual(1);
      const y = evaluateGraph(
        { ...graph, outputs: [{ name: "y", value: analog!.heart.outputs[0]! }] },
        new Map([["x", input]])).get("y")!;
      const scale = scaleAt(units.find((u) => u.id === id)!, "products", y.shape,
        largest.get(id)!);
      const mean = [...y.data].reduce((sum, v, i) => sum + (Number(v) / scale(i)) ** 2, 0) /
        y.data.length;
      expect(unit.signal.column / mean).toBeCloseTo(1, 4);
    }
  });
});
