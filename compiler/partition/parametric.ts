/**
 * Sweeps over the multiplier between two additive objectives. Every vertex of the lower convex hull
 * of all placements is the optimum of one weighted sum, found by one minimum cut; between two known
 * vertices the weights that make them equal tell whether there is a third (Eisner and Severance,
 * JACM 23, 1976). Points of the front above the hull need `milp.ts`.
 *
 * The energy-delay product is exact: E T is quasi-concave for positive E and T, so its minimum over
 * any set lies at an extreme point of the set's convex hull, and because it grows in both, on the
 * lower hull, whose vertices are all visited. There is no duality gap; the bound returned carries
 * only the cuts' rounding.
 */
import { minimumCut } from "./minimumCut.ts";
import type { CutResult } from "./minimumCut.ts";
import { ENERGY, LATENCY, weigh } from "./unitGraph.ts";
import type { Totals, UnitGraph, Weights } from "./unitGraph.ts";

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
}

/** Two hull points closer than this, relative to the objective, are one. */
const SAME = 1e-12;

function combine(x: Weights, wx: number, y: Weights, wy: number): Weights {
  return {
    energy: x.energy * wx + y.energy * wy,
    latency: x.latency * wx + y.latency * wy,
    area: x.area * wx + y.area * wy,
  };
}

/** All vertices of the lower convex hull of the placements in two additive objectives. */
export function lowerHull(
  graph: UnitGraph,
  x: Weights,
  y: Weights,
  { maxCuts = 1000 }: HullOptions = {},
): Hull {
  const point = (result: CutResult): HullPoint => ({
    result,
    x: weigh(result.totals, x),
    y: weigh(result.totals, y),
  });
  const xBest = minimumCut(graph, x);
  const yBest = minimumCut(graph, y);
  let cuts = 2;
  let complete = true;

  /** Vertices from `a` up to, without, `b`. */
  const between = (a: HullPoint, b: HullPoint): HullPoint[] => {
    const wx = a.y - b.y;
    const wy = b.x - a.x;
    // One of the two is at least as good in both.
    if (!(wx > 0 && wy > 0)) return [a];
    if (cuts >= maxCuts) {
      complete = false;
      return [{ ...a, edge: { wx, wy, bound: 0 } }];
    }
    cuts++;
    const result = minimumCut(graph, combine(x, wx, y, wy));
    const c = point(result);
    const inside = c.x >= a.x && c.x <= b.x && c.y <= a.y && c.y >= b.y;
    const lower = wx * c.x + wy * c.y < (wx * a.x + wy * a.y) * (1 - SAME);
    if (!(inside && lower)) return [{ ...a, edge: { wx, wy, bound: result.bound } }];
    return [...between(a, c), ...between(c, b)];
  };
  const first = point(xBest);
  const last = point(yBest);
  const points = [...between(first, last), last].filter(
    (p, i, all) => !all.some((q, j) => dominates(q, p) || (q.x === p.x && q.y === p.y && j < i)),
  );
  return { points, xBound: xBest.bound, yBound: yBest.bound, complete };
}

const dominates = (q: HullPoint, p: HullPoint): boolean =>
  q.x <= p.x && q.y <= p.y && (q.x < p.x || q.y < p.y);

/** The placement with the smallest energy-delay product, with a bound on every other. */
export interface ProductResult extends CutResult {
  /** Vertices of the energy-latency hull that were compared. */
  readonly vertices: number;
}

/** Smallest product of energy and latency over all placements, exact. */
export function minimumProduct(graph: UnitGraph, options: HullOptions = {}): ProductResult {
  const hull = lowerHull(graph, ENERGY, LATENCY, options);
  const product = ({ energyJ, latencyS }: Totals): number => energyJ * latencyS;
  let best = hull.points[0] as HullPoint;
  for (const candidate of hull.points) {
    if (product(candidate.result.totals) < product(best.result.totals)) best = candidate;
  }
  const objective = product(best.result.totals);
  const bound = Math.min(objective, productBound(hull));
  const { assignment, totals } = best.result;
  // The cuts' rounding, amplified by the division by a line's smaller weight, is far below this.
  const optimal = hull.complete && objective - bound <= 1e-8 * objective;
  return { assignment, totals, objective, bound, optimal, vertices: hull.points.length };
}

/**
 * No placement lies below a supporting line, nor left of xBound, nor below yBound; along a line the
 * product is concave, so its minimum over what the lines leave is at a corner of that region.
 */
function productBound({ points, xBound, yBound }: Hull): number {
  let bound = Infinity;
  points.forEach((a, i) => {
    const b = points[i + 1];
    if (a.edge === undefined || b === undefined) return;
    const { wx, wy, bound: level } = a.edge;
    const onLine = (x: number): number => Math.max(yBound, (level - wx * x) / wy);
    bound = Math.min(bound, a.x * onLine(a.x), b.x * onLine(b.x));
    if (i === 0) bound = Math.min(bound, xBound * onLine(xBound));
    if (i === points.length - 2) {
      const x = Math.max(xBound, (level - wy * yBound) / wx);
      bound = Math.min(bound, x * yBound);
    }
  });
  const only = points[0];
  if (bound === Infinity && only !== undefined) return xBound * yBound;
  return bound;
}
