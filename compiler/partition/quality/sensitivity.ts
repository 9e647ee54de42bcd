/**
 * How strongly errors inside a unit reach the model's output, as a graph to be run on samples.
 *
 * Let J be the Jacobian of the outputs. Independent errors of variance s^2 at some values v arrive
 * with power s^2 |J_v|^2 (Frobenius), and for a random vector p of signs E|J_v^T p|^2 = |J_v|^2
 * (Hutchinson, 1989): one backward pass from random signs at the outputs estimates it for every
 * value at once, unbiased, and signs that are independent between samples keep samples apart even
 * where their gradients add up in one weight. What is needed per unit are four sums of squares:
 *
 *   weights   sum over samples and columns' weights of (dp/dw)^2, one number per column
 *   products  sum over positions of (dp/dy)^2, one number per column
 *   inputs    sum of (dp/dx)^2, of the path through this unit alone
 *   outputs   sum over positions of y^2, one number per column
 */
import { UserError } from "../../errors.ts";
import { Builder } from "../../graph/builder.ts";
import type { Dim } from "../../graph/dim.ts";
import { isFloat } from "../../graph/dtype.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { vjp } from "../../passes/gradient.ts";
import { copyNode, prune } from "../../passes/rewrite.ts";
import type { AnalogForm, Unit } from "../units.ts";

/** Names of what the graph returns for a unit; the first three are flat over (group, output). */
export interface SensitivityNames {
  readonly weights: string;
  readonly products: string;
  readonly outputs: string;
  /** A single number. */
  readonly inputs: string;
  /** The unit's input tensor itself. */
  readonly drive: string;
}

export interface SensitivityGraph {
  /** The model's inputs, then one input of signs per float output. */
  readonly graph: Graph;
  /** The inputs of signs. */
  readonly probes: readonly { readonly name: string; readonly shape: readonly Dim[] }[];
  readonly units: ReadonlyMap<string, SensitivityNames>;
  /** Output that is the sum of the squares of all float outputs of the model. */
  readonly signal: string;
}

/** Axes of a heart's result that are columns of the matrix; the others are positions. */
function columnAxes({ heart, input }: AnalogForm): { weights: number[]; result: number[] } {
  const [a, b] = heart.inputs as [Value, Value];
  const rank = (v: Value): number => v.type.shape.length;
  if (heart.op === "conv") return { weights: [0], result: [1] };
  const { batch, contract } = (heart as Extract<typeof heart, { op: "dot" }>).attrs;
  const axes = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, i) => from + i);
  const shared = axes(0, batch);
  const rows = rank(a) - contract - batch;
  const result = rank(a) + rank(b) - 2 * contract - batch;
  if (input === b) {
    return {
      weights: [...shared, ...axes(batch, batch + rows)],
      result: [...shared, ...axes(batch, batch + rows)],
    };
  }
  return {
    weights: [...shared, ...axes(batch + contract, rank(b))],
    result: [...shared, ...axes(batch + rows, result)],
  };
}

/**
 * The sensitivity graph of the units that may be analog.
 * @throws InternalError or UserError where a primitive on the way has no gradient
 * @throws UserError when the model has no output of floating point
 */
export function sensitivityGraph(graph: Graph, units: readonly Unit[]): SensitivityGraph {
  const b = new Builder(`${graph.name}.sensitivity`);
  const mapped = new Map<Value, Value>();
  const at = (v: Value): Value => mapped.get(v) as Value;
  for (const v of graph.inputs) mapped.set(v, b.input(v.name, v.type));
  for (const node of graph.nodes) {
    mapped.set(node.outputs[0] as Value, copyNode(b, node, node.inputs.map(at)));
  }
  const real = graph.outputs.filter(({ value }) => isFloat(value.type.dtype));
  if (real.length === 0) {
    throw new UserError("no output is of floating point, so errors have no power there", {
      place: graph.name, remedy: "Use --quality layers.",
    });
  }
  const signs = real.map(({ name, value }) => b.input(`${name}.signs`, at(value).type));
  const hearts = units.flatMap((unit) => {
    const { analog } = unit;
    if (!analog) return [];
    const { heart, input } = analog;
    const weights = (heart.inputs[0] === input ? heart.inputs[1] : heart.inputs[0]) as Value;
    const y = at(heart.outputs[0] as Value);
    return [{ unit, analog, x: at(input), w: at(weights), y }];
  });
  const cotangents = vjp(b, real.map((o) => at(o.value)), signs, hearts.map(({ y }) => y));
  const outputs: { name: string; value: Value }[] = [];
  const names = new Map<string, SensitivityNames>();
  const give = (name: string, value: Value): string => {
    outputs.push({ name, value });
    return name;
  };
  const squares = (v: Value, keep: readonly number[]): Value => {
    const single = b.cast(v, "float32");
    const rest = v.type.shape.map((_, i) => i).filter((i) => !keep.includes(i));
    return b.reduce("sum", b.mul(single, single), rest);
  };
  hearts.forEach(({ unit: { id }, analog, x, w, y }, i) => {
    const g = cotangents[i] as Value;
    const [dx, dw] = vjp(b, [y], [g], [x, w]) as [Value, Value];
    const axes = columnAxes(analog);
    names.set(id, {
      weights: give(`${id}.weights`, squares(dw, axes.weights)),
      products: give(`${id}.products`, squares(g, axes.result)),
      outputs: give(`${id}.outputs`, squares(y, axes.result)),
      inputs: give(`${id}.inputs`, squares(dx, [])),
      drive: give(`${id}.drive`, b.cast(x, "float32")),
    });
  });
  const powers = real.map(({ value }) => squares(at(value), []));
  const signal = give("signal", powers.reduce((sum, v) => b.addition(sum, v)));
  const probes = signs.map(({ name, type }) => ({ name, shape: type.shape }));
  return { graph: prune(b.finish(outputs)), probes, units: names, signal };
}
