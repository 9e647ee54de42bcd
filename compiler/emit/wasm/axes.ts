/**
 * What an expression's indices do along each loop axis, and the fusion of adjacent axes that every
 * index walks as one. Not a simplifier: expressions come simplified from their pool.
 */
import {
  addDims, dimAtLeast, dimsEqual, evalDim, mulDims, negDim, productOf, symbolsOf, type Dim,
} from "../../graph/dim.ts";
import { InternalError } from "../../errors.ts";
import { operandsOf, type Expr } from "../../kernels/expr.ts";
import type { Axis } from "../../kernels/kernel.ts";
import { ExprPool } from "../../kernels/pool.ts";

interface Facts {
  /** Bit i is set when the expression depends on axis i. */
  readonly axes: number;
  readonly loads: boolean;
  readonly acc: boolean;
}

const known = new WeakMap<Expr, Facts>();
const MAX_AXES = 31;

export function factsOf(e: Expr): Facts {
  const found = known.get(e);
  if (found) return found;
  if (e.kind === "axis" && e.axis >= MAX_AXES) {
    throw new InternalError(`a kernel with more than ${MAX_AXES} axes`);
  }
  let axes = e.kind === "axis" ? 1 << e.axis : 0;
  let loads = e.kind === "load";
  let acc = e.kind === "acc";
  for (const operand of operandsOf(e)) {
    const facts = factsOf(operand);
    axes |= facts.axes;
    loads ||= facts.loads;
    acc ||= facts.acc;
  }
  const made = { axes, loads, acc };
  known.set(e, made);
  return made;
}

export const dependsOn = (e: Expr, axis: number): boolean => (factsOf(e).axes & (1 << axis)) !== 0;

const MAX_INDEX = 2 ** 30;
/** Whether differences of such integers can not overflow. */
export const fitsIndex = (e: Expr): boolean =>
  Math.abs(e.min) < MAX_INDEX && Math.abs(e.max) < MAX_INDEX;

/** An integer expression of sizes alone, as a size; undefined for any other. */
function asDim(e: Expr): Dim | undefined {
  if (e.type !== "i32") return undefined;
  if (e.kind === "const") return e.value;
  if (e.kind === "size") return e.dim;
  if (e.kind !== "binary" || (e.op !== "mul" && e.op !== "add")) return undefined;
  const [a, b] = [asDim(e.a), asDim(e.b)];
  if (a === undefined || b === undefined) return undefined;
  return e.op === "mul" ? mulDims(a, b) : addDims(a, b);
}

/** An integer as a sum: coefficients of axes, a constant, and terms that are neither. */
interface Linear {
  readonly axes: Map<number, Dim>;
  readonly atoms: Expr[];
  constant: Dim;
}

function addLinear(e: Expr, factor: Dim, into: Linear): void {
  if (e.kind === "axis") {
    into.axes.set(e.axis, addDims(into.axes.get(e.axis) ?? 0, factor));
    return;
  }
  const size = asDim(e);
  if (size !== undefined) {
    into.constant = addDims(into.constant, mulDims(size, factor));
    return;
  }
  if (e.kind === "binary" && (e.op === "add" || e.op === "sub")) {
    addLinear(e.a, factor, into);
    addLinear(e.b, e.op === "add" ? factor : negDim(factor), into);
    return;
  }
  if (e.kind === "binary" && e.op === "mul") {
    for (const [x, y] of [[e.a, e.b], [e.b, e.a]] as const) {
      const scale = asDim(y);
      if (scale !== undefined) return addLinear(x, mulDims(factor, scale), into);
    }
  }
  into.atoms.push(e);
}

function linear(e: Expr): Linear {
  const into: Linear = { axes: new Map(), atoms: [], constant: 0 };
  addLinear(e, 1, into);
  return into;
}

/** How much the integer `e` grows per step along `axis`; undefined when it is not one size. */
export function strideAlong(e: Expr, axis: number): Dim | undefined {
  if (!dependsOn(e, axis)) return 0;
  const { axes, atoms } = linear(e);
  return atoms.some((atom) => dependsOn(atom, axis)) ? undefined : axes.get(axis) ?? 0;
}

/** By how much the integer `b` is above `a` everywhere; undefined when it is not one number. */
export function distance(a: Expr, b: Expr): number | undefined {
  const into = linear(b);
  addLinear(a, -1, into);
  const isFixed = into.atoms.length === 0 && [...into.axes.values()].every((d) => d === 0);
  return isFixed && typeof into.constant === "number" ? into.constant : undefined;
}

/**
 * Whether an index stays within [-margin, size + margin) for all values of the axes, whatever the
 * symbols are. False also where that can not be told.
 */
export function staysWithin(
  index: Expr, size: Dim, margin: number, extents: ReadonlyMap<number, Dim>,
): boolean {
  const { axes, atoms, constant } = linear(index);
  if (atoms.length > 0) return false;
  let [low, high] = [constant, constant];
  for (const [axis, coefficient] of axes) {
    const extent = extents.get(axis);
    if (extent === undefined) return false;
    const span = mulDims(coefficient, addDims(extent, -1));
    if (dimAtLeast(coefficient, 0)) high = addDims(high, span);
    else if (dimAtLeast(0, coefficient)) low = addDims(low, span);
    else return false;
  }
  return dimAtLeast(addDims(low, margin), 0) && dimAtLeast(addDims(size, margin - 1), high);
}

