/**
 * Sweeps over the multiplier between two additive objectives. Every vertex of the lower convex hull
 * of all placements is the optimum of one weighted sum, found by one minimum cut; between two known
 * vertices the weights that make them equal tell whether there is a third (Eisner and Severance,
 * JACM 23, 1976). Points of the front above the hull need `milp.ts`, which also takes the cut's
 * place where arrays are limited: the argument holds for any set of placements.
 *
 * The energy-delay product is exact: E T is quasi-concave for positive E and T, so its minimum over
 * any set lies at an extreme point of the set's convex hull, and because it grows in both, on the
 * lower hull, whose vertices are visited until none can be better. There is no duality gap; the
 * bound returned carries only the cuts' rounding.
 */
import { minimumCut } from "./minimumCut.ts";
import type { CutResult } from "./minimumCut.ts";
import { ENERGY, LATENCY, weigh } from "./unitGraph.ts";
import type { UnitGraph, Weights } from "./unitGraph.ts";

/** A vertex of the hull, and the supporting line between it and the next vertex. */
export interface HullPoint {
  readonly result: CutResult;
  readonly x: number;
  readonly y: number;
  /** wx x + wy y >= bound for every placement; undefined at the last vertex. */
  readonly edge?: { readonly wx: number; readonly wy: number; readonly bound: number } | undefined;
}

export interface Hull {
  /** From the best in x to the best in y. */
  readonly points: readonly HullPoint[];
  /** No placement is below these. */
  readonly xBound: number;
  readonly yBound: number;
  /** False when `maxCuts` stopped the search before every vertex was found. */
  readonly complete: boolean;
}

export interface HullOptions {
  /** Cuts to spend; a hull of k vertices needs 2 k + 1. */
  readonly maxCuts?: number;
  /** What answers a weighted sum, exactly; minimum cuts unless arrays are limited. */
  readonly minimise?: (graph: UnitGraph, weights: Weights) => CutResult;
}

/** Two hull points closer than this, relative to the objective, are one. */
const SAME = 1e-12;
/** What the rounding of cuts can amount to in a product of two sums. */
const ROUNDING = 1e-10;

function combine(x: Weights, wx: number, y: Weights, wy: number): Weights {
  return {
    energy: x.energy * wx + y.energy * wy,
    latency: x.latency * wx + y.latency * wy,
    area: x.area * wx + y.area * wy,
    noise: (x.noise ?? 0) * wx + (y.noise ?? 0) * wy,
  };
}

const pointOf = (result: CutResult, x: Weights, y: Weights): HullPoint => ({
  result,
  x: weigh(result.totals, x),
  y: weigh(result.totals, y),
});

/**
 * c lies clearly below the line through a and b. Where the ends are ties it may lie a rounding
 * outside them; then it dominates one, and the next step sees that.
 */
function isBelow(c: HullPoint, a: HullPoint, b: HullPoint): boolean {
  const wx = a.y - b.y;
  const wy = b.x - a.x;
  return wx * c.x + wy * c.y < (wx * a.x + wy * a.y) * (1 - SAME);
}

/** All vertices of the lower convex hull of the placements in two additive objectives. */
export function lowerHull(
  graph: UnitGraph,
  x: Weights,
  y: Weights,
  { maxCuts = 1000, minimise = minimumCut }: HullOptions = {},
): Hull {
  const xBest = minimise(graph, x);
  const yBest = minimise(graph, y);
  const first = pointOf(xBest, x, y);
  const last = pointOf(yBest, x, y);
  // Found so far, from the best in x to the best in y; `open` are those not done with the next.
  const vertices: HullPoint[] = [first, last];
  const open = new Set<HullPoint>([first]);
  const next = (a: HullPoint): HullPoint => vertices[vertices.indexOf(a) + 1] as HullPoint;
  // The triangle between two vertices: where it is largest, most of the hull may be missing.
  const room = (a: HullPoint): number => (a.y - next(a).y) * (next(a).x - a.x);
  for (let cuts = 2; open.size > 0 && cuts < maxCuts; ) {
    const a = [...open].reduce((p, q) => (room(q) > room(p) ? q : p));
    const b = next(a);
    const [wx, wy] = [a.y - b.y, b.x - a.x];
    open.delete(a);
    // One of the two is at least as good in both.
    if (!(wx > 0 && wy > 0)) continue;
    cuts++;
    const result = minimise(graph, combine(x, wx, y, wy));
    const c = pointOf(result, x, y);
    const at = vertices.indexOf(a);
    if (isBelow(c, a, b)) {
      vertices.splice(at + 1, 0, c);
      open.add(a).add(c);
    } else {
      vertices[at] = { ...a, edge: { wx, wy, bound: result.bound } };
    }
  }
  const complete = open.size === 0;
  const points = vertices.filter(
    (p, i, all) => !all.some((q, j) => dominates(q, p) || (q.x === p.x && q.y === p.y && j < i)),
  );
  return { points, xBound: xBest.bound, yBound: yBest.bound, complete };
}

