/**
 * Placement with capacities, several targets, replicas and limits as a mixed-integer program, in
 * CPLEX LP text. The solver (HiGHS) is handed in, because it is loaded at run time; what it
 * returns is decoded, re-evaluated with exact sums and checked, so a fault of the text or of the
 * solver cannot pass as an optimum.
 *
 * One binary x per unit and option; one y in 0..1 per value and pair of places, forced up when the
 * value's producer is at the first place and some consumer at the second.
 */
import { InternalError } from "../errors.ts";
import { feasible, objectiveOf, outcome, LINK } from "./placementProblem.ts";
import type { Choice, Outcome, PlacementProblem } from "./placementProblem.ts";
import { HOST, TOTALS, totalOf, weigh } from "./unitGraph.ts";
import type { Totals } from "./unitGraph.ts";

export interface MilpSolution {
  readonly status: "optimal" | "infeasible" | "stopped";
  /** Variable name -> value; empty unless optimal. */
  readonly values: Readonly<Record<string, number>>;
}

/** Solves LP text to optimality: no gap, rows and integers kept to 1e-9. */
export type MilpSolver = (lp: string) => MilpSolution;

/** What is missing when nothing fits. */
export interface Shortage {
  readonly resource: string;
  readonly available: number;
  readonly needed: number;
}

export type PlacementResult =
  | {
      readonly feasible: true;
      readonly choice: Choice;
      readonly outcome: Outcome;
      readonly objective: number;
      /** No choice is better than this. */
      readonly bound: number;
      readonly optimal: boolean;
    }
  | { readonly feasible: false; readonly shortages: readonly Shortage[] };

/** Rows and integers are kept to this by the solver, per variable, relative to the scale. */
const TOLERANCE = 1e-9;
/** A scale this many times the objective is still good enough. */
const COARSE = 10;
/** Relative slack that a limit is checked with. */
const ACCURACY = 1e-6;

type Terms = Map<string, number>;

const add = (terms: Terms, name: string, coefficient: number): void => {
  terms.set(name, (terms.get(name) ?? 0) + coefficient);
};

interface Model {
  /** Cost of every variable, as totals. */
  readonly costs: Map<string, Totals>;
  readonly rows: { terms: Terms; sense: "<=" | ">=" | "="; bound: number }[];
  readonly binaries: string[];
  readonly fractions: string[];
  /** Resource -> terms of what is used, and of the seconds it is busy. */
  readonly uses: Map<string, Terms>;
  readonly busy: Map<string, Terms>;
}

const xName = (unit: number, option: number): string => `x${unit}_${option}`;

function modelOf(problem: PlacementProblem): Model {
  const model: Model = {
    costs: new Map(),
    rows: [],
    binaries: [],
    fractions: [],
    uses: new Map(),
    busy: new Map(),
  };
  const resource = (map: Map<string, Terms>, key: string): Terms => {
    const terms = map.get(key) ?? new Map<string, number>();
    map.set(key, terms);
    return terms;
  };
  const index = new Map(problem.units.map((unit, u) => [unit.id, u]));
  problem.units.forEach((unit, u) => {
    const one: Terms = new Map();
    unit.options.forEach((option, o) => {
      const x = xName(u, o);
      model.binaries.push(x);
      model.costs.set(x, option.cost);
      add(one, x, 1);
      for (const [key, amount] of Object.entries(option.uses ?? {})) {
        add(resource(model.uses, key), x, amount);
      }
      for (const [key, seconds] of Object.entries(option.busy ?? {})) {
        add(resource(model.busy, key), x, seconds);
      }
    });
    model.rows.push({ terms: one, sense: "=", bound: 1 });
  });

  /** Terms that are 1 when the unit is at the place, or a constant for the host. */
  const at = (id: string, place: string): { terms: string[]; constant: number } => {
    if (id === HOST) return { terms: [], constant: place === problem.hostPlace ? 1 : 0 };
    const u = index.get(id);
    const unit = u === undefined ? undefined : problem.units[u];
    if (u === undefined || unit === undefined) {
      throw new InternalError(`a value names unknown unit ${id}`);
    }
    const terms = unit.options.flatMap((o, k) => (o.place === place ? [xName(u, k)] : []));
    return { terms, constant: 0 };
  };
  const places = (id: string): string[] => {
    if (id === HOST) return [problem.hostPlace];
    const unit = problem.units[index.get(id) ?? -1];
    return [...new Set((unit?.options ?? []).map((o) => o.place))];
  };
  problem.values.forEach((value, v) => {
    for (const from of places(value.from)) {
      const targets = new Set(value.to.flatMap(places));
      targets.delete(from);
      [...targets].forEach((to, k) => {
        const cost = value.carry(from, to);
        if (cost === undefined) return;
        const y = `y${v}_${places(value.from).indexOf(from)}_${k}`;
        model.fractions.push(y);
        model.costs.set(y, cost);
        add(resource(model.busy, LINK), y, cost.latencyS);
        for (const id of value.to) {
          // y >= [producer at from] + [consumer at to] - 1
          const producer = at(value.from, from);
          const consumer = at(id, to);
          const terms: Terms = new Map([[y, 1]]);
          for (const x of [...producer.terms, ...consumer.terms]) add(terms, x, -1);
          const bound = producer.constant + consumer.constant - 1;
          model.rows.push({ terms, sense: ">=", bound });
        }
      });
    }
  });
  return model;
}

