/** Learning on devices against the reference evaluator: the same numbers, and no round trips. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hardSigmoid, smoothSigmoid } from "../../../compiler/energy/units.ts";
import { buildFfEbm, type FfEbmPlan } from "../../../models/ffEbm.ts";
import type { ReferenceFile } from "../../../models/referenceNet.ts";
import type { GradientMethod } from "../../../runtime/learn/chain.ts";
import { compareGradients } from "../../../runtime/learn/compare.ts";
import { deviceEngine } from "../../../runtime/learn/deviceEngine.ts";
import { stencilOf } from "../../../runtime/learn/estimators.ts";
import { checkReference } from "../../../runtime/learn/reference.ts";
import type { Device } from "../../../runtime/device/device.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openDevice } from "../../../runtime/device/open.ts";
import { openEngine } from "../../../runtime/learn/openEngine.ts";
import {
  Bench, bench, densePlan, randomData, randomParameters, type Data,
} from "./support.ts";

const conv3 = { kind: "conv" as const, kernel: [3, 3] as const, padding: [1, 1] as const };

/** Batch-norm, pooling on both sides, two blocks: every kind of graph that learning makes. */
const convNet: FfEbmPlan = {
  name: "net", input: [1, 6, 6], cost: "cross-entropy", readout: [{ kind: "linear", out: 3 }],
  blocks: [
    {
      feed: [{ ...conv3, out: 2, bias: false }, { kind: "batchNorm" }],
      layers: [
        { shape: [2, 6, 6], unit: hardSigmoid },
        {
          shape: [3, 3, 3], unit: hardSigmoid,
          couplings: [{ ...conv3, pooling: { kind: "average", size: 2 } }],
        },
      ],
    },
    {
      feed: [{ ...conv3, out: 2 }, { kind: "maxPool", size: 3 }],
      layers: [
        { shape: [2, 1, 1], unit: hardSigmoid },
        { shape: [4], unit: hardSigmoid, couplings: [{ kind: "dense" }] },
      ],
    },
  ],
};

const sweeps = { sweeps: 12 };
const solver = { order: "asynchronous", free: sweeps, nudged: sweeps } as const;
const methods: Record<string, GradientMethod> = {
  "centered": { kind: "equilibrium", stencil: stencilOf("c-ep", { beta: 0.2 }) },
  "one-sided": { kind: "equilibrium", stencil: stencilOf("p-ep", { beta: 0.2 }) },
  "clamped": { kind: "equilibrium", stencil: stencilOf("c-cpl", { beta: 0.2 }) },
  "implicit": { kind: "implicit", adjoint: sweeps },
  "truncated": { kind: "truncated" },
};

describe.each(["interpreter", "wasm"] as const)("on %s", (kind) => {
  const built = buildFfEbm(convNet);
  const data = randomData(built.model, 4);

  const names = kind === "wasm" ? Object.keys(methods) : ["centered", "truncated"];
  it.each(names)("%s gradients are those of the reference", async (name) => {
    const device = kind === "interpreter" ? new InterpreterDevice("f64") : await openDevice(kind);
    const own = new Bench(built, data, solver, deviceEngine(device));
    const reference = new Bench(built, data, solver);
    const numbers = randomParameters(built.model, 7, 0.7);
    const method = methods[name] as GradientMethod;
    const record = name === "truncated" ? 3 : 0;
    const found = await own.gradient(numbers, method, record);
    const truth = await reference.gradient(numbers, method, record);
    // float32 differences of states are divided by 2*beta.
    const tolerance = kind === "interpreter" ? 1e-11 : 3e-5;
    expect(compareGradients(found, truth).overall.relativeError).toBeLessThan(tolerance);
    device.destroy();
  });
});

interface Counts { reads: number; writes: number; runs: number }

describe("the wasm engine", () => {
  it("gives the holomorphic estimate too", async () => {
    const plan = densePlan(4, [[4, 3], [3, 3]], 3, smoothSigmoid);
    const method: GradientMethod =
      { kind: "equilibrium", stencil: stencilOf("h-ep", { beta: 0.1, points: 4 }) };
    const reference = bench(plan, 3, solver);
    const { engine, device } = await openEngine("wasm");
    const own = new Bench(buildFfEbm(plan), reference.data, solver, engine);
    const numbers = randomParameters(own.model, 8);
    const { overall } = compareGradients(
      await own.gradient(numbers, method), await reference.gradient(numbers, method));
    expect(overall.relativeError).toBeLessThan(1e-4);
    device.destroy();
  });

  it("gives exactly zero without an error, and takes batches of any size", async () => {
    const { engine, device } = await openEngine("wasm");
    const built = buildFfEbm(densePlan(6, [[7, 9], [9, 5]], 3, hardSigmoid));
    const numbers = new Map(randomParameters(built.model, 9));
    numbers.set("readout.weight", new Float64Array(15));
    for (const batch of [5, 13, 1]) {
      const own = new Bench(built, randomData(built.model, batch), solver, engine);
      for (const [name, values] of await own.gradient(numbers, methods["centered"] as never)) {
        if (name.startsWith("readout")) expect(values.some((x) => x !== 0)).toBe(true);
        else expect(values.every((x) => x === 0), `${name}, batch ${batch}`).toBe(true);
      }
    }
    device.destroy();
  });

  it("keeps a relaxation on the device: one number is read, whatever the sweeps", async () => {
    const device = await openDevice("wasm");
    const built = buildFfEbm(densePlan(6, [[5, 4]], 3, hardSigmoid));
    const data: Data = randomData(built.model, 2);
    const numbers = randomParameters(built.model, 10);
    const counts: Counts[] = [];
    for (const sweepsNow of [5, 50]) {
      const count: Counts = { reads: 0, writes: 0, runs: 0 };
      const counting: Device = {
        info: device.info,
        allocate: (length) => device.allocate(length),
        free: (buffer) => device.free(buffer),
        prepare: (kernels) => device.prepare(kernels),
        destroy: () => device.destroy(),
        read(buffer, length) {
          count.reads++;
          return device.read(buffer, length);
        },
        write(buffer, values, offset) {
          count.writes++;
          device.write(buffer, values, offset);
        },
        run(commands) {
          count.runs++;
          return device.run(commands);
        },
      };
      const own = new Bench(built, data, { ...solver, free: { sweeps: sweepsNow } },
        deviceEngine(counting));
      await own.forward(numbers);
      counts.push(count);
    }
    const [few, many] = counts as [Counts, Counts];
    expect(few.reads).toBe(1);
    expect(many).toEqual({ reads: 1, writes: few.writes, runs: few.runs + 45 });
    device.destroy();
  });

  const folder = new URL("../../fixtures/ffebm/", import.meta.url);
  it.each(["mlp3-clamp.json", "cnn2-sigmoid.json"])("%s at beta 0.05", async (name) => {
    const file = JSON.parse(readFileSync(new URL(name, folder), "utf8")) as ReferenceFile;
    const { engine, device } = await openEngine("wasm");
    const report = await checkReference(file, name, engine, ["0.05"]);
    expect(report.device).toMatch(/^wasm/);
    expect(report.equilibriumMaxError).toBeLessThan(1e-5);
    expect(report.exactGradientRelativeError).toBeLessThan(1e-5);
    const stored = file.bp_ep_centered["0.05"]?.cosine_to_exact as number;
    expect(report.bpEp["0.05"]?.cosineToExact).toBeGreaterThan(stored - 1e-4);
    device.destroy();
  });
});
