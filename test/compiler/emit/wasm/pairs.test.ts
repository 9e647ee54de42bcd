/**
 * Integer products two terms at a time: bit for bit what evaluation says, for every narrow type,
 * odd and even sums, zero points, windows with padding; and when that way is taken.
 */
import { describe, expect, it } from "vitest";
import { emitWasm } from "../../../../compiler/emit/wasm/emit.ts";
import { Builder } from "../../../../compiler/graph/builder.ts";
import { symbol, type Dim } from "../../../../compiler/graph/dim.ts";
import { integerRange, type DType } from "../../../../compiler/graph/dtype.ts";
import { evaluateGraph } from "../../../../compiler/graph/evaluate.ts";
import type { Graph, Value } from "../../../../compiler/graph/graph.ts";
import { newData, sizeOf, type Tensor } from "../../../../compiler/graph/tensor.ts";
import { buildProgram } from "../../../../compiler/kernels/program.ts";
import { programFromJson, programToJson } from "../../../../compiler/kernels/serialise.ts";
import { openWasmDevice } from "../../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../../runtime/execute/session.ts";
import { Random } from "../../../support/randomGraph.ts";

const device = await openWasmDevice();
const random = new Random(11);

/** Any values of the type, its least and greatest among them. */
function values(dtype: DType, shape: readonly number[]): Tensor {
  const { min, max } = integerRange(dtype);
  const data = newData(dtype, sizeOf(shape));
  for (let i = 0; i < data.length; i++) {
    const kind = random.int(0, 7);
    data[i] = kind === 0 ? min : kind === 1 ? max : random.int(min, max);
  }
  return { dtype, shape, data, splat: false };
}

/** Runs a graph of x and w on the device; the result, how it was computed, and what is right. */
async function both(
  make: (b: Builder, x: Value, w: Value) => Value, xShape: readonly Dim[], x: Tensor, w: Tensor,
): Promise<{ way: string; out: Tensor; expected: Tensor; graph: Graph }> {
  const b = new Builder();
  const held = b.input("x", { dtype: x.dtype, shape: xShape });
  const graph = b.finish([{ name: "y", value: make(b, held, b.constant(w, "w")) }]);
  const program = buildProgram(graph);
  const session = await Session.create(device, program);
  const inputs = new Map([["x", x]]);
  const out = (await session.run(inputs)).get("y") as Tensor;
  session.release();
  const expected = evaluateGraph(graph, inputs, "f32").get("y") as Tensor;
  return { way: emitWasm(program.kernels).strategies.join(" | "), out, expected, graph };
}

/** As int32, less a zero point, which is taken off in a type that holds the difference. */
const wide = (b: Builder, v: Value, zero = 0, between: DType = "int16"): Value => {
  if (zero === 0) return b.cast(v, "int32");
  const cast = b.cast(v, between);
  return b.cast(b.sub(cast, b.full(cast, zero)), "int32");
};

