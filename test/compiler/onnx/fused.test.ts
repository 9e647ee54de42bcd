/**
 * ONNX Runtime's own operators: each against the standard operators that it stands for, or against
 * a loop over its definition.
 */
import { describe, expect, test } from "vitest";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import {
  elements, floats, ints, number, run, typed, values, type AttributeValue,
} from "../../support/onnxModel.ts";

type Attributes = Readonly<Record<string, AttributeValue>>;
const contrib = { domain: "com.microsoft" };

let state = 5;
const next = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
};
const many = (shape: readonly number[]): number[] =>
  Array.from({ length: shape.reduce((p, d) => p * d, 1) }, next);
const random = (...shape: number[]): Tensor => floats(shape, ...many(shape));
const bytes = (...shape: number[]): Tensor =>
  typed("uint8", shape, ...many(shape).map((x) => Math.floor((x + 1) * 128)));

const one = (
  operator: string, operands: readonly (Tensor | undefined)[], attributes: Attributes = {},
): Tensor => run(operator, operands, attributes)[0] as Tensor;
const fusedOne = (
  operator: string, operands: readonly (Tensor | undefined)[], attributes: Attributes = {},
): Tensor => run(operator, operands, attributes, contrib)[0] as Tensor;

/** Equal to a few roundings of sums of a few dozen terms. */
function expectSame(actual: Tensor, expected: Tensor): void {
  expect(actual.shape).toEqual(expected.shape);
  elements(actual).forEach((x, i) => expect(x).toBeCloseTo(elements(expected)[i] as number, 4));
}

describe("products and activations", () => {
  test("FusedConv adds a residual and then activates", () => {
    const [x, w, bias, z] = [random(1, 2, 4, 4), random(3, 2, 3, 3), random(3), random(1, 3, 2, 2)];
    expectSame(fusedOne("FusedConv", [x, w, bias, z], { activation: "LeakyRelu",
      activation_params: { floats: [0.25] } }),
    one("LeakyRelu", [one("Add", [one("Conv", [x, w, bias]), z])], { alpha: 0.25 }));
    expect(() => fusedOne("FusedConv", [x, w], { activation: "Tango" }))
      .toThrow("The fused activation Tango is not supported");
  });

  test("FusedGemm and FusedMatMul transpose, scale and activate", () => {
    const [x, w, bias] = [random(3, 4), random(5, 4), random(5)];
    expectSame(fusedOne("FusedGemm", [x, w, bias], { transB: 1, activation: "Relu" }),
      one("Relu", [one("Gemm", [x, w, bias], { transB: 1 })]));
    expectSame(fusedOne("FusedMatMul", [x, w], { transB: 1, alpha: 0.5 }),
      one("Gemm", [x, w], { transB: 1, alpha: 0.5 }));
  });

  test.each([["BiasGelu", "none"], ["FastGelu", "tanh"]])("%s", (operator, approximate) => {
    const [x, bias] = [random(2, 3, 4), random(4)];
    expectSame(fusedOne(operator, [x, bias]),
      one("Gelu", [one("Add", [x, bias])], { approximate }));
  });

  test("ExpandDims inserts an axis where an operand says", () => {
    expect(fusedOne("ExpandDims", [random(2, 3), number(-1, "int32")]).shape).toEqual([2, 3, 1]);
  });
});

