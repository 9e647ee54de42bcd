/** The fp32 accelerator: its energies add up to the published ones. */
import { expect, test } from "vitest";
import { digitalCost } from "../../compiler/partition/cost/digital.ts";
import { listTargets, loadTarget } from "../../runtime/files/targetFiles.ts";

test("a multiply-add costs what Horowitz measured, and the preset is listed", () => {
  const { target } = loadTarget("fp32-asic-reference");
  const work = { ops: 2, bytesRead: 0, bytesWritten: 0, launches: 0 };
  const operations = digitalCost(work, target).terms.find((t) => t.name === "operations");
  expect(operations?.energyJ).toBeCloseTo(4.6e-12, 20);
  expect(listTargets().map((t) => t.name)).toContain("fp32-asic-reference");
});
