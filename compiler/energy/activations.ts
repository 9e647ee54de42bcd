/**
 * Finds the activations of an imported graph that a unit of an energy block can be: ReLU and its
 * clipped forms, tanh, the logistic function. The patterns are those that the importer makes.
 */
import {
  constantOf, isOp, type Graph, type Node, type PrimName, type Value,
} from "../graph/graph.ts";
import { elementAt } from "../graph/tensor.ts";
import { relu, tanhUnit, type Unit } from "./units.ts";

/** post = act(pre). */
export interface Activation {
  readonly pre: Value;
  readonly post: Value;
  readonly unit: Unit;
}

/** The number that all elements of a value are. */
function numberOf(v: Value): number | undefined {
  const held = constantOf(v);
  if (held) return held.splat || held.data.length === 1 ? elementAt(held, 0) : undefined;
  return isOp(v.node, "broadcast") || isOp(v.node, "reshape")
    ? numberOf(v.node.inputs[0] as Value) : undefined;
}

/** The operand of a commutative node beside the number `c`, and that number. */
function besideNumber(node: Node): { readonly x: Value; readonly c: number } | undefined {
  const [a, b] = node.inputs as [Value, Value];
  const [ca, cb] = [numberOf(a), numberOf(b)];
  if (cb !== undefined) return { x: a, c: cb };
  return ca === undefined ? undefined : { x: b, c: ca };
}

type Match = Pick<Activation, "pre" | "unit"> | undefined;
type Matcher = (node: Node) => Match;

const isOne = (v: Value): boolean => numberOf(v) === 1;

const matchers: Partial<Record<PrimName, Matcher>> = {
  tanh: (node) => ({ pre: node.inputs[0] as Value, unit: tanhUnit }),
  max(node) {
    const found = besideNumber(node);
    return found?.c === 0 ? { pre: found.x, unit: relu } : undefined;
  },
  // min(max(x, low), high): a clip, of which the inner half alone may look like a ReLU.
  min(node) {
    const outer = besideNumber(node);
    if (!outer || !isOp(outer.x.node, "max")) return undefined;
    const inside = besideNumber(outer.x.node as Node);
    if (!inside || !(inside.c <= outer.c)) return undefined;
    return { pre: inside.x, unit: { kind: "clamp", slope: 1, low: inside.c, high: outer.c } };
  },
  // 1/(1 + exp(-x))
  div(node) {
    const [one, sum] = node.inputs as [Value, Value];
    if (!isOne(one) || !isOp(sum.node, "add")) return undefined;
    const exponential = besideNumber(sum.node as Node);
    if (exponential?.c !== 1 || !isOp(exponential.x.node, "exp")) return undefined;
    const negated = exponential.x.node.inputs[0] as Value;
    if (!isOp(negated.node, "neg")) return undefined;
    return { pre: negated.node.inputs[0] as Value, unit: { kind: "sigmoid", gain: 1, offset: 0 } };
  },
};

/** All activations, in graph order; of nested ones only the outermost. */
export function activationsOf(graph: Graph): Activation[] {
  const found: Activation[] = [];
  const inside = new Set<Node>();
  for (const node of [...graph.nodes].reverse()) {
    const match = inside.has(node) ? undefined : matchers[node.op]?.(node);
    if (!match) continue;
    found.push({ ...match, post: node.outputs[0] as Value });
    if (node.op === "min") {
      node.inputs.forEach(({ node: inner }) => inner?.op === "max" && inside.add(inner));
    }
  }
  return found.reverse();
}
