/**
 * What each primitive is written with: how many operands, and which attributes of which kind. One
 * table serves the printer, the parser and the verifier; the type checker refuses it while a
 * primitive or an attribute is missing or has the wrong kind.
 *
 * Not the meaning of the attributes, which `graph.ts` states and `infer` checks.
 */
import type { Dim } from "./dim.ts";
import type { DType } from "./dtype.ts";
import {
  binaryOps, unaryOps, type BinaryOp, type PrimAttrs, type PrimName, type ReduceKind,
  type ScatterKind, type UnaryOp,
} from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** TypeScript type of each attribute kind. `number` is any float64, NaN and infinities included. */
export interface AttrTypes {
  integer: number;
  integers: readonly number[];
  number: number;
  size: Dim;
  sizes: readonly Dim[];
  flag: boolean;
  dtype: DType;
  reduce: ReduceKind;
  running: "sum" | "prod";
  scatter: ScatterKind;
  tensor: Tensor;
}
export type AttrKind = keyof AttrTypes;

type KindOf<T> = {
  [K in AttrKind]: [T, AttrTypes[K]] extends [AttrTypes[K], T] ? K : never
}[AttrKind];

export interface Signature<O extends PrimName> {
  /** Number of operands; `some` is one or more. */
  readonly operands: number | "some";
  readonly attrs: { readonly [K in keyof PrimAttrs[O]]: KindOf<PrimAttrs[O][K]> };
}

const plain = <O extends UnaryOp | BinaryOp>(ops: readonly O[], operands: number) =>
  Object.fromEntries(ops.map((op) => [op, { operands, attrs: {} }])) as
    unknown as { readonly [P in O]: Signature<P> };

const windowed = { sizes: "integers", strides: "integers", dilations: "integers" } as const;

export const signatures: { readonly [O in PrimName]: Signature<O> } = {
  ...plain(unaryOps, 1),
  ...plain(binaryOps, 2),
  where: { operands: 3, attrs: {} },
  cast: { operands: 1, attrs: { dtype: "dtype" } },
  bitcast: { operands: 1, attrs: { dtype: "dtype" } },
  constant: { operands: 0, attrs: { tensor: "tensor" } },
  size: { operands: 0, attrs: { dim: "size", dtype: "dtype" } },
  iota: { operands: 0, attrs: { shape: "sizes", axis: "integer", dtype: "dtype" } },
  random: { operands: 1, attrs: { shape: "sizes" } },
  normal: { operands: 1, attrs: { shape: "sizes", axis: "integer" } },
  reshape: { operands: 1, attrs: { shape: "sizes" } },
  transpose: { operands: 1, attrs: { perm: "integers" } },
  broadcast: { operands: 1, attrs: { shape: "sizes" } },
  slice: { operands: 1, attrs: { starts: "sizes", sizes: "sizes", steps: "integers" } },
  flip: { operands: 1, attrs: { axes: "integers" } },
  pad: {
    operands: 1,
    attrs: { low: "integers", high: "integers", interior: "integers", value: "number" },
  },
  concat: { operands: "some", attrs: { axis: "integer" } },
  window: { operands: 1, attrs: windowed },
  unwindow: { operands: 1, attrs: { shape: "sizes", ...windowed } },
  gather: { operands: 2, attrs: { axis: "integer" } },
  scatter: { operands: 3, attrs: { kind: "scatter" } },
  argsort: { operands: 1, attrs: { descending: "flag" } },
  reduce: { operands: 1, attrs: { kind: "reduce", axes: "integers" } },
  cumulate: { operands: 1, attrs: { kind: "running", axis: "integer" } },
  dot: { operands: 2, attrs: { batch: "integer", contract: "integer" } },
  conv: {
    operands: 2,
    attrs: {
      strides: "integers", dilations: "integers", low: "integers", high: "integers",
      groups: "integer",
    },
  },
};

/** Attribute kinds of a primitive by name, for readers that treat all primitives alike. */
export const attrKinds = (op: PrimName): readonly (readonly [string, AttrKind])[] =>
  Object.entries(signatures[op].attrs) as [string, AttrKind][];

/** Why `count` operands are wrong for `op`, as "expected, got"; undefined when they are right. */
export function operandFault(op: PrimName, count: number): string | undefined {
  const { operands } = signatures[op];
  if (operands === "some" ? count >= 1 : count === operands) return undefined;
  const expected = operands === "some" ? "one operand or more" : `${operands} operand(s)`;
  return `${op} expects ${expected}, got ${count}`;
}
