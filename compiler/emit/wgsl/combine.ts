/** How a reduction starts and takes one more value, as WGSL. */
import type { ReduceKind } from "../../graph/graph.ts";
import type { ScalarType } from "../../kernels/expr.ts";
import type { Module } from "./module.ts";
import { binaryText, literal, primary, type Text } from "./text.ts";

/** Scalar types that accumulate; a bool does so as an i32. */
export type AccType = Exclude<ScalarType, "bool">;
export const accTypeOf = (type: ScalarType): AccType => (type === "bool" ? "i32" : type);

const lowest: Record<ScalarType, number> = { f32: -Infinity, i32: -(2 ** 31), u32: 0, bool: 0 };
const highest: Record<ScalarType, number> =
  { f32: Infinity, i32: 2 ** 31 - 1, u32: 2 ** 32 - 1, bool: 1 };

const identity: Record<ReduceKind, (type: ScalarType) => number> = {
  sum: () => 0,
  prod: () => 1,
  max: (type) => lowest[type],
  min: (type) => highest[type],
};

const operators = { sum: "add", prod: "mul", max: "max", min: "min" } as const;

/** The start of a reduction of values of `type`, as its accumulator has it. */
export const identityText = (module: Module, op: ReduceKind, type: ScalarType): string =>
  literal(identity[op](type), accTypeOf(type), module).text;

/** The statement that takes `value` into the variable `acc`. */
export function accumulate(
  module: Module, op: ReduceKind, type: AccType, acc: string, value: Text,
): string {
  const operator = assigning[op];
  if (operator) return `${acc} ${operator} ${value.text};`;
  return `${acc} = ${combined(module, op, type, primary(acc), value)};`;
}

/** `value` of every invocation of a subgroup, reduced; each of them gets it. */
export function acrossSubgroup(
  module: Module, op: ReduceKind, type: AccType, value: string,
): string {
  // Only on floats is there a NaN, which a largest or smallest value must be.
  const careful = type === "f32" && op !== "sum" && op !== "prod";
  const name = careful
    ? module.use(op === "max" ? "subgroup_maximum" : "subgroup_minimum") : subgroupFunctions[op];
  return `${name}(${value})`;
}

const subgroupFunctions: Record<ReduceKind, string> = {
  sum: "subgroupAdd", prod: "subgroupMul", max: "subgroupMax", min: "subgroupMin",
};

const assigning: Partial<Record<ReduceKind, string>> = { sum: "+=", prod: "*=" };

const combined = (
  module: Module, op: ReduceKind, type: AccType, a: Text, b: Text,
): string => binaryText(operators[op], type, a, b, module).text;
