/**
 * Units: what the partitioner places. A unit is a cluster (one kernel of the digital program), so
 * what is priced is what runs. A contraction with constant weights may also go to a crossbar; its
 * matrix view says where each weight of (group, input, output) lies in the weight tensor.
 */
import { InternalError } from "../errors.ts";
import { evalDim, productOf, symbolsOf, type Dim } from "../graph/dim.ts";
import { dtypeFacts, isFloat } from "../graph/dtype.ts";
import { constantOf, isOp, type Node, type Value } from "../graph/graph.ts";
import { elementAt, sizeOf, type Tensor } from "../graph/tensor.ts";
import type { Cluster } from "../kernels/cluster.ts";
import { primitiveOf } from "../ops/registry.ts";
import type { ContractionShape, DigitalWork } from "./cost/cost.ts";

/** A weight tensor read as `groups` matrices of `rowsK` inputs by `colsN` outputs. */
export interface WeightMatrix {
  readonly tensor: Tensor;
  /** Name of the constant in the graph. */
  readonly name: string;
  readonly groups: number;
  readonly rowsK: number;
  readonly colsN: number;
  /** Distance in the flat tensor between neighbouring groups, inputs, outputs. */
  readonly strides: { readonly group: number; readonly input: number; readonly output: number };
}

export const weightAt = (w: WeightMatrix, group: number, input: number, output: number): number =>
  elementAt(
    w.tensor,
    group * w.strides.group + input * w.strides.input + output * w.strides.output,
  );

/** What makes a contraction mappable: its matrix, and the value that is its input vector. */
export interface AnalogForm {
  readonly heart: Node<"conv"> | Node<"dot">;
  readonly matrix: WeightMatrix;
  /** The operand that drives the rows, before windows are taken. */
  readonly input: Value;
  readonly shape: ContractionShape;
}

export interface Unit {
  readonly id: string;
  readonly cluster: Cluster;
  readonly work: DigitalWork;
  readonly macs: number;
  readonly analog?: AnalogForm;
  /** Why this unit cannot go to a crossbar, for `--explain`. */
  readonly reason?: string;
}

/** Sizes at which costs are counted: every symbol is 1, one inference. */
export const unitSize = (d: Dim): number =>
  evalDim(d, Object.fromEntries(symbolsOf(d).map((s) => [s, 1])));

const bytesOf = (v: Value): number => {
  // Devices hold 4 bytes per element whatever the ONNX type is, at most.
  const bits = Math.min(dtypeFacts[v.type.dtype].bits, 32);
  return (unitSize(productOf(v.type.shape)) * bits) / 8;
};

/** How the weights of a contraction are `groups` matrices, whatever they are. */
export type MatrixView = Omit<WeightMatrix, "tensor" | "name">;

/**
 * @param side which operand of the contraction holds the weights; a convolution's are its second
 * @param shape of the weights
 */
export function matrixView(
  heart: Node<"conv"> | Node<"dot">, side: 0 | 1, shape: readonly number[],
): MatrixView {
  if (isOp(heart, "conv")) {
    const { groups } = heart.attrs;
    const [outputs, ...taps] = shape as [number, ...number[]];
    const rowsK = sizeOf(taps);
    const colsN = outputs / groups;
    return { groups, rowsK, colsN, strides: { group: colsN * rowsK, input: 1, output: rowsK } };
  }
  const { batch, contract } = (heart as Node<"dot">).attrs;
  const groups = sizeOf(shape.slice(0, batch));
  const split = side === 1 ? batch + contract : shape.length - contract;
  const [first, second] = [sizeOf(shape.slice(batch, split)), sizeOf(shape.slice(split))];
  const group = first * second;
  return side === 1
    ? { groups, rowsK: first, colsN: second, strides: { group, input: second, output: 1 } }
    : { groups, rowsK: second, colsN: first, strides: { group, input: 1, output: second } };
}

function matrixOf(heart: Node): { matrix: WeightMatrix; input: Value } | string {
  if (isOp(heart, "conv")) {
    const [input, weights] = heart.inputs as [Value, Value];
    const tensor = constantOf(weights);
    if (!tensor) return "its kernel is computed, not constant";
    const view = matrixView(heart, 1, tensor.shape as readonly number[]);
    return { input, matrix: { tensor, name: weights.name, ...view } };
  }
  if (isOp(heart, "dot")) {
    const [a, b] = heart.inputs as [Value, Value];
    if (constantOf(a) && constantOf(b)) return "both operands are constant";
    const right = constantOf(b);
    const tensor = right ?? constantOf(a);
    if (!tensor) return "both operands are computed (a product of activations)";
    const view = matrixView(heart, right ? 1 : 0, tensor.shape as readonly number[]);
    return { input: right ? a : b, matrix: { tensor, name: (right ? b : a).name, ...view } };
  }
  return `${heart.op} is not a product with a weight matrix`;
}

