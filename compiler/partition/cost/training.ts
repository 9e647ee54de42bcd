/**
 * The cost of one training step of a placed model on one sample: BP-EP (Nest and Ernoult, arXiv
 * 2409.03306), which runs every analog block in a free and several nudged phases, carries what
 * crosses the boundary in every phase, updates the cells, and differentiates the digital units as
 * usual. A unit is a block of its own, as an imported model has them; what its epilogue adds at the
 * columns' periphery is small beside its phases and left out.
 */
import type { HybridTarget, Target } from "../../../targets/schema.ts";
import { crossingCost, digitalCost } from "./digital.ts";
import { sumCosts, term, costOf, type Cost, type CostTerm } from "./cost.ts";
import { trainingStepCost, type TrainingStep } from "./block.ts";
import type { GraphFacts } from "../facts.ts";

/**
 * Digital work of a step over that of an inference: forward, and backward two products for each
 * one forward, to the operand and to the weights.
 */
const DIGITAL = 3;

/** Where the time, energy and area of a step go. */
export interface TrainingCost {
  /** Free and nudged phases of the analog units, and their weight updates. */
  readonly analog: Cost;
  readonly digital: Cost;
  /** What crosses: inputs and results in the free phase, nudges and gradients in the others. */
  readonly boundary: Cost;
  readonly total: Cost;
  readonly step: TrainingStep;
}

/** Centered estimates of the gradient, relaxations as long as the target's. */
export function usualStep(target: Target): TrainingStep {
  const sweeps = target.kind === "hybrid" ? target.settle.sweeps.value : 1;
  return { freeSweeps: sweeps, nudgedSweeps: sweeps, nudges: 2 };
}

/**
 * @param target whose digital side runs the other units
 * @param analog id of every analog unit, and the target whose arrays hold it
 * @param step sweeps and phases; the usual ones unless given
 */
export function trainingCost(
  facts: GraphFacts, target: Target, analog: ReadonlyMap<string, HybridTarget>,
  step: TrainingStep = usualStep(target),
): TrainingCost {
  const analogCosts: Cost[] = [];
  const digitalCosts: Cost[] = [];
  const crossings: Cost[] = [];
  for (const { id, shape, work } of facts.units) {
    const home = analog.get(id);
    if (home && shape) {
      analogCosts.push(trainingStepCost([shape], home, step));
      continue;
    }
    const { ops, bytesRead, bytesWritten, launches } = work;
    digitalCosts.push(digitalCost({
      ops: DIGITAL * ops, bytesRead: DIGITAL * bytesRead, bytesWritten: DIGITAL * bytesWritten,
      launches: DIGITAL * launches,
    }, target));
  }
  const phases = 1 + step.nudges;
  for (const { from, to, bytes } of facts.values) {
    const home = analog.get(from);
    const others = new Set(to.map((id) => analog.get(id)));
    others.delete(home);
    // Into the digital side from one target, out of it to another.
    const ends = [...others].flatMap((other) => [home, other]).filter((end) => end !== undefined);
    for (const end of ends) {
      crossings.push(costOf(crossingCost(bytes, end).terms.map((t) => times(t, phases))));
    }
  }
  const [analogSum, digital, boundary] = [analogCosts, digitalCosts, crossings].map(byName) as
    [Cost, Cost, Cost];
  return {
    analog: analogSum, digital, boundary, step,
    total: sumCosts([analogSum, digital, boundary]),
  };
}

const times = (t: CostTerm, n: number): CostTerm => ({
  ...t, formula: `${n} phases x (${t.formula})`, value: n * t.value, energyJ: n * t.energyJ,
  latencyS: n * t.latencyS,
});

/** Terms of many units with equal names as one: a step is read as a whole. */
function byName(costs: readonly Cost[]): Cost {
  const groups = new Map<string, CostTerm[]>();
  for (const t of costs.flatMap((cost) => cost.terms)) {
    const key = `${t.name}\n${t.unit}\n${t.source}`;
    groups.set(key, [...(groups.get(key) ?? []), t]);
  }
  return costOf([...groups.values()].map((terms) => {
    const [first] = terms as [CostTerm];
    const sum = (of: (t: CostTerm) => number): number => terms.reduce((s, t) => s + of(t), 0);
    return term({
      name: first.name, unit: first.unit, source: first.source,
      formula: terms.length === 1 ? first.formula : `sum over ${terms.length} terms`,
      value: sum((t) => t.value), energyJ: sum((t) => t.energyJ), latencyS: sum((t) => t.latencyS),
      areaM2: sum((t) => t.areaM2),
    });
  }));
}
