/**
 * Matrix products by blocks. An item of work is a block of MC rows and NC columns of one batch. Of
 * b, all rows of the column block are packed once and used by every row block; of a, a block is
 * packed where it can not be read in place. Both are packed by ordinary loop nests over the real
 * axes, so a convolution's windows are laid out without any division.
 *
 * Block sizes: a row block of a (64 x 320 f32 = 80 KiB) and the packed columns of b (at most 1 MiB)
 * share the second-level cache; one tile's columns of b (320 x 12 f32 = 15 KiB) stay in the first.
 * The split of long sums into blocks of at most 320 terms keeps their error near that of a block.
 */
import type { Dim } from "../../graph/dim.ts";
import { collect, type Expr } from "../../kernels/expr.ts";
import type { BufferArgument, Store } from "../../kernels/kernel.ts";
import {
  collapse, constantExtent, countOf, dependsOn, factsOf, roughly, strideAlong, type NumberedAxis,
} from "./axes.ts";
import type { FunctionRef } from "./assembler.ts";
import type { Emission } from "./body.ts";
import type { Code, Value } from "./code.ts";
import { guardedLaneLoop, type Known } from "./guards.ts";
import { bind, extentsOf, flatRange, laneLoop, productOf } from "./loops.ts";
import {
  TILE_COLUMNS, TILE_ROWS, type Microkernels, type Terms, type TileVectors,
} from "./microkernel.ts";
import { ScalarLowering } from "./scalarLowering.ts";
import { withExtents, type Bindings, type Lanes, type Scope } from "./scope.ts";
import { VectorLowering } from "./vectorLowering.ts";

/** A contraction as matrices; axes keep the numbers that the expressions know. */
export interface Product {
  readonly batch: readonly NumberedAxis[];
  readonly m: readonly NumberedAxis[];
  readonly n: readonly NumberedAxis[];
  readonly k: readonly NumberedAxis[];
  readonly a: Expr;
  readonly b: Expr;
  readonly store: Store;
  /** What the elements of a and b are. */
  readonly terms: Terms;
}

const MAX_DEPTH = 320;
/** Depth of a block, and number of blocks kept, when the depth is only known at run time. */
const [OPEN_DEPTH, OPEN_BLOCKS] = [256, 4];
const ROW_BLOCK = 64;
/** Row block where columns have to be packed again for each. */
const LARGE_ROW_BLOCK = 256;
/** Elements of b that are packed at a time: wanted, and at most. */
const [PACKED_WANTED, PACKED_LIMIT] = [131072, 262144];
const [MIN_COLUMN_BLOCK, MAX_COLUMN_BLOCK] = [48, 240];
/** Column blocks there should be, so that threads find enough to share. */
const WANTED_BLOCKS = 8;
/** With fewer rows than this, packing b costs more than reading it in place. */
const ROWS_WORTH_PACKING = 24;
/** Elements between the rows of packed blocks, for lanes that run past the end of a row. */
const GAP = 4;

const roundUp = (x: number, to: number): number => Math.ceil(x / to) * to;

interface Blocking {
  readonly depth: number;
  /** Depth blocks of packed b that are kept for all row blocks. */
  readonly kept: number;
  readonly rows: number;
  readonly columns: number;
}

function chooseBlocks(m: Dim, n: Dim, k: Dim, packsRows: boolean): Blocking {
  const isOpen = typeof k !== "number";
  const depthBlocks = isOpen ? OPEN_BLOCKS : Math.max(1, Math.ceil(k / MAX_DEPTH));
  const depth = isOpen ? OPEN_DEPTH : Math.max(1, Math.ceil(k / depthBlocks));
  const fitting = Math.floor(PACKED_WANTED / (depth * depthBlocks));
  const most = Math.min(Math.max(fitting, MIN_COLUMN_BLOCK), MAX_COLUMN_BLOCK);
  const total = roughly(n, 64);
  const shared = Math.max(2 * MIN_COLUMN_BLOCK, Math.ceil(total / WANTED_BLOCKS));
  // Every column block packs the rows again; where there are many, they are what threads share.
  const sharesRows = typeof n === "number" &&
    (typeof m !== "number" || m >= WANTED_BLOCKS * ROW_BLOCK);
  const wanted = packsRows && sharesRows ? most : Math.min(most, shared);
  const even = Math.ceil(total / Math.max(1, Math.ceil(total / wanted)));
  const columns = roundUp(Math.max(1, typeof n === "number" ? even : wanted), TILE_COLUMNS);
  const fits = depth * depthBlocks * columns <= PACKED_LIMIT;
  const rowLimit = fits ? ROW_BLOCK : LARGE_ROW_BLOCK;
  const rows = typeof m === "number" ? Math.min(rowLimit, roundUp(Math.max(m, 1), TILE_ROWS))
    : rowLimit;
  return { depth, kept: fits ? depthBlocks : 1, rows, columns };
}

