/**
 * Reductions, in two shapes. "Across": the four lanes walk a reduction axis and are combined at
 * the end of each row. "Along": the lanes walk an output axis, each lane with a reduction of its
 * own; short reductions are written out. Also the direct form of contractions (`contract.ts`).
 *
 * Sums of f32 that may be long are summed in blocks: a block of at most BLOCK terms per lane in
 * f32, the blocks in f64 (across) or f32 (along). So the error stays below (BLOCK + blocks) * eps
 * times the sum of magnitudes, whatever the order.
 */
import { InternalError } from "../../errors.ts";
import type { ReduceKind } from "../../graph/graph.ts";
import { collect, type Expr, type ExprBinary, type ScalarType } from "../../kernels/expr.ts";
import type { ReduceBody, Store } from "../../kernels/kernel.ts";
import { collapse, constantExtent, numbered, type NumberedAxis } from "./axes.ts";
import type { Emission } from "./body.ts";
import type { Code, Value, Variable } from "./code.ts";
import { guardedLaneLoop, type Known } from "./guards.ts";
import {
  bind, everyPoint, everyPointUnrolled, extentsOf, flatRange, laneLoop, productOf,
} from "./loops.ts";
import { ScalarLowering } from "./scalarLowering.ts";
import { scalarBinary } from "./scalarRules.ts";
import { withExtents, type Bindings, type Lanes, type Scope } from "./scope.ts";
import { bestLaneAxis } from "./strategy.ts";
import { valuesOf, VectorLowering } from "./vectorLowering.ts";
import { vectorBinary } from "./vectorRules.ts";

/** A reduction whose axes were fused: outputs are numbered before reduced axes. */
export interface Reduction {
  readonly outputs: readonly NumberedAxis[];
  readonly reduced: readonly NumberedAxis[];
  readonly op: ReduceKind;
  readonly value: Expr;
  readonly store: Store;
}

const combiner: Record<ReduceKind, ExprBinary> = {
  sum: "add", prod: "mul", max: "max", min: "min",
};

const identities: Record<ReduceKind, Record<ScalarType, number>> = {
  sum: { f32: 0, i32: 0, u32: 0, bool: 0 },
  prod: { f32: 1, i32: 1, u32: 1, bool: 1 },
  max: { f32: -Infinity, i32: -(2 ** 31), u32: 0, bool: 0 },
  min: { f32: Infinity, i32: 2 ** 31 - 1, u32: -1, bool: 1 },
};

/** Terms per lane of one block of a long f32 sum. */
const BLOCK = 256;
/** Reductions of at most this many points are written out. */
const UNROLLED = 32;

export function emitReduce(body: ReduceBody): Emission {
  const { groups, roots } = collapse(
    [numbered(body.axes, 0), numbered(body.reduceAxes, body.axes.length)],
    [body.value, body.store.index, body.store.value]);
  const [value, index, stored] = roots as [Expr, Expr, Expr];
  return emitReduction({
    outputs: groups[0] ?? [], reduced: groups[1] ?? [], op: body.op, value,
    store: { buffer: body.store.buffer, index, value: stored },
  });
}

/** Number of points of constant axes; undefined when a symbol is among them. */
function staticCount(axes: readonly NumberedAxis[]): number | undefined {
  let count = 1;
  for (const { extent } of axes) {
    if (typeof extent !== "number") return undefined;
    count *= extent;
  }
  return count;
}

export function emitReduction(reduction: Reduction): Emission {
  const { outputs, reduced, value, store } = reduction;
  const length = staticCount(reduced) ?? 1024;
  const across = bestLaneAxis(reduced, [value]);
  const along = bestLaneAxis(outputs, [value]);
  // Combining the lanes of a row takes about 12 instructions, shared by its elements.
  const acrossCost = across ? across.cost + 12 / length : Infinity;
  if (along && along.cost <= acrossCost) return reduceAlong(reduction, along.axis);
  if (across) return reduceAcross(reduction, across.axis);
  return {
    strategy: "reduce, one element",
    work: (scope) => scope.code.i32(1),
    scratch: (scope) => scope.code.i32(0),
    run(scope, begin, end) {
      scope.code.loop(begin, end, 1, () => {
        const acc = new ScalarLowering(scope, new Map()).scalar(value);
        new ScalarLowering(scope, new Map(), { acc }).store(store);
      });
    },
  };
}

