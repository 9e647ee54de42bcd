/**
 * The Pareto front of placements in energy, latency, area and, where it was predicted, noise.
 * Points on its convex hull come from minimum cuts over many weights, each proved; points between
 * them, which no weighted sum can find, when a solver is given: from all placements where there are
 * few, else from the mixed-integer program with an upper limit. Nothing dominated is returned, and
 * every point says how it was found.
 */
import { solvePlacement } from "./milp.ts";
import { lowerHull } from "./parametric.ts";
import { isMixed, minimiser, type Minimise, type PlaceOptions } from "./place.ts";
import { feasible, outcome, placementOf, problemOf, type Choice } from "./placementProblem.ts";
import { joinTied } from "./tied.ts";
import {
  AREA, ENERGY, LATENCY, NOISE, TOTALS, evaluate, totalOf, waysOf, weigh,
} from "./unitGraph.ts";
import type { Assignment, Totals, UnitGraph, Ways, Weights } from "./unitGraph.ts";

export interface FrontPoint {
  readonly assignment: Assignment;
  readonly ways: Ways;
  readonly totals: Totals;
  /**
   * hull: best for some weights. limited: least energy under a limit on one other total.
   * listed: every placement was looked at.
   */
  readonly found: "hull" | "limited" | "listed";
}

/** With `solve`, points above the hull are found too; it is needed where arrays are limited. */
export interface FrontOptions extends PlaceOptions {
  /** Points to look for; the front may have fewer. */
  readonly points?: number;
}

/** Two points closer than this in every coordinate, relatively, are one. */
const SAME = 1e-9;
/** Weight of the other objectives under a limit: breaks ties, moves the optimum by no more. */
const TIE = 1e-6;
/** Placements of which every one is looked at. */
const FEW = 1024;
/** Gaps narrower than this part of the whole range are not searched. */
const NARROW = 1e-3;

/** q is nowhere worse than p and somewhere clearly better. */
export function dominates(q: Totals, p: Totals): boolean {
  return (
    TOTALS.every((key) => totalOf(q, key) <= totalOf(p, key) * (1 + SAME)) &&
    TOTALS.some((key) => totalOf(q, key) < totalOf(p, key) * (1 - SAME))
  );
}

const alike = (a: Totals, b: Totals): boolean =>
  TOTALS.every((key) => {
    const [x, y] = [totalOf(a, key), totalOf(b, key)];
    return Math.abs(x - y) <= SAME * Math.max(x, y);
  });

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
export function paretoFront(graph: UnitGraph, options: FrontOptions = {}): FrontPoint[] {
  const { graph: joined, split } = joinTied(graph);
  return frontOf(joined, options).map(split);
}

function frontOf(graph: UnitGraph, options: FrontOptions): FrontPoint[] {
  const { points = 24, solve } = options;
  const objectives = objectivesOf(graph);
  // A mixed-integer program takes a hundred times as long as a cut.
  const isCut = options.arrays === undefined && !isMixed(graph);
  const cuts = isCut ? points + 8 : Math.ceil(points / 2);
  const search = { cuts, minimise: minimiser(options) };
  let front = nonDominated(hullPoints(graph, objectives, search));
  if (solve === undefined || front.length >= points) return front;
  const every = listed(graph, options);
  if (every !== undefined) return nonDominated([...front, ...every]);
  // Most of the missing points lie in the widest gaps: energy against each other total.
  for (const { key } of objectives) {
    if (key === "energyJ" || front.length >= points) continue;
    front = nonDominated([...front, ...limitedPoints(graph, front, key, options)]);
  }
  return front;
}

/** Every placement that fits; undefined where there are too many. */
function listed(graph: UnitGraph, { arrays }: FrontOptions): FrontPoint[] | undefined {
  const problem = problemOf(graph, { arrays, objective: ENERGY });
  const count = problem.units.reduce((product, { options }) => product * options.length, 1);
  if (count > FEW) return undefined;
  let all: Choice[] = [new Map()];
  for (const { id, options } of problem.units) {
    all = options.flatMap((_, o) => all.map((choice) => new Map(choice).set(id, o)));
  }
  return all.filter((choice) => feasible(problem, outcome(problem, choice)))
    .map((choice) => placed(graph, choice, "listed"));
}

function placed(graph: UnitGraph, choice: Choice, found: FrontPoint["found"]): FrontPoint {
  const { assignment, ways } = placementOf(graph, choice);
  return { assignment, ways, totals: evaluate(graph, assignment, ways), found };
}

interface Objective {
  readonly key: keyof Totals;
  readonly weights: Weights;
}

const OBJECTIVES: readonly Objective[] = [
  { key: "energyJ", weights: ENERGY },
  { key: "latencyS", weights: LATENCY },
  { key: "areaM2", weights: AREA },
  { key: "noise", weights: NOISE },
];

