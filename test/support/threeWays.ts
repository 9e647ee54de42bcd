/**
 * One primitive three ways: by evaluation, by its lowering through the interpreter, and by what the
 * test says it is. The test writes the third by hand, from the primitive's sentence in `graph.ts`.
 */
import { expect } from "vitest";
import { Builder } from "../../compiler/graph/builder.ts";
import type { Value } from "../../compiler/graph/graph.ts";
import { evaluateGraph } from "../../compiler/graph/evaluate.ts";
import {
  elementAt, newData, sizeOf, type FloatMode, type Tensor,
} from "../../compiler/graph/tensor.ts";
import { verifyGraph } from "../../compiler/graph/verify.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import { forEachIndex, stridesOf } from "../../compiler/ops/common.ts";
import type { DType } from "../../compiler/graph/dtype.ts";
import { InterpreterDevice } from "../../runtime/device/interpreter/interpreterDevice.ts";
import { Session } from "../../runtime/execute/session.ts";
import { difference } from "./difference.ts";

/** A tensor whose element at each index is `f(index)`. */
export function tensorOf(
  dtype: DType, shape: readonly number[], f: (index: readonly number[]) => number,
  mode: FloatMode = "f64",
): Tensor {
  const data = newData(dtype, sizeOf(shape), mode);
  forEachIndex(shape, (index, flat) => {
    data[flat] = f(index);
  });
  return { dtype, shape: [...shape], data, splat: false };
}

/** Element at an index of several axes; undefined outside. */
export function at(t: Tensor, ...index: readonly number[]): number | undefined {
  if (index.some((x, i) => x < 0 || x >= (t.shape[i] as number))) return undefined;
  const strides = stridesOf(t.shape);
  return elementAt(t, index.reduce((flat, x, i) => flat + x * (strides[i] as number), 0));
}

export const elements = (t: Tensor): number[] =>
  Array.from({ length: sizeOf(t.shape) }, (_, i) => elementAt(t, i));

/** The graph `build` makes of inputs of these types, evaluated and interpreted. */
export async function bothWays(
  tensors: readonly Tensor[], build: (b: Builder, ...values: Value[]) => Value,
  mode: FloatMode = "f64",
): Promise<{ evaluated: Tensor; interpreted: Tensor; kernels: number }> {
  const b = new Builder("three ways");
  const values = tensors.map(({ dtype, shape }, i) => b.input(`in${i}`, { dtype, shape }));
  const graph = verifyGraph(b.finish([{ name: "out", value: build(b, ...values) }]));
  const inputs = new Map(tensors.map((t, i) => [`in${i}`, t]));
  const program = buildProgram(graph);
  const session = await Session.create(new InterpreterDevice(mode), program);
  return {
    evaluated: evaluateGraph(graph, inputs, mode).get("out") as Tensor,
    interpreted: (await session.run(inputs)).get("out") as Tensor,
    kernels: program.kernels.length,
  };
}

/**
 * Both ways give `expected`: its dtype and shape, and its elements to within `tolerance` of the
 * largest one (0: the same numbers).
 */
export async function expectThreeWays(
  tensors: readonly Tensor[], build: (b: Builder, ...values: Value[]) => Value, expected: Tensor,
  tolerance = 0, where = "",
): Promise<void> {
  const { evaluated, interpreted } = await bothWays(tensors, build);
  for (const [how, actual] of [["evaluated", evaluated], ["interpreted", interpreted]] as const) {
    expect(actual.dtype, `${where} ${how}`).toBe(expected.dtype);
    expect(actual.shape, `${where} ${how}`).toEqual(expected.shape);
    const error = difference(actual, expected);
    if (!(error <= tolerance)) {
      expect.fail(`${where} ${how}: apart by ${error}: ` +
        `[${elements(actual)}] is not [${elements(expected)}]`);
    }
  }
}
