/**
 * Where an element of a buffer lies, so that most of its address is computed outside the loops:
 * terms of outer loops come first, and a constant goes into the instruction where it may.
 * Whether a load may be made at all is asked here as well; under which guards it lies is not.
 */
import type { Expr } from "../../kernels/expr.ts";
import type { BufferArgument } from "../../kernels/kernel.ts";
import { staysWithin } from "./axes.ts";
import type { Code, Value } from "./code.ts";
import { BUFFER_BASE, type Binding, type Scope } from "./scope.ts";

/** Elements by which an index may miss its buffer: less than the slack by what lanes add to it. */
const READABLE_MARGIN = 12288;

/** An address, and what the instruction adds to it; the sum is not negative. */
export interface Address {
  readonly operand: Value;
  readonly offset: number;
}

/** How the parts of an index become values. */
export interface IndexParts {
  binding(axis: number): Binding;
  scalar(e: Expr): Value;
}

export const isHalf = ({ buffers }: Scope, buffer: number): boolean =>
  buffers[buffer]?.storage === "f16";
export const widthOf = (scope: Scope, buffer: number): 2 | 4 => (isHalf(scope, buffer) ? 2 : 4);

/** Address of element `index`, which loads nothing, of a buffer. */
export function addressIn(scope: Scope, buffer: number, index: Expr, parts: IndexParts): Address {
  const c = scope.code;
  const pointer = scope.pointers[buffer] as Value;
  const width = widthOf(scope, buffer);
  const terms: Value[] = [];
  let constant = 0;
  let isNonNegative = true;
  const term = (e: Expr, factor: number): void => {
    if (e.kind === "const") constant += factor * e.value;
    else if (e.kind === "binary" && e.op === "add") {
      term(e.a, factor);
      term(e.b, factor);
    } else if (e.kind === "binary" && e.op === "mul" && e.b.kind === "const") {
      term(e.a, factor * e.b.value);
    } else {
      isNonNegative &&= factor > 0 ? e.min >= 0 : e.max <= 0;
      const bound = e.kind === "axis" ? parts.binding(e.axis) : undefined;
      constant += (bound?.plus ?? 0) * factor;
      terms.push(c.mul(bound ? bound.value : parts.scalar(e), c.i32(width * factor)));
    }
  };
  term(index, 1);
  terms.sort((a, b) => a.region.depth - b.region.depth);
  const bytes = width * constant;
  // A constant fits the instruction if the rest of the address can not be negative; a negative
  // one fits after all if it is counted from BUFFER_BASE below the buffer.
  const fits = isNonNegative && Math.abs(bytes) <= BUFFER_BASE;
  const shift = fits ? (bytes < 0 ? -BUFFER_BASE : 0) : bytes;
  const start = c.add(pointer, c.i32(shift));
  return { operand: sumByDepth(c, start, terms), offset: fits ? bytes - shift : 0 };
}

/** `start` and the terms, those of outer loops summed first. */
function sumByDepth(c: Code, start: Value, terms: readonly Value[]): Value {
  let total = start;
  for (let i = 0; i < terms.length;) {
    const depth = (terms[i] as Value).region.depth;
    let level = terms[i++] as Value;
    while (i < terms.length && (terms[i] as Value).region.depth === depth) {
      level = c.add(level, terms[i++] as Value);
    }
    total = c.add(total, level);
  }
  return total;
}

/** Whether an element can be read, inside its buffer or not: the padding of an image can. */
export function isReadable(
  { extents, buffers }: Scope, { buffer, index }: Expr & { kind: "load" },
): boolean {
  const { size } = buffers[buffer] as BufferArgument;
  return extents !== undefined && staysWithin(index, size, READABLE_MARGIN, extents);
}
