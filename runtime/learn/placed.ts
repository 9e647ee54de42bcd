/**
 * Which parameters of a model are weights of a product, and which products of a graph they are the
 * weights of: what can be on arrays, whatever chip it may be. Weights may be moved on their way to
 * the product (transposed, reshaped, flipped), as the transposed reads of a block's energy are.
 */
import type { FfEbm, Stage } from "../../compiler/energy/ffEbm.ts";
import { InternalError } from "../../compiler/errors.ts";
import { evaluateNode } from "../../compiler/graph/evaluate.ts";
import { isOp, type Graph, type Node, type Value } from "../../compiler/graph/graph.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { matrixView, type MatrixView } from "../../compiler/partition/units.ts";
import { ancestors } from "../../compiler/passes/gradient.ts";

/** A parameter as the weights of a product. */
export interface Placed {
  readonly view: MatrixView;
  readonly shape: readonly number[];
  /** Element of the parameter behind every weight; in order without it. */
  readonly order: ArrayLike<number> | undefined;
}

/** The parameters of a model that are weights of a product, by name. */
export function placedParameters(model: FfEbm): Map<string, Placed> {
  const names = new Set(model.parameters.map(({ name }) => name));
  const found = new Map<string, Placed>();
  for (const graph of [...model.stages, model.loss].flatMap(graphsOf)) {
    for (const node of graph.nodes) {
      for (const side of sidesOf(node)) {
        const traced = trace(node.inputs[side] as Value, names);
        if (!traced || found.has(traced.name)) continue;
        const { shape } = traced.elements;
        found.set(traced.name, {
          shape, view: matrixView(node as Node<"conv"> | Node<"dot">, side, shape),
          order: traced.isMoved ? traced.elements.data : undefined,
        });
      }
    }
  }
  return found;
}

const graphsOf = (stage: Stage): Graph[] => (stage.kind === "digital" ? [stage.graph]
  : [stage.block.kind === "energy" ? stage.block.interaction : stage.block.field]);

/** Operands of a contraction that may be its weights. */
const sidesOf = (node: Node): readonly (0 | 1)[] =>
  (isOp(node, "conv") ? [1] : isOp(node, "dot") ? [0, 1] : []);

/** A product of a graph with placed weights. */
export interface PlacedProduct {
  readonly parameter: string;
  /** Operand that holds the weights. */
  readonly side: 0 | 1;
  /**
   * The parameter and the axes that are summed over: the same for all reads of an array in one
   * direction, in whichever graph they are.
   */
  readonly read: string;
  /** Weights that are summed over. */
  readonly rows: number;
}

/**
 * The products of a graph whose weights are among these parameters.
 * @throws InternalError where weights are computed from a parameter: no array holds such
 */
export function placedProducts(
  graph: Graph, parameters: ReadonlySet<string>,
): Map<Node, PlacedProduct> {
  const found = new Map<Node, PlacedProduct>();
  for (const node of graph.nodes) {
    for (const side of sidesOf(node)) {
      const operand = node.inputs[side] as Value;
      const traced = trace(operand, parameters);
      if (traced) {
        const { read, rows } = readOf(node, side, traced);
        found.set(node, { parameter: traced.name, side, read, rows });
      } else refuseComputed(operand, parameters, graph.name);
    }
  }
  return found;
}

/** Axes of a weight operand that its contraction sums over. */
function summedAxes(node: Node, side: 0 | 1, rank: number): number[] {
  const all = Array.from({ length: rank }, (_, axis) => axis);
  if (isOp(node, "conv")) return all.slice(1);
  const { batch, contract } = (node as Node<"dot">).attrs;
  return side === 0 ? all.slice(rank - contract) : all.slice(batch, batch + contract);
}

function readOf(node: Node, side: 0 | 1, traced: Traced): { read: string; rows: number } {
  const { shape, data } = traced.elements;
  const summed = summedAxes(node, side, shape.length);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((p, d) => p * d, 1));
  // How far apart in the parameter the elements along an axis lie says which axis it was.
  const steps = summed.filter((axis) => (shape[axis] as number) > 1)
    .map((axis) => Math.abs((data[strides[axis] as number] as number) - (data[0] as number)));
  return {
    read: `${traced.name} by ${steps.sort((a, b) => a - b).join(",")}`,
    rows: summed.reduce((p, axis) => p * (shape[axis] as number), 1),
  };
}

/** Weights made of a parameter by more than movement, without a product on the way. */
function refuseComputed(operand: Value, parameters: ReadonlySet<string>, place: string): void {
  const behind = ancestors([operand]);
  if (behind.some((node) => isOp(node, "conv") || isOp(node, "dot"))) return;
  const sources = [operand, ...behind.flatMap((node) => node.inputs)];
  const large = sources.find((v) => !v.node && parameters.has(v.name));
  if (!large) return;
  throw new InternalError(`${place}: a product with weights computed from ${large.name}`);
}

interface Traced {
  readonly name: string;
  /** Flat index in the parameter, element by element. */
  readonly elements: Tensor;
  readonly isMoved: boolean;
}

/** A parameter, or one whose elements are only moved. */
function trace(value: Value, parameters: ReadonlySet<string>): Traced | undefined {
  const { node, type: { shape } } = value;
  if (!node) {
    if (!parameters.has(value.name)) return undefined;
    const fixed = shape as readonly number[];
    const size = fixed.reduce((p, d) => p * d, 1);
    const data = Float64Array.from({ length: size }, (_, i) => i);
    return {
      name: value.name, isMoved: false,
      elements: { dtype: "float32", shape: fixed, data, splat: false },
    };
  }
  if (!isOp(node, "transpose") && !isOp(node, "reshape") && !isOp(node, "flip")) return undefined;
  const from = trace(node.inputs[0] as Value, parameters);
  return from &&
    { ...from, isMoved: true, elements: evaluateNode(node, [from.elements], {}, "f64") };
}