// ---- lanes along an output axis --------------------------------------------------------------

function reduceAlong(reduction: Reduction, lanes: NumberedAxis): Emission {
  const { outputs, reduced, value } = reduction;
  const rows = outputs.filter((axis) => axis !== lanes);
  const count = staticCount(reduced);
  const writtenOut = count !== undefined && count <= UNROLLED;
  const vectors = writtenOut ? 1 : vectorsAlong(lanes, value);
  return {
    strategy: `reduce, lanes along ${lanes.name}` +
      (writtenOut ? `, ${count} terms written out` : `, ${vectors} vectors`),
    work(scope) {
      const c = scope.code;
      const inner = scope.size(lanes.extent);
      if (rows.length === 0) return inner;
      return c.mul(productOf(c, extentsOf(scope, rows)), c.min(inner, c.i32(1)));
    },
    scratch: (scope) => scope.code.i32(0),
    run(given, begin, end) {
      const scope = withExtents(given, [...outputs, ...reduced]);
      const c = scope.code;
      const walk = (outer: Bindings, from: Value, to: Value): void => {
        const step = 4 * vectors;
        const block = (i: Value, size: number, rest?: Lanes["end"], known?: Known): void =>
          alongBlock(scope, reduction, outer, {
            lanes, i, vectors: size, writtenOut, rest, known,
          });
        if (vectors === 1) {
          return guardedLaneLoop(scope, {
            roots: [value], axis: lanes.number, extent: constantExtent(lanes),
            inner: writtenOut ? [] : reduced.map((axis) => axis.number),
            bindings: writtenOut ? pointsOf(scope, reduced, outer) : [outer],
          }, from, to, (i, rest, known) => block(i, 1, rest, known));
        }
        c.loop(from, c.sub(to, c.i32(step - 1)), step, (i) => block(i, vectors));
        const whole = c.mul(c.div(c.max(c.sub(to, from), c.i32(0)), c.i32(step)), c.i32(step));
        laneLoop(c, c.add(from, whole), to, (i, rest) => block(i, 1, rest));
      };
      if (rows.length === 0) return walk(new Map(), begin, end);
      flatRange(c, extentsOf(scope, rows), begin, end, (outer, start, stop) =>
        c.loop(start, stop, 1, (i) =>
          walk(bind(new Map(), rows, [...outer, i]), c.i32(0), scope.size(lanes.extent))));
    },
  };
}

/**
 * Vectors of outputs computed at a time: they hide the latency of each other's accumulation, and
 * use whole cache lines where a reduction steps over rows. (Written-out sums need no such help.)
 * What is left over goes one vector at a time, so the number should divide the axis well.
 */
function vectorsAlong({ extent }: NumberedAxis, value: Expr): number {
  const loads = collect([value]).filter((e) => e.kind === "load").length;
  const most = loads <= 2 ? 8 : 4;
  if (typeof extent !== "number") return 4;
  const total = Math.max(Math.floor(extent / 4), 1);
  // A pass of v vectors takes about as long as max(v, 4) single ones would if they overlapped.
  const cost = (v: number): number =>
    Math.floor(total / v) * Math.max(v, 4) + (total % v) * 4;
  return Array.from({ length: Math.min(most, total) }, (_, i) => i + 1)
    .reduce((best, v) => (cost(v) <= cost(best) ? v : best), 1);
}

interface Block {
  readonly lanes: NumberedAxis;
  /** Lane 0 of the first vector. */
  readonly i: Value;
  readonly vectors: number;
  readonly writtenOut: boolean;
  readonly rest: Lanes["end"];
  readonly known: Known | undefined;
}

