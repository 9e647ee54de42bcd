/** Every kind of block with every kind of estimator: gradients on wasm, certified. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { normalStream } from "../../../models/init.ts";
import { Chain } from "../../../runtime/learn/chain.ts";
import { checkGradients, restOf, type GradientCheck } from "../../../runtime/learn/check.ts";
import { compareGradients } from "../../../runtime/learn/compare.ts";
import type { Held, HeldMap } from "../../../runtime/learn/engine.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import { openEngine, type OpenEngine } from "../../../runtime/learn/openEngine.ts";
import { oneHot, readAll } from "../../../runtime/learn/reference.ts";
import { algorithms, methodOf, type Algorithm } from "../../../runtime/learn/train.ts";
import { untiedModel, zooModel, zooNames, type ZooModel } from "../../support/ffEbmZoo.ts";

let opened: OpenEngine;
beforeAll(async () => {
  opened = await openEngine("wasm");
});
afterAll(() => opened.device.destroy());

const batch = 3;
function sample({ model }: ZooModel): { input: Tensor; target: Tensor } {
  const normal = normalStream(6, "sample");
  const shape = [batch, ...model.input.shape];
  const size = shape.reduce((p, d) => p * d, 1);
  return {
    input: tensor("float32", shape, Float32Array.from({ length: size }, (_, i) => normal(i))),
    target: oneHot(Array.from({ length: batch }, (_, n) => n % 3), 3),
  };
}

const keep = (_increment: HeldMap, parameters: HeldMap): Promise<HeldMap> =>
  Promise.resolve(parameters);

function check(zoo: ZooModel, algorithm: Algorithm, isCorrected = false): Promise<GradientCheck> {
  const { engine } = opened;
  const rest = restOf(engine);
  const isCounted = ["continual", "truncated", "recurrent"].includes(algorithm);
  const solver = {
    order: "asynchronous" as const, free: rest, nudged: isCounted ? { sweeps: 25 } : rest,
  };
  return checkGradients({
    engine, model: zoo.model, parameters: zoo.tensors, ...sample(zoo), solver,
    method: methodOf(algorithm, {
      settings: { beta: 0.05, points: 4, isCorrected, solver }, sign: 1, move: keep,
    }),
  });
}

const cases: [string, () => ZooModel][] = [
  ...zooNames.map((name): [string, () => ZooModel] => [name, () => zooModel(name)]),
  ["untied weights, nearly equal", () => untiedModel(1, 0.02)],
];

describe("centered EP, in float32 at beta 0.05, at every parameter and boundary", () => {
  it.each(cases)("%s", async (_, make) => {
    const found = await check(make(), "c-ep");
    expect(found).toMatchObject({ isCertified: true, reason: null });
    for (const { name, cosine } of [...found.parameters, ...found.boundaries]) {
      expect(cosine, name).toBeGreaterThan(0.98);
    }
    expect(found.overall.cosine).toBeGreaterThan(0.99);
  });

  it("untied weights far apart, corrected", async () => {
    const found = await check(untiedModel(1, 2), "c-ep", true);
    expect(found.isCertified).toBe(true);
    expect(found.overall.cosine).toBeGreaterThan(0.999);
  });
});

describe("every algorithm on a convolutional net with pooling and batch-norm", () => {
  // Units with kinks have no complex continuation.
  const onKinks = algorithms.filter((name) => name !== "h-ep");
  it.each(onKinks)("%s", async (algorithm) => {
    const found = await check(zooModel("average pooling, batch-norm"), algorithm);
    expect(found.isCertified).toBe(true);
    // A clamped output is held where the cost alone would take it, whatever its unit answers: a
    // direction near the gradient's, and after CL's whole step less near.
    const least = algorithm === "cl" ? 0.8 : algorithm.endsWith("cpl") ? 0.9 : 0.97;
    expect(found.overall.cosine).toBeGreaterThan(least);
  });

  it("h-ep, where units are smooth, is nearer than centered EP", async () => {
    const zoo = zooModel("skip connection");
    const [holomorphic, centered] = [await check(zoo, "h-ep"), await check(zoo, "c-ep")];
    expect(holomorphic.overall.relativeError).toBeLessThan(centered.overall.relativeError / 2);
  });
});

describe("continual updates on a convolutional net", () => {
  const zoo = zooModel("convolution");
  const beta = 0.1;
  const sweeps = 6;
  const gradientOf = async (
    step: (increment: HeldMap, parameters: HeldMap) => Promise<HeldMap>,
    kind: "continual" | "equilibrium",
  ): Promise<Map<string, ArrayLike<number>>> => {
    const { engine } = opened;
    const chain = new Chain(engine, zoo.model,
      { order: "asynchronous", free: restOf(engine), nudged: { sweeps } });
    const held = new Map<string, Held>([...zoo.tensors].map(([name, t]) =>
      [name, engine.hold(t)]));
    const { input, target } = sample(zoo);
    const pass = await chain.forward(held, engine.hold(input), engine.hold(target));
    const { parameters } = await chain.backward(held, pass, {
      method: kind === "continual" ? { kind, beta, sweeps, step }
        : { kind, stencil: stencilOf("p-ep", { beta }) },
    });
    return readAll(engine, parameters);
  };

  it("add up to the one-sided gradient while parameters stay", async () => {
    const sum = await gradientOf(keep, "continual");
    const whole = await gradientOf(keep, "equilibrium");
    // Float32 differences of states, divided by beta.
    expect(compareGradients(sum, whole).overall.relativeError).toBeLessThan(1e-3);
  });

  it("hand every sweep the parameters that the one before moved, kernels included", async () => {
    const { engine } = opened;
    const name = "block0.layer2.W";
    const read = async (held: Held | undefined): Promise<number[]> =>
      Array.from((await engine.read(held as Held)).data as Float32Array);
    const given: number[][] = [];
    const left: number[][] = [];
    await gradientOf(async (increment, parameters) => {
      const before = await read(parameters.get(name));
      const change = await read(increment.get(name));
      const after = before.map((x, i) => Math.fround(x - 0.1 * (change[i] as number)));
      given.push(before);
      left.push(after);
      const { shape } = parameters.get(name) as Held;
      return new Map(parameters).set(name, engine.hold(tensor("float32", shape, after)));
    }, "continual");
    expect(given).toHaveLength(sweeps);
    expect(given.slice(1)).toEqual(left.slice(0, -1));
    // A nudge reaches the second layer of three in the first sweep, as it starts at the output.
    expect(left[0]).not.toEqual(given[0]);
  });
});
