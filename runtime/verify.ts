/**
 * Runs test folders in the format of the ONNX backend suite: `model.onnx` beside
 * `test_data_set_*` folders with `input_*.pb` and `output_*.pb`. Every test ends as passed, failed
 * or unsupported with its reason; nothing that a test does ends the run.
 *
 * Not a device: `runGraph` says who executes (the graph evaluator unless another is given).
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../compiler/errors.ts";
import { evaluateGraph } from "../compiler/graph/evaluate.ts";
import { isRandom, type Graph } from "../compiler/graph/graph.ts";
import { dtypeFacts } from "../compiler/graph/dtype.ts";
import { elementAt, sizeOf, type Tensor } from "../compiler/graph/tensor.ts";
import { importModel } from "../compiler/onnx/import.ts";
import type { Model } from "../compiler/onnx/model.ts";
import { decodeTensor } from "../compiler/onnx/proto.ts";
import { readTensor } from "../compiler/onnx/readTensor.ts";
import { NeedsConcrete, NeedsValue, UnsupportedError } from "../compiler/onnx/refusal.ts";
import { specialise } from "../compiler/onnx/specialise.ts";
import { RangeRefusal } from "./execute/tensors.ts";
import { loadModel } from "./files/modelFiles.ts";
import { readBytes } from "./files/read.ts";

export type TestStatus = "passed" | "failed" | "unsupported";

export interface TestResult {
  /** Path of the test's folder below the one that was asked for. */
  readonly name: string;
  readonly status: TestStatus;
  /** Why it did not pass; absent when it did. */
  readonly reason?: string;
}

export interface VerifyResult {
  readonly passed: number;
  readonly failed: number;
  readonly unsupported: number;
  readonly tests: readonly TestResult[];
}

/** Executes a graph on named inputs. */
export type RunGraph = (
  graph: Graph, inputs: ReadonlyMap<string, Tensor>,
) => Promise<Map<string, Tensor>>;

export interface VerifyOptions {
  readonly runGraph?: RunGraph;
  /** |actual - expected| <= absolute + relative * |expected|; the suite's own bounds by default. */
  readonly relative?: number;
  readonly absolute?: number;
  /** Only tests whose path matches. */
  readonly only?: (name: string) => boolean;
  readonly onTest?: (result: TestResult, done: number, total: number) => void;
}

const evaluate: RunGraph = (graph, inputs) => Promise.resolve(evaluateGraph(graph, inputs));

/**
 * Runs every test below a folder.
 * @throws UserError when the folder holds no test at all
 */
export async function runConformance(
  directory: string, options: VerifyOptions = {},
): Promise<VerifyResult> {
  const names = (await findTests(directory, "")).filter(options.only ?? (() => true));
  if (names.length === 0) {
    throw new UserError("No folder below holds a model.onnx", {
      place: directory, remedy: "name a folder with tests in ONNX backend format",
    });
  }
  const tests: TestResult[] = [];
  for (const name of names) {
    const result = await runTest(join(directory, name), name, options);
    tests.push(result);
    options.onTest?.(result, tests.length, names.length);
  }
  const count = (status: TestStatus): number => tests.filter((t) => t.status === status).length;
  return {
    passed: count("passed"), failed: count("failed"), unsupported: count("unsupported"), tests,
  };
}

async function findTests(directory: string, below: string): Promise<string[]> {
  const entries = await readdir(join(directory, below), { withFileTypes: true });
  if (entries.some((e) => e.name === "model.onnx")) return [below || "."];
  const found: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.isDirectory()) found.push(...await findTests(directory, join(below, entry.name)));
  }
  return found;
}

/** A test as bytes, wherever they come from. */
export interface TestCase {
  readonly name: string;
  readonly model: Uint8Array;
  readonly sets: readonly DataSet[];
}

/** Serialised tensors in the order of the model's inputs and outputs. */
export interface DataSet {
  readonly name: string;
  readonly inputs: readonly Uint8Array[];
  readonly outputs: readonly Uint8Array[];
}

async function runTest(folder: string, name: string, options: VerifyOptions): Promise<TestResult> {
  try {
    const { sets } = await readTest(folder, name);
    // Through the folder, for models with external data.
    return await runCase(name, await loadModel(join(folder, "model.onnx")), sets, options);
  } catch (error) {
    return { name, status: "failed", reason: messageOf(error) };
  }
}

const messageOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error));

