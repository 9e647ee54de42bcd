/** Relaxation: when one sweep is enough, and that it is. */
import { describe, expect, it } from "vitest";
import { blocksOf } from "../../../compiler/energy/ffEbm.ts";
import { free, type Nudge } from "../../../compiler/energy/nudge.ts";
import { sweepGraph } from "../../../compiler/energy/sweep.ts";
import { smoothSigmoid } from "../../../compiler/energy/units.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { buildFfEbm } from "../../../models/ffEbm.ts";
import { normalStream } from "../../../models/init.ts";
import type { Held } from "../../../runtime/learn/engine.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { prepareSweep, relax } from "../../../runtime/learn/relax.ts";
import { densePlan } from "./support.ts";

const engine = referenceEngine("f64");
const [single, double] = blocksOf(
  buildFfEbm(densePlan(5, [[4], [4, 3]], 3, smoothSigmoid)).model);

/** Random numbers for everything that a graph reads, three samples. */
const inputsOf = (block: typeof single, nudge: Nudge, seed: number): Map<string, Held> => {
  const graph = sweepGraph(block!, { nudge, order: "asynchronous", start: "input" });
  return new Map(graph.inputs.map(({ name, type }) => {
    const normal = normalStream(seed, name);
    const shape = type.shape.map((d) => (typeof d === "number" ? d : 3));
    const size = shape.reduce((p, d) => p * d, 1);
    const data = Float64Array.from({ length: size }, (_, i) => normal(i));
    return [name, engine.hold(tensor("float32", shape, data))];
  }));
};

describe("a block of one layer", () => {
  const nudges: readonly Nudge[] = [free, { kind: "error" }];
  it.each(nudges)("is found by one sweep; nudge: $kind", async (nudge) => {
    const graph = sweepGraph(single!, { nudge, order: "asynchronous", start: "input" });
    const sweep = await prepareSweep(engine, graph, "single");
    const inputs = inputsOf(single, nudge, 1);
    const relaxed = await relax(engine, sweep, inputs, { sweeps: 20 });
    expect(relaxed).toMatchObject({ sweeps: 1, residual: 0 });
    // The oracle: the sweep run again and again.
    let now = inputs;
    for (let t = 0; t < 5; t++) now = new Map([...now, ...await sweep.step.run(now)]);
    for (const [name, held] of relaxed.states) {
      expect((await engine.read(held)).data)
        .toEqual((await engine.read(now.get(name) as Held)).data);
    }
    expect(relaxed.states.size).toBe(1);
  });
});

it("layers that see each other take all their sweeps", async () => {
  const graph = sweepGraph(double!, { nudge: free, order: "asynchronous", start: "input" });
  const sweep = await prepareSweep(engine, graph, "double");
  const { sweeps, residual } = await relax(engine, sweep, inputsOf(double, free, 3), { sweeps: 7 });
  expect(sweeps).toBe(7);
  expect(residual).toBeGreaterThan(0);
});
