/** Helpers shared by the primitives: index walks over concrete shapes, and inference checks. */
import { InternalError } from "../errors.ts";
import {
  dimToString, isStatic, productOf, shapesEqual, type Dim,
} from "../graph/dim.ts";
import type { Node, PrimName, TensorType, Value } from "../graph/graph.ts";
import {
  elementAt, newData, sizeOf, type FloatMode, type Tensor, type TensorData,
} from "../graph/tensor.ts";
import type { DType } from "../graph/dtype.ts";
import type { Work } from "./primitive.ts";

export const typeAt = (types: readonly TensorType[], i = 0): TensorType => types[i] as TensorType;
export const tensorAt = (tensors: readonly Tensor[], i = 0): Tensor => tensors[i] as Tensor;
/** Shape of a node's first operand. */
export const inputShape = (node: { readonly inputs: readonly Value[] }): readonly Dim[] =>
  (node.inputs[0] as Value).type.shape;

export const showShape = (shape: readonly Dim[]): string => `[${shape.map(dimToString).join(",")}]`;
export const showType = (t: TensorType): string => `${t.dtype}${showShape(t.shape)}`;

/**
 * Operands that do not fit a primitive. Internal for graphs that our own passes build; the
 * importer, which builds what a file says, catches it and blames the file.
 */
export class MisfitError extends InternalError {
  /** The sentence without the prefix that marks internal errors. */
  readonly sentence: string;

  constructor(sentence: string) {
    super(sentence);
    this.sentence = sentence;
  }
}

export function check(condition: boolean, op: string, expected: string, actual: string): void {
  if (!condition) throw new MisfitError(`${op} expects ${expected}, got ${actual}`);
}

export const atLeast = (low: number, numbers: readonly number[]): boolean =>
  numbers.every((n) => n >= low);

export function checkSameShape(op: string, types: readonly TensorType[]): readonly Dim[] {
  const first = types[0] as TensorType;
  for (const t of types) {
    check(shapesEqual(t.shape, first.shape), op, `operands of shape ${showShape(first.shape)}`,
      showShape(t.shape));
  }
  return first.shape;
}

/** A shape attribute that evaluation needs as numbers. */
export function staticShape(shape: readonly Dim[], op: string): readonly number[] {
  if (!isStatic(shape)) {
    throw new InternalError(`${op} evaluated with symbolic ${showShape(shape)}`);
  }
  return shape;
}

export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) {
    strides[i] = (strides[i + 1] as number) * (shape[i + 1] as number);
  }
  return strides;
}

/** Calls `visit(index, flat)` for every index in row-major order; `index` is reused. */
export function forEachIndex(
  shape: readonly number[], visit: (index: readonly number[], flat: number) => void,
): void {
  const size = sizeOf(shape);
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < size; flat++) {
    visit(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++(index[axis] as number) < (shape[axis] as number)) break;
      index[axis] = 0;
    }
  }
}

/** Row-major flat index. */
export function flatIndex(index: readonly number[], strides: readonly number[]): number {
  let flat = 0;
  for (let i = 0; i < strides.length; i++) flat += (index[i] as number) * (strides[i] as number);
  return flat;
}

/** A tensor of `shape` whose element at `index` is source element `pick(index)`, or `fill`. */
export function gatherInto(
  shape: readonly number[], source: Tensor, mode: FloatMode,
  pick: (index: readonly number[]) => number, fill = 0,
): Tensor {
  const data = sameArray(source, sizeOf(shape), mode);
  forEachIndex(shape, (index, flat) => {
    const at = pick(index);
    data[flat] = at < 0 ? fill : elementAt(source, at);
  });
  return { dtype: source.dtype, shape, data, splat: false };
}

/** An array for moved elements: keeps the float width that the source has. */
export function sameArray(source: Tensor, length: number, mode: FloatMode): TensorData {
  return source.data instanceof Float64Array ? new Float64Array(length)
    : newData(source.dtype, length, mode);
}

export function result(
  dtype: DType, shape: readonly number[], mode: FloatMode, fill: (data: TensorData) => void,
): Tensor {
  const data = newData(dtype, sizeOf(shape), mode);
  fill(data);
  return { dtype, shape, data, splat: false };
}

export const noWork = (): Work => ({ macs: 0, ops: 0 });
export const workPerOutput = (node: Node<PrimName>): Work => ({
  macs: 0, ops: productOf((node.outputs[0] as { type: TensorType }).type.shape),
});

