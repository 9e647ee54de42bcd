/**
 * Running sums and products: one element after the other along the last axis, rows shared out to
 * threads. Sums of f32 run in f64 and are rounded where they are stored.
 */
import { InternalError } from "../../errors.ts";
import type { Expr } from "../../kernels/expr.ts";
import type { CumulateBody } from "../../kernels/kernel.ts";
import { collapse, numbered } from "./axes.ts";
import type { Emission } from "./body.ts";
import type { Value } from "./code.ts";
import { bind, extentsOf, flatRange, productOf } from "./loops.ts";
import type { PlainOp } from "./opcodes.ts";
import { ScalarLowering } from "./scalarLowering.ts";
import type { Bindings } from "./scope.ts";

const floatOps: Record<CumulateBody["op"], PlainOp> = { sum: "f64.add", prod: "f64.mul" };
const integerOps: Record<CumulateBody["op"], PlainOp> = { sum: "i32.add", prod: "i32.mul" };

export function emitCumulate(body: CumulateBody): Emission {
  const axes = numbered(body.axes, 0);
  const { groups, roots } = collapse([axes.slice(0, -1), axes.slice(-1)],
    [body.value, body.store.index, body.store.value]);
  const [rows, along] = [groups[0] ?? [], groups[1] ?? []];
  const [value, index, stored] = roots as [Expr, Expr, Expr];
  const store = { buffer: body.store.buffer, index, value: stored };
  if (value.type === "bool") throw new InternalError("kernels have no running sum of bool");
  const isFloat = value.type === "f32";
  const identity = body.op === "sum" ? 0 : 1;

  return {
    strategy: `cumulate, one element at a time${isFloat ? ", in f64" : ""}`,
    work: (scope) => productOf(scope.code, extentsOf(scope, rows)),
    scratch: (scope) => scope.code.i32(0),
    run(scope, begin, end) {
      const c = scope.code;
      const row = (outer: Bindings): void => {
        const total = isFloat ? c.variable("f64", c.f64(identity))
          : c.variable("i32", c.i32(identity));
        c.loop(c.i32(0), productOf(c, extentsOf(scope, along)), 1, (i) => {
          const here = bind(outer, along, [i]);
          const term = new ScalarLowering(scope, here).scalar(value);
          const next = isFloat
            ? c.op(floatOps[body.op], c.read(total), c.op("f64.promote_f32", term))
            : c.op(integerOps[body.op], c.read(total), term);
          c.set(total, next);
          const acc: Value = isFloat ? c.op("f32.demote_f64", next) : next;
          new ScalarLowering(scope, here, { acc }).store(store);
        });
      };
      flatRange(c, extentsOf(scope, rows), begin, end, (outer, start, stop) =>
        c.loop(start, stop, 1, (i) => row(bind(new Map(), rows, [...outer, i]))));
    },
  };
}
