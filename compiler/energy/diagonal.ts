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

/** Is the output elementwise in the operands marked `linear` (all linear in the probe)? */
type Rule = (linear: readonly boolean[], node: Node) => boolean;
const every: Rule = () => true;
const exactlyOne: Rule = (linear) => linear.filter(Boolean).length === 1;
/** A sum with something that is not linear in the probe would be affine. */
const all: Rule = (linear, node) => linear.every((l, i) => l || isZero(node.inputs[i] as Value));

const elementwise: Partial<Record<PrimName, Rule>> = {
  neg: every,
  add: all,
  sub: all,
  mul: exactlyOne,
  div: ([a, b]) => Boolean(a) && !b,
  // Row-major order, hence the pairing of elements, survives.
  reshape: every,
  where: ([condition, a, b], node) =>
    !condition && all([a as boolean, b as boolean], { ...node, inputs: node.inputs.slice(1) }),
};

/** How `product`, known to be linear in `probe`, depends on it. */
export function linearityIn(product: Value, probe: Value): Linearity {
  if (isZero(product)) return "zero";
  const linear = new Set<Value>([probe]);
  for (const node of ancestors([product])) {
    const flags = node.inputs.map((v) => linear.has(v));
    if (!flags.some(Boolean)) continue;
    if (!elementwise[node.op]?.(flags, node)) return "other";
    linear.add(node.outputs[0] as Value);
  }
  return linear.has(product) ? "diagonal" : "other";
}