const dominates = (q: HullPoint, p: HullPoint): boolean =>
  q.x <= p.x && q.y <= p.y && (q.x < p.x || q.y < p.y);

/** The placement with the smallest energy-delay product, with a bound on every other. */
export interface ProductResult extends CutResult {
  /** Vertices of the energy-latency hull that were visited. */
  readonly vertices: number;
}

/** wx x + wy y >= level holds for every placement. */
interface Line {
  readonly wx: number;
  readonly wy: number;
  readonly level: number;
}

/** Two neighbours on the hull so far, and the lines known to support it at either. */
interface Segment {
  readonly a: HullPoint;
  readonly b: HullPoint;
  readonly left: Line;
  readonly right: Line;
  /** No placement between the two has a smaller product. */
  readonly floor: number;
}

/** Relative; infinite where a sum was not proved. */
const gapOf = ({ objective, bound, optimal }: CutResult): number =>
  !optimal ? Infinity : objective === 0 ? 0 : (objective - bound) / objective;

/** Where two lines meet. */
function corner(p: Line, q: Line): { x: number; y: number } {
  const det = p.wx * q.wy - q.wx * p.wy;
  return {
    x: (p.level * q.wy - q.level * p.wy) / det,
    y: (p.wx * q.level - q.wx * p.level) / det,
  };
}

/**
 * Smallest product of energy and latency over all placements, exact. Best first: what lies between
 * two vertices lies above two lines, along which the product is concave and so smallest where they
 * meet or at a vertex; stretches that cannot hold a smaller product are not searched.
 */
export function minimumProduct(
  graph: UnitGraph,
  { maxCuts = 1000, minimise = minimumCut }: HullOptions = {},
): ProductResult {
  const product = ({ x, y }: { x: number; y: number }): number => x * y;
  const ends = [minimise(graph, ENERGY), minimise(graph, LATENCY)] as const;
  // How far the sums themselves are from proved: nothing for cuts, a tolerance for a solver.
  let gap = Math.max(...ends.map(gapOf));
  const first = pointOf(ends[0], ENERGY, LATENCY);
  const last = pointOf(ends[1], ENERGY, LATENCY);
  let best = product(first) <= product(last) ? first : last;
  const floors: number[] = [product(first), product(last)];
  const open: Segment[] = [];
  const consider = (a: HullPoint, b: HullPoint, left: Line, right: Line): void => {
    const lowest = Math.min(product(a), product(b), product(corner(left, right)));
    if (a.y > b.y && b.x > a.x) open.push({ a, b, left, right, floor: lowest });
    else floors.push(lowest);
  };
  const above: Line = { wx: 0, wy: 1, level: ends[1].bound };
  consider(first, last, { wx: 1, wy: 0, level: ends[0].bound }, above);
  let vertices = 2;
  let cuts = 2;
  while (open.length > 0 && cuts < maxCuts) {
    open.sort((p, q) => q.floor - p.floor);
    const { a, b, left, right, floor } = open[open.length - 1] as Segment;
    if (floor >= product(best)) break;
    open.pop();
    cuts++;
    const wx = a.y - b.y;
    const wy = b.x - a.x;
    const result = minimise(graph, combine(ENERGY, wx, LATENCY, wy));
    gap = Math.max(gap, gapOf(result));
    const line: Line = { wx, wy, level: result.bound };
    const c = pointOf(result, ENERGY, LATENCY);
    if (isBelow(c, a, b)) {
      vertices++;
      if (product(c) < product(best)) best = c;
      consider(a, c, left, line);
      consider(c, b, line, right);
    } else {
      // Nothing lies below the line through the two: the smallest product is at one of them.
      const onLine = (x: number): number => (line.level - wx * x) / wy;
      floors.push(Math.max(floor, Math.min(a.x * onLine(a.x), b.x * onLine(b.x))));
    }
  }
  const objective = product(best);
  const lowest = Math.min(...floors, ...open.map(({ floor }) => floor));
  const bound = Math.min(objective, lowest * (1 - ROUNDING));
  const { assignment, ways, totals } = best.result;
  const slack = (10 * ROUNDING + 4 * gap) * objective;
  const optimal = gap < Infinity && objective - bound <= slack;
  return { assignment, ways, totals, objective, bound, optimal, vertices };
}
