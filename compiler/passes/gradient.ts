/**
 * Reverse-mode differentiation as graph rewriting: cotangents flow back through one rule per
 * primitive (`Primitive.gradient`). The same function serves the digital segments' backprop and
 * what an energy block derives from its energy.
 */
import { InternalError } from "../errors.ts";
import { shapesEqual } from "../graph/dim.ts";
import { isFloat } from "../graph/dtype.ts";
import type { Builder } from "../graph/builder.ts";
import type { Node, Value } from "../graph/graph.ts";
import { primitiveOf } from "../ops/registry.ts";

/** Nodes that `outputs` depend on, in topological order. */
export function ancestors(outputs: readonly Value[]): Node[] {
  const seen = new Set<Node>();
  const order: Node[] = [];
  // An explicit stack: graphs are deeper than the call stack.
  const stack: { node: Node; next: number }[] = [];
  const visit = (v: Value): void => {
    if (v.node && !seen.has(v.node)) {
      seen.add(v.node);
      stack.push({ node: v.node, next: 0 });
    }
  };
  for (const output of outputs) {
    visit(output);
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as { node: Node; next: number };
      const operand = top.node.inputs[top.next++];
      if (operand) visit(operand);
      else {
        order.push(top.node);
        stack.pop();
      }
    }
  }
  return order;
}

/**
 * Vector-Jacobian product: cotangents of `wrt` given cotangents of `outputs`, added to `b`, in
 * which all of these values live. A value that the outputs do not depend on gets zeros.
 */
export function vjp(
  b: Builder, outputs: readonly Value[], cotangents: readonly Value[], wrt: readonly Value[],
): Value[] {
  const total = new Map<Value, Value>();
  const accumulate = (v: Value, d: Value): void => {
    if (!shapesEqual(v.type.shape, d.type.shape)) {
      throw new InternalError(`the cotangent of ${v.name} has shape [${d.type.shape}]`);
    }
    const sum = total.get(v);
    total.set(v, sum ? b.addition(sum, d) : d);
  };
  outputs.forEach((v, i) => accumulate(v, cotangents[i] as Value));
  const order = ancestors(outputs);
  const needed = dependents(order, wrt);
  for (const node of order.reverse()) {
    const d = total.get(node.outputs[0] as Value);
    if (!d || !needed.has(node.outputs[0] as Value)) continue;
    const parts = b.from([...node.origin, "gradient"], () =>
      primitiveOf(node.op).gradient(b, node, d));
    parts.forEach((part, i) => {
      const operand = node.inputs[i] as Value;
      if (part && needed.has(operand)) accumulate(operand, part);
    });
  }
  return wrt.map((v) => total.get(v) ?? b.full(v, 0));
}

/** Gradient of a scalar with respect to `wrt`. */
export function gradient(b: Builder, loss: Value, wrt: readonly Value[]): Value[] {
  if (loss.type.shape.length !== 0 || !isFloat(loss.type.dtype)) {
    throw new InternalError(`a gradient needs a float scalar, ${loss.name} is not one`);
  }
  return vjp(b, [loss], [b.scalar(loss.type.dtype, 1)], wrt);
}

/** `wrt` and everything computed from it: the rest needs no cotangent. */
function dependents(order: readonly Node[], wrt: readonly Value[]): Set<Value> {
  const needed = new Set<Value>(wrt);
  for (const node of order) {
    if (node.inputs.some((v) => needed.has(v))) needed.add(node.outputs[0] as Value);
  }
  return needed;
}
