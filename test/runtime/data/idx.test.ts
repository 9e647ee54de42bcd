/** The idx format: the files of the npm package, small ones made here, broken ones. */
import fc from "fast-check";
import { gzipSync } from "node:zlib";
import { expect, it } from "vitest";
import { gunzip } from "../../../runtime/data/gunzip.ts";
import { decodeIdx } from "../../../runtime/data/idx.ts";
import { mutationArbitrary, onlyUserErrors, userMessage } from "./arbitraries.ts";

const bytes = Uint8Array.of(
  0, 0, 0x0b, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 2, 0, 3, 255, 255, 1, 0, 128, 0);
const decoded = {
  dtype: "i2", shape: [2, 3], data: Int16Array.of(1, 2, 3, -1, 256, -32768),
};

it("reads big-endian elements, plain or gzipped", () => {
  expect(decodeIdx(bytes, "x")).toEqual(decoded);
  expect(decodeIdx(gzipSync(bytes), "x.gz")).toEqual(decoded);
});

it("says what is wrong", () => {
  const again = "Download the official file again.";
  const message = (data: Uint8Array): string => userMessage(() => decodeIdx(data, "f"));
  expect(message(new Uint8Array(2))).toBe(
    `f: not an idx file: it does not start with 00 00 and an element type. ${again}`);
  expect(message(bytes.subarray(0, 10))).toBe(
    `f: the file is truncated inside its 2 sizes. ${again}`);
  expect(message(bytes.subarray(0, 23))).toBe(
    `f: i2 of shape [2,3] needs 12 bytes of data, the file has 11. ${again}`);
  expect(message(gzipSync(bytes).subarray(0, 20))).toBe(
    "f: it cannot be unpacked: unexpected end of file. Download it again.");
  expect(userMessage(() => gunzip(gzipSync(new Uint8Array(2 ** 20)), 2 ** 16, "f"))).toBe(
    "f: it cannot be unpacked: Cannot create a Buffer larger than 65536 bytes. Download it again.");
});

it("takes damaged files as a UserError or an array, nothing else", () => {
  const files = fc.constantFrom(bytes, gzipSync(bytes));
  fc.assert(fc.property(files, mutationArbitrary, (file, mutate) => {
    const outcome = onlyUserErrors(() => decodeIdx(mutate(new Uint8Array(file)), "f"));
    if (outcome !== undefined) {
      expect(outcome.data.length).toBe(outcome.shape.reduce((p, d) => p * d, 1));
    }
  }), { seed: 1, numRuns: 2000 });
});
