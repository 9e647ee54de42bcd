/**
 * Which axis the four lanes should walk: a rough cost per element of an expression's loads (and
 * store) along each candidate. Only ratios matter; the figures are instruction counts of the code
 * that `vectorLowering.ts` makes.
 */
import type { Dim } from "../../graph/dim.ts";
import { collect, type Expr } from "../../kernels/expr.ts";
import { dependsOn, strideAlong, type NumberedAxis } from "./axes.ts";

/** Instructions per load of four lanes, by how the index grows from lane to lane. */
function loadCost(stride: Dim | undefined): number {
  switch (stride) {
    case 0: return 0.5;
    case 1: return 1;
    case -1: return 2;
    case 2: return 3;
    default: return 8;
  }
}

/** Extent of an axis; what a symbol stands for is taken to be large. */
const LARGE = 1024;
const roughExtent = (axis: NumberedAxis): number =>
  typeof axis.extent === "number" ? Math.max(axis.extent, 1) : LARGE;

/** Share of lanes that do work on an axis of this extent. */
const efficiency = (extent: number): number => extent / (4 * Math.ceil(extent / 4));

/** Cost per element of evaluating `roots` with lanes along `axis`. */
export function laneCost(roots: readonly Expr[], axis: NumberedAxis, storeIndex?: Expr): number {
  let cost = 1;
  for (const e of collect(roots)) {
    if (e.kind === "load") cost += loadCost(strideAlong(e.index, axis.number));
    else if (e.kind === "guard" && dependsOn(e.cond, axis.number)) cost += 2;
  }
  if (storeIndex) cost += strideAlong(storeIndex, axis.number) === 1 ? 1 : 6;
  return cost / efficiency(roughExtent(axis));
}

/** The cheapest axis, the last of equals; undefined when there is none. */
export function bestLaneAxis(
  axes: readonly NumberedAxis[], roots: readonly Expr[], storeIndex?: Expr,
): { axis: NumberedAxis; cost: number } | undefined {
  let best: { axis: NumberedAxis; cost: number } | undefined;
  for (const axis of axes) {
    const cost = laneCost(roots, axis, storeIndex);
    if (!best || cost <= best.cost) best = { axis, cost };
  }
  return best;
}
