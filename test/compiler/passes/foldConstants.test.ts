/** fold-constants and dead-code: what is known is computed once, what nobody needs goes. */
import { describe, expect, it } from "vitest";
import { parseGraph } from "../../../compiler/graph/parse.ts";
import { printGraph } from "../../../compiler/graph/print.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { foldConstants } from "../../../compiler/passes/foldConstants.ts";
import { deadCode } from "../../../compiler/passes/rewrite.ts";
import { after } from "../../support/passes.ts";

const folded = (lines: string): string => after(foldConstants, lines, 1e-7);

describe("fold-constants", () => {
  it("computes nodes of constants", () => {
    expect(folded(`%a = constant [1, 2, 3]: float32[3]
      %b = constant [10, 20, 30]: float32[3]
      %sum = add %a, %b from "/add"
      %total = reduce %sum {kind = sum, axes = [0]} from "/total"
      output sum = %sum
      output total = %total`)).toMatchInlineSnapshot(`
        "%sum = constant [11, 22, 33]: float32[3] from "/add"
        %total = constant 66: float32[] from "/total"
        output sum = %sum
        output total = %total"
      `);
  });

  it("keeps a repeated constant small, alone", () => {
    const lines = `input %x: float32[100,64]
      %a = constant [0.5]: float32[1]
      %wide = broadcast %a {shape = [100,64]}
      %y = mul %x, %wide
      output y = %y`;
    expect(folded(lines)).toContain("%a = constant [0.5]: float32[1]");
    expect(folded(lines)).toContain("%y = mul %x,");
  });

  it("expands it where it meets a constant of full size", () => {
    expect(folded(`%w = constant [1, 2, 3, 4]: float32[2,2]
      %s = constant [10, 100]: float32[2]
      %ss = broadcast %s {shape = [2,2]}
      %y = mul %w, %ss
      output y = %y`)).toMatchInlineSnapshot(`
        "%y = constant [10, 200, 30, 400]: float32[2,2]
        output y = %y"
      `);
  });

  it("keeps splats splats, however large", () => {
    const graph = parseGraph(`graph g {
      %a = constant splat 2: float32[1000,1000,100]
      %b = constant splat 3: float32[1000,1000,100]
      %y = mul %a, %b
      output y = %y
    }`);
    expect(printGraph(verifyGraph(foldConstants.run(graph))).text)
      .toContain("%y = constant splat 6: float32[1000,1000,100]");
  });

  it("makes constants of shape arithmetic that is known as numbers", () => {
    expect(folded(`input %x: float32[N,3]
      %n = size {dim = N, dtype = int64}
      %zero = sub %n, %n
      %one = constant 1: int64[]
      %start = add %zero, %one
      %y = gather %x, %start {axis = 1}
      output y = %y`)).toMatchInlineSnapshot(`
        "input %x: float32[N,3]
        %start = constant 1: int64[]
        %y = gather %x, %start {axis = 1}: float32[N]
        output y = %y"
      `);
  });

  it("leaves symbolic sizes, random bits and inputs to the run", () => {
    const lines = `input %x: float32[N]
      %n = size {dim = 2*N, dtype = int32}
      %key = constant [1, 2]: uint32[2]
      %bits = random %key {shape = [8]}
      %y = exp %x
      output n = %n
      output bits = %bits
      output y = %y`;
    for (const node of ["%n = size", "%bits = random", "%y = exp"]) {
      expect(folded(lines)).toContain(node);
    }
  });
});

describe("dead-code", () => {
  it("drops what no output needs, and keeps every input", () => {
    expect(after(deadCode, `input %x: float32[2]
      input %unused: float32[3]
      %a = sin %x
      %b = cos %a
      %c = exp %unused
      %d = tanh %b
      output y = %b`)).toMatchInlineSnapshot(`
        "input %x: float32[2]
        input %unused: float32[3]
        %a = sin %x: float32[2]
        %b = cos %a: float32[2]
        output y = %b"
      `);
  });
});
