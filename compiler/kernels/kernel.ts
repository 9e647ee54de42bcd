/**
 * Kernels: a loop nest over named axes, and in it scalar expressions (`expr.ts`). This is the
 * level that the three readers share: the interpreter (the oracle), the WASM SIMD emitter and the
 * WGSL emitter. It says what is computed, not how: tiles, vector widths and workgroups are the
 * emitters' choice.
 *
 * Axis numbers in expressions count `axes` first and then, where the body has them, the reduction
 * axes. All buffers are separate arrays; an output never aliases an input unless
 * the memory plan says so, and then the kernel reads an element before it writes the same one.
 */
import type { Dim } from "../graph/dim.ts";
import type { ReduceKind, ScatterKind } from "../graph/graph.ts";
import type { Storage } from "../graph/dtype.ts";
import type { Expr } from "./expr.ts";

export interface Axis {
  readonly name: string;
  readonly extent: Dim;
}

export interface BufferArgument {
  /** Name of the value it holds. */
  readonly name: string;
  readonly storage: Storage;
  readonly access: "read" | "write";
  /** Number of elements. */
  readonly size: Dim;
  /** Least and greatest element, where the type is an integer narrower than its storage. */
  readonly range?: readonly [number, number];
}

export interface Store {
  readonly buffer: number;
  readonly index: Expr;
  readonly value: Expr;
}

/** One store per point of `axes`; `more`: elements of the same buffer that share its work. */
export interface MapBody {
  readonly kind: "map";
  readonly axes: readonly Axis[];
  readonly store: Store;
  readonly more?: readonly Store[];
}

/** All stores of a map. */
export const storesOf = ({ store, more = [] }: MapBody): readonly Store[] => [store, ...more];

/**
 * For every point of `axes`: acc = op over `reduceAxes` of `value`, then one store whose value and
 * index may use `acc`. Sums of f32 accumulate in f32 (or wider); order is the reader's.
 */
export interface ReduceBody {
  readonly kind: "reduce";
  readonly axes: readonly Axis[];
  readonly reduceAxes: readonly Axis[];
  readonly op: ReduceKind;
  readonly value: Expr;
  readonly store: Store;
}

/**
 * acc[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n]; then one store. The axes are
 * numbered batch, m, n, k in that order; `a` uses no n axis and `b` no m axis; f32 or i32.
 */
export interface ContractBody {
  readonly kind: "contract";
  readonly batch: readonly Axis[];
  readonly m: readonly Axis[];
  readonly n: readonly Axis[];
  readonly k: readonly Axis[];
  readonly a: Expr;
  readonly b: Expr;
  readonly store: Store;
}

/** Running reduction of `value` along the last of `axes`, each partial result stored in order. */
export interface CumulateBody {
  readonly kind: "cumulate";
  readonly axes: readonly Axis[];
  readonly op: "sum" | "prod";
  readonly value: Expr;
  readonly store: Store;
}

/**
 * Output rows start as `initial` (axes: row, column); then for every update u in order, row
 * `target` (axis: update) is combined with `update` (axes: update, column) by `op`. Axes are
 * numbered row 0, column 1, update 2. Rows outside [0, rows) are ignored.
 */
export interface ScatterBody {
  readonly kind: "scatter";
  readonly rows: Axis;
  readonly columns: Axis;
  readonly updates: Axis;
  readonly op: ScatterKind;
  readonly initial: Expr;
  readonly target: Expr;
  readonly update: Expr;
  readonly output: number;
}

/**
 * For every point of `axes`: the stable order of `value` along `sorted` (axis number axes.length),
 * as i32 indices written row-major into `output` [axes.., sorted]. NaN sorts last.
 */
export interface SortBody {
  readonly kind: "sort";
  readonly axes: readonly Axis[];
  readonly sorted: Axis;
  readonly descending: boolean;
  readonly value: Expr;
  readonly output: number;
}

export type KernelBody =
  | MapBody | ReduceBody | ContractBody | CumulateBody | ScatterBody | SortBody;
export type KernelKind = KernelBody["kind"];

export interface Kernel {
  /** A WGSL and WASM identifier, unique in its program, made from node names. */
  readonly name: string;
  /** ONNX nodes that this computes, for the provenance comment. */
  readonly origin: readonly string[];
  /** Names of symbolic sizes that `Dim`s in here use, sorted: the dispatch passes them in order. */
  readonly symbols: readonly string[];
  readonly arguments: readonly BufferArgument[];
  readonly body: KernelBody;
}

/** All axes of a body, in the order in which expressions number them. */
export function axesOf(body: KernelBody): readonly Axis[] {
  switch (body.kind) {
    case "map": case "cumulate": return body.axes;
    case "reduce": return [...body.axes, ...body.reduceAxes];
    case "contract": return [...body.batch, ...body.m, ...body.n, ...body.k];
    case "scatter": return [body.rows, body.columns, body.updates];
    case "sort": return [...body.axes, body.sorted];
  }
}

/** All expressions of a body. */
export function rootsOf(body: KernelBody): readonly Expr[] {
  switch (body.kind) {
    case "map": return storesOf(body).flatMap(({ index, value }) => [index, value]);
    case "reduce": case "cumulate": return [body.value, body.store.index, body.store.value];
    case "contract": return [body.a, body.b, body.store.index, body.store.value];
    case "scatter": return [body.initial, body.target, body.update];
    case "sort": return [body.value];
  }
}
