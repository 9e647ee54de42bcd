/**
 * Predicted error power of a unit against the simulated chip: one layer, every preset, converters
 * of several widths, wires left out (the prediction leaves them out too).
 */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol } from "../../../compiler/graph/dim.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { formClusters } from "../../../compiler/kernels/cluster.ts";
import { analogErrors } from "../../../compiler/partition/quality/errors.ts";
import { measuredQuality, noiseOf } from "../../../compiler/partition/quality/predict.ts";
import type { UnitQuality } from "../../../compiler/partition/quality/sample.ts";
import { formUnits } from "../../../compiler/partition/units.ts";
import { ChipSimulator } from "../../../runtime/chip/chipSimulator.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { Session } from "../../../runtime/execute/session.ts";
import type { ChipBlocks, HybridSession } from "../../../runtime/execute/hybridSession.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import { Random } from "../../support/randomGraph.ts";
import { compileBlock, testTarget } from "../chip/blocks.ts";
import { normal } from "./support.ts";

const [K, N, SAMPLES] = [200, 24, 48];
/** Faults in the most significant slices are rare and dominate: three chips may have none. */
const CHIPS = 16;

/** A dense layer with rectified inputs, and its quality facts from sums over the samples. */
function layer(seed: number): { graph: Graph; data: Float32Array; quality: UnitQuality } {
  const r = new Random(seed);
  const weights = Float32Array.from({ length: K * N }, () => 0.1 * normal(r));
  const data = Float32Array.from({ length: SAMPLES * K }, () => Math.max(0, normal(r)));
  const b = new Builder("layer");
  const x = b.input("x", { dtype: "float32", shape: [symbol("N"), K] });
  const y = b.dot(x, b.constant(tensor("float32", [K, N], weights), "w"), 0, 1);
  const graph = b.finish([{ name: "y", value: y }]);
  const outputs = new Float64Array(N);
  let [signal, inputs2, largest] = [0, 0, 0];
  for (let s = 0; s < SAMPLES; s++) {
    for (let j = 0; j < N; j++) {
      let z = 0;
      for (let k = 0; k < K; k++) z += data[s * K + k]! * weights[k * N + j]!;
      outputs[j]! += z * z;
      signal += z * z;
    }
  }
  for (const v of data) {
    inputs2 += v * v;
    largest = Math.max(largest, v);
  }
  const unit = formUnits(formClusters(graph, { maxBuffers: 8 }))[0]!;
  // One layer: dy/dw = x, dy/dy = 1, dy/dx = w.
  const quality = measuredQuality(unit.analog!, {
    outputs, largest, drive: data,
    weights: new Float64Array(N).fill(inputs2),
    products: new Float64Array(N).fill(SAMPLES),
    inputs: SAMPLES * weights.reduce((sum, w) => sum + w * w, 0),
  }, { samples: SAMPLES, signal });
  return { graph, data, quality };
}

const ALL = ["levels", "programming", "stuck", "readNoise", "converters"] as const;
type Only = readonly (typeof ALL)[number][];

/** Decibels of a block's result over its error, on programmed chips. */
async function simulated(
  { graph, data }: ReturnType<typeof layer>, name: string, changes: Record<string, unknown>,
  only: Only,
): Promise<number> {
  const t = testTarget(name, changes);
  const device = await openWasmDevice();
  const { block, setting } = compileBlock(graph, t, only);
  const chip = new ChipSimulator(device, {
    blocks: [{ ...block, home: { ...t, config: setting.config } }], read: setting.read,
  }, { seed: 5, imperfections: setting.imperfections });
  const out = device.allocate(SAMPLES * N);
  const held = device.allocate(SAMPLES * K);
  device.write(held, data);
  const digital = await Session.create(device, buildProgram(block.graph));
  // The whole program is the one block.
  const program = {
    async run(_: unknown, blocks?: ChipBlocks) {
      const inputs = new Map([["x", { buffer: held, shape: [SAMPLES, K] }]]);
      const twin = async (): Promise<void> =>
        void await digital.dispatch(inputs, new Map([[block.graph.outputs[0]!.name, out]]));
      await blocks!.run(block.crossbar.id, inputs, out, twin);
      return new Map();
    },
  } as unknown as HybridSession;
  await chip.calibrate(program, [new Map()]);
  for (let trial = 0; trial < CHIPS; trial++) {
    chip.reprogram(trial);
    await program.run(new Map(), chip);
  }
  const snr = chip.statistics()[0]!.snrDb;
  chip.release();
  return snr!;
}

function predicted(
  { quality }: ReturnType<typeof layer>, name: string, changes: Record<string, unknown>,
  only: readonly string[] | undefined,
): number {
  const { target, cells } = testTarget(name, changes);
  const { scaling, terms } = analogErrors(quality, target, cells);
  const kept = terms.filter((t) => only === undefined || only.includes(t.name));
  return -10 * Math.log10(noiseOf(quality, { scaling, terms: kept }));
}

const cases: [string, Record<string, unknown>][] = [
  ["neurram-rram", {}],
  ["neurram-rram", { "adc.bits": 5 }],
  ["neurram-rram", { "input.bits": 4 }],
  ["hermes-pcm", {}],
  ["isaac-rram", {}],
  ["isaac-rram", { "adc.bits": 7, "input.bits": 6 }],
  ["resistive-trainer-rram", {}],
  ["resistive-trainer-rram", { "adc.bits": 4 }],
  ["ternary-2t2r-rram", {}],
];

describe("predicted error power of a layer", () => {
  const dense = layer(3);

  it.each(cases)("is the simulated one within 2 dB: %s %j", async (name, changes) => {
    const chip = await simulated(dense, name, changes, ALL);
    expect(Math.abs(predicted(dense, name, changes, undefined) - chip)).toBeLessThan(2);
  });

  it.each([
    ["neurram-rram", ["levels"], ["levels"]],
    ["neurram-rram", ["programming"], ["programming"]],
    ["neurram-rram", ["stuck"], ["stuck cells"]],
    ["hermes-pcm", ["programming"], ["programming"]],
    ["hermes-pcm", ["readNoise"], ["read noise", "thermal noise"]],
    ["resistive-trainer-rram", ["readNoise"], ["read noise", "thermal noise"]],
    ["neurram-rram", ["converters"], ["converters", "inputs"]],
  ] as const)("has the right share from each cause: %s %j", async (name, only, terms) => {
    const chip = await simulated(dense, name, {}, only);
    expect(Math.abs(predicted(dense, name, {}, terms) - chip)).toBeLessThan(1.5);
  });

  it("knows when a converter is far too narrow", async () => {
    const changes = { "adc.bits": 5 };
    const chip = await simulated(dense, "isaac-rram", changes, ALL);
    expect(chip).toBeLessThan(0);
    expect(Math.abs(predicted(dense, "isaac-rram", changes, undefined) - chip)).toBeLessThan(4);
  });
});
