/**
 * How one layer moves when the others are held. With F = G(s_l) + U + beta*C:
 *
 *   exact      F is G plus a linear term: s_l = act(pre_l) is the minimiser
 *   quadratic  U + beta*C has curvature d, the same for all s_l and per unit, and G is a parabola
 *              of curvature k: s_l = clamp((pre_l + d*s_l)/(k + d)) is the minimiser. A linear
 *              output under squared error gives (v + beta*y)/(1 + beta) this way; a resistive
 *              network gives its weighted mean
 *   iterated   neither: s_l = (1-eta)*s_l + eta*act(pre_l), whose fixed points are the stationary
 *              ones. Cross-entropy nudges are, with eta = 1
 *
 * Which one applies is found by differentiating the force twice, not declared.
 */
import { Builder } from "../graph/builder.ts";
import type { Value } from "../graph/graph.ts";
import { vjp } from "../passes/gradient.ts";
import { addBlockInputs } from "./block.ts";
import { real } from "./constants.ts";
import { linearityIn } from "./diagonal.ts";
import { dependsOn, forcesIn, stateName, type Block } from "./field.ts";
import { valueOf } from "./inline.ts";
import { addNudgeInputs, nudgeEnergyIn, type Nudge } from "./nudge.ts";
import { activate, clampTo, unitRule, type Unit } from "./units.ts";

export type LayerKind = "exact" | "quadratic" | "iterated";

export interface Layout {
  /** How each state is updated. */
  readonly kinds: readonly LayerKind[];
  /** couplings[l] holds every other state that the force on state l depends on. */
  readonly couplings: readonly ReadonlySet<number>[];
}

/** What moves a layer: its pre-activation, and for quadratic layers d, per unit. */
export interface LayerForce {
  readonly force: Value;
  readonly curvature: Value | undefined;
}

/** Finds out how each state of a block can be minimised, and which states see each other. */
export function layoutOf(block: Block, nudge: Nudge): Layout {
  const b = new Builder("scratch");
  const values = addBlockInputs(b, block);
  addNudgeInputs(b, nudge, block, values);
  const all = block.states.map((_, l) => l);
  const forces = forcesIn(b, block, values, all, nudgeEnergyIn(b, nudge, block, values));
  const states = all.map((l) => valueOf(values, stateName(block, l)));
  const kinds = forces.map((force, l): LayerKind => {
    const state = states[l] as Value;
    const probe = b.input(`probe.${l}`, state.type);
    const product = vjp(b, [force], [probe], [state])[0] as Value;
    const linearity = linearityIn(product, probe);
    if (linearity === "zero") return "exact";
    const unit = (block.states[l] as { readonly unit: Unit }).unit;
    const parabola = unitRule(unit).curvature(unit as never) !== undefined;
    return linearity === "diagonal" && parabola && !dependsOn(product, state)
      ? "quadratic" : "iterated";
  });
  const couplings = forces.map((force, l) =>
    new Set(all.filter((m) => m !== l && dependsOn(force, states[m] as Value))));
  return { kinds, couplings };
}

/** The state after its update, from its force (pre-activation) at the current states. */
export function updatedState(
  b: Builder, unit: Unit, kind: LayerKind, state: Value, forces: LayerForce, damping: number,
): Value {
  const { force, curvature } = forces;
  if (kind === "exact") return activate(b, force, unit);
  const rule = unitRule(unit);
  if (kind === "quadratic") {
    const k = rule.curvature(unit as never) as number;
    const d = curvature as Value;
    const rest = b.addition(force, b.mul(d, state));
    const { low, high } = rule.domain(unit as never);
    return clampTo(b, b.div(rest, b.addition(real(b, k, d), d)), low, high);
  }
  if (damping === 1) return activate(b, force, unit);
  const next = activate(b, force, unit);
  return b.addition(b.mul(real(b, 1 - damping, state), state), b.mul(real(b, damping, next), next));
}
