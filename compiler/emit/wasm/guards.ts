/**
 * Where guards need no test: of a walk along one axis, the stretch on which every condition of
 * every guard holds. Padding makes a guard for each border of an image, but only the few vectors
 * at a border need masks; the walk is split in three, and the middle is computed without.
 *
 * Only conditions that are comparisons with a constant slope along the axis, or do not depend on
 * it, count. All others stay tests, on the whole walk.
 */
import { collect, type Expr } from "../../kernels/expr.ts";
import { dependsOn, factsOf, fitsIndex, strideAlong } from "./axes.ts";
import type { Value } from "./code.ts";
import { bindingOf, laneLoop } from "./loops.ts";
import { ScalarLowering } from "./scalarLowering.ts";
import type { Bindings, Lanes, Scope } from "./scope.ts";

/** Conditions and what they are on the stretch. */
export type Known = ReadonlyMap<Expr, boolean>;

/** Shorter walks have no middle worth its own code. */
const WORTH_SPLITTING = 20;

/** Conjuncts of a condition, with the value that makes the whole of it true. */
function conjuncts(e: Expr, holds: boolean, into: Map<Expr, boolean>): void {
  if (e.kind === "unary" && e.op === "not") conjuncts(e.a, !holds, into);
  else if (e.kind === "binary" && e.op === (holds ? "and" : "or") && e.type === "bool") {
    conjuncts(e.a, holds, into);
    conjuncts(e.b, holds, into);
  } else into.set(e, holds);
}

/**
 * The conditions of guards in `roots` that a walk along `axis` may settle beforehand.
 * @param inner axes of loops inside the walk, on which settled conditions must not depend
 */
export function settledBy(roots: readonly Expr[], axis: number, inner: readonly number[]): Known {
  const all = new Map<Expr, boolean>();
  for (const e of collect(roots)) {
    if (e.kind !== "guard") continue;
    const parts = new Map<Expr, boolean>();
    conjuncts(e.cond, true, parts);
    for (const [part, holds] of parts) {
      const isPlain = !factsOf(part).loads && !factsOf(part).acc &&
        inner.every((i) => !dependsOn(part, i));
      // One that must hold for one guard and fail for another has no middle.
      if (all.get(part) === !holds) return new Map();
      if (isPlain && (!dependsOn(part, axis) || slopeOf(part, axis) !== undefined)) {
        all.set(part, holds);
      }
    }
  }
  return all;
}

/** How fast b - a of the comparison a < b grows along the axis, if constantly. */
function slopeOf(e: Expr, axis: number): number | undefined {
  if (e.kind !== "binary" || e.op !== "lt" || e.a.type !== "i32") return undefined;
  if (!fitsIndex(e.a) || !fitsIndex(e.b)) return undefined;
  const [a, b] = [strideAlong(e.a, axis), strideAlong(e.b, axis)];
  return typeof a === "number" && typeof b === "number" ? b - a : undefined;
}

/**
 * The stretch [low, high) of non-negative indices on which all `settled` hold, for every one of the
 * given bindings of the other axes. Empty where one fails that is the same all along.
 */
function stretch(
  scope: Scope, settled: Known, axis: number, bindings: readonly Bindings[], from: Value, to: Value,
): { low: Value; high: Value } {
  const c = scope.code;
  const [zero, one] = [c.i32(0), c.i32(1)];
  // Equal bounds and conditions are the same values, and count once.
  const [lows, highs, needed] = [new Set([from]), new Set([to]), new Set<Value>()];
  for (const outer of bindings) {
    const lowering = new ScalarLowering(scope, new Map(outer).set(axis, bindingOf(zero)));
    for (const [e, holds] of settled) {
      if (!dependsOn(e, axis)) {
        const value = lowering.scalar(e);
        needed.add(holds ? value : c.op("i32.eqz", value));
        continue;
      }
      const { a, b } = e as Expr & { kind: "binary" };
      const slope = slopeOf(e, axis) as number;
      // e holds where `start` + `slope` * x > 0; its contrary where 1 - start - slope * x > 0.
      const raw = c.sub(lowering.scalar(b), lowering.scalar(a));
      const start = holds ? raw : c.sub(one, raw);
      const growth = holds ? slope : -slope;
      // x > -start / growth, or x < start / -growth; both round up, and neither is below 0.
      if (growth > 0) lows.add(c.div(c.max(c.sub(c.i32(growth), start), zero), c.i32(growth)));
      else highs.add(c.div(c.add(c.max(start, zero), c.i32(-growth - 1)), c.i32(-growth)));
    }
  }
  const low = [...lows].reduce((x, y) => c.max(x, y));
  const high = [...highs].reduce((x, y) => c.min(x, y));
  const all = [...needed].reduce<Value | undefined>((x, y) =>
    (x ? c.op("i32.and", x, y) : y), undefined);
  return { low, high: all ? c.select(all, high, zero) : high };
}

export interface Walk {
  readonly roots: readonly Expr[];
  readonly axis: number;
  /** Extent of the axis if it is constant. */
  readonly extent: number | undefined;
  /** Axes of loops inside the walk. */
  readonly inner: readonly number[];
  /** All that the other axes are at once: more than one where loops inside are written out. */
  readonly bindings: readonly Bindings[];
  /** Whether the last vector may be computed whole, its lanes beyond the end being overwritten. */
  readonly isOpenEnded?: boolean;
}

/** `laneLoop` in up to three parts; `body` is told what is settled on its part. */
export function guardedLaneLoop(
  scope: Scope, { roots, axis, extent, inner, bindings, isOpenEnded = false }: Walk,
  from: Value, to: Value,
  body: (i: Value, end: Lanes["end"], known: Known | undefined) => void,
): void {
  const c = scope.code;
  const inParts = (first: Value, last: Value): void => isOpenEnded
    ? c.loop(first, last, 4, (i) => body(i, undefined, undefined))
    : laneLoop(c, first, last, (i, end) => body(i, end, undefined));
  const settled = settledBy(roots, axis, inner);
  if (settled.size === 0 || (extent !== undefined && extent < WORTH_SPLITTING)) {
    return inParts(from, to);
  }
  const { low, high } = stretch(scope, settled, axis, bindings, from, to);
  // Parts are cut at whole vectors, counted from `from`.
  const whole = (x: Value): Value => c.op("i32.and", c.max(x, c.i32(0)), c.i32(-4));
  const up = (x: Value): Value => whole(c.add(x, c.i32(3)));
  const length = c.sub(to, from);
  const vectors = c.add(from, isOpenEnded ? up(length) : whole(length));
  const reach = isOpenEnded ? c.select(c.op("i32.ge_s", high, to), vectors, high)
    : c.min(high, vectors);
  const start = c.min(vectors, c.add(from, up(c.sub(low, from))));
  const stop = c.add(start, whole(c.sub(reach, start)));
  // The two ends share their code: part 0 lies before the middle, part 1 behind it.
  c.loop(c.i32(0), c.i32(2), 1, (part) => {
    inParts(c.select(part, stop, from), c.select(part, to, start));
    c.if(c.op("i32.eqz", part), () =>
      c.loop(start, stop, 4, (i) => body(i, undefined, settled)));
  });
}
