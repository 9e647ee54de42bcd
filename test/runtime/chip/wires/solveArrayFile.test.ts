import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../../../compiler/errors.ts";
import {
  solveArrayDocument, solveArrayFile,
} from "../../../../runtime/chip/wires/solveArrayFile.ts";
import { nodalOutputs } from "./nodalOracle.ts";
import { ohm } from "../../../../targets/units.ts";

const document = {
  rows: 2,
  cols: 3,
  rowSegmentOhm: 2,
  colSegmentOhm: 3,
  conductanceSiemens: [[1e-4, 2e-5, 0], [5e-5, 3e-5, 7e-5]],
  inputVolt: [[0.2, 0.1], [0, -0.1], [0, 0]],
  outputAmpere: "what a reference says is not read",
};

const circuit = {
  rows: 2, cols: 3, rowSegmentOhm: ohm(2), colSegmentOhm: ohm(3),
  conductance: Float64Array.from(document.conductanceSiemens.flat()),
};

describe("solve-array", () => {
  it("reports outputs, effective conductances, iterations, residual and seconds, no more", () => {
    let now = 5000;
    const report = solveArrayDocument(document, "a.json", () => (now += 250));
    expect(Object.keys(report).sort()).toEqual(
      ["effectiveConductanceSiemens", "iterations", "outputAmpere", "residual", "seconds"]);
    expect(report.seconds).toBe(0.25);
    expect(report.iterations).toBeGreaterThan(0);
    expect(report.residual).toBeLessThan(1e-12);
    document.inputVolt.forEach((volt, k) => {
      nodalOutputs(circuit, volt).forEach((ampere, j) => {
        expect(Math.abs(report.outputAmpere[k]![j]! - ampere)).toBeLessThan(1e-15);
      });
    });
    for (const [i, unit] of [[1, 0], [0, 1]].entries()) {
      nodalOutputs(circuit, unit).forEach((siemens, j) => {
        expect(report.effectiveConductanceSiemens![i]![j]! / siemens).toBeCloseTo(1, 11);
      });
    }
  });

  it("takes ends, terminal resistances, topology, shorts and nonlinear cells", () => {
    const options = {
      ...document, driveEnd: "right", senseEnd: "both", sourceOhm: 11, senseOhm: 13,
      topology: "interleaved-input-line",
      cell: { quadratic: 1e-6, cubic: [[1e-5, 0, 0], [2e-5, 0, 1e-5]] },
    };
    const report = solveArrayDocument(options, "a.json");
    expect(report.effectiveConductanceSiemens).toBeNull();
    const expected = nodalOutputs({
      ...circuit, driveEnd: "right", senseEnd: "both", sourceOhm: ohm(11), senseOhm: ohm(13),
      topology: "interleaved-input-line",
      cell: {
        kind: "polynomial", quadratic: 1e-6, cubic: Float64Array.from(options.cell.cubic.flat()),
      },
    }, [0.2, 0.1]);
    expected.forEach((ampere, j) => {
      expect(Math.abs(report.outputAmpere[0]![j]! - ampere)).toBeLessThan(1e-15);
    });
    const shorted = { ...document, conductanceSiemens: [["short", 2e-5, 0], [5e-5, 3e-5, 7e-5]] };
    const conductance = circuit.conductance.slice();
    conductance[0] = Infinity;
    const [ampere] = nodalOutputs({ ...circuit, conductance }, [0.2, 0.1]);
    expect(solveArrayDocument(shorted, "a.json").outputAmpere[0]![0]! / ampere!).toBeCloseTo(1, 12);
    const gated = solveArrayDocument({
      ...document, topology: "separate-source", driveEnd: "bottom", inputVolt: [[0, 0.2]],
    }, "a.json");
    expect(gated.effectiveConductanceSiemens).toBeNull();
    expect(gated.iterations).toBe(0);
  });

  it.each<[string, object, RegExp]>([
    ["a missing key", { rows: undefined }, /^a\.json: rows: .*got nothing/],
    ["no whole number", { cols: 2.5 }, /^a\.json: cols: .*whole number.*2\.5/],
    ["too few rows", { rows: 3 }, /^a\.json: .*expected 3 /],
    ["a short row", { conductanceSiemens: [[1, 1, 1], [1, 1]] },
      /^a\.json: conductanceSiemens\[1\]: expected 3 numbers, got 2\. .*"cols"/],
    ["no number", { conductanceSiemens: [[1, 1, null], [1, 1, 1]] },
      /^a\.json: conductanceSiemens\[0\]\[2\]: expected a finite number, got null/],
    ["a negative cell", { conductanceSiemens: [[1, 1, 1], [-1, 1, 1]] },
      /^a\.json: conductanceSiemens\[1\]\[0\]: .*negative, got -1\. Give siemens/],
    ["a negative wire", { colSegmentOhm: -3 }, /^a\.json: colSegmentOhm: /],
    ["a word for a wire", { rowSegmentOhm: "1" }, /^a\.json: rowSegmentOhm: .*number/],
    ["a short input", { inputVolt: [[0.1, 0.1], [0.1]] },
      /^a\.json: inputVolt\[1\]: expected 2 numbers, got 1\. .*"rows"/],
    ["an unknown end", { driveEnd: "up" }, /^a\.json: driveEnd: .*"left"/],
    ["an end the topology lacks", { driveEnd: "top" }, /^a\.json: driveEnd: .*left, right, both/],
    ["an unknown topology", { topology: "star" }, /^a\.json: topology: .*"input-line"/],
    ["a misspelt key", { sourceohm: 5 }, /^a\.json: unknown key "sourceohm".* "sourceOhm"/],
  ])("refuses %s, with the place and the remedy", (_what, fault, message) => {
    const bad = JSON.parse(JSON.stringify({ ...document, ...fault })) as unknown;
    expect(() => solveArrayDocument(bad, "a.json")).toThrow(message);
    expect(() => solveArrayDocument(bad, "a.json")).toThrow(UserError);
  });

  it("solves arrays of one line, open arrays, and resistances of any size", () => {
    const scale = fc.oneof(fc.constant(0), fc.double({ min: -12, max: 9, noNaN: true })
      .map((e) => 10 ** e));
    const siemens = fc.oneof(fc.constant(0), fc.double({ min: -15, max: 1, noNaN: true })
      .map((e) => 10 ** e));
    fc.assert(fc.property(
      fc.constantFrom([1, 1], [1, 7], [7, 1], [1, 64], [64, 1], [3, 5]),
      fc.array(siemens, { minLength: 64, maxLength: 64 }), fc.tuple(scale, scale, scale, scale),
      fc.constantFrom("left", "right", "both"), fc.constantFrom("top", "bottom", "both"),
      ([rows, cols], cells, [rowSegmentOhm, colSegmentOhm, sourceOhm, senseOhm], driveEnd, end) => {
        const conductance = Float64Array.from(cells.slice(0, rows! * cols!));
        const inputVolt = [Array.from({ length: rows! }, (_, i) => 0.1 + 0.01 * (i % 3))];
        const wires = { rowSegmentOhm, colSegmentOhm, sourceOhm, senseOhm };
        const { outputAmpere, effectiveConductanceSiemens } = solveArrayDocument({
          rows, cols, ...wires, driveEnd, senseEnd: end, inputVolt,
          conductanceSiemens: Array.from({ length: rows! }, (_, i) =>
            [...conductance.subarray(i * cols!, (i + 1) * cols!)]),
        }, "a.json");
        expect(outputAmpere[0]).toHaveLength(cols!);
        const largest = Math.max(...outputAmpere[0]!);
        outputAmpere[0]!.forEach((ampere, j) => {
          // Positive inputs: no output is a difference, and each is the matrix times the input.
          const product = inputVolt[0]!.reduce((sum, v, i) =>
            sum + v * effectiveConductanceSiemens![i]![j]!, 0);
          expect(Math.abs(product - ampere)).toBeLessThanOrEqual(1e-9 * product);
          expect(ampere).toBeGreaterThanOrEqual(0);
        });
        // The dense oracle is plain elimination, which keeps few digits where resistances are far
        // apart: it is asked where they are not.
        const all = [...Object.values(wires), ...Array.from(conductance, (g) => 1 / g)]
          .filter((r) => r > 0 && r < Infinity);
        if (all.length === 0 || Math.max(...all) / Math.min(...all) > 1e6) return;
        nodalOutputs({
          rows: rows!, cols: cols!, conductance, driveEnd, senseEnd: end,
          rowSegmentOhm: ohm(rowSegmentOhm), colSegmentOhm: ohm(colSegmentOhm),
          sourceOhm: ohm(sourceOhm), senseOhm: ohm(senseOhm),
        }, inputVolt[0]!).forEach((ampere, j) => {
          expect(Math.abs(outputAmpere[0]![j]! - ampere)).toBeLessThanOrEqual(1e-8 * largest);
        });
      },
    ), { numRuns: 200, seed: 31 });
  });

  it.each([null, 7, "x", []])("refuses %j", (bad) => {
    expect(() => solveArrayDocument(bad, "a.json")).toThrow(/^a\.json/);
  });

  it("reads files, and names those it cannot read", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crosstie-array-"));
    try {
      const file = join(folder, "array.json");
      writeFileSync(file, JSON.stringify(document));
      const { outputAmpere } = await solveArrayFile(file);
      expect(outputAmpere).toEqual(solveArrayDocument(document, "a.json").outputAmpere);
      writeFileSync(file, "{\"rows\": NaN}");
      await expect(solveArrayFile(file)).rejects.toThrow(/array\.json: not valid JSON/);
      await expect(solveArrayFile(`${file}x`)).rejects.toThrow(/array\.jsonx/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