/** The files of a test folder. */
export async function readTest(folder: string, name: string): Promise<TestCase> {
  const entries = await readdir(folder);
  const sets = entries.filter((e) => e.startsWith("test_data_set_")).sort();
  return {
    name,
    model: await readBytes(join(folder, "model.onnx")),
    sets: await Promise.all(sets.map(async (set): Promise<DataSet> => ({
      name: set,
      inputs: await readNumbered(join(folder, set), "input_"),
      outputs: await readNumbered(join(folder, set), "output_"),
    }))),
  };
}

async function readNumbered(folder: string, prefix: string): Promise<Uint8Array[]> {
  const numberOf = (file: string): number => Number(/(\d+)\.pb$/.exec(file)?.[1]);
  const files = (await readdir(folder)).filter((f) => f.startsWith(prefix) && f.endsWith(".pb"));
  files.sort((a, b) => numberOf(a) - numberOf(b));
  return Promise.all(files.map((file) => readBytes(join(folder, file))));
}

/** Runs one test. Never throws: whatever goes wrong is the test's result. */
export async function runCase(
  name: string, model: Model, sets: readonly DataSet[], options: VerifyOptions = {},
): Promise<TestResult> {
  try {
    if (sets.length === 0) return { name, status: "unsupported", reason: "it has no test data" };
    for (const set of sets) {
      const reason = await runSet(model, set, options);
      if (reason !== undefined) return { name, status: "failed", reason: `${set.name}: ${reason}` };
    }
    return { name, status: "passed" };
  } catch (error) {
    const refused = error instanceof UnsupportedError || error instanceof RangeRefusal;
    const status = refused ? "unsupported" : "failed";
    return { name, status, reason: messageOf(error) };
  }
}

const tensorsOf = (files: readonly Uint8Array[], what: string): Tensor[] =>
  files.map((bytes, i) => readTensor(decodeTensor(bytes, `${what}_${i}.pb`), `${what}_${i}.pb`));

/** What is wrong with the outputs; undefined when nothing is. */
async function runSet(
  model: Model, set: DataSet, options: VerifyOptions,
): Promise<string | undefined> {
  const given = tensorsOf(set.inputs, "input");
  const expected = tensorsOf(set.outputs, "output");
  const initializers = new Set(model.graph.initializers.map((t) => t.name));
  const names = model.graph.inputs.map((i) => i.name);
  // Old models list weights among their inputs; data sets then leave them out or not.
  const open = given.length === names.length ? names : names.filter((n) => !initializers.has(n));
  const inputs = new Map<string, Tensor>();
  given.forEach((t, i) => {
    const input = open[i];
    if (input !== undefined && !initializers.has(input)) inputs.set(input, t);
  });
  const graph = lower(model, inputs);
  if (graph.nodes.some(isRandom)) {
    throw new UnsupportedError(
      "The expected outputs come from another random generator", model.place);
  }
  const outputs = await (options.runGraph ?? evaluate)(graph, inputs);
  for (const [i, { name }] of model.graph.outputs.entries()) {
    const wanted = expected[i];
    const actual = outputs.get(name);
    if (!wanted) continue;
    if (!actual) return `output "${name}" is missing`;
    const reason = compare(actual, wanted, options.relative ?? 1e-3, options.absolute ?? 1e-7);
    if (reason !== undefined) return `output "${name}" ${reason}`;
  }
  return undefined;
}

/** As general as the model allows; specialised for the inputs where it must be. */
function lower(model: Model, inputs: ReadonlyMap<string, Tensor>): Graph {
  try {
    return importModel(model).graph;
  } catch (error) {
    if (!(error instanceof NeedsConcrete || error instanceof NeedsValue)) throw error;
    return specialise(model, inputs).graph;
  }
}

/** How an output differs from the expected one; undefined when it does not. */
export function compare(
  actual: Tensor, expected: Tensor, relative: number, absolute: number,
): string | undefined {
  if (actual.dtype !== expected.dtype) return `is ${actual.dtype} instead of ${expected.dtype}`;
  const [a, e] = [actual.shape, expected.shape].map((s) => `[${s}]`);
  if (a !== e) return `has shape ${a} instead of ${e}`;
  const exact = dtypeFacts[expected.dtype].kind === "bool";
  for (let i = 0; i < sizeOf(expected.shape); i++) {
    const [x, y] = [elementAt(actual, i), elementAt(expected, i)];
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue;
    const close = !exact && Number.isFinite(y) &&
      Math.abs(x - y) <= absolute + relative * Math.abs(y);
    if (!close) return `is ${x} instead of ${y} at element ${i}`;
  }
  return undefined;
}
