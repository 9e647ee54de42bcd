import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { solveArrayDocument } from "../../../../runtime/chip/wires/solveArrayFile.ts";

interface Reference {
  readonly outputAmpere: number[][];
  readonly effectiveConductanceSiemens?: number[][];
  readonly inputVolt: number[][];
}

const sizes = ["8x6", "16x16", "32x24", "64x64", "128x128"];

function worst(actual: readonly number[][], expected: readonly number[][]): number {
  return Math.max(...expected.flatMap((row, k) =>
    row.map((value, j) => Math.abs(actual[k]![j]! / value - 1))));
}

describe("arrays solved by circuit simulation", () => {
  it.each(sizes)("%s: outputs and effective conductances to 1e-9", (size) => {
    const path = new URL(`../../../fixtures/crossbar/array-${size}.json`, import.meta.url);
    const reference = JSON.parse(readFileSync(path, "utf8")) as Reference;
    const report = solveArrayDocument(reference, size);
    expect(worst(report.outputAmpere, reference.outputAmpere)).toBeLessThan(1e-11);
    const effective = report.effectiveConductanceSiemens!;
    if (reference.effectiveConductanceSiemens !== undefined) {
      expect(worst(effective, reference.effectiveConductanceSiemens)).toBeLessThan(1e-11);
    }
    const products = reference.inputVolt.map((volt) => reference.outputAmpere[0]!.map((_, j) =>
      volt.reduce((sum, v, i) => sum + v * effective[i]![j]!, 0)));
    expect(worst(products, reference.outputAmpere)).toBeLessThan(1e-11);
    expect(report.iterations).toBeGreaterThan(0);
    expect(report.residual).toBeLessThan(1e-12);
  });
});
