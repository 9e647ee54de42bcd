import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { findViolations, importsOf } from "../../.config/dependencyRule.js";
import { readSourceFiles } from "../../.config/sourceFiles.js";

const check = (files: Record<string, string>) => findViolations(new Map(Object.entries(files)));

describe("the dependency rule", () => {
  test("holds in this project", () => {
    const files = readSourceFiles(fileURLToPath(new URL("../..", import.meta.url)));
    expect(files.size).toBeGreaterThan(50);
    expect(findViolations(files)).toEqual([]);
  });

  test("allows imports from the same folder and from lower ones", () => {
    expect(check({
      "targets/a.ts": 'import { z } from "zod";',
      "compiler/b.ts": 'import { a } from "../targets/a.ts"; import { c } from "./c.ts";',
      "compiler/c.ts": "export const c = 1;",
      "runtime/d.ts": 'import "node:fs"; import { b } from "../compiler/b.ts";',
      "test/e.test.ts": 'import { d } from "../runtime/d.ts"; import x from "../.config/x.js";',
    })).toEqual([]);
  });

  const downward = {
    "an import": 'import { d } from "../runtime/d.ts";',
    "a type import": 'import type { D } from "../runtime/d.ts";',
    "a re-export": 'export * from "../runtime/d.ts";',
    "a dynamic import": 'const d = await import("../runtime/d.ts");',
    "a type query": 'let d: import("../runtime/d.ts").D;',
  };
  test.each(Object.entries(downward))("catches %s that points downwards", (_name, text) => {
    expect(check({ "compiler/passes.ts": `\n${text}` })).toEqual([
      'compiler/passes.ts:2: compiler/ must not import runtime/ ("../runtime/d.ts")',
    ]);
  });

  test("catches every wrong pair of folders", () => {
    const folders = ["targets", "compiler", "models", "runtime", "test"];
    for (const [low, from] of folders.entries()) {
      for (const [high, to] of folders.entries()) {
        const found = check({ [`${from}/a.ts`]: `import "../${to}/b.ts";` });
        expect(found.length, `${from} -> ${to}`).toBe(high > low ? 1 : 0);
      }
    }
  });

  test.each(["node:fs", "fs", "fs/promises", "node:test"])("catches %s in pure code", (name) => {
    const text = `import "${name}";`;
    expect(check({ "compiler/emit/a.ts": text })[0]).toMatch(/is pure/);
    expect(check({ "targets/a.ts": text })).toHaveLength(1);
    expect(check({ "runtime/a.ts": text })).toEqual([]);
  });

  test("catches an import from outside of the five folders", () => {
    expect(check({ "runtime/a.ts": 'import "../dist/index.js";' })[0]).toMatch(/outside/);
  });

  test("catches circles, of any length, but not those of types", () => {
    expect(check({
      "compiler/a.ts": 'import { b } from "./b.ts";',
      "compiler/b.ts": 'import { c } from "./c.ts";',
      "compiler/c.ts": 'import { a } from "./a.ts";',
    })[0]).toMatch(/^import circle: compiler\/\w\.ts -> .* -> /);
    expect(check({ "compiler/a.ts": 'import "./a.ts";' })[0]).toMatch(/^import circle/);
    expect(check({
      "compiler/a.ts": 'import { b } from "./b.ts";',
      "compiler/b.ts": 'import type { A } from "./a.ts";',
    })).toEqual([]);
  });

  test("reads imports from the syntax, not from the text", () => {
    const text = [
      '// import "./no.ts";', 'const s = "import \'./no.ts\'";', 'import type { A } from "x";',
    ].join("\n");
    expect(importsOf("compiler/a.ts", text)).toEqual([
      { specifier: "x", typeOnly: true, line: 3 },
    ]);
  });
});
