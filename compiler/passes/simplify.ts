/**
 * Algebra that removes nodes without changing a bit of the result (for finite data): neutral
 * operands, movement of movement, choices with a known condition, powers that are products.
 */
import { constantOf, isOp, type BinaryOp, type PrimName, type Value } from "../graph/graph.ts";
import { elementAt, type Tensor } from "../graph/tensor.ts";
import { rewrite, type Pass, type RewriteContext } from "./rewrite.ts";

/** The number that a value is everywhere, when it is a constant (repeated or not). */
function uniform(v: Value): number | undefined {
  const source = isOp(v.node, "broadcast") ? v.node.inputs[0] as Value : v;
  const held: Tensor | undefined = constantOf(source);
  return held && (held.splat || held.data.length === 1) ? elementAt(held, 0) : undefined;
}

type Rule = (ctx: RewriteContext) => Value | undefined;
/** What replaces a node keeps its name. */
const nameOf = ({ node }: RewriteContext): string => (node.outputs[0] as Value).name;
/** x op neutral = x, exact in floating point too (x + 0 is not, for x = -0, and is left out). */
const neutral: Partial<Record<BinaryOp, number>> = { mul: 1, div: 1, sub: 0 };

const withNeutral = (op: BinaryOp): Rule => ({ inputs: [a, b] }) => {
  const value = uniform(b as Value);
  if (value === neutral[op] && !Object.is(value, -0)) return a;
  return op === "mul" && uniform(a as Value) === 1 ? b : undefined;
};

const rules: Partial<Record<PrimName, Rule>> = {
  mul: withNeutral("mul"),
  div: withNeutral("div"),
  sub: withNeutral("sub"),
  pow(ctx) {
    const [x, y] = ctx.inputs as [Value, Value];
    const exponent = uniform(y);
    if (exponent === 1) return x;
    if (exponent === 2) return ctx.b.binary("mul", x, x, nameOf(ctx));
    return exponent === 0.5 ? ctx.b.unary("sqrt", x, nameOf(ctx)) : undefined;
  },
  where: ({ inputs: [cond, a, b] }) => {
    const known = uniform(cond as Value);
    return known === undefined ? undefined : known ? a : b;
  },
  transpose(ctx) {
    const { b, node, inputs: [x] } = ctx;
    const inner = (x as Value).node;
    if (!isOp(inner, "transpose") || !isOp(node, "transpose")) return undefined;
    const perm = node.attrs.perm.map((p) => inner.attrs.perm[p] as number);
    return b.transpose(inner.inputs[0] as Value, perm, nameOf(ctx));
  },
  reshape(ctx) {
    const { b, node, inputs: [x] } = ctx;
    return isOp(node, "reshape") ? b.reshape(x as Value, node.attrs.shape, nameOf(ctx)) : undefined;
  },
  broadcast(ctx) {
    const { b, node, inputs: [x] } = ctx;
    const inner = (x as Value).node;
    if (!isOp(inner, "broadcast") || !isOp(node, "broadcast")) return undefined;
    return b.broadcast(inner.inputs[0] as Value, node.attrs.shape, nameOf(ctx));
  },
};

export const simplify: Pass = {
  name: "simplify",
  run: (graph) => rewrite(graph, (ctx) => rules[ctx.node.op]?.(ctx)),
};
