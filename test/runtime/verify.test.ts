/** Conformance tests of the ONNX project, on the graph evaluator: the packed part of the suite. */
import { describe, expect, test } from "vitest";
import { splat, tensor } from "../../compiler/graph/tensor.ts";
import { decodeModel } from "../../compiler/onnx/proto.ts";
import { compare, runCase, runConformance, type TestResult } from "../../runtime/verify.ts";
import { readPack } from "../support/conformancePack.ts";

test("the packed conformance tests pass, or say why they cannot", async () => {
  const results: TestResult[] = [];
  for (const { name, model, sets } of readPack()) {
    results.push(await runCase(name, decodeModel(model, name), sets));
  }
  const named = (status: string): string[] =>
    results.filter((r) => r.status === status).map((r) => r.name);
  expect(results.filter((r) => r.status === "failed")).toEqual([]);
  expect(named("unsupported")).toMatchInlineSnapshot(`
    [
      "node/test_bitcast_int64_to_float64",
      "node/test_optional_has_element_empty_no_input_name_optional_input",
      "node/test_optional_has_element_empty_no_input_name_tensor_input",
      "node/test_optional_has_element_empty_no_input_optional_input",
      "node/test_optional_has_element_empty_no_input_tensor_input",
      "node/test_training_dropout",
      "node/test_training_dropout_default_mask",
      "node/test_training_dropout_mask",
      "simple/test_sequence_model1",
      "simple/test_sequence_model2",
      "simple/test_sequence_model3",
      "simple/test_sequence_model5",
      "simple/test_sequence_model6",
      "simple/test_sequence_model7",
      "simple/test_sequence_model8",
    ]
  `);
  expect(named("passed").length).toBeGreaterThan(900);
});

test("a device that computes something else fails the tests that it gets wrong", async () => {
  const cases = readPack().filter((t) => /test_(abs|neg|exp)$/.test(t.name));
  expect(cases.length).toBeGreaterThan(1);
  for (const { name, model, sets } of cases) {
    const result = await runCase(name, decodeModel(model, name), sets, {
      runGraph: (graph) => Promise.resolve(new Map(graph.outputs.map(({ name: output, value }) =>
        [output, splat(value.type.dtype, value.type.shape as number[], 77)]))),
    });
    expect(result).toMatchObject({ status: "failed" });
    expect(result.reason).toContain("is 77 instead of");
  }
});

test("a broken test is a failed test, not the end of the run", async () => {
  const [some] = readPack();
  if (!some) throw new Error("the pack is empty");
  const result = await runCase("cut", decodeModel(some.model, "cut"), [
    { name: "set", inputs: [new Uint8Array([8])], outputs: [] },
  ]);
  expect(result).toMatchObject({ name: "cut", status: "failed" });
});

test("a folder without tests is the caller's mistake", async () => {
  await expect(runConformance(import.meta.dirname)).rejects.toThrow("holds a model.onnx");
});

describe("comparison", () => {
  const floats = (...values: number[]): ReturnType<typeof tensor> =>
    tensor("float32", [values.length], values);

  test("is relative to the expected value, with an absolute floor", () => {
    expect(compare(floats(1000.9), floats(1000), 1e-3, 1e-7)).toBeUndefined();
    expect(compare(floats(1001.1), floats(1000), 1e-3, 1e-7)).toContain("at element 0");
    expect(compare(floats(5e-8), floats(0), 1e-3, 1e-7)).toBeUndefined();
    expect(compare(floats(5e-7), floats(0), 1e-3, 1e-7)).toContain("instead of 0");
  });

  test("takes NaN for NaN and infinities for themselves only", () => {
    expect(compare(floats(NaN, Infinity), floats(NaN, Infinity), 1e-3, 1e-7)).toBeUndefined();
    expect(compare(floats(1), floats(NaN), 1e-3, 1e-7)).toContain("instead of NaN");
    expect(compare(floats(NaN), floats(1), 1e-3, 1e-7)).toContain("is NaN");
    expect(compare(floats(-Infinity), floats(Infinity), 1e-3, 1e-7)).toContain("is -Infinity");
    expect(compare(floats(1e30), floats(Infinity), 1e-3, 1e-7)).toContain("instead of Infinity");
  });

  test("wants the element type and shape as well", () => {
    expect(compare(floats(1), tensor("int64", [1], [1]), 1, 1)).toBe("is float32 instead of int64");
    expect(compare(floats(1), tensor("float32", [], [1]), 1, 1))
      .toBe("has shape [1] instead of []");
  });
});
