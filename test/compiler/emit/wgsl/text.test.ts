/** How expressions print: nesting, hoisting, branches, constants; one map kernel each. */
import { describe, expect, test } from "vitest";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";

const pool = new ExprPool();
const i = pool.axis(0, 64);
const k = pool.axis(1, 50);
const f = (value: number): Expr => pool.const(value, "f32");
const x = (index: Expr): Expr => pool.load(0, index, "f32");
const y = (index: Expr): Expr => pool.load(1, index, "f32");
const n = (index: Expr): Expr => pool.load(2, index, "i32");
const b = pool.binary.bind(pool);

function kernel(value: Expr, reduced: boolean): Kernel {
  const tensor = (name: string, storage: "f32" | "i32", access: "read" | "write") =>
    ({ name, storage, access, size: 9999 });
  const axes = [{ name: "i", extent: 64 }];
  const out = value.type === "f32" ? 3 : 4;
  return {
    name: "f", origin: [], symbols: [],
    arguments: [
      tensor("x", "f32", "read"), tensor("y", "f32", "read"), tensor("n", "i32", "read"),
      tensor("z", "f32", "write"), tensor("flags", "i32", "write"),
    ],
    body: reduced
      ? {
        kind: "reduce", axes, reduceAxes: [{ name: "k", extent: 50 }], op: "sum", value,
        store: { buffer: out, index: i, value: pool.acc(value.type) },
      }
      : { kind: "map", axes, store: { buffer: out, index: i, value } },
  };
}

/** The statements of the entry point, without the first two of every kernel. */
function statements(value: Expr, reduced = false): string {
  const { source } = emitWgsl(kernel(value, reduced));
  const body = source.slice(source.indexOf("@compute")).split("\n").slice(2, -2);
  return body.filter((line) => !line.includes("i32(id.x)")).map((l) => l.slice(2)).join("\n");
}

describe("operators", () => {
  test("are nested by how tightly they bind, and keep the order of float operations", () => {
    const [p, q, r] = [x(i), y(i), f(2)];
    expect(statements(b("mul", b("add", p, q), r))).toBe("z[i] = (x[i] + y[i]) * 2.0;");
    expect(statements(b("add", p, b("mul", q, r)))).toBe("z[i] = x[i] + y[i] * 2.0;");
    expect(statements(b("add", p, b("add", q, r)))).toBe("z[i] = x[i] + (y[i] + 2.0);");
    expect(statements(b("sub", b("sub", p, q), r))).toBe("z[i] = x[i] - y[i] - 2.0;");
    expect(statements(b("div", p, b("div", q, r)))).toBe("z[i] = x[i] / (y[i] / 2.0);");
    expect(statements(pool.unary("neg", pool.unary("neg", p)))).toBe("z[i] = -(-x[i]);");
    expect(statements(b("mul", p, f(-0.5)))).toBe("z[i] = x[i] * -0.5;");
  });

  test("of bits and of truth never stand beside others without parentheses", () => {
    const [u, v] = [n(i), n(pool.add(i, pool.const(1)))];
    expect(statements(b("or", b("and", u, v), b("shl", u, pool.const(3, "u32"))))).toBe(
      "let n_value = n[i];\nflags[i] = (n_value & n[i + 1]) | (n_value << 3u);");
    const [low, high] = [b("lt", x(i), f(0)), b("le", y(i), f(1))];
    expect(statements(b("or", b("and", low, high), b("eq", u, v)))).toBe(
      "let test = (x[i] < 0.0 && y[i] <= 1.0) || n[i] == n[i + 1];\nflags[i] = i32(test);");
    expect(statements(b("and", b("and", low, high), b("and", low, b("eq", u, v))))).toMatch(
      /test && y\[i\] <= 1\.0 && test && n\[i\] == n\[i \+ 1\]/);
  });

  test("on index expressions read as differences", () => {
    const mirrored = pool.sub(pool.const(63), i);
    expect(statements(x(mirrored))).toBe("z[i] = x[63 - i];");
    expect(statements(x(pool.sub(pool.mul(pool.const(5), i), pool.const(2)))))
      .toBe("z[i] = x[i * 5 - 2];");
  });

  test("whose results would be refused as constants are computed beforehand", () => {
    const big = pool.const(2 ** 31 - 1);
    const shifted = b("shl", big, pool.const(4, "u32"));
    expect(statements(b("xor", n(i), shifted))).toBe("flags[i] = n[i] ^ -16;");
    // The largest i32, as an f32.
    const saturated = pool.cast(pool.cast(f(1e20), "i32"), "f32");
    expect(statements(b("add", x(i), saturated))).toBe("z[i] = x[i] + 2147483600.0;");
    expect(statements(b("div", n(i), pool.const(0)))).toBe("flags[i] = 0;");
  });
});

