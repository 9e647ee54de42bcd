/** How a reduction starts and takes one more value, as WGSL. */
import type { ReduceKind } from "../../graph/graph.ts";
import type { ScalarType } from "../../kernels/expr.ts";
import type { Module } from "./module.ts";
import { binaryText, literal, type Text } from "./text.ts";

/** Scalar types that accumulate; a bool does so as an i32. */
export type AccType = Exclude<ScalarType, "bool">;
export const accTypeOf = (type: ScalarType): AccType => (type === "bool" ? "i32" : type);

const lowest: Record<AccType, number> = { f32: -Infinity, i32: -(2 ** 31), u32: 0 };
const highest: Record<AccType, number> = { f32: Infinity, i32: 2 ** 31 - 1, u32: 2 ** 32 - 1 };

const identity: Record<ReduceKind, (type: AccType) => number> = {
  sum: () => 0,
  prod: () => 1,
  max: (type) => lowest[type],
  min: (type) => highest[type],
};

const operators = { sum: "add", prod: "mul", max: "max", min: "min" } as const;

export const identityText = (module: Module, op: ReduceKind, type: AccType): string =>
  literal(identity[op](type), type, module).text;

export const combined = (
  module: Module, op: ReduceKind, type: AccType, a: Text, b: Text,
): string => binaryText(operators[op], type, a, b, module).text;
