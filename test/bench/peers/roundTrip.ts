/**
 * Round trip: every model is imported, folded and exported; ONNX Runtime runs the original and the
 * exported file on the same inputs. The five shipped models, the light full-size graphs, and every
 * conformance test that ONNX Runtime itself can run and that is no random generator.
 */
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { optimise } from "../../../compiler/compile.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import { decodeModel, decodeTensor } from "../../../compiler/onnx/proto.ts";
import { readTensor } from "../../../compiler/onnx/readTensor.ts";
import { UnsupportedError } from "../../../compiler/onnx/refusal.ts";
import { specialise } from "../../../compiler/onnx/specialise.ts";
import { writeModel } from "../../../compiler/onnx/write.ts";
import { readNpy } from "../../../runtime/data/npy.ts";
import { toTensor } from "../../../runtime/data/tensors.ts";
import { readTest, type TestCase } from "../../../runtime/verify.ts";
import { unpack } from "../../support/conformancePack.ts";
import { randomTensor, relativeError } from "./numbers.ts";
import { openTheirs } from "./theirs.ts";

/** Error over the largest magnitude of the original's output. */
const tolerance = 1e-3;

interface Case {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly inputs: ReadonlyMap<string, Tensor>;
  /** What the suite says; where ONNX Runtime's own result is another, this counts. */
  readonly expected?: readonly Tensor[];
}

type Outcome = "same" | "different" | "not writable" | "refused by ONNX Runtime"
  | "same as the suite, which ONNX Runtime fails";

async function roundTrip(
  { name, bytes, inputs, expected: suite = [] }: Case,
): Promise<[Outcome, string]> {
  let expected: Map<string, Tensor>;
  try {
    expected = await runTheirs(bytes, inputs);
  } catch (error) {
    return ["refused by ONNX Runtime", String(error)];
  }
  let written: Uint8Array;
  try {
    const { graph } = specialise(decodeModel(bytes, name), inputs);
    if (graph.nodes.some((node) => node.op === "random")) return ["not writable", "random numbers"];
    written = writeModel(optimise(graph));
  } catch (error) {
    if (error instanceof UnsupportedError) return ["not writable", error.sentence];
    return ["different", String(error)];
  }
  try {
    const actual = await runTheirs(written, inputs);
    const apart = (outputs: ReadonlyMap<string, Tensor>, from: readonly Tensor[]): number =>
      Math.max(0, ...[...outputs.values()].map((t, i) =>
        (from[i] ? relativeError(t, from[i]) : 0)));
    const error = apart(actual, [...expected.values()]);
    if (error <= tolerance) return ["same", ""];
    const fails = apart(expected, suite) > tolerance && apart(actual, suite) <= tolerance;
    return fails ? ["same as the suite, which ONNX Runtime fails", ""]
      : ["different", `apart by ${error}`];
  } catch (error) {
    return ["different", `ONNX Runtime on what was exported: ${String(error)}`];
  }
}

async function runTheirs(
  bytes: Uint8Array, inputs: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const session = await openTheirs(bytes);
  try {
    return await session.run(inputs);
  } finally {
    await session.release();
  }
}

/** A test of the backend suite; initializers that are listed as inputs are not fed. */
function fromTest({ name, model, sets }: TestCase): Case[] {
  const { graph } = decodeModel(model, name);
  const weights = new Set(graph.initializers.map((t) => t.name));
  const [set] = sets;
  if (!set) return [];
  const given = set.inputs.length === graph.inputs.length
    ? graph.inputs : graph.inputs.filter((i) => !weights.has(i.name));
  try {
    const inputs = set.inputs.map((bytes, i): [string, Tensor] =>
      [given[i]?.name ?? "", readTensor(decodeTensor(bytes, name), name)]);
    return [{
      name, bytes: model, inputs: new Map(inputs.filter(([n]) => !weights.has(n))),
      expected: set.outputs.map((bytes) => readTensor(decodeTensor(bytes, name), name)),
    }];
  } catch (error) {
    if (error instanceof UnsupportedError) return [];
    throw error;
  }
}

async function testsBelow(folder: string, name = ""): Promise<TestCase[]> {
  const entries = await readdir(join(folder, name), { withFileTypes: true });
  if (entries.some((e) => e.name === "model.onnx")) {
    return [await readTest(join(folder, name), name)];
  }
  const below = entries.filter((e) => e.isDirectory());
  return (await Promise.all(below.map((e) => testsBelow(folder, join(name, e.name))))).flat();
}

async function shipped(): Promise<Case[]> {
  const names = (await readdir("models")).filter((f) => f.endsWith(".onnx"));
  return Promise.all(names.map(async (file) => {
    const npy = `test/fixtures/models/${file.replace(".onnx", ".input.npy")}`;
    const inputs = new Map([["input", toTensor(await readNpy(npy), npy)]]);
    return { name: file, bytes: readFileSync(join("models", file)), inputs };
  }));
}

async function light(): Promise<Case[]> {
  const folder = "test/fixtures/onnx-light";
  const names = (await readdir(folder)).filter((f) => f.endsWith(".onnx"));
  return names.map((file) => {
    const bytes = readFileSync(join(folder, file));
    const { graph } = decodeModel(bytes, file);
    const weights = new Set(graph.initializers.map((t) => t.name));
    const input = graph.inputs.find((i) => !weights.has(i.name))?.name ?? "";
    return { name: file, bytes, inputs: new Map([[input, randomTensor([1, 3, 224, 224], 1)]]) };
  });
}

/** Every case: shipped and light models, and conformance tests of a folder or of the pack. */
export async function roundTripCases(folder?: string): Promise<Case[]> {
  const tests = folder === undefined
    ? unpack(readFileSync("test/fixtures/onnx/conformance.br")) : await testsBelow(folder);
  return [...await shipped(), ...await light(), ...tests.flatMap(fromTest)];
}

export interface RoundTrips {
  readonly counts: Readonly<Partial<Record<Outcome, number>>>;
  /** Name and reason of what came back different. */
  readonly different: readonly string[];
}

export async function roundTrips(cases: readonly Case[]): Promise<RoundTrips> {
  const counts: Partial<Record<Outcome, number>> = {};
  const different: string[] = [];
  for (const each of cases) {
    const [outcome, why] = await roundTrip(each);
    counts[outcome] = (counts[outcome] ?? 0) + 1;
    if (outcome === "different") different.push(`${each.name}: ${why}`);
  }
  return { counts, different };
}
