/**
 * Elementwise kernels: one store per point. Axes are fused where all indices allow, the cheapest
 * one is walked four lanes at a time, and the others are the rows that threads share out.
 */
import type { MapBody } from "../../kernels/kernel.ts";
import { collapse, constantExtent, numbered } from "./axes.ts";
import type { Value } from "./code.ts";
import type { Emission } from "./body.ts";
import { guardedLaneLoop } from "./guards.ts";
import { bind, bindingOf, extentsOf, flatRange, productOf, type Bindings } from "./loops.ts";
import { Lowering, withExtents } from "./lower.ts";
import { bestLaneAxis } from "./strategy.ts";

export function emitMap(body: MapBody): Emission {
  const { groups, roots } = collapse(
    [numbered(body.axes, 0)], [body.store.index, body.store.value]);
  const axes = groups[0] ?? [];
  const [index, value] = roots as [typeof body.store.index, typeof body.store.value];
  const store = { buffer: body.store.buffer, index, value };
  const lanes = bestLaneAxis(axes, [value], index)?.axis;
  const rows = axes.filter((axis) => axis !== lanes);

  return {
    strategy: lanes ? `map, lanes along ${lanes.name}` : "map, one element",
    work(scope) {
      const c = scope.code;
      if (!lanes) return c.i32(1);
      const extent = scope.size(lanes.extent);
      if (rows.length === 0) return extent;
      // Rows without elements are no work.
      return c.mul(productOf(c, extentsOf(scope, rows)), c.min(extent, c.i32(1)));
    },
    scratch: (scope) => scope.code.i32(0),
    run(given, begin, end) {
      const scope = withExtents(given, axes);
      const c = scope.code;
      if (!lanes) {
        return c.loop(begin, end, 1, () => new Lowering(scope, new Map()).store(store));
      }
      const axis = lanes.number;
      const walk = (outer: Bindings, from: Value, to: Value): void =>
        guardedLaneLoop(scope, {
          roots: [value], axis, extent: constantExtent(lanes), inner: [], bindings: [outer],
        }, from, to, (i, rest, known) => {
          const here = new Map(outer).set(axis, bindingOf(i));
          new Lowering(scope, here, { lanes: { axis, end: rest }, known }).storeVector(store);
        });
      if (rows.length === 0) return walk(new Map(), begin, end);
      flatRange(c, extentsOf(scope, rows), begin, end, (outer, start, stop) =>
        c.loop(start, stop, 1, (i) =>
          walk(bind(new Map(), rows, [...outer, i]), c.i32(0), scope.size(lanes.extent))));
    },
  };
}
