/**
 * The loop shapes that kernel bodies are made of: all points of some axes, a flat range of them,
 * and the four-lane walk along one axis. What happens inside is the caller's.
 */
import type { NumberedAxis } from "./axes.ts";
import { constantOf, type Code, type Value } from "./code.ts";
import type { Binding, Bindings, Lanes, Scope } from "./scope.ts";

export const bindingOf = (value: Value): Binding => ({ value, plus: 0 });

/** Bindings with more axes, in order. */
export function bind(
  to: Bindings, axes: readonly NumberedAxis[], values: readonly Value[],
): Bindings {
  const all = new Map(to);
  axes.forEach((axis, i) => all.set(axis.number, bindingOf(values[i] as Value)));
  return all;
}

export const extentsOf = (scope: Scope, axes: readonly NumberedAxis[]): Value[] =>
  axes.map((axis) => scope.size(axis.extent));

export const productOf = (c: Code, values: readonly Value[]): Value =>
  values.reduce((p, v) => c.mul(p, v), c.i32(1));

/** Every point of `axes`, in row-major order. */
export function everyPoint(
  scope: Scope, axes: readonly NumberedAxis[], outer: Bindings, body: (all: Bindings) => void,
): void {
  const [first, ...rest] = axes;
  if (!first) return body(outer);
  const c = scope.code;
  c.loop(c.i32(0), scope.size(first.extent), 1, (i) =>
    everyPoint(scope, rest, bind(outer, [first], [i]), body));
}

/** Every point of axes of constant extent, written out one after the other. */
export function everyPointUnrolled(
  scope: Scope, axes: readonly NumberedAxis[], outer: Bindings, body: (all: Bindings) => void,
): void {
  const [first, ...rest] = axes;
  if (!first) return body(outer);
  const zero = scope.code.i32(0);
  for (let i = 0; i < (first.extent as number); i++) {
    const here = new Map(outer).set(first.number, { value: zero, plus: i });
    everyPointUnrolled(scope, rest, here, body);
  }
}

/**
 * The points `begin` to `end` (flat, row-major) of a box, as runs along its last axis. Loops over
 * the outer axes enclose the runs, so what depends on them alone is computed once per turn.
 * A box without axes has one point, and its run is the range itself.
 */
export function flatRange(
  c: Code, extents: readonly Value[], begin: Value, end: Value,
  body: (outer: readonly Value[], start: Value, stop: Value) => void,
): void {
  if (extents.length <= 1) return body([], begin, end);
  const count = c.sub(end, begin);
  // Digits of `begin`: where each axis starts the first time around; later turns start at 0.
  const digits: Value[] = [];
  let rest = begin;
  for (let i = extents.length - 1; i > 0; i--) {
    // An empty box has no runs, but its digits are computed all the same.
    const extent = c.max(extents[i] as Value, c.i32(1));
    const quotient = c.div(rest, extent);
    digits.unshift(c.sub(rest, c.mul(quotient, extent)));
    rest = quotient;
  }
  digits.unshift(rest);
  c.loop(c.i32(0), c.min(count, c.i32(1)), 1, () => {
    const left = c.variable("i32", count);
    const starts = digits.map((digit) => c.variable("i32", digit));
    const zero = c.i32(0);
    const level = (axis: number, outer: readonly Value[]): void => {
      const start = starts[axis] as (typeof starts)[number];
      if (axis === extents.length - 1) {
        const from = c.read(start);
        c.set(start, zero);
        const before = c.read(left);
        const stop = c.min(extents[axis] as Value, c.add(from, before));
        c.set(left, c.sub(before, c.sub(stop, from)));
        return body(outer, from, stop);
      }
      const first = c.read(start);
      c.set(start, zero);
      const counter = c.variable("i32", first);
      c.repeat(() => {
        level(axis + 1, [...outer, c.read(counter)]);
        const next = c.add(c.read(counter), c.i32(1));
        c.set(counter, next);
        const more = c.op("i32.gt_s", c.read(left), zero);
        // The outermost axis ends with the range.
        return axis === 0 ? more
          : c.op("i32.and", more, c.op("i32.lt_s", next, extents[axis] as Value));
      });
    };
    level(0, []);
  });
}

/**
 * Walks [from, to) of an axis four at a time. `end` is given on the last turn if fewer than four
 * are left; without it all four lanes exist.
 */
export function laneLoop(
  c: Code, from: Value, to: Value, body: (i: Value, end?: Lanes["end"]) => void,
): void {
  const [x, y] = [constantOf(from), constantOf(to)];
  const last = c.sub(to, c.i32(1));
  if (x !== undefined && y !== undefined) {
    const rest = Math.max(y - x, 0) % 4;
    c.loop(from, c.i32(y - rest), 4, (i) => body(i));
    if (rest > 0) body(c.i32(y - rest), { last, count: c.i32(rest) });
    return;
  }
  c.loop(from, c.sub(to, c.i32(3)), 4, (i) => body(i));
  const whole = c.op("i32.and", c.max(c.sub(to, from), c.i32(0)), c.i32(-4));
  c.loop(c.add(from, whole), to, 4, (i) => body(i, { last, count: c.sub(to, i) }));
}
