/**
 * What the code of one function can name: its buffers, its sizes, its loop axes; and the contract
 * with the device about the memory around buffers, which lets guards and ends of rows go without
 * branches:
 * - buffers lie at or above byte BUFFER_BASE, and the first 2 * BUFFER_BASE bytes can be read;
 * - END_SLACK bytes past the last buffer can be read.
 * What is computed from these is for `scalarLowering.ts` and `vectorLowering.ts` to say.
 */
import type { Dim } from "../../graph/dim.ts";
import type { BufferArgument } from "../../kernels/kernel.ts";
import { extentsByNumber, type NumberedAxis } from "./axes.ts";
import type { Code, Value } from "./code.ts";
import type { MathLibrary } from "./math.ts";

export const BUFFER_BASE = 65536;
export const END_SLACK = 65536;

/** What the expressions of one function share. */
export interface Scope {
  readonly code: Code;
  readonly library: MathLibrary;
  readonly buffers: readonly BufferArgument[];
  /** Address of each buffer. */
  readonly pointers: readonly Value[];
  size(dim: Dim): Value;
  /** Extents of the axes, where they are known to all expressions; see `withExtents`. */
  readonly extents?: ReadonlyMap<number, Dim>;
}

/** The scope for expressions that use these axes. */
export const withExtents = (scope: Scope, axes: readonly NumberedAxis[]): Scope =>
  ({ ...scope, extents: extentsByNumber(axes) });

/** A loop axis: a value, plus a constant where a loop was unrolled. */
export interface Binding {
  readonly value: Value;
  readonly plus: number;
}

/** Index of every axis that some expressions use, by its number. */
export type Bindings = ReadonlyMap<number, Binding>;

/** The axis that the four lanes walk, and how lanes beyond its end are kept harmless. */
export interface Lanes {
  readonly axis: number;
  /** At the end of a row: the last index that exists, and how many lanes do. */
  readonly end?: { readonly last: Value; readonly count: Value };
}