/**
 * One operand or the output, with the axes of its own expressions fused. `inner` has an axis:
 * products are packed only when rows, columns and depth are all larger than 1.
 */
interface Side {
  readonly batch: readonly NumberedAxis[];
  readonly outer: readonly NumberedAxis[];
  readonly inner: readonly NumberedAxis[];
  readonly roots: readonly Expr[];
}

function sideOf(
  batch: readonly NumberedAxis[], outer: readonly NumberedAxis[],
  inner: readonly NumberedAxis[], roots: readonly Expr[],
): Side {
  // Batch axes stay apart, so that all sides number them alike.
  const nest = collapse([...batch.map((axis) => [axis]), outer, inner], roots);
  return {
    batch: nest.groups.slice(0, batch.length).flat(),
    outer: nest.groups[batch.length] ?? [], inner: nest.groups[batch.length + 1] ?? [],
    roots: nest.roots,
  };
}

/** Where a side is an array with contiguous rows: the distance between them, in elements. */
function rowStride(
  { outer, inner, roots }: Side, buffers: readonly BufferArgument[],
): Dim | undefined {
  const root = roots[0] as Expr;
  const [row, column] = [outer[0], inner[0]];
  if (root.kind !== "load" || buffers[root.buffer]?.storage !== "f32") return undefined;
  if (factsOf(root.index).loads) return undefined;
  if (!row || !column || outer.length > 1 || inner.length > 1) return undefined;
  return strideAlong(root.index, column.number) === 1
    ? strideAlong(root.index, row.number) : undefined;
}

export function emitPacked(
  product: Product, micro: Microkernels, buffers: readonly BufferArgument[],
): Emission {
  const { batch, m, n, k, store, terms } = product;
  const [rows, columns, depth] = [countOf(m), countOf(n), countOf(k)];
  const a = sideOf(batch, m, k, [product.a]);
  const b = sideOf(batch, k, n, [product.b]);
  const c = sideOf(batch, m, n, [store.index, store.value]);
  const aStride = rowStride(a, buffers);
  const bStride = roughly(rows, 64) < ROWS_WORTH_PACKING ? rowStride(b, buffers) : undefined;
  const blocks = chooseBlocks(rows, columns, depth, aStride === undefined);

  // Scratch memory in bytes: packed b, packed a, finished block.
  const bPitch = 4 * (blocks.columns + GAP);
  const aPitch = 4 * (blocks.depth + GAP);
  const bBytes = bStride === undefined ? roundUp(blocks.kept * blocks.depth * bPitch + 64, 64) : 0;
  const aBytes = aStride === undefined ? roundUp(blocks.rows * aPitch + 64, 64) : 0;
  const cBytes = roundUp(blocks.rows * bPitch, 64);

  const counts = (scope: Scope): { columnBlocks: Value; rowBlocks: Value } => ({
    columnBlocks: ceilDiv(scope.code, scope.size(columns), blocks.columns),
    rowBlocks: ceilDiv(scope.code, scope.size(rows), blocks.rows),
  });

  return {
    strategy: `packed ${terms === "pairs" ? "pairs " : ""}${TILE_ROWS}x${TILE_COLUMNS}` +
      `, blocks of ${blocks.rows}x${blocks.columns}` +
      ` over ${blocks.depth}, a ${aStride === undefined ? "packed" : "in place"}` +
      `, b ${bStride === undefined ? "packed" : "in place"}`,
    work(scope) {
      const { columnBlocks, rowBlocks } = counts(scope);
      return productOf(scope.code, [...extentsOf(scope, batch), columnBlocks, rowBlocks]);
    },
    scratch: (scope) => scope.code.i32(bBytes + aBytes + cBytes),
    run(scope, begin, end, scratch) {
      const code = scope.code;
      const { columnBlocks, rowBlocks } = counts(scope);
      const depthValue = scope.size(depth);
      const depthBlocks = ceilDiv(code, depthValue, blocks.depth);
      const isKept = code.op("i32.le_s", depthBlocks, code.i32(blocks.kept));
      const aMemory = code.add(scratch, code.i32(bBytes));
      const cMemory = code.add(scratch, code.i32(bBytes + aBytes));
      const extents = [...extentsOf(scope, batch), columnBlocks, rowBlocks];

      flatRange(code, extents, begin, end, (outer, firstBlock, lastBlock) => {
        const batchValues = outer.slice(0, -1);
        const n0 = code.mul(outer.at(-1) as Value, code.i32(blocks.columns));
        const n1 = code.min(scope.size(columns), code.add(n0, code.i32(blocks.columns)));
        code.loop(firstBlock, lastBlock, 1, (block) => {
          const m0 = code.mul(block, code.i32(blocks.rows));
          const m1 = code.min(scope.size(rows), code.add(m0, code.i32(blocks.rows)));
          code.loop(code.i32(0), depthValue, blocks.depth, (k0) => {
            const k1 = code.min(depthValue, code.add(k0, code.i32(blocks.depth)));
            const ranges = { m0, m1, n0, n1, k0, k1 };
            const aRows = aStride === undefined
              ? packA(scope, a, batchValues, ranges, aMemory, aPitch)
              : inPlace(scope, a, batchValues, m0, k0, aStride);
            let bRows: Rows;
            if (bStride === undefined) {
              const slot = code.select(isKept, code.mul(k0, code.i32(bPitch)), code.i32(0));
              bRows = { address: code.add(scratch, slot), pitch: code.i32(bPitch) };
              const isNew = code.op("i32.or", code.op("i32.eq", block, firstBlock),
                code.op("i32.eqz", isKept));
              code.if(isNew, () => pack(scope, b, bind(new Map(), b.batch, batchValues),
                [k0, k1], [n0, n1], bRows));
            } else bRows = inPlace(scope, b, batchValues, k0, n0, bStride);
            multiply(code, (vectors) => micro.tile(vectors, terms), ranges, aRows, bRows,
              { address: cMemory, pitch: code.i32(bPitch) });
          });
          finish(scope, c, store.buffer, bind(new Map(), c.batch, batchValues),
            { m0, m1, n0, n1 }, { address: cMemory, pitch: code.i32(bPitch) });
        });
      });
    },
  };
}