describe("matrix products", () => {
  const types: [DType, DType][] = [
    ["int8", "int8"], ["uint8", "int8"], ["uint8", "uint8"], ["int16", "int16"], ["int16", "uint8"],
  ];
  it.each(types)("of %s and %s are pairs", async (left, right) => {
    for (const [rows, k, columns] of [[5, 20, 7], [70, 33, 13], [9, 700, 100], [130, 64, 24]]) {
      const [x, w] = [values(left, [rows!, k!]), values(right, [k!, columns!])];
      const { way, out, expected } = await both(
        (b, v, m) => b.dot(wide(b, v), wide(b, m), 0, 1), [symbol("N"), k!], x, w);
      expect(way).toContain("packed pairs");
      expect(out).toEqual(expected);
    }
  });

  it("have zero points, and wrap at 32 bits", async () => {
    const [x, w] = [values("uint8", [40, 25]), values("int8", [25, 12])];
    const shifted = await both((b, v, m) => b.dot(wide(b, v, 131), wide(b, m, -7), 0, 1),
      [40, 25], x, w);
    expect(shifted.way).toContain("packed pairs");
    expect(shifted.out).toEqual(shifted.expected);
    const least: Tensor = { dtype: "int16", shape: [8, 64], splat: false,
      data: new Int16Array(512).fill(-32768) };
    const { out, expected } = await both((b, v, m) =>
      b.dot(wide(b, v), b.transpose(wide(b, m), [1, 0]), 0, 1), [8, 64], least, least);
    // 64 times 2^30 is 2^36.
    expect(out.data[0]).toBe(0);
    expect(out).toEqual(expected);
  });

  it("of wider integers are not", async () => {
    for (const [left, right] of [["int32", "int8"], ["uint16", "int16"]] as [DType, DType][]) {
      const [x, w] = [values(left, [20, 16]), values(right, [16, 12])];
      const { way, out, expected } = await both(
        (b, v, m) => b.dot(wide(b, v), wide(b, m), 0, 1), [20, 16], x, w);
      expect(way).not.toContain("pairs");
      expect(out).toEqual(expected);
    }
    // A difference that does not fit 16 bits.
    const [x, w] = [values("int16", [20, 16]), values("int8", [16, 12])];
    const { way } = await both((b, v, m) => b.dot(wide(b, v, 5, "int32"), wide(b, m), 0, 1),
      [20, 16], x, w);
    expect(way).not.toContain("pairs");
  });
});

describe("convolutions", () => {
  const conv = async (channels: number, taps: readonly [number, number], low: number) => {
    const [x, w] = [values("uint8", [2, channels, 9, 11]), values("int8", [6, channels, ...taps])];
    return both((b, v, m) => b.add("conv", [wide(b, v), wide(b, m)], {
      strides: [1, 2], dilations: [1, 1], low: [low, low], high: [low - 1, low], groups: 1,
    }), [symbol("N"), channels, 9, 11], x, w);
  };

  it.each([
    [4, [3, 3]], [3, [3, 4]], [1, [4, 3]], [5, [2, 3]], [1, [1, 9]], [7, [1, 1]], [1, [9, 1]],
    [1, [5, 5]], [3, [3, 3]], [1, [3, 5]],
  ] as const)("of %i channels and taps %j are pairs", async (channels, taps) => {
    for (const low of [1, 2]) {
      const { way, out, expected } = await conv(channels, taps, low);
      expect(way).toContain("packed pairs");
      expect(out).toEqual(expected);
    }
  });

  it("of random windows, spelled out, odd in every axis or not, are pairs", async () => {
    for (let i = 0; i < 60; i++) {
      const odd = (most: number): number => 2 * random.int(0, most) + 1;
      const size = i % 4 === 0 ? (): number => random.int(1, 5) : (): number => odd(2);
      const [channels, taps] = [size(), [size() + 6, size()]];
      const [low, high] = [0, 1].map(() => taps.map((n) => random.int(0, n - 1))) as
        [number[], number[]];
      const strides = [random.int(1, 2), random.int(1, 2)];
      const [x, w] = [values("int16", [3, channels, 14, 9]),
        values("int16", [random.int(5, 9), channels, ...taps])];
      const { way, out, expected } = await both((b, v, m) => {
        const padded = b.pad(wide(b, v), [0, 0, ...low], [0, 0, ...high], 0);
        const windows = b.add("window", [padded], { sizes: taps, strides, dilations: [1, 1] });
        return b.dot(wide(b, m), b.transpose(windows, [1, 4, 5, 0, 2, 3]), 0, 3);
      }, [symbol("N"), channels, 14, 9], x, w);
      expect(way, `window ${i}`).toContain("packed pairs");
      expect(out, `window ${i}`).toEqual(expected);
    }
  });
});

it("kernels read back from a file are computed the same way", async () => {
  const w = values("int8", [16, 12]);
  const { graph, way } = await both((b, v, m) => b.dot(wide(b, v), wide(b, m), 0, 1), [20, 16],
    values("uint8", [20, 16]), w);
  const json = JSON.parse(JSON.stringify(programToJson(buildProgram(graph))));
  const read = programFromJson(json, new Map([["w", w]]), "plan.json");
  expect(emitWasm(read.kernels).strategies.join(" | ")).toBe(way);
});
