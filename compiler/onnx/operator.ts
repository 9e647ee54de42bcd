/**
 * What an operator rule is: a function from a node's operands and attributes to primitives. Rules
 * are data, one record per operator, collected by `ops/index.ts`; adding an operator is adding a
 * record to a family file.
 */
import type { Value } from "../graph/graph.ts";
import type { RuleContext } from "./context.ts";

/** One value per output of the node; a single value stands for the first and only one. */
export type Rule = (c: RuleContext) => Value | readonly (Value | undefined)[];

export interface Operator {
  readonly name: string;
  /** Default: ONNX's own operators. */
  readonly domain?: string;
  /**
   * Rules by the opset that brought them; the greatest version not above the model's applies. A
   * rule for an old form brings its operands to the newest form and goes on from there.
   */
  readonly since: Readonly<Record<number, Rule>>;
}

/** A family of operators in one file. */
export type Family = readonly Operator[];

/** The rule for an opset; undefined where the operator is younger than the model. */
export function ruleFor(operator: Operator, opset: number): Rule | undefined {
  const versions = Object.keys(operator.since).map(Number).filter((v) => v <= opset);
  return operator.since[Math.max(...versions)];
}
