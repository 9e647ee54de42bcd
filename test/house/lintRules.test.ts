import { Linter } from "eslint";
import { describe, expect, test } from "vitest";
import { house } from "../../.config/eslintRules.js";

function lint(rule: string, text: string): string[] {
  const config = { plugins: { house }, rules: { [`house/${rule}`]: "error" as const } };
  return new Linter().verify(text, config).map(({ line, message }) => `${line}: ${message}`);
}

describe("lint rules of the house", () => {
  test("lines have at most 100 columns, counted in characters", () => {
    expect(lint("line-length", `${"x".repeat(100)}\n// ${"😀".repeat(97)}`)).toEqual([]);
    expect(lint("line-length", `a;\n${"x".repeat(101)}`))
      .toEqual(["2: 101 columns; at most 100."]);
  });

  test("a source file starts with a comment of substance", () => {
    const comment = "/** What this file is, and what it is not, in a sentence or two. */";
    expect(lint("head-comment", `${comment}\nexport const a = 1;`)).toEqual([]);
    expect(lint("head-comment", `import "x";\n${comment}\nconst a = 1;`)).toHaveLength(1);
    expect(lint("head-comment", "// short\nconst a = 1;")).toHaveLength(1);
    expect(lint("head-comment", `#!/usr/bin/env ${"x".repeat(60)}\na();`)).toHaveLength(1);
  });

  test("no test is focused", () => {
    const focused = "test.only('a', f); describe.skip.only('b', f);";
    expect(lint("no-focused-tests", focused)).toHaveLength(2);
    expect(lint("no-focused-tests", "options.only = true; test('only', f);")).toEqual([]);
  });
});
