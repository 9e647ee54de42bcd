/**
 * The inner loop of matrix products: a tile of 4 rows by 12, 8 or 4 columns held in registers.
 *
 * Written straight to bytes, because what counts here is the exact number of live vectors: 12 of
 * the 16 registers of x86 hold the tile, and the operands stream through the rest. The shape is
 * XNNPACK's idea (broadcast a, vector b); measured here against 4x8, 6x8, 5x8, 4x16, 3x16 and 2x24,
 * which are no faster (29 GFLOP/s) and need the columns of b more often.
 */
import { FunctionWriter, type FunctionRef, type ModuleWriter } from "./assembler.ts";
import type { EmitOptions } from "./body.ts";

export const TILE_ROWS = 4;
/** Columns of the widest tile. */
export const TILE_COLUMNS = 12;

/**
 * What is multiplied: floats, or 32-bit words of two 16-bit integers each, whose two products are
 * added (`pairs.ts`); sums are 32-bit integers then.
 */
export type Terms = "f32" | "pairs";

/** Number of four-column vectors in a tile. */
export type TileVectors = 1 | 2 | 3;

/**
 * Parameters of a tile function, all i32; strides in bytes.
 * c[4][4v] = (accumulate ? c : 0) + a[rows][k] * b[k][4v], where rows of a beyond `rows` repeat
 * the last one, and k >= 1. a is contiguous along k, b and c along columns.
 */
const PARAMETERS = ["a", "aStride", "rows", "b", "bStride", "k", "c", "cStride", "accumulate"];

/** The tile functions of one module; each is written when it is first asked for. */
export class Microkernels {
  readonly #module: ModuleWriter;
  readonly #fused: boolean;
  readonly #made = new Map<string, FunctionRef>();
  constructor(module: ModuleWriter, { relaxedSimd }: EmitOptions) {
    this.#module = module;
    this.#fused = relaxedSimd;
  }

  tile(vectors: TileVectors, terms: Terms): FunctionRef {
    const name = `tile.${TILE_ROWS}x${4 * vectors}${terms === "f32" ? "" : `.${terms}`}`;
    const known = this.#made.get(name);
    if (known) return known;
    const ref = this.#module.declare(name,
      { parameters: PARAMETERS.map(() => "i32" as const), results: [] },
      { parameterNames: PARAMETERS });
    this.#made.set(name, ref);
    const sum = terms === "pairs" ? pairSum : this.#fused ? fusedSum : plainSum;
    this.#module.define(ref, writeTile(vectors, sum));
    return ref;
  }
}

/** acc + a * b, of three locals. */
type Sum = (w: FunctionWriter, acc: number, a: number, b: number) => void;
const plainSum: Sum = (w, acc, a, b) => {
  [acc, a, b].forEach((local) => w.get(local));
  w.op("f32x4.mul");
  w.op("f32x4.add");
};
const fusedSum: Sum = (w, acc, a, b) => {
  [a, b, acc].forEach((local) => w.get(local));
  w.op("f32x4.relaxed_madd");
};
const pairSum: Sum = (w, acc, a, b) => {
  [acc, a, b].forEach((local) => w.get(local));
  w.op("i32x4.dot_i16x8_s");
  w.op("i32x4.add");
};

function writeTile(vectors: TileVectors, sum: Sum): FunctionWriter {
  const w = new FunctionWriter(PARAMETERS.length);
  const parameter = (name: string): number => PARAMETERS.indexOf(name);
  const [a, b, c, k] = ["a", "b", "c", "k"].map(parameter) as [number, number, number, number];
  const rowIndices = Array.from({ length: TILE_ROWS }, (_, i) => i);
  const columnIndices = Array.from({ length: vectors }, (_, j) => j);

  const rows = rowIndices.map((i) => (i === 0 ? a : w.local("i32")));
  for (const i of rowIndices.slice(1)) {
    w.get(rows[i - 1] as number);
    w.get(parameter("aStride"));
    w.i32(0);
    w.get(parameter("rows"));
    w.i32(i);
    w.op("i32.gt_s");
    w.select("i32");
    w.op("i32.add");
    w.set(rows[i] as number);
  }

  const tile = rowIndices.map(() => columnIndices.map(() => w.local("v128")));
  const eachOfTile = (visit: (acc: number, j: number) => void): void => {
    const at = w.local("i32");
    w.get(c);
    w.set(at);
    tile.forEach((accs, i) => {
      accs.forEach((acc, j) => {
        w.get(at);
        visit(acc, j);
      });
      if (i === TILE_ROWS - 1) return;
      w.get(at);
      w.get(parameter("cStride"));
      w.op("i32.add");
      w.set(at);
    });
  };
  w.get(parameter("accumulate"));
  w.if(() => eachOfTile((acc, j) => {
    w.memory("v128.load", 16 * j);
    w.set(acc);
  }));

  const columns = columnIndices.map(() => w.local("v128"));
  const value = w.local("v128");
  // No unrolling: it does not pay here, and the loop's own instructions hide behind the products.
  w.loop(() => {
    columns.forEach((column, j) => {
      w.get(b);
      w.memory("v128.load", 16 * j);
      w.set(column);
    });
    tile.forEach((accs, i) => {
      w.get(rows[i] as number);
      w.memory("v128.load32_splat");
      w.set(value);
      accs.forEach((acc, j) => {
        sum(w, acc, value, columns[j] as number);
        w.set(acc);
      });
    });
    const advance = (pointer: number, push: () => void): void => {
      w.get(pointer);
      push();
      w.op("i32.add");
      w.set(pointer);
    };
    for (const row of rows) advance(row, () => w.i32(4));
    advance(b, () => w.get(parameter("bStride")));
    w.get(k);
    w.i32(1);
    w.op("i32.sub");
    w.tee(k);
    w.branchIf(0);
  });

  eachOfTile((acc, j) => {
    w.get(acc);
    w.memory("v128.store", 16 * j);
  });
  return w;
}
