/** Arrays of files as the compiler's tensors and back. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { bytesOf } from "../../../runtime/data/bytes.ts";
import { fromTensor, toTensor } from "../../../runtime/data/tensors.ts";
import { arrayArbitrary, userMessage } from "./arbitraries.ts";

it("comes back as it was, wherever doubles hold its values", () => {
  const exact = arrayArbitrary.map(({ dtype, shape, data }) => {
    if (data instanceof BigInt64Array) data.forEach((v, i) => void (data[i] = v >> 11n));
    if (data instanceof BigUint64Array) data.forEach((v, i) => void (data[i] = v >> 11n));
    // NaN payloads of float16 are not kept.
    if (dtype === "f2") data.forEach((v, i) => void (data[i] = Number(v) & 0xbfff));
    return { dtype, shape, data };
  });
  fc.assert(fc.property(exact, (array) => {
    const back = fromTensor(toTensor(array, "x.npy"));
    expect([back.dtype, back.shape]).toEqual([array.dtype, array.shape]);
    expect(bytesOf(back.data)).toEqual(bytesOf(array.data));
  }), { seed: 1, numRuns: 300 });
});

it("decodes float16 and 64-bit integers", () => {
  const half = toTensor({ dtype: "f2", shape: [2], data: Uint16Array.of(0x3c00, 0xc000) }, "x");
  expect([half.dtype, [...half.data]]).toEqual(["float16", [1, -2]]);
  const long = toTensor({ dtype: "i8", shape: [], data: BigInt64Array.of(-7n) }, "x");
  expect([long.dtype, [...long.data]]).toEqual(["int64", [-7]]);
  expect(fromTensor(tensor("bfloat16", [1], [1.5])).dtype).toBe("f4");
});

it("names an integer that no double holds", () => {
  const array = { dtype: "u8", shape: [2], data: BigUint64Array.of(1n, 2n ** 53n) } as const;
  expect(userMessage(() => toTensor(array, "ids.npy"))).toBe(
    "ids.npy: element 1 is 9007199254740992, beyond the exact range of +-2^53."
    + " Use smaller integers or a 32-bit type.");
});
