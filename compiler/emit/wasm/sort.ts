/**
 * Stable order of rows: a bottom-up merge sort of indices by 32-bit keys. A key is the value's bits
 * turned so that they compare as unsigned integers in the wanted direction, with NaN largest.
 */
import type { Expr, ScalarType } from "../../kernels/expr.ts";
import type { SortBody } from "../../kernels/kernel.ts";
import { collapse, numbered } from "./axes.ts";
import type { Emission } from "./body.ts";
import type { Code, Value } from "./code.ts";
import { bind, extentsOf, flatRange, productOf } from "./loops.ts";
import { ScalarLowering } from "./scalarLowering.ts";

const SIGN = -(2 ** 31);

const ascendingKeys: Record<ScalarType, (c: Code, x: Value) => Value> = {
  // Adding 0 makes the two zeros one. Negative numbers turn all bits, others the sign alone.
  f32: (c, x) => {
    const bits = c.op("i32.reinterpret_f32", c.op("f32.add", x, c.f32(0)));
    const mask = c.op("i32.or", c.op("i32.shr_s", bits, c.i32(31)), c.i32(SIGN));
    return c.op("i32.xor", bits, mask);
  },
  i32: (c, x) => c.op("i32.xor", x, c.i32(SIGN)),
  u32: (_c, x) => x,
  bool: (_c, x) => x,
};

function keyOf(c: Code, type: ScalarType, x: Value, descending: boolean): Value {
  const ascending = ascendingKeys[type](c, x);
  const key = descending ? c.op("i32.xor", ascending, c.i32(-1)) : ascending;
  return type === "f32" ? c.select(c.op("f32.ne", x, x), c.i32(-1), key) : key;
}

export function emitSort(body: SortBody): Emission {
  const { groups, roots } = collapse(
    [numbered(body.axes, 0), numbered([body.sorted], body.axes.length)], [body.value]);
  const [rows, along] = [groups[0] ?? [], groups[1] ?? []];
  const value = roots[0] as Expr;

  return {
    strategy: "sort, merging",
    work: (scope) => productOf(scope.code, extentsOf(scope, rows)),
    scratch: (scope) => scope.code.mul(scope.size(body.sorted.extent), scope.code.i32(8)),
    run(scope, begin, end, scratch) {
      const c = scope.code;
      const length = scope.size(body.sorted.extent);
      const bytes = c.mul(length, c.i32(4));
      const row = c.variable("i32", begin);
      flatRange(c, extentsOf(scope, rows), begin, end, (outer, start, stop) =>
        c.loop(start, stop, 1, (i) => {
          const here = bind(new Map(), rows, [...outer, i]);
          const order = c.add(scope.pointers[body.output] as Value,
            c.mul(c.read(row), bytes));
          c.set(row, c.add(c.read(row), c.i32(1)));
          c.loop(c.i32(0), length, 1, (j) => {
            const x = new ScalarLowering(scope, bind(here, along, [j])).scalar(value);
            c.store("i32.store", c.element(scratch, j), keyOf(c, value.type, x, body.descending));
            c.store("i32.store", c.element(order, j), j);
          });
          mergeSort(c, { keys: scratch, order, spare: c.add(scratch, bytes), length });
        }));
    },
  };
}

interface Sorting {
  readonly keys: Value;
  /** Indices to sort, in place. */
  readonly order: Value;
  /** As much memory again as `order` takes. */
  readonly spare: Value;
  readonly length: Value;
}

function mergeSort(c: Code, { keys, order, spare, length }: Sorting): void {
  const from = c.variable("i32", order);
  const width = c.variable("i32", c.i32(1));
  const turns = c.op("i32.gt_s", length, c.i32(1));
  c.if(turns, () => c.repeat(() => {
    const [source, run] = [c.read(from), c.read(width)];
    const target = c.select(c.op("i32.eq", source, order), spare, order);
    const low = c.variable("i32", c.i32(0));
    c.repeat(() => {
      const first = c.read(low);
      const middle = c.min(c.add(first, run), length);
      const last = c.min(c.add(middle, run), length);
      merge(c, keys, source, target, { first, middle, last });
      c.set(low, last);
      return c.op("i32.lt_s", last, length);
    });
    c.set(from, target);
    const doubled = c.add(run, run);
    c.set(width, doubled);
    return c.op("i32.lt_s", doubled, length);
  }));
  const sorted = c.read(from);
  c.if(c.op("i32.ne", sorted, order), () => c.loop(c.i32(0), length, 1, (i) =>
    c.store("i32.store", c.element(order, i), c.loadNow("i32.load", c.element(sorted, i)))));
}

/** Merges [first, middle) and [middle, last) of `source`; the left one wins ties. */
function merge(
  c: Code, keys: Value, source: Value, target: Value,
  { first, middle, last }: { first: Value; middle: Value; last: Value },
): void {
  const [left, right] = [c.variable("i32", first), c.variable("i32", middle)];
  const one = c.i32(1);
  c.loop(first, last, 1, (to) => {
    const [i, j] = [c.read(left), c.read(right)];
    // A run that is used up is asked for its last element again, which then loses.
    const a = c.loadNow("i32.load", c.element(source, c.min(i, c.sub(middle, one))));
    const b = c.loadNow("i32.load", c.element(source, c.min(j, c.sub(last, one))));
    const keyA = c.loadNow("i32.load", c.element(keys, a));
    const keyB = c.loadNow("i32.load", c.element(keys, b));
    const leftWins = c.op("i32.or", c.op("i32.ge_s", j, last), c.op("i32.le_u", keyA, keyB));
    const take = c.op("i32.and", c.op("i32.lt_s", i, middle), leftWins);
    c.store("i32.store", c.element(target, to), c.select(take, a, b));
    c.set(left, c.add(i, take));
    c.set(right, c.add(j, c.op("i32.eqz", take)));
  });
}