/** Rows of four-byte elements in memory; `pitch` is bytes from one row to the next. */
interface Rows {
  readonly address: Value;
  readonly pitch: Value;
}

interface Ranges {
  readonly m0: Value;
  readonly m1: Value;
  readonly n0: Value;
  readonly n1: Value;
  readonly k0: Value;
  readonly k1: Value;
}

function ceilDiv(c: Code, x: Value, by: number): Value {
  return c.div(c.add(x, c.i32(by - 1)), c.i32(by));
}

/** The operand's own memory from (outer, inner) on. */
function inPlace(
  scope: Scope, side: Side, batch: readonly Value[], outer: Value, inner: Value, stride: Dim,
): Rows {
  const root = side.roots[0] as Expr & { kind: "load" };
  const here = bind(bind(bind(new Map(), side.batch, batch), side.outer, [outer]),
    side.inner, [inner]);
  return {
    address: new ScalarLowering(scope, here).addressOf(root.buffer, root.index),
    pitch: scope.code.mul(scope.size(stride), scope.code.i32(4)),
  };
}

function packA(
  scope: Scope, a: Side, batch: readonly Value[], { m0, m1, k0, k1 }: Ranges, address: Value,
  pitch: number,
): Rows {
  const rows = { address, pitch: scope.code.i32(pitch) };
  pack(scope, a, bind(new Map(), a.batch, batch), [m0, m1], [k0, k1], rows);
  return rows;
}

/** Whether lanes beyond the end of an axis may read: true of neighbours in memory. */
function readsNeighbours(root: Expr, axis: number): boolean {
  return collect([root]).every((e) => {
    if (e.kind !== "load" || !dependsOn(e, axis)) return true;
    const stride = strideAlong(e.index, axis);
    return stride === 0 || stride === 1 || stride === 2 || stride === -1;
  });
}

/**
 * Evaluates an operand over flat ranges of its outer and inner axes into rows. The last vector of
 * a run is stored whole: what it writes too much, the next run or row writes again, or lies in the
 * gap after the last row.
 */
