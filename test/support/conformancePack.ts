/**
 * A part of the ONNX backend tests in one file, so that the fast suite runs them without the
 * suite itself: Brotli over a JSON index (its length first) and the files one after another.
 * Not a general archive. The tests are the ONNX project's (Apache-2.0, see the folder's LICENSE).
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, constants, deflateRawSync } from "node:zlib";
import { readTest, type TestCase } from "../../runtime/verify.ts";
import type { Need } from "./notRun.ts";

export const packFile = fileURLToPath(new URL("../fixtures/onnx/conformance.br", import.meta.url));

const suite = fileURLToPath(new URL("../../../shared/onnx-conformance/", import.meta.url));

/** The whole suite, where a checkout has it beside the project. */
export const needSuite: Need<string> = existsSync(suite) ? { value: suite } : {
  missing: {
    what: "the ONNX conformance suite", reason: "no folder ../shared/onnx-conformance",
    install: "put the backend tests of the ONNX project there, one folder per test",
  },
};

type Span = readonly [offset: number, length: number];
interface Entry {
  readonly name: string;
  readonly model: Span;
  readonly sets: readonly {
    readonly name: string; readonly inputs: readonly Span[]; readonly outputs: readonly Span[];
  }[];
}

export function pack(tests: readonly TestCase[]): Uint8Array {
  const pieces: Uint8Array[] = [];
  let length = 0;
  const put = (bytes: Uint8Array): Span => {
    pieces.push(bytes);
    length += bytes.length;
    return [length - bytes.length, bytes.length];
  };
  const index = tests.map(({ name, model, sets }): Entry => ({
    name, model: put(model),
    sets: sets.map((s) => ({
      name: s.name, inputs: s.inputs.map(put), outputs: s.outputs.map(put),
    })),
  }));
  const head = Buffer.from(JSON.stringify(index));
  const size = Buffer.alloc(4);
  size.writeUInt32LE(head.length);
  const whole = Buffer.concat([size, head, ...pieces]);
  return brotliCompressSync(whole, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24 },
  });
}

export function unpack(bytes: Uint8Array): TestCase[] {
  const whole = new Uint8Array(brotliDecompressSync(bytes));
  const size = new DataView(whole.buffer).getUint32(0, true);
  const entries = JSON.parse(new TextDecoder().decode(whole.subarray(4, 4 + size))) as Entry[];
  const at = ([offset, length]: Span): Uint8Array =>
    whole.subarray(4 + size + offset, 4 + size + offset + length);
  return entries.map(({ name, model, sets }) => ({
    name, model: at(model),
    sets: sets.map((s) => ({
      name: s.name, inputs: s.inputs.map(at), outputs: s.outputs.map(at),
    })),
  }));
}

export const readPack = (): TestCase[] => unpack(readFileSync(packFile));

/** Bytes that one test may add, compressed by itself. */
const mostBytes = 4000;

/** Every small test of the suite, and for each operator its smallest one. */
export async function selectTests(folder: string): Promise<TestCase[]> {
  const manifest = JSON.parse(readFileSync(`${folder}/manifest.json`, "utf8")) as
    { test: string; ops: string[] }[];
  const all = await Promise.all(manifest
    .filter(({ test }) => readdirSync(`${folder}/${test}`).includes("model.onnx"))
    .map(async ({ test, ops }) => {
      const found = await readTest(`${folder}/${test}`, test);
      const files = [found.model, ...found.sets.flatMap((s) => [...s.inputs, ...s.outputs])];
      return { found, ops, size: files.reduce((n, f) => n + deflateRawSync(f).length, 0) };
    }));
  const smallest = new Map<string, (typeof all)[number]>();
  for (const test of all) {
    const key = [...test.ops].sort().join(" ");
    const best = smallest.get(key);
    if (!best || test.size < best.size) smallest.set(key, test);
  }
  const chosen = new Set(smallest.values());
  return all.filter((test) => test.size <= mostBytes || (test.ops.length === 1 && chosen.has(test)))
    .map(({ found }) => found);
}
