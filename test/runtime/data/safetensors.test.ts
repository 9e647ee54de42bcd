/** .safetensors: the bytes of a tiny file by the format's description, round trips, bad files. */
import fc from "fast-check";
import { mkdtemp, open, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesOf, type NumericArray, type NumericData } from "../../../runtime/data/bytes.ts";
import {
  decodeSafetensors, readSafetensors, scanSafetensors, tensorTypes, writeSafetensors,
  type TensorSource, type TensorType,
} from "../../../runtime/data/safetensors.ts";
import { arrayArbitrary, mutationArbitrary, onlyUserErrors, userMessage } from "./arbitraries.ts";

let folder = "";
let file = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "crosstie-safetensors-"));
  file = join(folder, "w.safetensors");
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

const source = (
  name: string, dtype: TensorType, shape: readonly number[], ...chunks: NumericData[]
): TensorSource => ({ name, dtype, shape, chunks: () => chunks });

const tiny = [
  source("flags", "BOOL", [3], Uint8Array.of(1, 0, 1)),
  source("b", "F32", [], Float32Array.of(1)),
  source("a", "F32", [1, 2], Float32Array.of(0), Float32Array.of(-2)),
  source("9", "I64", [1], BigInt64Array.of(-1n)),
];

/** A file with this header text and data, whose length field is right unless given. */
function fileOf(header: string, data = 0, length = header.length): Uint8Array {
  const bytes = new Uint8Array(8 + header.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(new TextEncoder().encode(header), 8);
  return bytes;
}

describe("a tiny file", () => {
  it("has exactly the bytes of the format: sorted, aligned, padded with spaces", async () => {
    await writeSafetensors(file, tiny, { format: "pt" });
    const header = '{"__metadata__":{"format":"pt"},'
      + '"9":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},'
      + '"a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},'
      + '"b":{"dtype":"F32","shape":[],"data_offsets":[16,20]},'
      + '"flags":{"dtype":"BOOL","shape":[3],"data_offsets":[20,23]}}';
    expect(header.length).toBe(255);
    expect((await readFile(file)).toString("hex")).toBe(
      "0001000000000000" + Buffer.from(header + " ").toString("hex")
      + "ffffffffffffffff" + "00000000" + "000000c0" + "0000803f" + "010001");
  });

  it("is read back, in file order, with its metadata", async () => {
    await writeSafetensors(file, tiny, { format: "pt" });
    const { tensors, metadata } = await readSafetensors(file);
    expect(metadata).toEqual({ format: "pt" });
    expect([...tensors.keys()]).toEqual(["9", "a", "b", "flags"]);
    expect(tensors.get("a")).toEqual({ dtype: "F32", shape: [1, 2], data: Float32Array.of(0, -2) });
  });

  it("is viewed without a copy, also when it lies at an odd address", async () => {
    await writeSafetensors(file, tiny);
    const bytes = new Uint8Array(await readFile(file));
    const { tensors } = decodeSafetensors(bytes, file);
    for (const { data } of tensors.values()) expect(data.buffer).toBe(bytes.buffer);
    const shifted = new Uint8Array(bytes.length + 1).subarray(1);
    shifted.set(bytes);
    expect(decodeSafetensors(shifted, file).tensors).toEqual(tensors);
  });

  it("may hold no tensor at all", async () => {
    await writeSafetensors(file, []);
    expect((await readSafetensors(file)).tensors.size).toBe(0);
  });
});

const byElement: Partial<Record<NumericArray["dtype"], TensorType>> = Object.fromEntries(
  Object.entries(tensorTypes).map(([name, element]) => [element, name as TensorType]));

const filesArbitrary = fc.dictionary(fc.string({ unit: "grapheme" }), arrayArbitrary, {
  maxKeys: 5,
}).map((arrays) => Object.entries(arrays).filter(([name]) => name !== "__metadata__"));

it("reads back any set of tensors under any names", async () => {
  await fc.assert(fc.asyncProperty(filesArbitrary, async (arrays) => {
    await writeSafetensors(file, arrays.map(([name, { dtype, shape, data }]) =>
      source(name, byElement[dtype] as TensorType, shape, data)));
    const { tensors } = await readSafetensors(file);
    expect(tensors.size).toBe(arrays.length);
    for (const [name, { dtype, shape, data }] of arrays) {
      const back = tensors.get(name);
      expect([back?.dtype, back?.shape]).toEqual([byElement[dtype], shape]);
      expect(bytesOf(back?.data as NumericData)).toEqual(bytesOf(data));
      // Writing in falling element size is what makes every view possible.
      expect((back?.data as NumericData).byteOffset % (back?.data as NumericData).BYTES_PER_ELEMENT)
        .toBe(0);
    }
  }), { seed: 1, numRuns: 60 });
});

describe("large files", () => {
  it("reads one tensor beyond 4 GiB of a sparse file without reading the rest", async () => {
    const rows = 5 * 2 ** 30;
    const header = JSON.stringify({
      last: { dtype: "U8", shape: [4], data_offsets: [rows, rows + 4] },
      big: { dtype: "U8", shape: [rows], data_offsets: [0, rows] },
    });
    await writeFile(file, fileOf(header));
    await truncate(file, 8 + header.length + rows + 4);
    const handle = await open(file, "r+");
    await handle.write(Uint8Array.of(1, 2, 3, 4), 0, 4, 8 + header.length + rows);
    await handle.close();
    const seen: NumericData[] = [];
    await scanSafetensors(file, (name) => name === "last", (_, { data }) => void seen.push(data));
    expect(seen).toEqual([Uint8Array.of(1, 2, 3, 4)]);
  });

  it("makes each chunk when its turn comes and holds no two", async () => {
    let made = 0;
    let taken = 0;
    const piece = new Float32Array(2 ** 18);
    await writeSafetensors(file, [{
      name: "w", dtype: "F32", shape: [8, piece.length],
      async *chunks() {
        for (let i = 0; i < 8; i++) {
          expect(made - taken).toBe(0);
          made++;
          yield piece.fill(i);
          taken++;
        }
      },
    }]);
    const { data } = (await readSafetensors(file)).tensors.get("w") ?? { data: piece };
    expect(Array.from({ length: 8 }, (_, i) => data[i * piece.length])).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("refuses chunks that do not add up, and leaves no file", async () => {
    const path = join(folder, "wrong.safetensors");
    await expect(writeSafetensors(path, [source("w", "F32", [3], new Float32Array(2))]))
      .rejects.toThrow("internal: tensor w [3] needs 12 bytes, got 8");
    await expect(writeSafetensors(path, [source("w", "U8", [0]), source("w", "U8", [0])]))
      .rejects.toThrow("internal: two tensors of one file are named w");
    expect((await readdir(folder)).filter((name) => name.includes("wrong"))).toEqual([]);
  });
});

describe("bad files", () => {
  const entry = (dtype: string, shape: string, begin: number, end: number): string =>
    `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
  const wrong = "bad.st: the safetensors header is wrong: ";
  const cases: [string, Uint8Array, string][] = [
    ["empty", new Uint8Array(3),
      "bad.st: not a .safetensors file: it is shorter than 8 bytes"],
    ["header limit", fileOf("{}", 0, 100_000_001),
      "bad.st: not a .safetensors file: its header would have 100000001 bytes"],
    ["truncated header", fileOf("{}", 0, 50),
      "bad.st: the file is truncated: its header ends at byte 58, the file at 10"],
    ["no object", fileOf(" {}"), `${wrong}it does not start with {`],
    ["no JSON", fileOf("{]"), `${wrong}it is not valid JSON (`],
    ["gap", fileOf(`{"a":${entry("U8", "[2]", 1, 3)}}`, 3),
      `${wrong}bytes 0 to 1, before a, belong to no tensor`],
    ["overlap", fileOf(`{"a":${entry("U8", "[2]", 0, 2)},"b":${entry("U8", "[2]", 1, 3)}}`, 3),
      `${wrong}b overlaps another tensor at byte 1`],
    ["truncated data", fileOf(`{"a":${entry("F32", "[2]", 0, 8)}}`, 7),
      `${wrong}its tensors take 8 bytes, the file has 7`],
    ["trailing data", fileOf(`{"a":${entry("F32", "[2]", 0, 8)}}`, 9),
      `${wrong}its tensors take 8 bytes, the file has 9`],
    ["size", fileOf(`{"a":${entry("F32", "[2]", 0, 7)}}`, 7),
      `${wrong}a, F32 of shape [2], needs 8 bytes, it has 7`],
    ["reversed offsets", fileOf(`{"a":${entry("F32", "[0]", 4, 0)}}`, 4),
      `${wrong}a, F32 of shape [0], needs 0 bytes, it has -4`],
    ["dtype", fileOf(`{"a":${entry("F8_E4M3", "[1]", 0, 1)}}`, 1),
      `${wrong}a has dtype "F8_E4M3", expected one of F64, F32`],
    ["inherited dtype", fileOf(`{"a":${entry("toString", "[1]", 0, 1)}}`, 1),
      `${wrong}a has dtype "toString", expected one of`],
    ["shape", fileOf(`{"a":${entry("U8", "[-1]", 0, 1)}}`, 1),
      `${wrong}the shape of a is no list of sizes`],
    ["huge shape", fileOf(`{"a":${entry("U8", "[4294967296,4294967296]", 0, 1)}}`, 1),
      "bad.st: a: the shape [4294967296,4294967296] has more elements than any file holds"],
    ["metadata", fileOf('{"__metadata__":{"a":1}}'), `${wrong}__metadata__ is no table of texts`],
  ];
  it.each(cases)("%s", (_, bytes, message) => {
    const found = userMessage(() => decodeSafetensors(bytes, "bad.st"));
    expect(found.slice(0, message.length)).toBe(message);
    expect(found).toMatch(/\. Make (or download )?the file again\.$/);
  });

  it("mutated files give a UserError or tensors that fill their shapes, nothing else", async () => {
    await writeSafetensors(file, tiny, { format: "pt" });
    const bytes = new Uint8Array(await readFile(file));
    fc.assert(fc.property(mutationArbitrary, (mutate) => {
      const outcome = onlyUserErrors(() => decodeSafetensors(mutate(bytes), "x"));
      for (const { shape, data } of outcome?.tensors.values() ?? []) {
        expect(data.length).toBe(shape.reduce((p, d) => p * d, 1));
      }
    }), { seed: 2, numRuns: 3000 });
  });
});