function alongBlock(
  scope: Scope, reduction: Reduction, outer: Bindings, block: Block,
): void {
  const { reduced, op, value, store } = reduction;
  const { lanes, i, vectors, writtenOut, rest, known } = block;
  const c = scope.code;
  const combine = vectorCombiner(scope, op, value.type);
  const identity = identityLanes(c, op, value.type);
  const at = (axes: Bindings, u: number): Bindings =>
    new Map(axes).set(lanes.number, { value: i, plus: 4 * u });
  const lowering = (axes: Bindings, u: number, acc?: Value): VectorLowering =>
    new VectorLowering(scope, at(axes, u), { axis: lanes.number, end: rest }, { known, acc });
  const each = Array.from({ length: vectors }, (_, u) => u);

  /** One vector of reductions per block of lanes, over the points that `points` visits. */
  const accumulate = (points: (visit: (all: Bindings) => void) => void): Value[] => {
    const accs = each.map(() => c.variable("v128", identity));
    points((all) => each.forEach((u) => {
      const term = lowering(all, u).vector(value);
      const acc = accs[u] as Variable;
      c.set(acc, combine(c.read(acc), term));
    }));
    return accs.map((acc) => c.read(acc));
  };

  let results: Value[];
  if (writtenOut) {
    results = each.map((u) => {
      let acc: Value | undefined;
      everyPointUnrolled(scope, reduced, outer, (all) => {
        const term = lowering(all, u).vector(value);
        acc = acc ? combine(acc, term) : term;
      });
      return acc ?? identity;
    });
  } else if (isLongSum(reduction, 2 * BLOCK)) {
    const totals = each.map(() => c.variable("v128", identity));
    everyBlock(scope, reduced, reduced.at(-1) as NumberedAxis, BLOCK, outer, (all, k, stop) =>
      accumulate((visit) => c.loop(k, stop, 1, (j) =>
        visit(bind(all, reduced.slice(-1), [j])))).forEach((sum, u) =>
        c.set(totals[u] as Variable, combine(c.read(totals[u] as Variable), sum))));
    results = totals.map((total) => c.read(total));
  } else {
    results = accumulate((visit) => everyPoint(scope, reduced, outer, visit));
  }

  results.forEach((acc, u) => lowering(outer, u, acc).storeVector(store));
}

/** All bindings that writing a reduction out goes through. */
function pointsOf(scope: Scope, axes: readonly NumberedAxis[], outer: Bindings): Bindings[] {
  const all: Bindings[] = [];
  everyPointUnrolled(scope, axes, outer, (point) => all.push(point));
  return all;
}

/** Whether f32 sums of more than `limit` terms may occur. */
const isLongSum = ({ op, value, reduced }: Reduction, limit: number): boolean =>
  op === "sum" && value.type === "f32" && (staticCount(reduced) ?? Infinity) > limit;

/** All points of `axes` but `inner`, and for each of them `inner` in blocks of `size`. */
function everyBlock(
  scope: Scope, axes: readonly NumberedAxis[], inner: NumberedAxis, size: number, outer: Bindings,
  body: (all: Bindings, start: Value, stop: Value) => void,
): void {
  const c = scope.code;
  everyPoint(scope, axes.filter((axis) => axis !== inner), outer, (all) => {
    const extent = scope.size(inner.extent);
    c.loop(c.i32(0), extent, size, (start) =>
      body(all, start, c.min(extent, c.add(start, c.i32(size)))));
  });
}

// ---- lanes across the reduction --------------------------------------------------------------

