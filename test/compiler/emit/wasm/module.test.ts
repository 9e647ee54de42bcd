import { beforeAll, describe, expect, it } from "vitest";
import loadWabt from "wabt";
import { shareMemory } from "../../../../compiler/emit/wasm/assembler.ts";
import { emitWasm, emitWasmModule } from "../../../../compiler/emit/wasm/emit.ts";
import { relaxedSimdProbe } from "../../../../compiler/emit/wasm/probe.ts";
import { symbol, type Dim } from "../../../../compiler/graph/dim.ts";
import { unaryOps } from "../../../../compiler/graph/graph.ts";
import type { Expr } from "../../../../compiler/kernels/expr.ts";
import type { Kernel, KernelBody } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
import { instantiate, PAGE, singleFunction } from "./support.ts";

let wabt: Awaited<ReturnType<typeof loadWabt>>;
beforeAll(async () => {
  wabt = await loadWabt();
});

/** Text of a module that the validator accepts. */
function textOf(module: Uint8Array, isShared = false): string {
  const read = wabt.readWasm(module, { readDebugNames: true, relaxed_simd: true, threads: true });
  // wabt validates by index, so before names; and it can not be told of shared memory.
  if (!isShared) read.validate();
  read.applyNames();
  const text = read.toText({ foldExprs: true, inlineExport: false });
  read.destroy();
  return text;
}

function kernel(
  name: string, body: KernelBody, sizes: readonly Dim[], symbols: string[] = [],
): Kernel {
  return {
    name, origin: [], symbols, body,
    arguments: sizes.map((size, i) => ({
      name: `v${i}`, storage: "f32" as const, size,
      access: i === sizes.length - 1 ? "write" as const : "read" as const,
    })),
  };
}

const pool = new ExprPool();
const f32 = (x: number): Expr => pool.const(x, "f32");
const load = (index: Expr): Expr => pool.load(0, index, "f32");

const relu = (() => {
  const i = pool.axis(0, symbol("N"));
  const value = pool.binary("max", load(i), f32(0));
  return kernel("relu", {
    kind: "map", axes: [{ name: "i", extent: symbol("N") }], store: { buffer: 1, index: i, value },
  }, [symbol("N"), symbol("N")], ["N"]);
})();

const rowMean = (() => {
  const [i, r] = [pool.axis(0, 3), pool.axis(1, 8)];
  return kernel("row_mean", {
    kind: "reduce", axes: [{ name: "i", extent: 3 }], reduceAxes: [{ name: "r", extent: 8 }],
    op: "sum", value: load(pool.add(pool.mul(i, pool.const(8)), r)),
    store: { buffer: 1, index: i, value: pool.binary("mul", pool.acc("f32"), f32(0.125)) },
  }, [24, 3]);
})();

const product = (() => {
  const [i, j, k] = [pool.axis(0, 40), pool.axis(1, 50), pool.axis(2, 60)];
  const at = (row: Expr, stride: number, column: Expr): Expr =>
    pool.add(pool.mul(row, pool.const(stride)), column);
  return kernel("product", {
    kind: "contract", batch: [], m: [{ name: "i", extent: 40 }], n: [{ name: "j", extent: 50 }],
    k: [{ name: "k", extent: 60 }], a: load(at(i, 60, k)), b: pool.load(1, at(k, 50, j), "f32"),
    store: { buffer: 2, index: at(i, 50, j), value: pool.acc("f32") },
  }, [2400, 3000, 2000]);
})();

