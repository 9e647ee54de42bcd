/**
 * Evaluates a graph node by node on concrete tensors: the oracle of everything below it, and the
 * float64 reference for gradients. Slow and obvious on purpose.
 */
import { InternalError, UserError } from "../errors.ts";
import { primitiveOf } from "../ops/registry.ts";
import { bindDim, evalDim, isStatic, type Bindings, type Dim } from "./dim.ts";
import type { Graph, Node, PrimAttrs, PrimName, Value } from "./graph.ts";
import type { FloatMode, Tensor } from "./tensor.ts";

const isDim = (v: unknown): v is Dim => typeof v === "object" && v !== null && "terms" in v;

/** Attributes with every symbolic size replaced by its number. */
export function bindAttrs<O extends PrimName>(
  attrs: PrimAttrs[O], bindings: Bindings,
): PrimAttrs[O] {
  const bound = Object.entries(attrs).map(([key, v]) => [key,
    isDim(v) ? evalDim(v, bindings)
      : Array.isArray(v) ? v.map((d: unknown) => (isDim(d) ? evalDim(d, bindings) : d)) : v]);
  return Object.fromEntries(bound) as PrimAttrs[O];
}

/**
 * Symbol values from the shapes of actual inputs.
 * @throws UserError when an input is missing or its shape cannot be what the graph says.
 */
export function bindInputs(
  graph: Graph, shapes: ReadonlyMap<string, readonly number[]>,
): Record<string, number> {
  const bindings: Record<string, number> = {};
  const show = (shape: readonly Dim[]): string => `[${shape.map(String).join(",")}]`;
  for (const { name, type } of graph.inputs) {
    const shape = shapes.get(name);
    if (!shape) {
      throw new UserError(`No value was given for the input "${name}"`, {
        place: `input ${name}`, remedy: `give it as ${name}=FILE.npy, of shape ${show(type.shape)}`,
      });
    }
    const wrong = (): UserError => new UserError(
      `Expected shape ${show(type.shape)}, got ${show(shape)}`,
      { place: `input ${name}`, remedy: "give an array of the expected shape" });
    if (shape.length !== type.shape.length) throw wrong();
    type.shape.forEach((d, i) => {
      const actual = shape[i] as number;
      if (typeof d === "number") {
        if (d !== actual) throw wrong();
        return;
      }
      // A single symbol binds; anything else is checked once all symbols are known.
      const [key, c] = [...d.terms][0] as [string, number];
      const simple = d.terms.size === 1 && c === 1 && !key.includes("*");
      if (!simple) return;
      if (bindings[key] !== undefined && bindings[key] !== actual) {
        throw new UserError(`The size ${key} is ${bindings[key]} and ${actual} at once`, {
          place: `input ${name}`, remedy: "give arrays whose shared sizes agree",
        });
      }
      bindings[key] = actual;
    });
  }
  for (const { name, type } of graph.inputs) {
    const bound = type.shape.map((d) => bindDim(d, bindings));
    const actual = shapes.get(name) as readonly number[];
    if (!isStatic(bound) || bound.some((d, i) => d !== actual[i])) {
      throw new UserError(`Expected shape ${show(type.shape)}, got ${show(actual)}`,
        { place: `input ${name}`, remedy: "give an array of the expected shape" });
    }
  }
  return bindings;
}

/** Values of the requested graph values (default: the outputs, by name). */
export function evaluateGraph(
  graph: Graph, inputs: ReadonlyMap<string, Tensor>, mode: FloatMode = "f32",
): Map<string, Tensor> {
  const shapes = new Map([...inputs].map(([name, t]) => [name, t.shape]));
  const bindings = bindInputs(graph, shapes);
  const values = new Map<Value, Tensor>();
  for (const v of graph.inputs) values.set(v, inputs.get(v.name) as Tensor);
  const uses = countUses(graph);
  for (const node of graph.nodes) {
    const operands = node.inputs.map((v) => values.get(v) ?? missing(v));
    values.set(node.outputs[0] as Value, evaluateNode(node, operands, bindings, mode));
    for (const v of node.inputs) {
      const left = (uses.get(v) as number) - 1;
      uses.set(v, left);
      if (left === 0) values.delete(v);
    }
  }
  return new Map(graph.outputs.map(({ name, value }) =>
    [name, values.get(value) ?? missing(value)]));
}

export function evaluateNode(
  node: Node, operands: readonly Tensor[], bindings: Bindings, mode: FloatMode,
): Tensor {
  return primitiveOf(node.op).evaluate(operands, bindAttrs(node.attrs, bindings), mode);
}

/** How often each value is read; outputs count as one use. */
export function countUses(graph: Graph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const add = (v: Value): void => void uses.set(v, (uses.get(v) ?? 0) + 1);
  for (const node of graph.nodes) node.inputs.forEach(add);
  for (const { value } of graph.outputs) add(value);
  return uses;
}

function missing(v: Value): never {
  throw new InternalError(`value ${v.name} is used before it is computed`);
}
