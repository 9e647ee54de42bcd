import { describe, expect, it } from "vitest";
import { hardSigmoid, smoothSigmoid } from "../../../compiler/energy/units.ts";
import { tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { buildFfEbm } from "../../../models/ffEbm.ts";
import { checkGradients, type GradientCheck } from "../../../runtime/learn/check.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import { openEngine } from "../../../runtime/learn/openEngine.ts";
import { referenceEngine } from "../../../runtime/learn/referenceEngine.ts";
import { densePlan, randomData, randomParameters } from "./support.ts";

const { model } = buildFfEbm(densePlan(5, [[5, 4], [4, 4, 3]], 3, smoothSigmoid));
const numbers = randomParameters(model, 1);
const parameters = new Map<string, Tensor>(model.parameters.map(({ name, shape }) =>
  [name, tensor("float32", shape, numbers.get(name) as Float64Array)]));
const data = randomData(model, 4);
const sample = {
  model, parameters,
  input: tensor("float32", [4, 5], data.input), target: tensor("float32", [4, 3], data.target),
};
const method = { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 0.05 }) } as const;
const solver = (free: number, nudged: number) =>
  ({ order: "asynchronous", free: { sweeps: free }, nudged: { sweeps: nudged } }) as const;

describe("checking gradients", () => {
  it("vouches for a good one, with a line per parameter and per boundary", async () => {
    const check = await checkGradients(
      { ...sample, engine: referenceEngine("f64"), solver: solver(60, 40), method });
    expect(check).toMatchObject({ isCertified: true, reason: null });
    expect(check.freePhaseResidual).toBeLessThan(1e-9);
    expect(check.truthResidual).toBeLessThan(1e-12);
    expect(check.parameters.map(({ name }) => name).sort())
      .toEqual(model.parameters.map(({ name }) => name).sort());
    expect(check.boundaries.map(({ name }) => name).sort()).toEqual(["block0", "block1"]);
    for (const { cosine } of [...check.parameters, ...check.boundaries, check.overall]) {
      expect(cosine).toBeGreaterThan(0.999);
    }
    expect(check.overall.relativeError).toBeGreaterThan(1e-6);
    expect(check.overall.relativeError).toBeLessThan(1e-2);
  });

  it("does the same on wasm in float32", async () => {
    const { engine, device } = await openEngine("wasm");
    const check = await checkGradients({ ...sample, engine, solver: solver(60, 40), method });
    expect(check).toMatchObject({ isCertified: true, device: device.info.description });
    expect(check.overall.cosine).toBeGreaterThan(0.999);
    device.destroy();
  });

  it("refuses to vouch for one from an unfinished free phase, saying what to do", async () => {
    const check = await checkGradients(
      { ...sample, engine: referenceEngine("f64"), solver: solver(2, 40), method });
    expect(check.isCertified).toBe(false);
    expect(check.reason).toMatch(/far from equilibrium: its residual is \d.*, above 0\.0001/);
    expect(check.remedy).toMatch(/more sweeps/);
  });

  it("refuses where nothing comes to rest", async () => {
    const strong = new Map([...parameters].map(([name, t]) =>
      [name, { ...t, data: (t.data as Float64Array).map((x) => 40 * x) }] as const));
    const { model: hard } = buildFfEbm(densePlan(5, [[5, 4], [4, 4, 3]], 3, hardSigmoid));
    const check: GradientCheck = await checkGradients({
      ...sample, model: hard, parameters: strong, engine: referenceEngine("f64"), method,
      solver: { ...solver(60, 40), order: "synchronous" },
    });
    expect(check.isCertified).toBe(false);
    expect(check.reason).toMatch(/does not come to rest/);
  });
});