describe("emitted text", () => {
  it("of a map: four lanes, and a rest that is never written past the end", async () => {
    await expect(textOf(emitWasmModule([relu]))).toMatchFileSnapshot("./relu.wat");
  });

  it("of a reduction: rows as loops, one vector across, lanes combined at the end", async () => {
    await expect(textOf(emitWasmModule([rowMean]))).toMatchFileSnapshot("./rowMean.wat");
  });

  it("computes outside a loop what does not change in it, once", () => {
    const text = textOf(singleFunction(["i32", "f32"], [], (c, [n, x]) => {
      c.loop(c.i32(0), n as typeof n & object, 1, (i) => {
        const root = c.op("f32.sqrt", x as typeof x & object);
        c.store("f32.store", c.element(c.i32(0), i), c.op("f32.add", root, root));
      });
      return undefined;
    }));
    expect(text.match(/f32\.sqrt/g)).toHaveLength(1);
    expect(text.indexOf("f32.sqrt")).toBeLessThan(text.indexOf("loop"));
  });
});

describe("modules", () => {
  const everyFunction = unaryOps.filter((op) => op !== "not" && op !== "bitnot").map((op) => {
    const i = pool.axis(0, 7);
    const raw = pool.unary(op, load(i));
    const value = raw.type === "bool" ? pool.cast(raw, "f32") : raw;
    const axes = [{ name: "i", extent: 7 }];
    const store = { buffer: 1, index: i, value };
    return kernel(`apply_${op}`, { kind: "map", axes, store }, [7, 7]);
  });

  it("are valid, with every function there is", () => {
    const text = textOf(emitWasmModule([relu, rowMean, product, ...everyFunction]));
    expect(text).toContain("$math.sin");
  });

  it("name their functions and parameters after kernels and values", () => {
    const text = textOf(emitWasmModule([relu]));
    expect(text).toContain("(module $crosstie");
    expect(text).toContain(
      "(func $relu (type 1) (param $v0 i32) (param $v1 i32) (param $N i32) (param $scratch i32)");
  });

  it("tell work and scratch memory by the values of the symbols", () => {
    const { exports } = instantiate(emitWasmModule([relu, product]));
    const plan = (name: string, ...sizes: number[]): number[] =>
      [...(exports[`${name}.plan`] as unknown as (...s: number[]) => number[])(...sizes)];
    // Four nodes: load, its index, the constant and the maximum.
    expect(plan("relu", 1000)).toEqual([1000, 0, 4000]);
    const [work, scratch, operations] = plan("product");
    expect(operations).toBeGreaterThan(2 * 40 * 50 * 60);
    expect(work).toBe(1);
    expect(scratch).toBeGreaterThan(4 * (60 + 40) * 50);
  });

  it("use fused multiply-add only when asked", () => {
    expect(textOf(emitWasmModule([product]))).not.toContain("relaxed_madd");
    expect(textOf(emitWasmModule([product], { relaxedSimd: true }))).toContain("relaxed_madd");
    expect(textOf(relaxedSimdProbe())).toContain("relaxed_madd");
  });

  it("turn into modules for shared memory, and run there", () => {
    const shared = shareMemory(emitWasmModule([relu]));
    expect(textOf(shared, true)).toContain('(import "env" "memory" (memory (;0;) 1 65536 shared))');
    const memory = new WebAssembly.Memory({ initial: 4, maximum: PAGE, shared: true });
    const module = new WebAssembly.Module(shared as Uint8Array<ArrayBuffer>);
    const run = new WebAssembly.Instance(module, { env: { memory } }).exports["relu"] as
      (...args: number[]) => void;
    new Float32Array(memory.buffer, PAGE, 3).set([-1, 2, -3]);
    run(PAGE, PAGE + 64, 3, 0, 0, 3);
    expect([...new Float32Array(memory.buffer, PAGE + 64, 4)]).toEqual([0, 2, 0, 0]);
    expect(() => shareMemory(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 3))).toThrow("internal:");
  });

  it("say how each kernel is computed", () => {
    expect(emitWasm([relu, rowMean, product]).strategies).toMatchInlineSnapshot(`
      [
        "map, lanes along i",
        "reduce, lanes across r, 2 vectors",
        "packed 4x12, blocks of 40x60 over 60, a in place, b packed",
      ]
    `);
  });
});
