/**
 * Whether a Hessian-vector product is elementwise, read off its graph: H*v = d (*) v with d free of
 * v. That is what makes a layer of an energy solvable in closed form. Sufficient only: a graph
 * that multiplies elementwise in disguise is called "other".
 */
import type { Node, PrimName, Value } from "../graph/graph.ts";
import { constantOf, isOp } from "../graph/graph.ts";
import { elementAt } from "../graph/tensor.ts";
import { ancestors } from "../passes/gradient.ts";

export type Linearity = "zero" | "diagonal" | "other";

/** A constant 0, possibly repeated. */
export function isZero(v: Value): boolean {
  const held = constantOf(v);
  if (held) return (held.splat || held.data.length === 1) && elementAt(held, 0) === 0;
  return isOp(v.node, "broadcast") && isZero(v.node.inputs[0] as Value);
}

/**
 * How a value linear in the probe relates to it: element by element in row-major order, but for
 * the axes along which it was repeated.
 */
interface Linear {
  readonly repeated: readonly number[];
}
/** What the operands are; undefined for those that do not depend on the probe. */
type Operands = readonly (Linear | undefined)[];
/** How the output depends on the probe, or undefined when not elementwise. */
type Rule = (operands: Operands, node: Node) => Linear | undefined;

const same = (x: Linear, y: Linear): boolean => x.repeated.join() === y.repeated.join();
const keep: Rule = ([x]) => x;
const exactlyOne: Rule = ([x, y]) => (x && y ? undefined : x ?? y);
/** A sum with something that is not linear in the probe would be affine. */
const together: Rule = (operands, node) => {
  const linear = operands.filter((x) => x !== undefined);
  const [first] = linear;
  const rest = operands.every((x, i) => x !== undefined || isZero(node.inputs[i] as Value));
  return first && rest && linear.every((x) => same(x, first)) ? first : undefined;
};

const elementwise: Partial<Record<PrimName, Rule>> = {
  neg: keep,
  add: together,
  sub: together,
  mul: exactlyOne,
  div: ([x, y]) => (y ? undefined : x),
  where: ([condition, ...branches], node) =>
    (condition ? undefined : together(branches, { ...node, inputs: node.inputs.slice(1) })),
  // Row-major order, hence the pairing of elements, survives.
  reshape: ([x]) => (x?.repeated.length === 0 ? x : undefined),
  broadcast([x], node) {
    const from = (node.inputs[0] as Value).type.shape;
    const to = (node.outputs[0] as Value).type.shape;
    const lead = to.length - from.length;
    if (!x || x.repeated.length > 0) return undefined;
    const isRepeated = (i: number): boolean =>
      i < lead || (from[i - lead] === 1 && to[i] !== 1);
    return { repeated: to.map((_, i) => i).filter(isRepeated) };
  },
  reduce([x], node) {
    const { kind, axes } = (node as Node<"reduce">).attrs;
    return x && kind === "sum" && axes.join() === x.repeated.join() ? { repeated: [] } : undefined;
  },
};

/** How `product`, known to be linear in `probe`, depends on it. */
export function linearityIn(product: Value, probe: Value): Linearity {
  if (isZero(product)) return "zero";
  const linear = new Map<Value, Linear>([[probe, { repeated: [] }]]);
  for (const node of ancestors([product])) {
    const operands = node.inputs.map((v) => linear.get(v));
    if (!operands.some(Boolean)) continue;
    const output = elementwise[node.op]?.(operands, node);
    if (!output) return "other";
    linear.set(node.outputs[0] as Value, output);
  }
  return linear.get(product)?.repeated.length === 0 ? "diagonal" : "other";
}