/** Every maximal sum of axis multiples in the expressions. */
function linearSites(roots: readonly Expr[]): Map<number, Dim>[] {
  const sites: Map<number, Dim>[] = [];
  const seen = new Set<Expr>();
  const visit = (e: Expr): void => {
    if (seen.has(e) || factsOf(e).axes === 0) return;
    seen.add(e);
    const { axes, atoms } = e.type === "i32" ? linear(e)
      : { axes: new Map<number, Dim>(), atoms: [e] };
    if (axes.size > 0) sites.push(axes);
    for (const atom of atoms) {
      if (atom === e) operandsOf(e).forEach(visit);
      else visit(atom);
    }
  };
  roots.forEach(visit);
  return sites;
}

/** The same axis in a pool; one of extent 1 is no axis, so 0 is the last index of an empty one. */
const axisOf = (pool: ExprPool, { axis, max }: Expr & { kind: "axis" }): Expr =>
  pool.axis(axis, max === 0 ? 0 : max + 1);

/**
 * Copies an expression into a pool, with other expressions of that pool for some of its axes. The
 * other axes are copied too: a node that stayed in its old pool could be taken for another one.
 */
export function substitute(
  pool: ExprPool, root: Expr, axes: ReadonlyMap<number, Expr>, made = new Map<Expr, Expr>(),
): Expr {
  const copy = (e: Expr): Expr => {
    const before = made.get(e);
    if (before) return before;
    const after = build(e);
    made.set(e, after);
    return after;
  };
  const build = (e: Expr): Expr => {
    switch (e.kind) {
      case "const": return pool.const(e.value, e.type);
      case "axis": return axes.get(e.axis) ?? axisOf(pool, e);
      case "size": return pool.size(e.dim);
      case "acc": return pool.acc(e.type);
      case "load": return pool.load(e.buffer, copy(e.index), e.type, [e.min, e.max]);
      case "unary": return pool.unary(e.op, copy(e.a));
      case "binary": return pool.binary(e.op, copy(e.a), copy(e.b));
      case "select": return pool.select(copy(e.cond), copy(e.a), copy(e.b));
      case "guard": return pool.guard(copy(e.cond), copy(e.a), copy(e.b));
      case "cast": return pool.cast(copy(e.a), e.type);
      case "bitcast": return pool.bitcast(copy(e.a), e.type);
    }
  };
  return copy(root);
}

/** An axis under the number that expressions know it by. */
export interface NumberedAxis extends Axis {
  readonly number: number;
}

export const constantExtent = ({ extent }: Axis): number | undefined =>
  typeof extent === "number" ? extent : undefined;

export const numbered = (axes: readonly Axis[], first: number): NumberedAxis[] =>
  axes.map((axis, i) => ({ ...axis, number: first + i }));

export const extentsByNumber = (axes: readonly NumberedAxis[]): ReadonlyMap<number, Dim> =>
  new Map(axes.map(({ number, extent }) => [number, extent]));

/** Number of points of some axes. */
export const countOf = (axes: readonly NumberedAxis[]): Dim =>
  productOf(axes.map((axis) => axis.extent));

/** A size with every symbol replaced by `size`. */
export const roughly = (dim: Dim, size: number): number =>
  evalDim(dim, Object.fromEntries(symbolsOf(dim).map((name) => [name, size])));

export interface Nest {
  /** The groups given, each with as few axes as possible, numbered anew from 0 over all groups. */
  readonly groups: readonly (readonly NumberedAxis[])[];
  readonly roots: readonly Expr[];
}

/**
 * Fuses neighbours within each group: axes i and j, j inside i, become one where every index uses
 * them only as i * extent(j) + j. Axes of extent 1 disappear. The flat row-major position within a
 * group means the same before and after.
 */
export function collapse(
  groups: readonly (readonly NumberedAxis[])[], roots: readonly Expr[], pool = new ExprPool(),
): Nest {
  const sites = linearSites(roots);
  const fuses = (i: NumberedAxis, j: NumberedAxis): boolean => sites.every((site) =>
    dimsEqual(site.get(i.number) ?? 0, mulDims(site.get(j.number) ?? 0, j.extent)));
  const replaced = new Map<number, Expr>();
  let next = 0;
  const fused = groups.map((axes) => {
    const chains: NumberedAxis[][] = [];
    for (const axis of axes) {
      if (axis.extent === 1) {
        replaced.set(axis.number, pool.const(0));
        continue;
      }
      const last = chains.at(-1);
      if (last && fuses(last.at(-1) as NumberedAxis, axis)) last.push(axis);
      else chains.push([axis]);
    }
    return chains.map((chain): NumberedAxis => {
      const made = {
        name: chain.map((a) => a.name).join("_"), extent: productOf(chain.map((a) => a.extent)),
        number: next++,
      };
      for (const axis of chain) replaced.set(axis.number, pool.const(0));
      const inner = chain.at(-1) as NumberedAxis;
      replaced.set(inner.number, pool.axis(made.number, made.extent));
      return made;
    });
  });
  const copies = new Map<Expr, Expr>();
  return { groups: fused, roots: roots.map((root) => substitute(pool, root, replaced, copies)) };
}
