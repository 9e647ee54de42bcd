/** Constants, sizes, ramps and random bits: what primitives without tensor operands yield. */
import { expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { addDims, mulDims, symbol } from "../../../compiler/graph/dim.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { scalar, splat, tensor, type Tensor } from "../../../compiler/graph/tensor.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { normalsOfBlock } from "../../../compiler/ops/normal.ts";
import { randomWord } from "../../../compiler/ops/source.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { bothWays, elements, expectThreeWays, tensorOf } from "../../support/threeWays.ts";

it("iota counts along its axis, in any type", async () => {
  for (const dtype of ["int32", "int64", "float32", "uint8"] as const) {
    for (const axis of [0, 1, 2]) {
      await expectThreeWays([], (b) => b.iota([2, 3, 4], axis, dtype),
        tensorOf(dtype, [2, 3, 4], (o) => o[axis] as number), 0, `${dtype} ${axis}`);
    }
  }
  expect(() => new Builder().iota([2], 1, "int32")).toThrow("iota expects an axis of [2], got 1");
});

it("size is the number that a symbolic size has in this run", async () => {
  const n = symbol("N");
  const b = new Builder();
  b.input("x", { dtype: "float32", shape: [n, 2] });
  const value = b.size(addDims(mulDims(n, 7), -3), "int32");
  const graph = b.finish([{ name: "size", value }]);
  for (const size of [1, 4]) {
    const inputs = new Map([["x", tensorOf("float32", [size, 2], () => 0)]]);
    expect(elements(evaluateGraph(graph, inputs).get("size") as Tensor)).toEqual([7 * size - 3]);
    const session = await Session.create(new InterpreterDevice(), buildProgram(graph));
    expect(elements((await session.run(inputs)).get("size") as Tensor)).toEqual([7 * size - 3]);
  }
});

it("constants are read as they are: dense, scalar, splat and of every class", async () => {
  const held: [Tensor, Tensor][] = [
    [tensor("int8", [3], [-1, 0, 127]), tensor("int8", [3], [-1, 0, 127])],
    [scalar("float32", 0.1), scalar("float32", Math.fround(0.1))],
    [splat("uint16", [2, 2], 65535), tensor("uint16", [2, 2], [65535, 65535, 65535, 65535])],
    [tensor("bool", [2], [1, 0]), tensor("bool", [2], [1, 0])],
  ];
  for (const [t, expected] of held) {
    // Added to another value, so that a kernel reads it.
    const zero = tensorOf(t.dtype, t.shape, () => 0);
    await expectThreeWays([zero], (b, v) => t.dtype === "bool"
      ? b.binary("or", v, b.constant(t)) : b.addition(v, b.constant(t)), expected);
  }
});

it("random bits are Threefry-2x32 with 20 rounds, counted by flat index", async () => {
  // The first known answer of the Random123 distribution (kat_vectors, threefry2x32 20).
  expect(randomWord([0, 0], 0)).toBe(0x6b200159);
  const key = tensor("uint32", [2], [0x13198a2e, 0x03707344]);
  const expected = tensorOf("uint32", [3, 5], ([i, j]) =>
    randomWord([0x13198a2e, 0x03707344], 5 * (i as number) + (j as number)));
  await expectThreeWays([key], (b, k) => b.add("random", [k], { shape: [3, 5] }), expected);
});

it.each([[[40, 28, 1], 1], [[3, 28, 5], 1], [[28, 9], 0], [[4], 0]])(
  "normals of %j have four parts along axis %i, a block giving one of each",
  async (shape, axis) => {
    const words = [0x13198a2e, 0x03707344] as const;
    const part = shape[axis]! / 4;
    const expected = tensorOf("float32", shape, (at) => {
      const block = at.reduce((flat, i, n) => n === axis
        ? flat * part + i % part : flat * shape[n]! + i, 0);
      return normalsOfBlock(words, block)[Math.floor(at[axis]! / part)]!;
    });
    // float32: the logarithm is within 2.1e-7, polynomials of up to seven terms.
    await expectThreeWays([tensor("uint32", [2], words)],
      (b, k) => b.add("normal", [k], { shape, axis }), expected, 2e-6);
  });

it("random bits are evenly spread and differ from key to key", async () => {
  const draw = async (key: readonly number[]): Promise<number[]> => elements((await bothWays(
    [tensor("uint32", [2], key)], (b, k) => b.add("random", [k], { shape: [4096] }))).evaluated);
  const [one, other] = [await draw([1, 2]), await draw([2, 1])];
  const buckets = new Array<number>(16).fill(0);
  for (const word of one) buckets[word >>> 28] = (buckets[word >>> 28] as number) + 1;
  const chiSquare = buckets.reduce((sum, n) => sum + (n - 256) ** 2 / 256, 0);
  // 15 degrees of freedom: above 37.7 once in a thousand draws; this draw is always the same.
  expect(chiSquare).toBeLessThan(37.7);
  const ones = one.reduce((sum, word) => sum + word.toString(2).replaceAll("0", "").length, 0);
  expect(Math.abs(ones - 4096 * 16)).toBeLessThan(4 * Math.sqrt(4096 * 8));
  expect(one.filter((word, i) => word === other[i]).length).toBeLessThan(3);
});
