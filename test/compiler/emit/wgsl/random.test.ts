/** What holds for every emitted module, whatever the kernel; no device needed. */
import { describe, expect, test } from "vitest";
import { dispatchOf } from "../../../../compiler/emit/wgsl/dispatch.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import { kernelKinds, randomKernels } from "./randomKernels.ts";

/** Names that a region of text declares with let or var, by nesting. */
function repeatedDeclarations(source: string): string[] {
  const scopes: Set<string>[] = [new Set()];
  const repeated: string[] = [];
  for (const line of source.split("\n")) {
    if (line.startsWith("//")) continue;
    const name = /^\s*(?:let|var(?:<[^>]*>)?) (\w+)/.exec(line)?.[1];
    if (name !== undefined) {
      if (scopes.some((scope) => scope.has(name))) repeated.push(name);
      scopes.at(-1)?.add(name);
    }
    if (line.trimStart().startsWith("}")) scopes.pop();
    if (line.endsWith("{")) scopes.push(new Set());
  }
  expect(scopes).toHaveLength(1);
  return repeated;
}

describe.each(kernelKinds)("random %s kernels", (kind) => {
  const cases = randomKernels(kind, 1, 150);

  test("become modules of at most 100 columns, in which no declaration hides another", () => {
    for (const { kernel } of cases) {
      const { source } = emitWgsl(kernel);
      const code = source.replaceAll(/\/\/.*/g, "");
      expect(code).not.toMatch(/undefined|NaN|Infinity|\[object/);
      const longest = source.split("\n").reduce((a, b) => (b.length > a.length ? b : a));
      expect(longest.length, longest).toBeLessThanOrEqual(100);
      expect(repeatedDeclarations(source), source).toEqual([]);
    }
  });

  test("say their workgroups in a comment that reads back as the dispatch", () => {
    for (const { kernel } of cases) {
      const emitted = emitWgsl(kernel, { ...webGpuDefaults, workgroupsPerDimension: 40 });
      expect(dispatchOf(emitted.source)).toEqual(emitted.dispatch);
    }
  });

  test("come out the same every time", () => {
    for (const { kernel } of cases.slice(0, 20)) {
      expect(emitWgsl(kernel)).toEqual(emitWgsl(kernel));
    }
  });
});