function reduceAcross(reduction: Reduction, lanes: NumberedAxis): Emission {
  const { outputs, reduced, op, value, store } = reduction;
  const isLong = isLongSum(reduction, 8 * BLOCK);
  const extent = typeof lanes.extent === "number" ? lanes.extent : Infinity;
  const vectors = Math.max(1, Math.min(4, Math.floor(extent / 4)));
  return {
    strategy: `reduce, lanes across ${lanes.name}, ${vectors} vectors` +
      (isLong ? ", blocks summed in f64" : ""),
    work: (scope) => productOf(scope.code, extentsOf(scope, outputs)),
    scratch: (scope) => scope.code.i32(0),
    run(given, begin, end) {
      const scope = withExtents(given, [...outputs, ...reduced]);
      const c = scope.code;
      const row = (outer: Bindings): void => {
        const acc = isLong ? longSum(outer) : shortReduction(outer);
        new ScalarLowering(scope, outer, { acc }).store(store);
      };
      const shortReduction = (outer: Bindings): Value => {
        const accs = accumulators();
        everyPoint(scope, reduced.filter((axis) => axis !== lanes), outer, (all) =>
          accumulate(accs, all, c.i32(0), scope.size(lanes.extent)));
        return combineLanes(scope, op, value.type, joined(accs));
      };
      const longSum = (outer: Bindings): Value => {
        const total = c.variable("f64", c.f64(0));
        everyBlock(scope, reduced, lanes, 4 * BLOCK, outer, (all, start, stop) => {
          const accs = accumulators();
          accumulate(accs, all, start, stop);
          const parts = valuesOf(c, "f32", joined(accs))
            .map((part) => c.op("f64.promote_f32", part));
          c.set(total, parts.reduce((sum, part) => c.op("f64.add", sum, part), c.read(total)));
        });
        return c.op("f32.demote_f64", c.read(total));
      };

      const identity = identityLanes(c, op, value.type);
      const combine = vectorCombiner(scope, op, value.type);
      const accumulators = (): Variable[] =>
        Array.from({ length: vectors }, () => c.variable("v128", identity));
      const joined = (accs: readonly Variable[]): Value =>
        accs.map((acc) => c.read(acc)).reduce(combine);
      const add = (acc: Variable, all: Bindings, i: Value, u: number, end?: Lanes["end"]): void => {
        const here = new Map(all).set(lanes.number, { value: i, plus: 4 * u });
        const term = new VectorLowering(scope, here, { axis: lanes.number, end }).vector(value);
        const present = end && c.op("i32x4.gt_s", c.op("i32x4.splat", end.count),
          c.i32x4(0, 1, 2, 3));
        c.set(acc, combine(c.read(acc),
          present ? c.op("v128.bitselect", term, identity, present) : term));
      };
      const accumulate = (
        accs: readonly Variable[], all: Bindings, from: Value, to: Value,
      ): void => {
        const step = 4 * vectors;
        const first = accs[0] as Variable;
        if (vectors === 1) return laneLoop(c, from, to, (i, rest) => add(first, all, i, 0, rest));
        c.loop(from, c.sub(to, c.i32(step - 1)), step, (i) =>
          accs.forEach((acc, u) => add(acc, all, i, u)));
        const length = c.max(c.sub(to, from), c.i32(0));
        const whole = c.mul(c.div(length, c.i32(step)), c.i32(step));
        laneLoop(c, c.add(from, whole), to, (i, rest) => add(first, all, i, 0, rest));
      };

      if (outputs.length === 0) return c.loop(begin, end, 1, () => row(new Map()));
      flatRange(c, extentsOf(scope, outputs), begin, end, (outer, start, stop) =>
        c.loop(start, stop, 1, (i) => row(bind(new Map(), outputs, [...outer, i]))));
    },
  };
}

// ---- combining -------------------------------------------------------------------------------

function identityLanes(c: Code, op: ReduceKind, type: ScalarType): Value {
  const identity = identities[op][type];
  return type === "f32" ? c.f32x4(identity) : c.i32x4(type === "bool" ? -identity : identity);
}

function vectorCombiner(
  scope: Scope, op: ReduceKind, type: ScalarType,
): (a: Value, b: Value) => Value {
  const rule = vectorBinary[combiner[op]][type];
  if (!rule) throw new InternalError(`kernels have no ${op} over ${type}`);
  return (a, b) => rule(scope.code, a, b, scope.library);
}

/** The four lanes of an accumulator as one value. */
function combineLanes(scope: Scope, op: ReduceKind, type: ScalarType, lanes: Value): Value {
  const rule = scalarBinary[combiner[op]][type];
  if (!rule) throw new InternalError(`kernels have no ${op} over ${type}`);
  const [a, b, x, y] = valuesOf(scope.code, type, lanes) as [Value, Value, Value, Value];
  const both = (p: Value, q: Value): Value => rule(scope.code, p, q, scope.library);
  return both(both(a, b), both(x, y));
}
