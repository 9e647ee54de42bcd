/** The table of all primitives: the type checker refuses it while one is missing. */
import type { PrimName } from "../graph/graph.ts";
import { conv, dot } from "./contraction.ts";
import { binaryPrimitives, bitcast, cast, unaryPrimitives, where } from "./elementwise.ts";
import { argsort, gather, scatter } from "./indexing.ts";
import { concat, pad } from "./joining.ts";
import { broadcast, flip, reshape, slice, transpose } from "./movement.ts";
import { cumulate, reduce } from "./reduction.ts";
import { normal } from "./normal.ts";
import { constant, iota, random, size } from "./source.ts";
import { unwindow, window } from "./windows.ts";
import type { Primitive } from "./primitive.ts";

export const primitives: { readonly [O in PrimName]: Primitive<O> } = {
  ...unaryPrimitives, ...binaryPrimitives, where, cast, bitcast,
  constant, size, iota, random, normal,
  reshape, transpose, broadcast, slice, flip, pad, concat, window, unwindow,
  gather, scatter, argsort,
  reduce, cumulate,
  dot, conv,
};

export const primitiveOf = <O extends PrimName>(op: O): Primitive<O> =>
  primitives[op] as unknown as Primitive<O>;