describe("normalisations", () => {
  const [x, skip, gamma, beta, bias] =
    [random(2, 3, 4), random(2, 3, 4), random(4), random(4), random(4)];
  const total = one("Sum", [x, skip, bias]);

  test("SkipLayerNormalization normalises a sum, and gives the sum", () => {
    const outputs = run("SkipLayerNormalization", [x, skip, gamma, beta, bias], { epsilon: 0.01 },
      { ...contrib, outputs: 4 });
    expectSame(outputs[0] as Tensor,
      one("LayerNormalization", [total, gamma, beta], { epsilon: 0.01 }));
    expectSame(outputs[3] as Tensor, total);
  });

  test.each([
    ["SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], total, contrib],
    ["SimplifiedLayerNormalization", [x, gamma], x, {}],
  ])("%s divides by the root mean square", (operator, operands, whole, call) => {
    const rows = elements(whole);
    const expected = rows.map((v, i) => {
      const row = rows.slice(i - i % 4, i - i % 4 + 4);
      const power = row.reduce((sum, e) => sum + e * e, 0) / 4;
      return (v / Math.sqrt(power + 0.01)) * (elements(gamma)[i % 4] as number);
    });
    expectSame(run(operator, operands, { epsilon: 0.01 }, call)[0] as Tensor,
      floats([2, 3, 4], ...expected));
  });

  test("EmbedLayerNormalization looks up words, positions and segments", () => {
    const [words, places, segments] = [random(9, 4), random(7, 4), random(2, 4)];
    const ids = typed("int32", [1, 3], 8, 0, 3);
    const kinds = typed("int32", [1, 3], 0, 1, 1);
    const sum = one("Sum", [
      one("Gather", [words, ids]), one("Slice", [places, ints(0), ints(3)]),
      one("Gather", [segments, kinds]),
    ]);
    const mask = typed("int32", [1, 3], 1, 1, 0);
    const outputs = run("EmbedLayerNormalization",
      [ids, kinds, words, places, segments, gamma, beta, mask], {}, { ...contrib, outputs: 2 });
    expectSame(outputs[0] as Tensor,
      one("LayerNormalization", [sum, gamma, beta], { epsilon: 1e-12 }));
    expect(elements(outputs[1] as Tensor)).toEqual([2]);
  });
});

describe("quantised operators", () => {
  const dequantised = (x: Tensor, scale: number, zero: number): number[] =>
    elements(x).map((q) => (q - zero) * scale);
  const quantised = (y: number, scale: number, zero: number): number =>
    Math.min(Math.max(Math.round(y / scale) + zero, 0), 255);
  const of = (scale: number, zero: number): Tensor[] => [number(scale), number(zero, "uint8")];

  test.each([
    ["QLinearAdd", (a: number, b: number) => a + b],
    ["QLinearMul", (a: number, b: number) => a * b],
  ])("%s", (operator, f) => {
    const [x, y] = [bytes(2, 3), bytes(2, 3)];
    const right = dequantised(y, 0.05, 7);
    const expected = dequantised(x, 0.1, 3).map((a, i) =>
      quantised(f(a, right[i] as number), 0.21, 9));
    values(operator, [x, ...of(0.1, 3), y, ...of(0.05, 7), ...of(0.21, 9)], {}, contrib)
      .forEach((q, i) => expect(Math.abs(q - (expected[i] as number))).toBeLessThanOrEqual(1));
  });

  test("QLinearGlobalAveragePool reads channels first or last", () => {
    const x = bytes(1, 2, 2, 3);
    const last = one("Transpose", [x], { perm: [0, 2, 3, 1] });
    const operands = (v: Tensor): Tensor[] => [v, ...of(0.1, 3), ...of(0.2, 5)];
    const mean = (list: number[]): number => list.reduce((s, v) => s + v, 0) / list.length;
    const real = dequantised(x, 0.1, 3);
    const expected = [real.slice(0, 6), real.slice(6)].map((l) => quantised(mean(l), 0.2, 5));
    expect(values("QLinearGlobalAveragePool", operands(x), {}, contrib)).toEqual(expected);
    expect(values("QLinearGlobalAveragePool", operands(last), { channels_last: 1 }, contrib))
      .toEqual(expected);
  });

  test("MatMulIntegerToFloat scales an integer product", () => {
    const [x, w] = [bytes(2, 3), bytes(3, 2)];
    const integer = one("MatMulInteger", [x, w, number(4, "uint8"), number(9, "uint8")]);
    expectSame(fusedOne("MatMulIntegerToFloat",
      [x, w, number(0.5), floats([2], 0.25, 2), number(4, "uint8"), number(9, "uint8")]),
    floats([2, 2], ...elements(integer).map((v, i) => v * 0.5 * ([0.25, 2][i % 2] as number))));
  });

  test.each([[2, 16, 21], [4, 16, 40], [8, 32, 40]])(
    "MatMulNBits with %i bits in blocks of %i", (bits, block, inputs) => {
      const outputs = 3;
      const blocks = Math.ceil(inputs / block);
      const packed = bytes(outputs, blocks, (block * bits) / 8);
      const scales = random(outputs * blocks);
      const zeroBytes = Math.ceil((blocks * bits) / 8);
      const zeros = bytes(outputs * zeroBytes);
      const x = random(2, inputs);
      const field = (list: readonly number[], at: number): number => {
        const byte = list[Math.floor((at * bits) / 8)] as number;
        return (byte >> ((at * bits) % 8)) & (2 ** bits - 1);
      };
      const weight = (n: number, k: number): number => {
        const rowBytes = (blocks * block * bits) / 8;
        const held = field(elements(packed).slice(n * rowBytes, (n + 1) * rowBytes), k);
        const at = Math.floor(k / block);
        const zero = field(elements(zeros).slice(n * zeroBytes, (n + 1) * zeroBytes), at);
        return (held - zero) * (elements(scales)[n * blocks + at] as number);
      };
      const expected = [0, 1].flatMap((row) => Array.from({ length: outputs }, (_, n) =>
        Array.from({ length: inputs }, (_unused, k) =>
          (elements(x)[row * inputs + k] as number) * weight(n, k)).reduce((s, v) => s + v, 0)));
      const actual = fusedOne("MatMulNBits", [x, packed, scales, zeros],
        { K: inputs, N: outputs, bits, block_size: block });
      const scale = Math.max(...expected.map(Math.abs));
      elements(actual).forEach((y, i) =>
        expect(Math.abs(y - (expected[i] as number)) / scale).toBeLessThan(inputs * 2 ** -22));
    });
});

describe("attention", () => {
  const heads = { q_num_heads: 2, kv_num_heads: 2 };

  test("Attention splits one product into queries, keys and values", () => {
    const [x, w, bias] = [random(2, 3, 8), random(8, 24), random(24)];
    const product = one("Add", [one("MatMul", [x, w]), bias]);
    const [q, k, v] = run("Split", [product], { axis: 2 }, { outputs: 3, opset: 13 }) as
      [Tensor, Tensor, Tensor];
    expectSame(fusedOne("Attention", [x, w, bias], { num_heads: 2, unidirectional: 1 }),
      run("Attention", [q, k, v], { ...heads, is_causal: 1 }, { opset: 23 })[0] as Tensor);
  });

  test("MultiHeadAttention hides keys by a large negative number", () => {
    const [q, k, v] = [random(2, 3, 8), random(2, 5, 8), random(2, 5, 8)];
    const mask = typed("int32", [2, 5], 1, 1, 0, 1, 0, 0, 1, 1, 1, 1);
    const shown = typed("bool", [2, 1, 1, 5], ...elements(mask));
    expectSame(fusedOne("MultiHeadAttention", [q, k, v, undefined, mask], { num_heads: 2 }),
      run("Attention", [q, k, v, shown], heads, { opset: 23 })[0] as Tensor);
  });

  test("GroupQueryAttention appends to the past and turns positions", () => {
    const [q, k, v] = [random(1, 2, 16), random(1, 2, 8), random(1, 2, 8)];
    const [pastKey, pastValue] = [random(1, 2, 3, 4), random(1, 2, 3, 4)];
    const [cos, sin] = [random(9, 2), random(9, 2)];
    const positions = typed("int64", [1, 2], 3, 4);
    const rotated = (x: Tensor, count: number): Tensor => run("RotaryEmbedding",
      [x, cos, sin, positions], { num_heads: count }, { opset: 23 })[0] as Tensor;
    const expected = run("Attention",
      [rotated(q, 4), rotated(k, 2), v, undefined, pastKey, pastValue],
      { q_num_heads: 4, kv_num_heads: 2, is_causal: 1 }, { opset: 23, outputs: 3 });
    const actual = run("GroupQueryAttention", [
      q, k, v, pastKey, pastValue, typed("int32", [1], 4), number(5, "int32"), cos, sin,
    ], { num_heads: 4, kv_num_heads: 2, do_rotary: 1 }, { ...contrib, outputs: 3 });
    expected.forEach((t, i) => expectSame(actual[i] as Tensor, t));
  });

  test("RotaryEmbedding counts on from one position", () => {
    const [x, cos, sin] = [random(2, 3, 8), random(9, 2), random(9, 2)];
    const rows = typed("int64", [2, 3], 4, 5, 6, 4, 5, 6);
    expectSame(fusedOne("RotaryEmbedding", [x, ints(4), cos, sin], { num_heads: 2 }),
      run("RotaryEmbedding", [x, cos, sin, rows], { num_heads: 2 }, { opset: 23 })[0] as Tensor);
  });
});
