/**
 * Damaged files: 500 mutations of three real models. Each either imports to a graph that verifies
 * and compiles, or is refused as the person's fault; nothing crashes, and nothing runs for ever.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { optimise } from "../../../compiler/compile.ts";
import { UserError } from "../../../compiler/errors.ts";
import { verifyGraph } from "../../../compiler/graph/verify.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { inspectModel } from "../../../compiler/onnx/inspect.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { Random } from "../../support/randomGraph.ts";

const mutations: Record<string, (bytes: Uint8Array, r: Random) => Uint8Array> = {
  truncate: (bytes, r) => bytes.subarray(0, r.int(0, bytes.length - 1)),
  // Nodes come first in these files: most flips hit names, attributes and lengths, not weights.
  flipStructure: (bytes, r) => flipped(bytes, r, Math.min(bytes.length, 6000)),
  flipAnywhere: (bytes, r) => flipped(bytes, r, bytes.length),
  cutOut: (bytes, r) => {
    const from = r.int(0, Math.min(bytes.length, 6000) - 1);
    const rest = bytes.subarray(from + r.int(1, 64));
    return Uint8Array.from([...bytes.subarray(0, from), ...rest]);
  },
  overwrite: (bytes, r) => {
    const copy = Uint8Array.from(bytes);
    copy.fill(r.pick([0, 0x7f, 0x80, 0xff]), r.int(0, 6000), r.int(0, 6000) + 8);
    return copy;
  },
};

function flipped(bytes: Uint8Array, r: Random, within: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  for (let n = r.int(1, 4); n > 0; n--) {
    const at = r.int(0, within - 1);
    copy[at] = (copy[at] as number) ^ (1 << r.int(0, 7));
  }
  return copy;
}

const kinds = Object.keys(mutations);

test.each([
  ["mnist-lenet", 167],
  ["cifar10-mobilenet", 167],
  ["mnist-vit", 166],
] as const)("%s", (name, count) => {
  const bytes = readFileSync(`models/${name}.onnx`);
  const outcomes = { refused: 0, imported: 0 };
  for (let seed = 1; seed <= count; seed++) {
    const r = new Random(seed);
    const kind = r.pick(kinds);
    const damaged = (mutations[kind] as (typeof mutations)[string])(bytes, r);
    try {
      const model = decodeModel(damaged, `${name}.onnx`);
      inspectModel(model);
      verifyGraph(optimise(importModel(model).graph));
      outcomes.imported++;
    } catch (error) {
      expect(error, `${kind}, seed ${seed}: ${String(error)}`).toBeInstanceOf(UserError);
      expect((error as Error).message).toContain(`${name}.onnx`);
      outcomes.refused++;
    }
  }
  // Both happen: the mutations are neither all harmless nor all fatal.
  expect(outcomes.refused).toBeGreaterThan(count / 10);
  expect(outcomes.imported).toBeGreaterThan(5);
}, 120_000);
