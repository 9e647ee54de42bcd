/**
 * The record that every primitive fills: what it yields, what it means, its gradient, how it
 * becomes kernels, and what it costs. The registry is a `Record` over all primitive names, so a
 * missing field or a missing primitive does not compile.
 */
import type { Dim } from "../graph/dim.ts";
import type { Builder } from "../graph/builder.ts";
import type {
  Node, PrimAttrs, PrimName, ReduceKind, ScatterKind, TensorType, Value,
} from "../graph/graph.ts";
import type { FloatMode, Tensor } from "../graph/tensor.ts";
import type { Expr } from "../kernels/expr.ts";
import type { ExprPool } from "../kernels/pool.ts";

/** Gives a node's operand as an expression at row-major indices. */
export interface LowerContext<O extends PrimName> {
  readonly pool: ExprPool;
  readonly node: Node<O>;
  read(input: number, indices: readonly Expr[]): Expr;
}

/** Computed wherever it is used: no memory of its own unless the clustering gives it one. */
export interface ViewLowering<O extends PrimName> {
  readonly kind: "view";
  at(ctx: LowerContext<O>, indices: readonly Expr[]): Expr;
}

/** One value per output index: op over `extents` of `value`. */
export interface ReduceLowering<O extends PrimName> {
  readonly kind: "reduce";
  plan(node: Node<O>): { readonly op: ReduceKind; readonly extents: readonly Dim[] };
  value(ctx: LowerContext<O>, out: readonly Expr[], reduced: readonly Expr[]): Expr;
}

/** A sum of products; `output` places (batch, m, n) in the output's own axis order. */
export interface ContractLowering<O extends PrimName> {
  readonly kind: "contract";
  plan(node: Node<O>): {
    readonly batch: readonly Dim[]; readonly m: readonly Dim[];
    readonly n: readonly Dim[]; readonly k: readonly Dim[];
  };
  a(ctx: LowerContext<O>, batch: readonly Expr[], m: readonly Expr[], k: readonly Expr[]): Expr;
  b(ctx: LowerContext<O>, batch: readonly Expr[], k: readonly Expr[], n: readonly Expr[]): Expr;
  output(
    ctx: LowerContext<O>, batch: readonly Expr[], m: readonly Expr[], n: readonly Expr[],
  ): readonly Expr[];
}

/** Several elements from what they share: at every point of `points` the elements of `at`. */
export interface BurstLowering<O extends PrimName> {
  readonly kind: "burst";
  points(node: Node<O>): readonly Dim[];
  at(ctx: LowerContext<O>, point: readonly Expr[]): readonly {
    readonly value: Expr; readonly indices: readonly Expr[];
  }[];
}

export interface CumulateLowering<O extends PrimName> {
  readonly kind: "cumulate";
  plan(node: Node<O>): { readonly op: "sum" | "prod"; readonly axis: number };
}
export interface ScatterLowering<O extends PrimName> {
  readonly kind: "scatter";
  plan(node: Node<O>): { readonly op: ScatterKind };
}
export interface SortLowering<O extends PrimName> {
  readonly kind: "sort";
  plan(node: Node<O>): { readonly descending: boolean };
}

export type Lowering<O extends PrimName> =
  | ViewLowering<O> | BurstLowering<O> | ReduceLowering<O> | ContractLowering<O>
  | CumulateLowering<O> | ScatterLowering<O> | SortLowering<O>;

/** Work of one node: multiply-accumulates of contractions, and all other scalar operations. */
export interface Work {
  readonly macs: Dim;
  readonly ops: Dim;
}

export interface Primitive<O extends PrimName> {
  /**
   * Type of the output.
   * @throws InternalError naming expected and actual when operands do not fit: whoever builds a
   *   graph from a user's file checks first and blames the file.
   */
  infer(inputs: readonly TensorType[], attrs: PrimAttrs[O]): TensorType;
  /** The plain meaning, on concrete tensors: the oracle of `lower`, and the constant folder. */
  evaluate(inputs: readonly Tensor[], attrs: PrimAttrs[O], mode: FloatMode): Tensor;
  /**
   * Cotangents of the inputs given the cotangent of the output (reverse mode); undefined where no
   * gradient flows (integers, comparisons, indices).
   */
  gradient(b: Builder, node: Node<O>, cotangent: Value): readonly (Value | undefined)[];
  readonly lower: Lowering<O>;
  work(node: Node<O>): Work;
  /** True for primitives that only move elements. */
  readonly isMovement: boolean;
}