/** The totals that any unit or value of the graph has at all. */
function objectivesOf({ units, values }: UnitGraph): Objective[] {
  const costs = [
    ...units.flatMap((u) => [u.digital, ...waysOf(u).map(({ cost }) => cost)]),
    ...values.flatMap((v) => [v.toAnalog, v.toDigital]),
  ];
  const found = OBJECTIVES.filter(({ key }) => costs.some((cost) => totalOf(cost, key) > 0));
  return found.length > 0 ? found : OBJECTIVES.slice(0, 1);
}

interface Search {
  /** Placements to try on each hull. */
  readonly cuts: number;
  readonly minimise: Minimise;
}

/** Pairwise hulls, and weights between all objectives, on scales of the hulls' largest values. */
function hullPoints(
  graph: UnitGraph, objectives: readonly Objective[], { cuts, minimise }: Search,
): FrontPoint[] {
  const found: FrontPoint[] = [];
  const keep = ({ assignment, ways, totals }: Omit<FrontPoint, "found">): void => {
    found.push({ assignment, ways, totals, found: "hull" });
  };
  if (objectives.length === 1) keep(minimise(graph, (objectives[0] as Objective).weights));
  objectives.forEach(({ weights: x }, i) => {
    for (const { weights: y } of objectives.slice(i + 1)) {
      const hull = lowerHull(graph, x, y, { maxCuts: cuts, minimise });
      for (const { result } of hull.points) keep(result);
    }
  });
  const scales = objectives.map(
    ({ key }) => Math.max(...found.map(({ totals }) => totalOf(totals, key))) || 1,
  );
  for (const shares of simplex(objectives.length, MIXED_STEPS)) {
    const weights = objectives.reduce<Weights>((sum, { weights: w }, i) => {
      const share = (shares[i] as number) / (scales[i] as number);
      return {
        energy: sum.energy + w.energy * share,
        latency: sum.latency + w.latency * share,
        area: sum.area + w.area * share,
        noise: (sum.noise ?? 0) + (w.noise ?? 0) * share,
      };
    }, { energy: 0, latency: 0, area: 0 });
    keep(minimise(graph, weights));
  }
  return found;
}

const MIXED_STEPS = 6;

/** All ways to write `total` as `parts` whole numbers of at least 1. */
function simplex(parts: number, total: number): number[][] {
  if (parts === 1) return [[total]];
  const all: number[][] = [];
  for (let first = 1; first <= total - parts + 1; first++) {
    for (const rest of simplex(parts - 1, total - first)) all.push([first, ...rest]);
  }
  return all;
}

/** Points of least energy, one limit after the other, in the widest gaps of one total. */
function limitedPoints(
  graph: UnitGraph,
  front: readonly FrontPoint[],
  key: keyof Totals,
  options: FrontOptions,
): FrontPoint[] {
  const { points = 24 } = options;
  const values = [...new Set(front.map(({ totals }) => totalOf(totals, key)))]
    .sort((a, b) => a - b);
  const width = (values.at(-1) ?? 0) - (values[0] ?? 0);
  const gaps = values.slice(1).map((to, i) => ({ from: values[i] as number, to }));
  const found: FrontPoint[] = [];
  const best = minimiser(options)(graph, ENERGY).totals;
  let solves = 2 * points;
  while (solves-- > 0 && front.length + found.length < points) {
    gaps.sort((a, b) => a.to - a.from - (b.to - b.from));
    const gap = gaps.pop();
    if (gap === undefined || gap.to - gap.from <= NARROW * width) break;
    const middle = (gap.from + gap.to) / 2;
    gaps.push({ from: middle, to: gap.to });
    const point = underLimit(graph, best, { [key]: middle }, options);
    // What is best below the middle is best down to its own value too.
    const reached = point === undefined ? gap.from : totalOf(point.totals, key);
    if (point === undefined || reached <= gap.from * (1 + SAME)) continue;
    found.push(point);
    gaps.push({ from: gap.from, to: reached });
  }
  return found;
}

/**
 * Least energy with other totals below limits.
 * @param best the totals at least energy without limits, which scale the weights that break ties
 */
function underLimit(
  graph: UnitGraph,
  best: Totals,
  limits: Partial<Totals>,
  { arrays, solve }: FrontOptions,
): FrontPoint | undefined {
  const per = (k: keyof Totals): number => {
    const value = totalOf(best, k);
    return value === 0 ? 0 : (TIE * best.energyJ) / value;
  };
  const objective: Weights = {
    energy: 1, latency: per("latencyS"), area: per("areaM2"), noise: per("noise"),
  };
  // Nothing to minimise: no placement costs any energy.
  if (solve === undefined || weigh(best, objective) === 0) return undefined;
  const problem = problemOf(graph, { arrays, limits, objective });
  const result = solvePlacement(problem, solve);
  if (!result.feasible) return undefined;
  return placed(graph, result.choice, "limited");
}
