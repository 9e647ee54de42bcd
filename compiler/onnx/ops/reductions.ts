/** Reductions over axes, running reductions, positions of extremes, and the largest k. */
import { rankOf, shapeOf, type Value } from "../../graph/graph.ts";
import type { Builder } from "../../graph/builder.ts";
import type { RuleContext } from "../context.ts";
import { dimAt, gatherAlong, moveAxis, range, reduce, square, toFloat } from "../lowering.ts";
import type { Family, Operator, Rule } from "../operator.ts";

type Meaning = (b: Builder, x: Value, axes: readonly number[], keep: boolean) => Value;

/** Axes from the attribute or, since opset 13 (sum) or 18 (the rest), from the second operand. */
const reduction = (name: string, meaning: Meaning): Operator => ({
  name,
  since: {
    1: (c) => {
      const [{ b }, x] = [c, c.input(0)];
      const operand = c.optional(1);
      const given = operand ? c.numbers(operand) : c.ints("axes", []);
      if (given.length === 0 && c.flag("noop_with_empty_axes")) {
        return meaning(b, x, [], true);
      }
      const axes = given.length === 0 ? range(0, rankOf(x)) : c.axes(given, rankOf(x));
      return meaning(b, x, axes, c.flag("keepdims", true));
    },
  },
});

const plain = (kind: "sum" | "max" | "min" | "prod"): Meaning => (b, x, axes, keep) =>
  reduce(b, kind, x, axes, keep);

/** Mean over no axes is the operand itself. */
const mean: Meaning = (b, x, axes, keep) => (axes.length === 0 ? x : b.mean(x, axes, keep));

/** Functions that leave the integers are computed in float32 there. */
const viaFloat = (meaning: Meaning): Meaning => (b, x, axes, keep) =>
  b.cast(meaning(b, toFloat(b, x), axes, keep), x.type.dtype);

/** max + log sum exp(x - max), the maximum replaced by 0 where it is infinite. */
const logSumExp: Meaning = (b, x, axes, keep) => {
  const largest = b.reduce("max", x, axes, true);
  const finite = b.binary("lt", b.unary("abs", largest), b.full(largest, Infinity));
  const shift = b.where(finite, largest, b.full(largest, 0));
  const total = b.reduce("sum", b.unary("exp", b.sub(x, shift)), axes, keep);
  return b.addition(b.unary("log", total), b.reshape(shift, shapeOf(total)));
};

const arg = (kind: "max" | "min"): Rule => (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const axis = c.axis(c.int("axis", 0), rankOf(x));
  const extreme = b.binary("eq", x, b.reduce(kind, x, [axis], true));
  const at = b.iota(shapeOf(x), axis, "int32");
  const last = c.flag("select_last_index");
  const nowhere = b.full(at, last ? -1 : 2 ** 31 - 1);
  const position = b.reduce(last ? "max" : "min", b.where(extreme, at, nowhere), [axis],
    c.flag("keepdims", true));
  return b.cast(position, "int64");
};

/** Sorting does it: the first k of the stable order, ties by position. */
function topK(c: RuleContext, k: number): readonly Value[] {
  const [{ b }, x] = [c, c.input(0)];
  const axis = c.axis(c.int("axis", -1), rankOf(x));
  const last = rankOf(x) - 1;
  const moved = moveAxis(b, x, axis, last);
  const extent = dimAt(moved, last);
  c.check(k >= 0 && (typeof extent !== "number" || k <= extent),
    `k is ${k}, the axis has ${String(extent)} elements`);
  const order = b.add("argsort", [moved], { descending: c.flag("largest", true) });
  const best = b.sliceAxis(order, last, 0, k);
  const values = gatherAlong(b, moved, best, last);
  return [moveAxis(b, values, last, axis), b.cast(moveAxis(b, best, last, axis), "int64")];
}

/** Running reductions; `exclusive` leaves the element itself out. */
const cumulative = (kind: "sum" | "prod"): Rule => (c) => {
  const [{ b }, x] = [c, c.input(0)];
  const axis = c.axis(c.scalar(c.input(1)), rankOf(x));
  const backwards = c.flag("reverse");
  let line = backwards ? b.flip(x, [axis]) : x;
  if (c.flag("exclusive")) {
    const only = (n: number): number[] => shapeOf(x).map((_, i) => (i === axis ? n : 0));
    line = b.pad(line, only(1), only(-1), kind === "sum" ? 0 : 1);
  }
  const running = b.add("cumulate", [line], { kind, axis });
  return backwards ? b.flip(running, [axis]) : running;
};

export const reductions: Family = [
  reduction("ReduceSum", plain("sum")), reduction("ReduceProd", plain("prod")),
  reduction("ReduceMax", plain("max")), reduction("ReduceMin", plain("min")),
  reduction("ReduceMean", mean),
  reduction("ReduceL1", (b, x, axes, keep) => b.reduce("sum", b.unary("abs", x), axes, keep)),
  reduction("ReduceL2", viaFloat((b, x, axes, keep) =>
    b.unary("sqrt", b.reduce("sum", square(b, x), axes, keep)))),
  reduction("ReduceSumSquare", (b, x, axes, keep) => b.reduce("sum", square(b, x), axes, keep)),
  reduction("ReduceLogSum", viaFloat((b, x, axes, keep) =>
    b.unary("log", b.reduce("sum", x, axes, keep)))),
  reduction("ReduceLogSumExp", viaFloat(logSumExp)),
  { name: "ArgMax", since: { 1: arg("max") } },
  { name: "ArgMin", since: { 1: arg("min") } },
  {
    name: "TopK",
    since: { 1: (c) => topK(c, c.int("k")), 10: (c) => topK(c, c.scalar(c.input(1))) },
  },
  { name: "CumSum", since: { 11: cumulative("sum") } },
  { name: "CumProd", since: { 26: cumulative("prod") } },
];