function linear(terms: Iterable<readonly [string, number]>): string {
  const parts: string[] = [];
  for (const [name, c] of terms) {
    if (c === 0) continue;
    parts.push(`${c < 0 ? "-" : "+"} ${Math.abs(c).toExponential(15)} ${name}`);
  }
  // LP format needs at least one term, and lines of bounded length.
  const text = parts.length === 0 ? ["+ 0 zero"] : parts;
  const lines: string[] = [];
  for (let i = 0; i < text.length; i += 6) lines.push(text.slice(i, i + 6).join(" "));
  return lines.join("\n  ");
}

type Goal = "objective" | "shortage";

/** What the text is scaled by, so that its numbers are near one whatever the units are. */
export interface Scaling {
  /** The objective is in multiples of this. */
  readonly scale: number;
  /**
   * Costs above this become this. With an objective already reached, twice it: a placement that
   * pays such a cost is worse either way, and the numbers keep to a range that solvers like.
   */
  readonly cap: number;
}

/** The problem as LP text. `shortage` relaxes every capacity and limit and minimises the excess. */
export function lpText(
  problem: PlacementProblem,
  goal: Goal = "objective",
  scaling?: Scaling,
): string {
  const model = modelOf(problem);
  const { scale, cap } = scaling ?? { scale: largestCost(problem, model), cap: Infinity };
  const rows = model.rows.map(
    ({ terms, sense, bound }, i) => `r${i}: ${linear(terms)} ${sense} ${bound}`,
  );
  const objective: Terms = new Map();
  let slacks = 0;
  const restrict = (name: string, terms: Terms, limit: number): void => {
    const unit = limit > 0 ? limit : 1;
    const scaled: Terms = new Map([...terms].map(([x, c]) => [x, c / unit]));
    if (goal === "shortage") {
      const slack = `s${slacks++}`;
      add(scaled, slack, -1);
      add(objective, slack, 1);
    }
    rows.push(`${name}: ${linear(scaled)} <= ${limit > 0 ? 1 : 0}`);
  };
  Object.entries(problem.capacity).forEach(([key, limit], i) => {
    restrict(`c${i}`, model.uses.get(key) ?? new Map(), limit);
  });
  TOTALS.forEach((key, i) => {
    const limit = problem.limits?.[key];
    if (limit === undefined) return;
    restrict(`l${i}`, new Map([...model.costs].map(([x, cost]) => [x, totalOf(cost, key)])), limit);
  });
  const longest = problem.limits?.bottleneckS;
  if (longest !== undefined) {
    [...model.busy.values()].forEach((terms, i) => restrict(`t${i}`, terms, longest));
  }
  if (goal === "objective" && problem.objective === "bottleneck") {
    objective.set("t", 1);
    [...model.busy.values()].forEach((terms, i) => {
      const stage: Terms = new Map([...terms].map(([x, c]) => [x, -Math.min(c, cap) / scale]));
      add(stage, "t", 1);
      rows.push(`b${i}: ${linear(stage)} >= 0`);
    });
  } else if (goal === "objective" && problem.objective !== "bottleneck") {
    for (const [x, cost] of model.costs) {
      add(objective, x, Math.min(weigh(cost, problem.objective), cap) / scale);
    }
  }
  return [
    "Minimize",
    `  goal: ${linear(objective)}`,
    "Subject To",
    ...rows.map((row) => `  ${row}`),
    "Bounds",
    ...model.fractions.map((y) => `  0 <= ${y} <= 1`),
    "  zero = 0",
    "Binary",
    ...model.binaries.map((x) => `  ${x}`),
    "End",
    "",
  ].join("\n");
}

