import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { closingText } from "../support/closingReporter.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("the closing lines of a test run", () => {
  test("group what was not run by what it needs, and end with the plain counts", () => {
    const missing = { what: "Chromium", reason: "not on PATH", install: "install it" };
    const notRun = [
      { file: "b.test.ts", missing },
      { file: "a.test.ts", missing: { ...missing } },
      { file: "b.test.ts", missing },
    ];
    expect(closingText({ passed: 5, failed: 0, skipped: 3, notRun }).split("\n")).toEqual([
      "not run: 3 test(s) in 2 file(s) need: Chromium",
      "  reason:  not on PATH",
      "  install: install it",
      "  a.test.ts",
      "  b.test.ts",
      "",
      "5 passed, 0 failed, 3 skipped",
    ]);
  });

  test("come from a real run, in which a file cannot even load", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crosstie-closing-"));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "dir");
    mkdirSync(join(folder, "test"));
    const missing = { what: "A thing", reason: "it is not here", install: "fetch it" };
    writeFileSync(join(folder, "test/mixed.test.ts"), `
      import { expect, test } from "vitest";
      import { describeNeeding } from ${JSON.stringify(join(root, "test/support/notRun.ts"))};
      test("good", () => {});
      test("bad", () => { expect(1).toBe(2); });
      test.skip("left out", () => {});
      describeNeeding({ missing: ${JSON.stringify(missing)} }, "absent", (get) => {
        test("one", () => { get(); });
        test("two", () => { get(); });
      });
      describeNeeding({ value: 7 }, "present", (get) => {
        test("three", () => { expect(get()).toBe(7); });
      });`);
    writeFileSync(join(folder, "test/broken.test.ts"), "throw new Error('before any test');");
    try {
      const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
        const vitest = join(root, "node_modules/vitest/vitest.mjs");
        const config = ["--config", join(root, ".config/vitest.config.ts")];
        execFile(
          process.execPath, [vitest, "run", ...config, "--root", folder], { cwd: root },
          (error, out) => resolve({ code: error?.code ?? 0, stdout: out }),
        );
      });
      expect(code).toBe(1);
      expect(stdout.trimEnd().split("\n").slice(-6)).toEqual([
        "not run: 2 test(s) in 1 file(s) need: A thing",
        "  reason:  it is not here",
        "  install: fetch it",
        expect.stringMatching(/mixed\.test\.ts$/),
        "",
        "2 passed, 2 failed, 3 skipped",
      ]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
