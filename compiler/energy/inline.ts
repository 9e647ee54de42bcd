/**
 * Copies a graph into a builder: how an energy, which is data, becomes part of the graphs that are
 * derived from it. Sharing is the builder's business; `finish` drops what no output needs.
 */
import { InternalError } from "../errors.ts";
import { bindDim, type Dim } from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import {
  isOp, type Graph, type Node, type PrimAttrs, type PrimName, type Value,
} from "../graph/graph.ts";
import { ancestors } from "../passes/gradient.ts";
import { prune } from "../passes/rewrite.ts";

export type Values = ReadonlyMap<string, Value>;
type Renaming = Readonly<Record<string, Dim>>;

/**
 * The graph's outputs by name, computed in `b` from the values given for its inputs by name;
 * `sizes` replaces symbolic sizes, `only` picks outputs.
 * @throws InternalError when an input has no value.
 */
export function inlineGraph(
  b: Builder, graph: Graph, inputs: Values, sizes: Renaming = {}, only?: ReadonlySet<string>,
): Map<string, Value> {
  const outputs = graph.outputs.filter(({ name }) => !only || only.has(name));
  const copies = new Map<Value, Value>();
  for (const input of graph.inputs) copies.set(input, valueOf(inputs, input.name));
  const copyOf = (v: Value): Value => copies.get(v) as Value;
  for (const node of ancestors(outputs.map(({ value }) => value))) {
    const output = node.outputs[0] as Value;
    copies.set(output, b.from([...b.origin, ...node.origin], () => copied(b, node, copyOf, sizes)));
  }
  return new Map(outputs.map(({ name, value }) => [name, copyOf(value)]));
}

function copied(
  b: Builder, node: Node, copyOf: (v: Value) => Value, sizes: Renaming,
): Value {
  const { name } = node.outputs[0] as Value;
  // Scalar constants are shared whatever they are called.
  if (isOp(node, "constant")) {
    const { tensor } = node.attrs;
    return tensor.shape.length === 0 ? b.constant(tensor) : b.constant(tensor, name);
  }
  return b.add(node.op, node.inputs.map(copyOf), renamed(node, sizes), name);
}

const isDim = (v: unknown): v is Dim => typeof v === "object" && v !== null && "terms" in v;

function renamed(node: Node, sizes: Renaming): PrimAttrs[PrimName] {
  const attrs = Object.entries(node.attrs).map(([key, v]) => [key,
    isDim(v) ? bindDim(v, sizes)
      : Array.isArray(v) ? v.map((d: unknown) => (isDim(d) ? bindDim(d, sizes) : d)) : v]);
  return Object.fromEntries(attrs) as PrimAttrs[PrimName];
}

/** The value of that name. @throws InternalError when there is none. */
export function valueOf(values: Values, name: string): Value {
  const value = values.get(name);
  if (value) return value;
  throw new InternalError(`no value named ${name} among ${[...values.keys()].join(", ")}`);
}

/** Finishes `b` with these outputs, keeping only what they need. */
export const finish = (b: Builder, outputs: Iterable<readonly [string, Value]>): Graph =>
  prune(b.finish([...outputs].map(([name, value]) => ({ name, value }))));