function pack(
  given: Scope, { batch: batchAxes, outer, inner, roots }: Side, batch: Bindings,
  [outerFrom, outerTo]: readonly [Value, Value], [innerFrom, innerTo]: readonly [Value, Value],
  to: Rows,
): void {
  const scope = withExtents(given, [...batchAxes, ...outer, ...inner]);
  const c = scope.code;
  const root = roots[0] as Expr;
  const lanes = inner.at(-1) as NumberedAxis;
  const row = c.variable("i32", to.address);
  flatRange(c, extentsOf(scope, outer), outerFrom, outerTo, (head, start, stop) =>
    c.loop(start, stop, 1, (i) => {
      const above = bind(batch, outer, [...head, i]);
      const address = c.read(row);
      c.set(row, c.add(address, to.pitch));
      const at = c.variable("i32", address);
      flatRange(c, extentsOf(scope, inner), innerFrom, innerTo, (middle, from, until) => {
        const base = c.read(at);
        const put = (j: Value, rest?: Lanes["end"], known?: Known): void => {
          const here = bind(above, inner, [...middle, j]);
          const lowering = new VectorLowering(
            scope, here, { axis: lanes.number, end: rest }, { known });
          c.store("v128.store", c.element(base, c.sub(j, from)), lowering.vector(root));
        };
        guardedLaneLoop(scope, {
          roots: [root], axis: lanes.number, extent: constantExtent(lanes), inner: [],
          bindings: [bind(above, inner.slice(0, -1), middle)],
          isOpenEnded: readsNeighbours(root, lanes.number),
        }, from, until, put);
        c.set(at, c.element(base, c.sub(until, from)));
      });
    }));
}

/** c (+)= a * b for one block, tile by tile; b's columns of a tile stay while rows go by. */
function multiply(
  code: Code, tile: (vectors: TileVectors) => FunctionRef,
  { m0, m1, n0, n1, k0, k1 }: Ranges, a: Rows, b: Rows, c: Rows,
): void {
  const [height, width, depth] = [code.sub(m1, m0), code.sub(n1, n0), code.sub(k1, k0)];
  const accumulate = code.op("i32.gt_s", k0, code.i32(0));
  const zero = code.i32(0);
  const strip = (j: Value, vectors: TileVectors): void =>
    code.loop(zero, height, TILE_ROWS, (i) => code.perform(tile(vectors),
      code.add(a.address, code.mul(i, a.pitch)), a.pitch, code.sub(height, i),
      code.element(b.address, j), b.pitch, depth,
      code.element(code.add(c.address, code.mul(i, c.pitch)), j), c.pitch, accumulate));
  // Full tiles as long as more than two vectors are left, then one of two or of one.
  const full = code.sub(width, code.i32(TILE_COLUMNS - 4));
  code.loop(zero, full, TILE_COLUMNS, (j) => strip(j, 3));
  const done = code.mul(ceilDiv(code, code.max(full, zero), TILE_COLUMNS),
    code.i32(TILE_COLUMNS));
  const left = code.sub(width, done);
  code.if(code.op("i32.gt_s", left, code.i32(4)), () => strip(done, 2), () =>
    code.if(code.op("i32.gt_s", left, zero), () => strip(done, 1)));
}

/** The epilogue: stores a finished block. */
function finish(
  given: Scope, { batch: batchAxes, outer, inner, roots }: Side, buffer: number, batch: Bindings,
  { m0, m1, n0, n1 }: Pick<Ranges, "m0" | "m1" | "n0" | "n1">, from: Rows,
): void {
  const scope = withExtents(given, [...batchAxes, ...outer, ...inner]);
  const c = scope.code;
  const store = { buffer, index: roots[0] as Expr, value: roots[1] as Expr };
  const lanes = inner.at(-1) as NumberedAxis;
  const row = c.variable("i32", from.address);
  flatRange(c, extentsOf(scope, outer), m0, m1, (head, start, stop) =>
    c.loop(start, stop, 1, (i) => {
      const above = bind(batch, outer, [...head, i]);
      const address = c.read(row);
      c.set(row, c.add(address, from.pitch));
      const at = c.variable("i32", address);
      flatRange(c, extentsOf(scope, inner), n0, n1, (middle, first, until) => {
        const base = c.read(at);
        laneLoop(c, first, until, (j, rest) => {
          const here = bind(above, inner, [...middle, j]);
          const acc = c.loadNow("v128.load", c.element(base, c.sub(j, first)));
          new VectorLowering(scope, here, { axis: lanes.number, end: rest }, { acc })
            .storeVector(store);
        });
        c.set(at, c.element(base, c.sub(until, first)));
      });
    }));
}
