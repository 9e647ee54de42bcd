/** Every shipped file satisfies its schema, every figure has a known source, schemas in sync. */
import { describe, expect, it } from "vitest";
import { parseDevice, parseTarget, jsonSchemas } from "../../targets/target.ts";
import {
  deviceNames,
  loadDevice,
  loadTarget,
  targetNames,
} from "../../runtime/files/targetFiles.ts";
import { unsourced } from "../../targets/figure.ts";

/** Every object with a number or numbers in it that is not a fit's piece must carry a source. */
function numbersWithoutSource(node: unknown, path: string, inSourced: boolean): string[] {
  if (typeof node === "number") return inSourced ? [] : [path];
  if (typeof node !== "object" || node === null) return [];
  const sourced = inSourced || typeof (node as { source?: unknown }).source === "string";
  return Object.entries(node).flatMap(([key, child]) =>
    numbersWithoutSource(child, `${path}.${key}`, sourced),
  );
}

describe.each(targetNames())("target %s", (name) => {
  const loaded = loadTarget(name);

  it("is called like its file and cites every figure", () => {
    expect(loaded.target.name).toBe(name);
    expect(numbersWithoutSource(loaded.json, name, false)).toEqual([]);
    expect(unsourced(loaded.json, loaded.target.references)).toEqual([]);
  });

  it("cites every reference it lists", () => {
    const text = JSON.stringify({ ...(loaded.json as object), references: {} });
    for (const key of Object.keys(loaded.target.references)) expect(text).toContain(key);
  });

  it("has rram in its name exactly when its cells are RRAM", () => {
    expect(name.includes("rram")).toBe(loaded.device?.kind === "rram");
  });
});

describe.each(deviceNames())("device %s", (name) => {
  it("is called like its file and cites every figure", () => {
    const device = loadDevice(name);
    expect(device.name).toBe(name);
    expect(numbersWithoutSource(device, name, false)).toEqual([]);
  });
});

describe("published JSON schemas", () => {
  it.each(["target", "device"] as const)("targets/%s.schema.json is in sync", async (kind) => {
    // Regenerate with: npx vitest run test/targets -u
    const text = `${JSON.stringify(jsonSchemas()[kind], null, 2)}\n`;
    await expect(text).toMatchFileSnapshot(`../../targets/${kind}.schema.json`);
  });
});

describe("errors of a target file", () => {
  const isaac = () => structuredClone(loadTarget("isaac-rram").json) as Record<string, never>;
  const at = (change: (json: Record<string, any>) => void): (() => unknown) => {
    const json = isaac();
    change(json);
    return () => parseTarget(json, "my.json");
  };

  it("names a negative resistance, expected, actual and remedy", () => {
    expect(at((j) => (j.wire.rowSegment.value = -1))).toThrow(
      /my\.json: wire\.rowSegment\.value: expected a finite number >= 0, got -1 ohm\..*Correct/,
    );
  });
  it("names an unknown key", () => {
    expect(at((j) => (j.adc.bitz = 3))).toThrow(/my\.json: adc: unknown key "bitz"\. Remove it/);
  });
  it("names a missing source", () => {
    expect(at((j) => delete j.adc.bits.source)).toThrow(
      /my\.json: adc\.bits\.source: expected string, got nothing\. Add the missing key/,
    );
  });
  it("names a source without a reference", () => {
    expect(at((j) => (j.adc.bits.source = "a friend"))).toThrow(
      /adc\.bits\.source: the source "a friend" names no reference\. Begin it with one of "isaac/,
    );
  });
  it("names a wrong unit", () => {
    expect(at((j) => (j.adc.time.unit = "pJ"))).toThrow(
      /adc\.time\.unit: expected one of "s", "ms"/,
    );
  });
  it("names a wrong type deep in the components", () => {
    expect(at((j) => (j.components[2].power.value = "much"))).toThrow(
      /components\[2\]\.power\.value: expected number, got "much"/,
    );
  });
  it("names an inverted window", () => {
    expect(at((j) => (j.cell.gMin.value = 300))).toThrow(
      /cell\.gMin\.value: expected less than gMax/,
    );
  });
  it("names an unknown kind", () => {
    expect(at((j) => (j.kind = "quantum"))).toThrow(/my\.json: kind/);
  });
  it("rejects what is not an object", () => {
    expect(() => parseTarget(3, "my.json")).toThrow(/my\.json: expected object, got 3/);
    expect(() => parseDevice(null, "d.json")).toThrow(/d\.json: expected object/);
  });
});

describe("finding targets", () => {
  it("lists what exists when a name is wrong", () => {
    expect(() => loadTarget("isac")).toThrow(/no target is called "isac"\..*isaac-rram, /);
  });
  it("names a file that is not there", () => {
    expect(() => loadTarget("./no/such.json")).toThrow(/such\.json: cannot be read/);
  });
});
