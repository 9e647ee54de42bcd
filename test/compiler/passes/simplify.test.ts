/** simplify: nodes that change nothing go, and not one bit of the result with them. */
import { describe, expect, it } from "vitest";
import { simplify } from "../../../compiler/passes/simplify.ts";
import { after } from "../../support/passes.ts";

const x = "input %x: float32[N,4]";
const uniform = (value: number): string => `
  %u.c = constant ${value}: float32[]
  %u = broadcast %u.c {shape = [N,4]}`;
const body = (lines: string): string => after(simplify, `${x} ${lines}`)
  .split("\n").slice(1).join("\n");

describe("removes", () => {
  it("a factor of one on either side", () => {
    expect(body(`${uniform(1)} %a = mul %x, %u  %b = mul %u, %a  output y = %b`))
      .toBe("output y = %x");
  });

  it("a division by one and a subtraction of zero", () => {
    expect(body(`${uniform(1)} %zero = constant splat 0: float32[4]
      %zeros = broadcast %zero {shape = [N,4]}
      %a = div %x, %u
      %b = sub %a, %zeros
      output y = %b`)).toBe("output y = %x");
  });

  it("a power of one, and makes a product of a square and a root of a power of a half", () => {
    expect(body(`${uniform(1)} %a = pow %x, %u output y = %a`)).toBe("output y = %x");
    expect(body(`${uniform(2)} %a = pow %x, %u output y = %a`))
      .toBe("%a = mul %x, %x: float32[N,4]\noutput y = %a");
    expect(after(simplify, `${x} ${uniform(0.5)} %p = abs %x %a = pow %p, %u output y = %a`, 1e-15))
      .toContain("%a = sqrt %p");
  });

  it("a choice whose condition is the same everywhere", () => {
    expect(body(`%t.c = constant 1: bool[] %t = broadcast %t.c {shape = [N,4]}
      %f = constant splat 0: bool[4]  %fs = broadcast %f {shape = [N,4]}
      %s = sin %x
      %a = where %t, %s, %x
      %b = where %fs, %x, %a
      output y = %b`)).toBe("%s = sin %x: float32[N,4]\noutput y = %s");
  });

  it("one of two transposes, and both where they undo each other", () => {
    expect(after(simplify, `input %x: float32[2,3,5]
      %a = transpose %x {perm = [2,0,1]}
      %b = transpose %a {perm = [1,0,2]}
      %c = transpose %a {perm = [1,2,0]}
      output b = %b
      output c = %c`)).toMatchInlineSnapshot(`
        "input %x: float32[2,3,5]
        %b = transpose %x {perm = [0,2,1]}: float32[2,5,3]
        output b = %b
        output c = %x"
      `);
  });

  it("reshapes and repetitions on the way to another one", () => {
    expect(after(simplify, `input %x: float32[N,1]
      %a = reshape %x {shape = [N]}
      %b = reshape %a {shape = [1,N]}
      %c = broadcast %x {shape = [N,3]}
      %d = broadcast %c {shape = [2,N,3]}
      %e = reshape %a {shape = [N,1]}
      output b = %b
      output d = %d
      output e = %e`)).toMatchInlineSnapshot(`
        "input %x: float32[N,1]
        %b = reshape %x {shape = [1,N]}: float32[1,N]
        %d = broadcast %x {shape = [2,N,3]}: float32[2,N,3]
        output b = %b
        output d = %d
        output e = %x"
      `);
  });
});

describe("keeps", () => {
  it("what differs in one element, or for a negative zero", () => {
    for (const line of [
      "%u = constant [1, 1, 1, 2]: float32[4] %us = broadcast %u {shape=[N,4]} %y = mul %x, %us",
      "%u = constant 0: float32[] %us = broadcast %u {shape=[N,4]} %y = add %x, %us",
      "%u = constant -0: float32[] %us = broadcast %u {shape=[N,4]} %y = sub %x, %us",
      "%u = constant 1: float32[] %us = broadcast %u {shape=[N,4]} %y = div %us, %x",
      "%u = constant 0: float32[] %us = broadcast %u {shape=[N,4]} %y = sub %us, %x",
      "%u = constant 0: float32[] %us = broadcast %u {shape=[N,4]} %y = mul %x, %us",
      "%u = constant 3: float32[] %us = broadcast %u {shape=[N,4]} %y = pow %x, %us",
    ]) {
      const op = /%y = (\w+)/.exec(line)?.[1] ?? "";
      expect(body(`${line} output y = %y`)).toContain(`%y = ${op} `);
    }
  });
});