function largestCost(problem: PlacementProblem, model: Model): number {
  let largest = 0;
  if (problem.objective === "bottleneck") {
    for (const terms of model.busy.values()) {
      for (const seconds of terms.values()) largest = Math.max(largest, seconds);
    }
  } else {
    for (const cost of model.costs.values()) {
      largest = Math.max(largest, weigh(cost, problem.objective));
    }
  }
  return largest === 0 ? 1 : largest;
}

/**
 * Solves a placement problem, or says which resource is short and by how much.
 * @throws InternalError when the solver's answer does not hold up
 */
export function solvePlacement(problem: PlacementProblem, solve: MilpSolver): PlacementResult {
  let scale = largestCost(problem, modelOf(problem));
  let best = attempt(problem, solve, { scale, cap: Infinity });
  if (best === undefined) return { feasible: false, shortages: shortagesOf(problem, solve) };
  // The solver's tolerances are relative to the scale: repeat with the objective itself as scale.
  while (best.objective > 0 && best.objective < scale / COARSE) {
    scale = best.objective;
    const next = attempt(problem, solve, { scale, cap: 2 * scale });
    if (next === undefined) throw new InternalError("the solver lost a placement it had found");
    if (next.objective < best.objective) best = next;
  }
  const { choice, outcome: result, objective } = best;
  const variables = problem.units.length * 2 + problem.values.length;
  const bound = objective * (1 - TOLERANCE * COARSE * (2 + 2 * variables));
  const optimal = objective - bound <= 100 * ACCURACY * objective;
  return { feasible: true, choice, outcome: result, objective, bound, optimal };
}

interface Attempt {
  readonly choice: Choice;
  readonly outcome: Outcome;
  readonly objective: number;
}

/** One call of the solver; undefined when nothing fits. */
function attempt(
  problem: PlacementProblem,
  solve: MilpSolver,
  scaling: Scaling,
): Attempt | undefined {
  const solution = solve(lpText(problem, "objective", scaling));
  if (solution.status === "infeasible") return undefined;
  if (solution.status !== "optimal") throw new InternalError("the solver stopped early");
  const choice = decode(problem, solution);
  const result = outcome(problem, choice);
  if (!feasible(problem, result, ACCURACY)) {
    throw new InternalError("the solver's placement breaks a capacity or limit");
  }
  return { choice, outcome: result, objective: objectiveOf(problem, result) };
}

function decode(problem: PlacementProblem, { values }: MilpSolution): Choice {
  const choice = new Map<string, number>();
  problem.units.forEach((unit, u) => {
    const chosen = unit.options.findIndex((_, o) => (values[xName(u, o)] ?? 0) > 0.5);
    if (chosen < 0) throw new InternalError(`the solver chose no option for unit ${unit.id}`);
    choice.set(unit.id, chosen);
  });
  return choice;
}

/** The placement that exceeds its resources least, in parts of each resource. */
function shortagesOf(problem: PlacementProblem, solve: MilpSolver): Shortage[] {
  const solution = solve(lpText(problem, "shortage"));
  if (solution.status !== "optimal") throw new InternalError("the relaxed problem has no solution");
  const { uses, totals, bottleneckS } = outcome(problem, decode(problem, solution));
  const needs: Shortage[] = [
    ...Object.entries(problem.capacity).map(([resource, available]) => ({
      resource,
      available,
      needed: uses.get(resource) ?? 0,
    })),
    ...TOTALS.flatMap((key) => {
      const available = problem.limits?.[key];
      return available === undefined
        ? []
        : [{ resource: key, available, needed: totalOf(totals, key) }];
    }),
    ...(problem.limits?.bottleneckS === undefined
      ? []
      : [{ resource: "bottleneckS", available: problem.limits.bottleneckS, needed: bottleneckS }]),
  ];
  return needs.filter(({ available, needed }) => needed > available * (1 + ACCURACY));
}
