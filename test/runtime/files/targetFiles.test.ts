/** Finding targets: by name, by path, with a device beside the file; bad files named. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listTargets, loadDevice, loadTarget } from "../../../runtime/files/targetFiles.ts";

const idealDevice = {
  name: "x",
  kind: "ideal",
  summary: "x",
  references: {},
  window: {
    gMin: { value: 1, unit: "uS", source: "assumed: x" },
    gMax: { value: 9, unit: "uS", source: "assumed: x" },
  },
  programming: {
    distribution: "normal",
    spread: [
      {
        time: { value: 1, unit: "s", source: "assumed: x" },
        sigma: {
          unit: "uS",
          source: "assumed: x",
          pieces: [{ argument: "g/uS", form: "polynomial", coefficients: [0] }],
        },
      },
    ],
  },
  time: { kind: "none" },
  read: { kind: "none" },
  currentVoltage: { kind: "linear" },
  stuck: {
    low: { value: 0, unit: "1", source: "assumed: x" },
    high: { value: 0, unit: "1", source: "assumed: x" },
    random: { value: 0, unit: "1", source: "assumed: x" },
  },
};

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-targets-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, contents: unknown): string => {
  const path = join(folder, name);
  const text = typeof contents === "string" ? contents : JSON.stringify(contents);
  writeFileSync(path, text);
  return path;
};

describe("targets on disk", () => {
  it("are listed with kind, process and source; RRAM presets say so in their names", () => {
    const all = listTargets();
    expect(all.length).toBeGreaterThanOrEqual(8);
    expect(all.filter(({ name }) => name.includes("rram")).length).toBeGreaterThanOrEqual(5);
    for (const { kind, process, source } of all) {
      expect(["hybrid", "digital"]).toContain(kind);
      expect(process).toMatch(/^\d+ nm$/);
      expect(source).toMatch(/^(measured-silicon|simulated-design|derived): ./);
    }
  });

  it("load by path, with a device of their own beside them", () => {
    const device = { ...idealDevice, name: "mine" };
    file("mine-device.json", device);
    const json = structuredClone(loadTarget("isaac-rram").json) as {
      name: string;
      cell: { device: string };
    };
    json.name = "mine";
    json.cell.device = "./mine-device.json";
    const loaded = loadTarget(file("mine.json", json));
    expect(loaded.target.name).toBe("mine");
    expect(loaded.device?.name).toBe("mine");
  });

  it("name the file and the fault when they are wrong", () => {
    expect(() => loadTarget(file("broken.json", "{"))).toThrow(/broken\.json: is not JSON/);
    expect(() => loadTarget(file("empty.json", {}))).toThrow(/empty\.json: kind/);
    expect(() => loadTarget(join(folder, "absent.json"))).toThrow(/absent\.json: cannot be read/);
    expect(() => loadDevice("unobtainium")).toThrow(/no device is called "unobtainium"\. Use a/);
  });
});