function analogForm(cluster: Cluster): AnalogForm | string {
  const { heart } = cluster;
  if (!heart || primitiveOf(heart.op).lower.kind !== "contract") return "no contraction in it";
  if (!isFloat((heart.outputs[0] as Value).type.dtype)) return "integer arithmetic stays digital";
  const found = matrixOf(heart);
  if (typeof found === "string") return found;
  const { matrix, input } = found;
  if (matrix.groups * matrix.rowsK * matrix.colsN === 0) return "it has no weights";
  const macs = unitSize(primitiveOf(heart.op).work(heart).macs);
  const shape: ContractionShape = {
    name: matrix.name,
    rowsK: matrix.rowsK,
    colsN: matrix.colsN,
    groups: matrix.groups,
    vectors: macs / (matrix.groups * matrix.rowsK * matrix.colsN),
    inputBytes: bytesOf(input),
    outputBytes: bytesOf(cluster.root),
    macs,
    weightStats: { meanAbs: meanRelativeMagnitude(matrix.tensor) },
  };
  return { heart: heart as AnalogForm["heart"], matrix, input, shape };
}

/** Mean |w| / max |w|, which sets the mean conductance; 0 for an all-zero tensor. */
function meanRelativeMagnitude({ data }: Tensor): number {
  let [sum, largest] = [0, 0];
  for (const w of data) {
    const magnitude = Math.abs(w);
    sum += magnitude;
    if (magnitude > largest) largest = magnitude;
  }
  return largest === 0 ? 0 : sum / data.length / largest;
}

/**
 * Unit id -> the first unit with the same weights, read in the same direction by as many products:
 * one set of arrays serves them all, one after the other.
 */
export function sameWeights(units: readonly Unit[]): Map<string, string> {
  const firsts = new Map<Tensor, Unit[]>();
  const found = new Map<string, string>();
  for (const unit of units) {
    if (!unit.analog) continue;
    const known = firsts.get(unit.analog.matrix.tensor) ?? [];
    const first = known.find((other) => isSameRead(other.analog as AnalogForm, unit.analog));
    if (!first) firsts.set(unit.analog.matrix.tensor, [...known, unit]);
    found.set(unit.id, (first ?? unit).id);
  }
  return found;
}

function isSameRead(a: AnalogForm, b: AnalogForm | undefined): boolean {
  if (!b || a.shape.vectors !== b.shape.vectors) return false;
  const [x, y] = [a.matrix, b.matrix];
  return x.groups === y.groups && x.rowsK === y.rowsK && x.colsN === y.colsN &&
    x.strides.group === y.strides.group && x.strides.input === y.strides.input &&
    x.strides.output === y.strides.output;
}

/** Names of ONNX nodes in a cluster, in order. */
export const originsOf = (cluster: Cluster): string[] => [
  ...new Set(cluster.nodes.flatMap((n) => n.origin.slice(0, 1))),
];

export function formUnits(clusters: readonly Cluster[]): Unit[] {
  return clusters.map((cluster, i) => {
    let [macs, ops] = [0, 0];
    for (const node of cluster.nodes) {
      const work = primitiveOf(node.op).work(node);
      macs += unitSize(work.macs);
      ops += unitSize(work.ops);
    }
    const bytesRead = cluster.reads.reduce((sum, v) => sum + bytesOf(v), 0);
    const work: DigitalWork = {
      ops: 2 * macs + ops,
      bytesRead,
      bytesWritten: bytesOf(cluster.root),
      launches: 1,
    };
    const form = analogForm(cluster);
    const id = `u${i}`;
    return typeof form === "string"
      ? { id, cluster, work, macs, reason: form }
      : { id, cluster, work, macs, analog: form };
  });
}

/** Which unit reads which unit's value, once per pair. */
export interface UnitEdge {
  readonly from: number;
  readonly to: number;
  readonly value: Value;
}

export function unitEdges(units: readonly Unit[]): UnitEdge[] {
  const producer = new Map(units.map((u, i) => [u.cluster.root, i]));
  return units.flatMap((u, to) =>
    u.cluster.reads.flatMap((value) => {
      const from = producer.get(value);
      if (from === undefined) return [];
      if (from >= to) throw new InternalError(`unit ${u.id} reads a later unit's ${value.name}`);
      return [{ from, to, value }];
    }),
  );
}
