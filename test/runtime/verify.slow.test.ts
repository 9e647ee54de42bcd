/** The whole ONNX conformance suite on the graph evaluator, where the suite is at hand. */
import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { runConformance } from "../../runtime/verify.ts";
import { needSuite, pack, packFile, readPack, selectTests } from "../support/conformancePack.ts";
import { describeNeeding } from "../support/notRun.ts";

describeNeeding(needSuite, "the ONNX conformance suite", (get) => {
  test("at least 1,040 of its 1,073 tests pass, and none fails", async () => {
    const result = await runConformance(get());
    expect(result.tests.filter((t) => t.status === "failed")).toEqual([]);
    expect(result.tests.length).toBe(1073);
    expect(result.passed).toBeGreaterThanOrEqual(1040);
    for (const { status, reason } of result.tests) {
      if (status === "unsupported") expect(reason).toMatch(/not supported|random generator/);
    }
  });

  test("the packed part is what the suite has", async () => {
    const selected = await selectTests(get());
    if (process.env.UPDATE_FIXTURES === "1") writeFileSync(packFile, pack(selected));
    const digest = (tests: typeof selected): unknown => tests.map(({ name, model, sets }) =>
      [name, Buffer.from(model).toString("base64"), sets.map((s) =>
        [s.name, ...[...s.inputs, ...s.outputs].map((f) => Buffer.from(f).toString("base64"))])]);
    expect(digest(readPack())).toEqual(digest(selected));
  });
});
