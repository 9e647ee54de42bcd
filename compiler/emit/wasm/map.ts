/**
 * Elementwise kernels: one store per point, or a few. Axes are fused where all indices allow, the
 * cheapest one is walked four lanes at a time, and the others are the rows that threads share out.
 */
import type { Expr } from "../../kernels/expr.ts";
import { rootsOf, storesOf, type MapBody, type Store } from "../../kernels/kernel.ts";
import { collapse, constantExtent, numbered } from "./axes.ts";
import type { Value } from "./code.ts";
import type { Emission } from "./body.ts";
import { guardedLaneLoop } from "./guards.ts";
import { bind, bindingOf, extentsOf, flatRange, productOf } from "./loops.ts";
import { ScalarLowering } from "./scalarLowering.ts";
import { withExtents, type Bindings } from "./scope.ts";
import { bestLaneAxis } from "./strategy.ts";
import { VectorLowering } from "./vectorLowering.ts";

export function emitMap(body: MapBody): Emission {
  const { groups, roots } = collapse([numbered(body.axes, 0)], rootsOf(body));
  const axes = groups[0] ?? [];
  const stores = storesOf(body).map(({ buffer }, i): Store =>
    ({ buffer, index: roots[2 * i] as Expr, value: roots[2 * i + 1] as Expr }));
  const values = stores.map((store) => store.value);
  const lanes = bestLaneAxis(axes, values, stores[0]?.index)?.axis;
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
        return c.loop(begin, end, 1, () => {
          const lowering = new ScalarLowering(scope, new Map());
          for (const store of stores) lowering.store(store);
        });
      }
      const axis = lanes.number;
      const walk = (outer: Bindings, from: Value, to: Value): void =>
        guardedLaneLoop(scope, {
          roots: values, axis, extent: constantExtent(lanes), inner: [], bindings: [outer],
        }, from, to, (i, rest, known) => {
          const here = new Map(outer).set(axis, bindingOf(i));
          const lowering = new VectorLowering(scope, here, { axis, end: rest }, { known });
          for (const store of stores) lowering.storeVector(store);
        });
      if (rows.length === 0) return walk(new Map(), begin, end);
      flatRange(c, extentsOf(scope, rows), begin, end, (outer, start, stop) =>
        c.loop(start, stop, 1, (i) =>
          walk(bind(new Map(), rows, [...outer, i]), c.i32(0), scope.size(lanes.extent))));
    },
  };
}
