/**
 * The tensor graph: SSA values, nodes, and the table of primitives with their attributes.
 *
 * A graph is immutable once `Builder.finish` returned it: passes read one and build another. It is
 * not ONNX: operators were normalised and lowered to primitives at import; `origin` remembers the
 * names of the ONNX nodes that a node came from.
 */
import type { Dim } from "./dim.ts";
import type { DType } from "./dtype.ts";
import type { Tensor } from "./tensor.ts";

export interface TensorType {
  readonly dtype: DType;
  readonly shape: readonly Dim[];
}

export interface Value {
  readonly id: number;
  /** Readable and unique in its graph: the ONNX value name where there is one. */
  readonly name: string;
  readonly type: TensorType;
  /** Absent for graph inputs. */
  readonly node?: Node;
  /** Which output of `node` this is. */
  readonly index: number;
}

export interface Node<O extends PrimName = PrimName> {
  readonly id: number;
  readonly op: O;
  readonly inputs: readonly Value[];
  readonly attrs: PrimAttrs[O];
  readonly outputs: readonly Value[];
  /** Names of the ONNX nodes this came from, outermost first; empty for graphs built by hand. */
  readonly origin: readonly string[];
}

export interface Graph {
  readonly name: string;
  readonly inputs: readonly Value[];
  /** Name under which the world asks for an output, and the value. */
  readonly outputs: readonly { readonly name: string; readonly value: Value }[];
  /** In topological order. */
  readonly nodes: readonly Node[];
}

export const unaryOps = [
  "neg", "abs", "sign", "floor", "ceil", "round", "trunc", "exp", "log", "sqrt",
  "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
  "erf", "not", "bitnot", "isnan",
] as const;
export type UnaryOp = (typeof unaryOps)[number];

export const binaryOps = [
  "add", "sub", "mul", "div", "rem", "pow", "max", "min", "and", "or", "xor", "shl", "shr",
  "eq", "lt", "le",
] as const;
export type BinaryOp = (typeof binaryOps)[number];

export type ReduceKind = "sum" | "max" | "min" | "prod";
export type ScatterKind = "none" | "add" | "mul" | "max" | "min";
type None = Readonly<Record<never, never>>;

/**
 * Attributes of every primitive. Elementwise primitives take operands of one shape (`Builder`
 * inserts `broadcast`). Axes are never negative here.
 */
export type PrimAttrs = Record<UnaryOp | BinaryOp, None> & {
  /** cond, then, else -> elementwise choice. */
  where: None;
  /** To another dtype: float to integer truncates and saturates, to bool is `!= 0`. */
  cast: { readonly dtype: DType };
  /** Reinterprets the 32 bits of an element (float32, int32, uint32). */
  bitcast: { readonly dtype: DType };
  constant: { readonly tensor: Tensor };
  /** A size as a scalar: the value that `Shape` of a symbolic tensor has. */
  size: { readonly dim: Dim; readonly dtype: DType };
  /** Index along `axis` as `dtype`, over `shape`. */
  iota: { readonly shape: readonly Dim[]; readonly axis: number; readonly dtype: DType };
  /** key uint32[2] -> uint32[shape]: counter-based random bits, counter = flat output index. */
  random: { readonly shape: readonly Dim[] };
  /**
   * key uint32[2] -> float32[shape]: standard normals. `axis`, a multiple of 4 long, is four parts;
   * counter = flat index within the first, and its block gives one element of each.
   */
  normal: { readonly shape: readonly Dim[]; readonly axis: number };
  /** Same elements in row-major order under another shape. */
  reshape: { readonly shape: readonly Dim[] };
  /** Output axis i is input axis perm[i]. */
  transpose: { readonly perm: readonly number[] };
  /** To `shape`, aligned at the last axis, size-1 axes repeated (NumPy rules). */
  broadcast: { readonly shape: readonly Dim[] };
  /** Per axis: start, size, step >= 1. */
  slice: {
    readonly starts: readonly Dim[]; readonly sizes: readonly Dim[];
    readonly steps: readonly number[];
  };
  flip: { readonly axes: readonly number[] };
  /**
   * Per axis: `low` elements before, `high` after (both may be negative: crop), `interior` between
   * neighbours, filled with `value` (XLA's Pad).
   */
  pad: {
    readonly low: readonly number[]; readonly high: readonly number[];
    readonly interior: readonly number[]; readonly value: number;
  };
  concat: { readonly axis: number };
  /**
   * Sliding windows over the trailing `sizes.length` axes: [.., H, W] -> [.., OH, OW, kh, kw] with
   * out[.., y, x, i, j] = in[.., y*stride0 + i*dilation0, x*stride1 + j*dilation1]. No padding.
   */
  window: {
    readonly sizes: readonly number[]; readonly strides: readonly number[];
    readonly dilations: readonly number[];
  };
  /** Transpose of `window`: sums [.., OH, OW, kh, kw] back onto `shape`. */
  unwindow: {
    readonly shape: readonly Dim[]; readonly sizes: readonly number[];
    readonly strides: readonly number[]; readonly dilations: readonly number[];
  };
  /** data, indices -> data.shape[:axis] + indices.shape + data.shape[axis+1:] (ONNX Gather). */
  gather: { readonly axis: number };
  /** data [N, D], indices [M], updates [M, D] -> data with rows replaced or combined, in order. */
  scatter: { readonly kind: ScatterKind };
  /** Indices (int32) that sort the last axis, stable; NaN last. */
  argsort: { readonly descending: boolean };
  /** Removes `axes`. An empty reduction gives the identity of `kind`. */
  reduce: { readonly kind: ReduceKind; readonly axes: readonly number[] };
  /**
   * Running reduction along `axis`, including the element itself.
   */
  cumulate: { readonly kind: "sum" | "prod"; readonly axis: number };
  /**
   * a [B.., M.., K..] and b [B.., K.., N..] -> [B.., M.., N..]: the first `batch` axes of both are
   * shared, the last `contract` axes of a meet the `contract` axes of b after its batch axes.
   */
  dot: { readonly batch: number; readonly contract: number };
  /**
   * x [N, C, D1..Dn], w [O, C/groups, k1..kn] -> [N, O, E1..En], cross-correlation as in ONNX Conv.
   * Pads are zeros and may differ per side.
   */
  conv: {
    readonly strides: readonly number[]; readonly dilations: readonly number[];
    readonly low: readonly number[]; readonly high: readonly number[]; readonly groups: number;
  };
};
export type PrimName = keyof PrimAttrs;

export const shapeOf = (v: Value): readonly Dim[] => v.type.shape;
export const rankOf = (v: Value): number => v.type.shape.length;

/** Narrows a node by its primitive. */
export const isOp = <O extends PrimName>(node: Node | undefined, op: O): node is Node<O> =>
  node?.op === op;

/** Whether a node's elements come from its key: never shape arithmetic, never folded. */
export const isRandom = (node: Node): boolean => node.op === "random" || node.op === "normal";

/** The tensor of a constant value; undefined when it is computed. */
export const constantOf = (v: Value): Tensor | undefined =>
  isOp(v.node, "constant") ? v.node.attrs.tensor : undefined;
