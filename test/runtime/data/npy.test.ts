/** .npy against an encoder of the test's own (any version, byte order, memory order). */
import fc from "fast-check";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  bytesOf, elementTypes, widthOf, type ElementType, type NumericArray,
} from "../../../runtime/data/bytes.ts";
import { decodeNpy, encodeNpy, readNpy, writeNpy } from "../../../runtime/data/npy.ts";
import { arrayArbitrary, mutationArbitrary, onlyUserErrors, userMessage } from "./arbitraries.ts";

const fixture = (name: string): string =>
  new URL(`../../fixtures/models/${name}`, import.meta.url).pathname;

let folder = "";
beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), "crosstie-npy-"))));
afterAll(async () => rm(folder, { recursive: true, force: true }));

interface Variant {
  readonly version: 1 | 2 | 3;
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
}

/** The slow and obvious encoder: element by element, index by index. */
function oracleEncode({ dtype, shape, data }: NumericArray, variant: Variant): Uint8Array {
  const { version, bigEndian, fortranOrder } = variant;
  const width = widthOf(dtype);
  const source = bytesOf(data);
  const count = data.length;
  const body = new Uint8Array(count * width);
  for (let flat = 0; flat < count; flat++) {
    const index = unravel(flat, shape);
    const at = fortranOrder ? ravelFortran(index, shape) : flat;
    for (let b = 0; b < width; b++) {
      body[at * width + (bigEndian ? width - 1 - b : b)] = source[flat * width + b] as number;
    }
  }
  const sizes = shape.map((d) => `${d}, `).join("");
  const header = `{'descr': '${bigEndian ? ">" : "<"}${dtype}', 'fortran_order': ${
    fortranOrder ? "True" : "False"}, 'shape': (${sizes}), }\n`;
  const lengthBytes = version === 1 ? 2 : 4;
  const bytes = new Uint8Array(8 + lengthBytes + header.length + body.length);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), version, 0]);
  for (let b = 0; b < lengthBytes; b++) bytes[8 + b] = (header.length >>> (8 * b)) & 255;
  bytes.set(new TextEncoder().encode(header), 8 + lengthBytes);
  bytes.set(body, 8 + lengthBytes + header.length);
  return bytes;
}

function unravel(flat: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  for (let rest = flat, axis = shape.length - 1; axis >= 0; axis--) {
    index[axis] = rest % (shape[axis] as number);
    rest = Math.floor(rest / (shape[axis] as number));
  }
  return index;
}

const ravelFortran = (index: readonly number[], shape: readonly number[]): number =>
  index.reduceRight((flat, i, axis) => flat * (shape[axis] as number) + i, 0);

describe("round trips", () => {
  it("decodes what it encodes, for every element type and shape", () => {
    fc.assert(fc.property(arrayArbitrary, (array) => {
      const bytes = encodeNpy(array);
      expect((bytes.length - array.data.byteLength) % 64).toBe(0);
      const back = decodeNpy(bytes, "x.npy");
      expect([back.dtype, back.shape]).toEqual([array.dtype, array.shape]);
      expect(bytesOf(back.data)).toEqual(bytesOf(array.data));
    }), { seed: 1, numRuns: 300 });
  });

  it("reads every version, byte order and memory order", () => {
    const variant = fc.record({
      version: fc.constantFrom(1, 2, 3), bigEndian: fc.boolean(), fortranOrder: fc.boolean(),
    }) as fc.Arbitrary<Variant>;
    fc.assert(fc.property(arrayArbitrary, variant, (array, how) => {
      const back = decodeNpy(oracleEncode(array, how), "x.npy");
      expect([back.dtype, back.shape]).toEqual([array.dtype, array.shape]);
      expect(bytesOf(back.data)).toEqual(bytesOf(array.data));
    }), { seed: 2, numRuns: 300 });
  });

  it("writes files that NumPy wrote, byte for byte", async () => {
    for (const name of ["mnist-lenet.input.npy", "cifar10-resnet8.logits.npy"]) {
      const bytes = await readFile(fixture(name));
      expect(Buffer.compare(encodeNpy(decodeNpy(bytes, name)), bytes)).toBe(0);
    }
  });

  it("views aligned data without a copy", () => {
    const bytes = encodeNpy({ dtype: "f4", shape: [3], data: Float32Array.of(1, 2, 3) });
    expect(decodeNpy(bytes, "x.npy").data.buffer).toBe(bytes.buffer);
  });

  it("writes and reads a file of format version 1", async () => {
    const path = join(folder, "a.npy");
    await writeNpy(path, { dtype: "i8", shape: [2, 1], data: BigInt64Array.of(-1n, 2n ** 62n) });
    expect((await readNpy(path)).data).toEqual(BigInt64Array.of(-1n, 2n ** 62n));
    expect((await readFile(path))[6]).toBe(1);
  });
});

