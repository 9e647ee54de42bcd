/**
 * Contractions: which of two forms a sum of products takes, and its grouping into a matrix product.
 *
 * Packed (`packedProduct.ts`): blocks of both operands are brought into rows and multiplied tile by
 * tile; integers that fit 16 bits two at a time (`pairs.ts`). Direct (`reduce.ts`): the product is
 * one more term of a reduction; better where the operands are hardly used again (matrix times
 * vector, depthwise convolution), and the only form for wide integers.
 */
import type { Dim } from "../../graph/dim.ts";
import type { Expr } from "../../kernels/expr.ts";
import type { BufferArgument, ContractBody } from "../../kernels/kernel.ts";
import { ExprPool } from "../../kernels/pool.ts";
import {
  collapse, countOf, dependsOn, numbered, roughly, type NumberedAxis,
} from "./axes.ts";
import type { EmitOptions, Emission } from "./body.ts";
import type { Value } from "./code.ts";
import type { Microkernels } from "./microkernel.ts";
import { paired } from "./pairs.ts";
import { emitPacked, type Product } from "./packedProduct.ts";
import { emitReduction } from "./reduce.ts";
import type { Scope } from "./scope.ts";

/** What a symbolic size is taken to be where only a guess is needed. */
const TYPICAL = 64;

/** Below these a tile is mostly empty, or packing costs more than it saves. */
const [MIN_ROWS, MIN_COLUMNS, MIN_DEPTH, MIN_PRODUCTS] = [4, 4, 4, 2048];

export function emitContract(
  body: ContractBody, _options: EmitOptions, micro: Microkernels,
  buffers: readonly BufferArgument[],
): Emission {
  const direct = emitDirect(body);
  const grouped = groupAxes(body);
  const product = body.a.type === "f32" ? grouped : paired(grouped);
  if (!product) return direct;
  const [m, n, k] = [countOf(product.m), countOf(product.n), countOf(product.k)];
  const pays = (size: number): boolean => {
    const [rows, columns, depth] = [m, n, k].map((d) => roughly(d, size)) as
      [number, number, number];
    return rows >= MIN_ROWS && columns >= MIN_COLUMNS && depth >= MIN_DEPTH &&
      rows * columns * depth >= MIN_PRODUCTS;
  };
  if (!pays(TYPICAL)) return direct;
  const packed = emitPacked(product, micro, buffers);
  // With a batch of one image there may be too few rows; with an empty sum there is no block.
  const alwaysTiles = typeof k === "number" &&
    roughly(m, 1) >= MIN_ROWS && roughly(n, 1) >= MIN_COLUMNS;
  return alwaysTiles ? packed : chosenAtRunTime(direct, packed, (scope) => {
    const c = scope.code;
    const enough = (size: Dim, least: number): Value =>
      c.op("i32.ge_s", scope.size(size), c.i32(least));
    return [enough(n, MIN_COLUMNS), enough(k, 1)].reduce(
      (all, one) => c.op("i32.and", all, one), enough(m, MIN_ROWS));
  });
}

function emitDirect(body: ContractBody): Emission {
  const pool = new ExprPool();
  const outputs = [...body.batch, ...body.m, ...body.n];
  const { groups, roots } = collapse(
    [numbered(outputs, 0), numbered(body.k, outputs.length)],
    [body.a, body.b, body.store.index, body.store.value], pool);
  const [a, b, index, value] = roots as [Expr, Expr, Expr, Expr];
  const emission = emitReduction({
    outputs: groups[0] ?? [], reduced: groups[1] ?? [], op: "sum",
    value: pool.binary("mul", a, b), store: { buffer: body.store.buffer, index, value },
  });
  return { ...emission, strategy: `direct product: ${emission.strategy}` };
}

/**
 * The matrix product in a contraction. A batch axis that only one operand has is a row or column
 * axis of that operand: all images of a convolution share one product with the weights.
 */
function groupAxes(body: ContractBody): Product {
  const { a, b, store } = body;
  let first = 0;
  const next = (axes: ContractBody["batch"]): NumberedAxis[] => {
    const made = numbered(axes, first);
    first += axes.length;
    return made;
  };
  const [batch, m, n, k] = [next(body.batch), next(body.m), next(body.n), next(body.k)];
  const inA = batch.filter((axis) => !dependsOn(b, axis.number) && dependsOn(a, axis.number));
  const inB = batch.filter((axis) => !dependsOn(a, axis.number) && !inA.includes(axis));
  const shared = batch.filter((axis) => !inA.includes(axis) && !inB.includes(axis));
  const real = (axes: NumberedAxis[]): NumberedAxis[] => axes.filter((axis) => axis.extent !== 1);
  return {
    batch: real(shared), m: real([...inA, ...m]), n: real([...inB, ...n]), k: real(k), a, b, store,
    terms: "f32",
  };
}

function chosenAtRunTime(
  direct: Emission, packed: Emission, usePacked: (scope: Scope) => Value,
): Emission {
  return {
    strategy: `${packed.strategy}; fewer rows or columns: ${direct.strategy}`,
    work: (scope) =>
      scope.code.select(usePacked(scope), packed.work(scope), direct.work(scope)),
    scratch: (scope) =>
      scope.code.select(usePacked(scope), packed.scratch(scope), direct.scratch(scope)),
    run(scope, begin, end, scratch) {
      scope.code.if(usePacked(scope), () => packed.run(scope, begin, end, scratch),
        () => direct.run(scope, begin, end, scratch));
    },
  };
}
