/**
 * The objectives that a person can ask for, each with the exact method that answers it: a minimum
 * cut where nothing is limited, the mixed-integer program where arrays are, a sweep over the hull
 * for the energy-delay product, and the busiest resource for pipelined throughput.
 */
import { InternalError, UserError } from "../errors.ts";
import { solvePlacement, type MilpSolver, type Shortage } from "./milp.ts";
import { minimumCut, type CutResult } from "./minimumCut.ts";
import { minimumProduct } from "./parametric.ts";
import {
  placementOf, problemOf, type Arrays, type FromGraph, type Outcome,
} from "./placementProblem.ts";
import { joinTied } from "./tied.ts";
import {
  ENERGY, LATENCY, evaluate, homesOf, type UnitGraph, type Weights,
} from "./unitGraph.ts";

export const OBJECTIVES = ["energy", "latency", "edp", "throughput"] as const;
export type Objective = (typeof OBJECTIVES)[number];

export interface PlaceOptions {
  /** Arrays that there are; as many chips as it takes unless given. */
  readonly arrays?: Arrays | undefined;
  /** Needed with `arrays`, for throughput, and where there are several analog targets. */
  readonly solve?: MilpSolver | undefined;
}

/** Answers one additive objective. */
export type Minimise = (graph: UnitGraph, weights: Weights) => CutResult;

const rules: Record<Objective, (graph: UnitGraph, options: PlaceOptions) => CutResult> = {
  energy: (graph, options) => minimiser(options)(graph, ENERGY),
  latency: (graph, options) => minimiser(options)(graph, LATENCY),
  edp: (graph, options) => minimumProduct(graph, { minimise: minimiser(options) }),
  throughput,
};

/**
 * The best placement for an objective, with the bound that proves it.
 * @throws UserError when the pinned units need more arrays than there are: how many, and what fits
 */
export function place(
  graph: UnitGraph, objective: Objective, options: PlaceOptions = {},
): CutResult {
  const { graph: joined, split } = joinTied(graph);
  return split(rules[objective](joined, options));
}

/** How additive objectives are answered: by cuts where those are exact, or by the program. */
export function minimiser({ arrays, solve }: PlaceOptions): Minimise {
  return (graph, weights) => (arrays === undefined && !isMixed(graph)
    ? minimumCut(graph, weights) : solved(graph, { arrays, objective: weights }, solve).result);
}

/** Several analog targets: more than two sides, which no cut separates. */
export const isMixed = (graph: UnitGraph): boolean => homesOf(graph).size > 1;

/**
 * Least time between two inferences when units work as a pipeline: every unit's arrays are a stage
 * of their own, the digital side and the links are shared. Among equals, the least energy.
 */
function throughput(graph: UnitGraph, { arrays, solve }: PlaceOptions): CutResult {
  const limit = arrays === undefined ? {} : { arrays };
  const first = solved(graph, { ...limit, objective: "bottleneck" }, solve);
  const { bottleneckS } = first.outcome;
  const cheapest = solved(
    graph, { ...limit, limits: { bottleneckS }, objective: ENERGY }, solve,
  );
  const { assignment, ways, totals } = cheapest.result;
  const { bound, optimal } = first.result;
  return { assignment, ways, totals, objective: cheapest.outcome.bottleneckS, bound, optimal };
}

interface Solved {
  readonly result: CutResult;
  readonly outcome: Outcome;
}

function solved(graph: UnitGraph, from: FromGraph, solve: MilpSolver | undefined): Solved {
  if (solve === undefined) throw new InternalError("a limited placement was asked without solver");
  const result = solvePlacement(problemOf(graph, from), solve);
  if (!result.feasible) throw shortage(result.shortages, graph, from, solve);
  const { assignment, ways } = placementOf(graph, result.choice);
  const totals = evaluate(graph, assignment, ways);
  const { objective, bound, optimal, outcome } = result;
  return { result: { assignment, ways, totals, objective, bound, optimal }, outcome };
}

/** Which resource is short, by how much, and what would fit instead. */
function shortage(
  shortages: readonly Shortage[], graph: UnitGraph, from: FromGraph, solve: MilpSolver,
): UserError {
  const said = shortages.map(
    ({ resource, available, needed }) =>
      `${resource}: ${needed} needed, ${available} there, ${needed - available} short`,
  );
  const most = shortages.find(({ resource }) => resource.startsWith("arrays"));
  const fits = most === undefined ? "" : whatFits(graph, from, solve);
  return new UserError(`the placement does not fit (${said.join("; ")})`, {
    place: "--capacity",
    remedy: most === undefined ? "Raise the limit." : `Give ${most.needed} arrays; ${fits}`,
  });
}

/** The best that the arrays there are can hold, when no unit has to be analog. */
function whatFits(graph: UnitGraph, from: FromGraph, solve: MilpSolver): string {
  const free: UnitGraph = {
    ...graph, units: graph.units.map(({ pinned: _, ...unit }) => unit),
  };
  const { result } = solved(free, { ...from, limits: undefined }, solve);
  const analog = graph.units.filter((u) => result.assignment.get(u.id) === "analog");
  const names = analog.slice(0, 8).map((u) => u.id).join(", ");
  const more = analog.length > 8 ? ` and ${analog.length - 8} more` : "";
  return analog.length === 0
    ? "with --analog auto everything runs digitally."
    : `with --analog auto these fit: ${names}${more}.`;
}
