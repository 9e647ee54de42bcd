/** Blocks of one chip on several targets: each is what it is on a chip of its target alone. */
import { describe, expect, it } from "vitest";
import {
  ChipSimulator, IdealChip, type ChipOptions, type ChipSource,
} from "../../../runtime/chip/chipSimulator.ts";
import { imperfections } from "../../../runtime/chip/imperfections.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import type { ChipBlocks } from "../../../runtime/execute/hybridSession.ts";
import { second } from "../../../targets/units.ts";
import { testTarget } from "./blocks.ts";
import { testNetwork, type TestNetwork } from "./network.ts";

const wasm = await openWasmDevice();
const names = ["neurram-rram", "hermes-pcm", "resistive-trainer-rram"];
const small = { "array.rows": 48, "array.columns": 48 };
const alone = await Promise.all(names.map((name) => testNetwork(testTarget(name, small), wasm)));

/** The network with block `i` on target `on[i]`. */
function mixed(on: readonly number[]): ChipSource {
  const source = (i: number): ChipSource => (alone[on[i] as number] as TestNetwork).source;
  const blocks = on.map((_, i) => source(i).blocks[i]!);
  const holder = (name: string): number =>
    blocks.findIndex(({ crossbar }) => name.startsWith(`${crossbar.id}.`));
  return { blocks, read: (name) => source(holder(name)).read(name) };
}

/** What each block gives, driven with what the digital program drives it with. */
async function eachOf(
  chip: ChipBlocks, { hybrid, samples }: TestNetwork,
): Promise<Float32Array[]> {
  const found: Float32Array[] = [];
  const run: ChipBlocks["run"] = async (id, inputs, output, twin) => {
    await chip.run(id, inputs, output, twin);
    found.push(new Float32Array(await wasm.read(output, output.length)));
    await twin();
  };
  await hybrid.run(samples(4, 3), { run });
  return found;
}

async function simulated(source: ChipSource, options: ChipOptions): Promise<Float32Array[]> {
  const network = alone[0] as TestNetwork;
  const chip = new ChipSimulator(wasm, source, options);
  if (chip.needsCalibration) await chip.calibrate(network.hybrid, [network.samples(6, 1)]);
  chip.reprogram(2);
  const found = await eachOf(chip, network);
  chip.release();
  return found;
}

describe("blocks on several targets", () => {
  const aged = { seed: 5, time: second(3600, "time") };
  it.each<[string, Partial<ChipOptions>]>([
    ["with everything on", {}],
    ["repaired", { repair: true, imperfections: imperfections(["programming", "stuck"]) }],
    ["with drift compensated", { compensation: "column" }], ["young", { time: undefined }],
    ["without converters", { imperfections: imperfections(["programming", "readNoise"]) }],
  ])("are what they are on their own, %s", async (_, more) => {
    const on = [1, 0, 2];
    const found = await simulated(mixed(on), { ...aged, ...more });
    const each: Float32Array[][] = [];
    for (const { source } of alone) each.push(await simulated(source, { ...aged, ...more }));
    expect(found).toEqual(on.map((target, i) => each[target]![i]));
    // The targets do differ.
    expect(each[0]![0]).not.toEqual(each[1]![0]);
    expect(each[2]![2]).not.toEqual(each[1]![2]);
  });

  it("are one target's chip where they are all on it", async () => {
    expect(await simulated(mixed([1, 1, 1]), aged))
      .toEqual(await simulated(alone[1]!.source, aged));
  });

  it("are ideal each with its own encoding", async () => {
    const ideal = async (source: ChipSource): Promise<Float32Array[]> => {
      const chip = new IdealChip(wasm, source);
      const found = await eachOf(chip, alone[0] as TestNetwork);
      await chip.release();
      return found;
    };
    const on = [2, 0, 1];
    const each: Float32Array[][] = [];
    for (const { source } of alone) each.push(await ideal(source));
    expect(await ideal(mixed(on))).toEqual(on.map((target, i) => each[target]![i]));
  });

  it("show each tile with the target that has it", () => {
    const chip = new ChipSimulator(wasm, mixed([1, 0, 2]), { seed: 1 });
    const homes = new Map([...chip.maps(0)].map(({ block, home }) => [block, home]));
    expect([...homes.values()]).toEqual([names[1], names[0], names[2]]);
    chip.release();
  });
});
