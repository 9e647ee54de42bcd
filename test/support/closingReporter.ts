/**
 * The reporter that closes a test run: what was *not run* and how to install what it needs, then,
 * as the very last line, the plain "N passed, N failed, N skipped" that log readers look for.
 * It prints no test by test account; that is the default reporter's work.
 */
import type { SerializedError } from "vitest";
import type { Reporter, TestCase, TestModule, TestSuite } from "vitest/node";
import type { Missing } from "./notRun.ts";

/** What the closing lines need to know of a run. */
export interface Closing {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** One entry per test that was not run. */
  readonly notRun: readonly { readonly file: string; readonly missing: Missing }[];
}

/** The closing section as text, without a newline at its end. */
export function closingText({ passed, failed, skipped, notRun }: Closing): string {
  const groups = new Map<string, { missing: Missing; files: string[] }>();
  for (const { file, missing } of notRun) {
    const key = JSON.stringify([missing.what, missing.reason, missing.install]);
    const group = groups.get(key) ?? { missing, files: [] };
    group.files.push(file);
    groups.set(key, group);
  }
  const lines = [...groups.values()].flatMap(({ missing, files }) => [
    `not run: ${files.length} test(s) in ${new Set(files).size} file(s) need: ${missing.what}`,
    `  reason:  ${missing.reason}`,
    `  install: ${missing.install}`,
    ...[...new Set(files)].sort().map((file) => `  ${file}`),
    "",
  ]);
  return [...lines, `${passed} passed, ${failed} failed, ${skipped} skipped`].join("\n");
}

function missingOf(test: TestCase): Missing | undefined {
  let node: TestCase | TestSuite | TestModule = test;
  for (;;) {
    const missing = node.meta().notRun;
    if (missing !== undefined || node.type === "module") return missing;
    node = node.parent;
  }
}

/**
 * Counts a run. A file that failed before its tests could (a syntax error, a failed hook) and an
 * error outside of any test count as one failure each, so that nothing red is ever "0 failed".
 */
export function summarize(
  modules: readonly TestModule[], unhandledErrors: readonly SerializedError[],
): Closing {
  const count = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
  const notRun: { file: string; missing: Missing }[] = [];
  for (const module of modules) {
    let failedHere = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") count.passed += 1;
      else if (state === "failed") failedHere += 1;
      else count.skipped += 1;
      const missing = missingOf(test);
      if (missing !== undefined) notRun.push({ file: module.relativeModuleId, missing });
    }
    count.failed += failedHere === 0 && !module.ok() ? 1 : failedHere;
  }
  return { ...count, notRun };
}

export class ClosingReporter implements Reporter {
  onTestRunEnd(
    modules: readonly TestModule[], unhandledErrors: readonly SerializedError[],
  ): void {
    process.stdout.write(`\n${closingText(summarize(modules, unhandledErrors))}\n`);
  }
}
