/**
 * Scatter: every row starts as `initial`, then updates are combined into rows in their order. So
 * that the order holds with threads, what they share out is columns, not updates.
 */
import type { ScatterKind } from "../../graph/graph.ts";
import type { Expr, ExprBinary } from "../../kernels/expr.ts";
import type { ScatterBody } from "../../kernels/kernel.ts";
import { ExprPool } from "../../kernels/pool.ts";
import { numbered, substitute } from "./axes.ts";
import type { Emission } from "./body.ts";
import type { Value } from "./code.ts";
import { bindingOf, laneLoop } from "./loops.ts";
import { ScalarLowering } from "./scalarLowering.ts";
import type { Bindings } from "./scope.ts";
import { bestLaneAxis } from "./strategy.ts";
import { VectorLowering } from "./vectorLowering.ts";

const [ROW, COLUMN, UPDATE] = [0, 1, 2];

const combiners: Record<Exclude<ScatterKind, "none">, ExprBinary> = {
  add: "add", mul: "mul", max: "max", min: "min",
};

export function emitScatter(body: ScatterBody): Emission {
  const { rows, columns, updates, op, target, output } = body;
  const pool = new ExprPool();
  // A buffer holds bool as i32, and so does this kernel while it combines.
  const stored = (given: Expr): Expr => {
    const e = substitute(pool, given, new Map());
    return e.type === "bool" ? pool.cast(e, "i32") : e;
  };
  const [initial, update] = [stored(body.initial), stored(body.update)];
  const index = pool.add(
    pool.mul(pool.axis(ROW, rows.extent), pool.size(columns.extent)),
    pool.axis(COLUMN, columns.extent));
  const fill = { buffer: output, index, value: initial };
  const old = pool.acc(update.type);
  const combined = op === "none" ? update : pool.binary(combiners[op], old, update);
  const put = { buffer: output, index, value: combined };
  const axes = numbered([rows, columns], ROW).filter((axis) => axis.extent !== 1);
  const lanes = bestLaneAxis(axes, [initial], index)?.axis.number;

  return {
    strategy: `scatter, ${lanes === ROW ? "rows" : "columns"} filled by lanes`,
    work: (scope) => scope.size(columns.extent),
    scratch: (scope) => scope.code.i32(0),
    run(scope, begin, end) {
      const c = scope.code;
      const [zero, rowCount] = [c.i32(0), scope.size(rows.extent)];
      const at = (...pairs: [number, ReturnType<typeof bindingOf>][]): Bindings => new Map(pairs);
      if (lanes === ROW) {
        c.loop(begin, end, 1, (j) => laneLoop(c, zero, rowCount, (i, rest) =>
          new VectorLowering(scope, at([ROW, bindingOf(i)], [COLUMN, bindingOf(j)]),
            { axis: ROW, end: rest }).storeVector(fill)));
      } else {
        c.loop(zero, rowCount, 1, (i) => laneLoop(c, begin, end, (j, rest) =>
          new VectorLowering(scope, at([ROW, bindingOf(i)], [COLUMN, bindingOf(j)]),
            { axis: COLUMN, end: rest }).storeVector(fill)));
      }
      c.loop(zero, scope.size(updates.extent), 1, (u) => {
        const row = new ScalarLowering(scope, at([UPDATE, bindingOf(u)])).scalar(target);
        const element = (j: Value): { here: Bindings; address: Value } => {
          const here = at([ROW, bindingOf(row)], [COLUMN, bindingOf(j)], [UPDATE, bindingOf(u)]);
          return { here, address: new ScalarLowering(scope, here).addressOf(output, index) };
        };
        c.if(c.op("i32.lt_u", row, rowCount), () => {
          if (columns.extent === 1) {
            c.loop(begin, end, 1, (j) => {
              const { here, address } = element(j);
              const acc = c.loadNow(update.type === "f32" ? "f32.load" : "i32.load", address);
              new ScalarLowering(scope, here, { acc }).store(put);
            });
          } else {
            laneLoop(c, begin, end, (j, rest) => {
              const { here, address } = element(j);
              const acc = c.loadNow("v128.load", address);
              new VectorLowering(scope, here, { axis: COLUMN, end: rest }, { acc })
                .storeVector(put);
            });
          }
        });
      });
    },
  };
}
