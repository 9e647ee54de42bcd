/**
 * The Pareto front of placements in energy, latency and area. Points on its convex hull come from
 * minimum cuts over many weights, each proved; points between them, which no weighted sum can find,
 * from the mixed-integer program with an upper limit, when a solver is given. Nothing dominated is
 * returned, and every point says how it was found. Quality is the caller's fourth coordinate.
 */
import { minimumCut } from "./minimumCut.ts";
import { solvePlacement } from "./milp.ts";
import type { MilpSolver } from "./milp.ts";
import { lowerHull } from "./parametric.ts";
import { problemOf } from "./placementProblem.ts";
import { AREA, ENERGY, LATENCY, allowed, evaluate } from "./unitGraph.ts";
import type { Assignment, Placement, Totals, UnitGraph, Weights } from "./unitGraph.ts";

export interface FrontPoint {
  readonly assignment: Assignment;
  readonly totals: Totals;
  /** hull: best for some weights. limited: least energy under a latency or area limit. */
  readonly found: "hull" | "limited";
}

export interface FrontOptions {
  /** Points to look for; the front may have fewer. */
  readonly points?: number;
  /** Finds points above the hull; without it the front is the hull's. */
  readonly solve?: MilpSolver | undefined;
}

const KEYS = ["energyJ", "latencyS", "areaM2"] as const;
/** Two points closer than this in every coordinate, relatively, are one. */
const SAME = 1e-9;
/** Weight of the other objectives under a limit: breaks ties, moves the optimum by no more. */
const TIE = 1e-6;

/** q is nowhere worse than p and somewhere clearly better. */
export function dominates(q: Totals, p: Totals): boolean {
  return (
    KEYS.every((key) => q[key] <= p[key] * (1 + SAME)) &&
    KEYS.some((key) => q[key] < p[key] * (1 - SAME))
  );
}

const alike = (a: Totals, b: Totals): boolean =>
  KEYS.every((key) => Math.abs(a[key] - b[key]) <= SAME * Math.max(a[key], b[key]));

/** The points that no other dominates, one of each kind, by energy. */
export function nonDominated<P extends { readonly totals: Totals }>(points: readonly P[]): P[] {
  return points
    .filter(
      (p, i) =>
        !points.some(
          (q, j) => dominates(q.totals, p.totals) || (j < i && alike(q.totals, p.totals)),
        ),
    )
    .sort((a, b) => a.totals.energyJ - b.totals.energyJ || a.totals.latencyS - b.totals.latencyS);
}

/** The front, sorted by energy. */
export function paretoFront(
  graph: UnitGraph,
  { points = 24, solve }: FrontOptions = {},
): FrontPoint[] {
  const hull = hullPoints(graph, points);
  const front = nonDominated(hull);
  if (solve === undefined || front.length >= points) return front;
  const limited = [...front];
  // Most of the missing points lie in the widest gaps: energy against latency, then area.
  for (const key of ["latencyS", "areaM2"] as const) {
    const missing = points - nonDominated(limited).length;
    for (const limit of widestGaps(nonDominated(limited), key, missing)) {
      const point = underLimit(graph, key, limit, solve);
      if (point !== undefined) limited.push(point);
    }
  }
  return nonDominated(limited);
}

/** Pairwise hulls, and weights between all three, on scales of the three best values. */
function hullPoints(graph: UnitGraph, points: number): FrontPoint[] {
  const found: FrontPoint[] = [];
  const keep = ({ assignment, totals }: { assignment: Assignment; totals: Totals }): void => {
    found.push({ assignment, totals, found: "hull" });
  };
  const pairs: [Weights, Weights][] = [
    [ENERGY, LATENCY],
    [ENERGY, AREA],
    [LATENCY, AREA],
  ];
  for (const [x, y] of pairs) {
    for (const { result } of lowerHull(graph, x, y, { maxCuts: 4 * points }).points) keep(result);
  }
  const scale = (key: keyof Totals): number =>
    Math.max(...found.map(({ totals }) => totals[key])) || 1;
  const unit = { energy: scale("energyJ"), latency: scale("latencyS"), area: scale("areaM2") };
  const steps = 6;
  for (let i = 1; i < steps - 1; i++) {
    for (let j = 1; j < steps - i; j++) {
      const weights: Weights = {
        energy: i / steps / unit.energy,
        latency: j / steps / unit.latency,
        area: (steps - i - j) / steps / unit.area,
      };
      keep(minimumCut(graph, weights));
    }
  }
  return found;
}

/** Values of one coordinate in the middle of the widest gaps of a front. */
function widestGaps(front: readonly FrontPoint[], key: keyof Totals, count: number): number[] {
  const values = [...new Set(front.map(({ totals }) => totals[key]))].sort((a, b) => a - b);
  const gaps: { from: number; to: number }[] = [];
  values.forEach((from, i) => {
    const to = values[i + 1];
    if (to !== undefined && to > from * (1 + SAME)) gaps.push({ from, to });
  });
  const limits: number[] = [];
  while (limits.length < count && gaps.length > 0) {
    gaps.sort((a, b) => a.to - a.from - (b.to - b.from));
    const { from, to } = gaps.pop() as { from: number; to: number };
    const middle = (from + to) / 2;
    limits.push(middle);
    gaps.push({ from, to: middle }, { from: middle, to });
  }
  return limits;
}

/** Least energy with one coordinate below a limit. */
function underLimit(
  graph: UnitGraph,
  key: "latencyS" | "areaM2",
  limit: number,
  solve: MilpSolver,
): FrontPoint | undefined {
  const best = minimumCut(graph, ENERGY).totals;
  const per = (k: keyof Totals): number => (best[k] === 0 ? 0 : best.energyJ / best[k]);
  const objective = { energy: 1, latency: TIE * per("latencyS"), area: TIE * per("areaM2") };
  const problem = problemOf(graph, { limits: { [key]: limit }, objective });
  const result = solvePlacement(problem, solve);
  if (!result.feasible) return undefined;
  const assignment = new Map<string, Placement>(
    graph.units.map((u) => [u.id, allowed(u)[result.choice.get(u.id) ?? 0] ?? "digital"]),
  );
  return { assignment, totals: evaluate(graph, assignment), found: "limited" };
}
