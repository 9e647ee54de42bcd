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
  /** Parses the ISAAC preset with the value at a path replaced (undefined removes it). */
  const changed =
    (path: string, value: unknown): (() => unknown) =>
    () => {
      const json = structuredClone(loadTarget("isaac-rram").json);
      const keys = path.split(".");
      const last = keys.pop() ?? "";
      let node = json as Record<string, unknown>;
      for (const key of keys) node = node[key] as Record<string, unknown>;
      if (value === undefined) delete node[last];
      else node[last] = value;
      return parseTarget(json, "my.json");
    };

  it.each<[string, string, unknown, RegExp]>([
    [
      "a negative resistance",
      "wire.rowSegment.value",
      -1,
      /my\.json: wire\.rowSegment\.value: expected a finite number >= 0, got -1 ohm\..*Correct/,
    ],
    ["an unknown key", "adc.bitz", 3, /my\.json: adc: unknown key "bitz"\. Remove it/],
    [
      "a missing source",
      "adc.bits.source",
      undefined,
      /my\.json: adc\.bits\.source: expected string, got nothing\. Add the missing key/,
    ],
    [
      "a source without a reference",
      "adc.bits.source",
      "a friend",
      /adc\.bits\.source: the source "a friend" names no reference\. Begin it with one of "isaac/,
    ],
    ["a wrong unit", "adc.time.unit", "pJ", /adc\.time\.unit: expected one of "s", "ms"/],
    [
      "a wrong type deep in the components",
      "components.2.power.value",
      "much",
      /components\[2\]\.power\.value: expected number, got "much"/,
    ],
    ["an inverted window", "cell.gMin.value", 300, /cell\.gMin\.value: expected less than gMax/],
    ["an energy without its action", "components.0.action", "sample", /components\[0\]\.action/],
    ["an unknown kind", "kind", "quantum", /my\.json: kind/],
    ["a union's deepest fault", "cell.bits.value", 1.5, /cell\.bits\.value: expected a whole/],
  ])("name %s", (_, path, value, message) => {
    expect(changed(path, value)).toThrow(message);
  });

  it("name what is not an object at all", () => {
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