/** A file with this header text and this much data. */
function withHeader(text: string, data = 0): Uint8Array {
  const bytes = new Uint8Array(10 + text.length + data);
  const length = [text.length & 255, text.length >> 8];
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, ...length]);
  bytes.set(new TextEncoder().encode(text), 10);
  return bytes;
}

const header = (descr: string, shape: string): string =>
  `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;

describe("bad files", () => {
  const cases: [string, Uint8Array, string][] = [
    ["empty", new Uint8Array(0),
      "bad.npy: not a .npy file: it does not start with \\x93NUMPY."
      + " Write it with numpy.save(path, array)."],
    ["short preamble", withHeader("").subarray(0, 8),
      "bad.npy: the file is truncated: it ends inside the preamble. Make or copy it again."],
    ["truncated data", withHeader(header("'<f4'", "(2, 3)"), 20),
      "bad.npy: the file is truncated: f4 of shape [2,3] needs 24 bytes of data, it has 20."
      + " Make or copy it again."],
    ["trailing data", withHeader(header("'<f4'", "(2,)"), 9),
      "bad.npy: 1 bytes follow the 8 of f4 of shape [2]. Save one array in each file."],
    ["objects", withHeader(header("'|O'", "(2,)"), 16),
      "bad.npy: the array holds Python objects, which are not read."
      + " Convert it first: numpy.save(path, array.astype('float32'))."],
    ["complex", withHeader(header("'<c8'", "(2,)"), 16),
      "bad.npy: the element type '<c8' is not supported. Convert it with array.astype to one of"
      + " f2, f4, f8, i1, i2, i4, i8, u1, u2, u4, u8, b1."],
    ["structures", withHeader(header("[('a', '<f4')]", "(2,)"), 16),
      "bad.npy: the array holds structures, which are not read."
      + " Save one field of it in each file: numpy.save(path, array['field'])."],
    ["huge axis", withHeader(header("'<f4'", "(99999999999999999999,)")),
      "bad.npy: the shape [100000000000000000000] has an impossible axis of"
      + " 100000000000000000000. Make the file again."],
    ["huge product", withHeader(header("'<f4'", "(4294967296, 4294967296)")),
      "bad.npy: the shape [4294967296,4294967296] has more elements than any file holds."
      + " Make the file again."],
    ["negative axis", withHeader(header("'<f4'", "(-1,)")),
      "bad.npy: the .npy header is malformed: at \"-1,), }\"."
      + " Write it with numpy.save(path, array)."],
    ["boolean of 2", withHeader(header("'|b1'", "(1,)"), 1).fill(2, -1),
      "bad.npy: boolean element 0 holds the byte 2, neither 0 nor 1. Make the file again."],
  ];
  it.each(cases)("%s", (_, bytes, message) => {
    expect(userMessage(() => decodeNpy(bytes, "bad.npy"))).toBe(message);
  });

  it("a missing file", async () => {
    await expect(readNpy(join(folder, "none.npy"))).rejects.toThrow(
      `${join(folder, "none.npy")}: no such file or folder. Check the path.`);
  });

  it("a shape of zero elements may have huge other axes", () => {
    const bytes = withHeader(header("'<f8'", `(0, ${"9007199254740991, ".repeat(40)})`));
    expect(decodeNpy(bytes, "x.npy").data.length).toBe(0);
  });

  it("mutated files give a UserError or an array, nothing else", () => {
    fc.assert(fc.property(arrayArbitrary, mutationArbitrary, (array, mutate) => {
      const outcome = onlyUserErrors(() => decodeNpy(mutate(encodeNpy(array)), "x.npy"));
      if (outcome !== undefined) {
        expect(outcome.data.length).toBe(outcome.shape.reduce((p, d) => p * d, 1));
      }
    }), { seed: 3, numRuns: 2000 });
  });
});

it("holds every element type in an array of its width", () => {
  const widths = Object.keys(elementTypes).map((t) => widthOf(t as ElementType));
  expect(widths).toEqual([2, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 1]);
});
