/** What writing does to cells: counted pulses, and a chip that is rewritten at every step. */
import { describe, expect, it } from "vitest";
import { countedWear, rewritingWear } from "../../../runtime/learn/wear.ts";
import { loadTarget } from "../../../runtime/files/targetFiles.ts";
import type { Device } from "../../../targets/device.ts";

const cells = (name: string): Device => loadTarget(name).device as Device;

describe("pulses that were counted", () => {
  const counts = [Float32Array.of(1, 5, 0), Float32Array.of(10)];

  it("are those of the mean cell and of the worst", () => {
    expect(countedWear(counts, null)).toEqual({
      meanPulses: 4, mostPulses: 10, endurance: null, wear: null, isWornOut: false,
    });
  });

  it("wear cells out by the worst of them", () => {
    expect(countedWear(counts, 10)).toMatchObject({ wear: 1, isWornOut: false });
    expect(countedWear(counts, 8)).toMatchObject({ wear: 1.25, isWornOut: true });
  });
});

describe("a chip that is written at every step", () => {
  it("takes its device's pulses each time", () => {
    const device = cells("neurram-rram");
    const once = device.programming.verify!.pulses.value;
    expect(rewritingWear(device, 1000)).toMatchObject({
      meanPulses: 1000 * once, mostPulses: null, endurance: null, wear: null,
    });
    expect(rewritingWear(device, 1000, 1e3)).toMatchObject({ wear: once, isWornOut: true });
    const lasting = { ...device, endurance: { value: 1e6 } } as unknown as Device;
    expect(rewritingWear(lasting, 1000)?.wear).toBeCloseTo(once / 1000, 12);
  });

  it("says nothing where nobody knows how its cells are written", () => {
    expect(rewritingWear(cells("hermes-pcm"), 1000)).toBeUndefined();
  });
});