describe("nodes", () => {
  test("used twice are computed once and named after what they are", () => {
    const e = pool.unary("exp", x(i));
    expect(statements(b("div", e, b("add", e, f(1))))).toBe(
      "let exponential = exp(x[i]);\nz[i] = exponential / (exponential + 1.0);");
  });

  test("leave the loops they do not depend on", () => {
    const scale = b("mul", y(i), f(3));
    const value = b("mul", scale, x(pool.add(pool.mul(i, pool.const(50)), k)));
    expect(statements(value, true)).toMatchInlineSnapshot(`
      "let product = y[i] * 3.0;
      let i_offset = i * 50;
      var acc = 0.0;
      for (var k = 0; k < 50; k++) {
        acc += product * x[i_offset + k];
      }
      z[i] = acc;"
    `);
  });

  test("too long for a line are split into named parts", () => {
    let sum = x(i);
    for (let d = 1; d < 12; d++) sum = b("add", sum, b("mul", x(pool.add(i, pool.const(d))), f(d)));
    const lines = statements(sum).split("\n");
    expect(lines.length).toBeGreaterThan(2);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(90);
  });
});

describe("a guard", () => {
  const inside = pool.lt(i, pool.const(40));

  test("around one load is a selection", () => {
    expect(statements(pool.guard(inside, x(i), f(0)))).toBe("z[i] = select(0.0, x[i], i < 40);");
    const outside = pool.not(pool.lt(i, pool.const(40)));
    expect(statements(pool.guard(outside, x(i), f(0)))).toBe("z[i] = select(0.0, x[i], 40 <= i);");
  });

  test("that spares a costly function is a branch", () => {
    expect(statements(pool.guard(inside, pool.unary("exp", x(i)), f(0)))).toMatchInlineSnapshot(`
      "var guarded = 0.0;
      if (i < 40) {
        guarded = exp(x[i]);
      }
      z[i] = guarded;"
    `);
  });

  test("between loads, as in a concatenation, has an else", () => {
    const second = pool.lt(i, pool.const(50));
    const tail = pool.guard(second, y(pool.sub(i, pool.const(40))), f(-1));
    expect(statements(pool.guard(inside, x(i), tail))).toMatchInlineSnapshot(`
      "var chosen: f32;
      if (i < 40) {
        chosen = x[i];
      } else {
        chosen = select(-1.0, y[i - 40], i < 50);
      }
      z[i] = chosen;"
    `);
  });
});

describe("floats", () => {
  test.each([
    [0.1, "0.1"], [1, "1.0"], [-0, "-0.0"], [1e-7, "1e-7"], [16777216, "16777216.0"],
    [3.4028234663852886e38, "3.402823466e38"], [1 / 3, "0.33333334"],
    [Infinity, "as_f32(0x7f800000u)"], [-Infinity, "as_f32(0xff800000u)"],
    [NaN, "as_f32(0x7fc00000u)"], [2 ** -140, "as_f32(0x00000200u)"],
  ])("%s is written %s", (value, text) => {
    expect(statements(b("add", x(i), f(Math.fround(value))))).toBe(`z[i] = x[i] + ${text};`);
  });
});
