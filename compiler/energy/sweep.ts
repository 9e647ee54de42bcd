/**
 * One sweep over a block's layers as a graph: states in, states out, under the same names, so that
 * a relaxation is this graph run again and again on two sets of buffers.
 *
 * Asynchronous order updates groups of layers that do not see each other, one group after the
 * other: each half-sweep minimises E exactly over its group, so E never rises (block-coordinate
 * descent; even and odd layers in a chain, found by colouring the couplings in general).
 * Synchronous order updates all layers from the old states.
 */
import { Builder } from "../graph/builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { vjp } from "../passes/gradient.ts";
import { addBlockInputs, type BlockSpec } from "./block.ts";
import { forcesIn, stateName, type Block } from "./field.ts";
import { finish, inlineGraph, valueOf } from "./inline.ts";
import { layoutOf, updatedState, type LayerKind, type Layout } from "./minimiser.ts";
import { addNudgeInputs, nudgeEnergyIn, type Nudge } from "./nudge.ts";
import type { Unit } from "./units.ts";

export const orders = ["asynchronous", "synchronous"] as const;
export type Order = (typeof orders)[number];

export interface SweepOptions {
  readonly nudge: Nudge;
  readonly order: Order;
  /**
   * The group to start with: the one of the first layer (free phase), or the one of the output
   * (nudged phase: what pulls at the output enters with the first half-sweep).
   */
  readonly start: "input" | "output";
  /** eta of iterated layers; 1 replaces the state, less approaches it. */
  readonly damping?: number | undefined;
  /**
   * Asymmetric correction for untied weights (Scurria et al., arXiv 2602.03670; reference
   * section 4.8): the nudged dynamics linearised at the free state s* have the transposed
   * Jacobian, v = pre(s*) + J^T (s - s*) - beta dC/ds. Needs the free states as `anchor.NAME`.
   */
  readonly isTransposed?: boolean | undefined;
}

export const residualName = "residual";
export const anchorName = (state: string): string => `anchor.${state}`;

/** Groups of states in the order in which a sweep updates them; a clamped output is in none. */
export function sweepGroups(
  block: BlockSpec, { couplings }: Layout, { nudge, order, start }: SweepOptions,
): number[][] {
  const moving = block.states.map((_, l) => l)
    .filter((l) => !(nudge.kind === "clamped" && l === block.output));
  if (order === "synchronous") return [moving];
  const groups: number[][] = [];
  for (const l of moving) {
    const sees = (m: number): boolean =>
      Boolean(couplings[l]?.has(m)) || Boolean(couplings[m]?.has(l));
    const home = groups.find((group) => !group.some(sees));
    if (home) home.push(l);
    else groups.push([l]);
  }
  if (start === "input") return groups;
  const first = groups.findIndex((group) => group.includes(block.output));
  return first < 0 ? groups.reverse()
    : [groups[first] as number[], ...groups.filter((_, i) => i !== first).reverse()];
}

/**
 * The graph of one sweep; its outputs are the states that move. With `groups`, of an update of just
 * these groups in this order.
 */
export function sweepGraph(
  block: Block, options: SweepOptions, groups?: readonly (readonly number[])[],
): Graph {
  const { nudge, damping = 1 } = options;
  const layout = layoutOf(block, nudge);
  const forces = forceGraph(block, options, layout);
  const b = new Builder(`${block.name}.sweep`);
  const before = new Map(forces.inputs.map((v) => [v.name, b.input(v.name, v.type)]));
  let now = before;
  for (const group of groups ?? sweepGroups(block, layout, options)) {
    const names = group.map((l) => stateName(block, l));
    const wanted = new Set(names.flatMap((name) => [forceName(name), curvatureName(name)]));
    const found = inlineGraph(b, forces, now, {}, wanted);
    const next = new Map(now);
    group.forEach((l, i) => {
      const name = names[i] as string;
      const { unit } = block.states[l] as { readonly unit: Unit };
      const layer = {
        force: valueOf(found, forceName(name)), curvature: found.get(curvatureName(name)),
      };
      next.set(name, updatedState(
        b, unit, layout.kinds[l] as LayerKind, valueOf(now, name), layer, damping));
    });
    now = next;
  }
  return finish(b, block.states.flatMap(({ name }) => {
    const after = valueOf(now, name);
    return after === before.get(name) ? [] : [[name, after] as const];
  }));
}

const forceName = (state: string): string => `force.${state}`;
const curvatureName = (state: string): string => `curvature.${state}`;

/**
 * Forces on all states, and the curvatures of quadratic layers, as a function of its inputs. A
 * graph of its own, so that differentiation stops at the states: within a sweep they depend on
 * each other.
 */
function forceGraph(
  block: Block, { nudge, isTransposed }: SweepOptions, { kinds }: Layout,
): Graph {
  const b = new Builder(`${block.name}.force`);
  const values = addBlockInputs(b, block);
  addNudgeInputs(b, nudge, block, values);
  const all = block.states.map((_, l) => l);
  const states = all.map((l) => valueOf(values, stateName(block, l)));
  const extra = nudgeEnergyIn(b, nudge, block, values);
  const forces = isTransposed ? transposedForces(b, block, values, states, extra)
    : forcesIn(b, block, values, all, extra);
  return finish(b, all.flatMap((l) => {
    const [name, force] = [stateName(block, l), forces[l] as Value];
    const own = [forceName(name), force] as const;
    if (kinds[l] !== "quadratic") return [own];
    const d = vjp(b, [force], [b.full(force, -1)], [states[l] as Value])[0] as Value;
    return [own, [curvatureName(name), d] as const];
  }));
}

/** pre(s*) + J(s*)^T (s - s*) - beta dC/ds. */
function transposedForces(
  b: Builder, block: Block, values: ReadonlyMap<string, Value>, states: readonly Value[],
  extra: Value | undefined,
): Value[] {
  const anchors = new Map(values);
  for (const { name } of block.states) {
    anchors.set(name, b.input(anchorName(name), valueOf(values, name).type));
  }
  const anchored = block.states.map(({ name }) => valueOf(anchors, name));
  const pres = forcesIn(b, block, anchors, block.states.map((_, l) => l));
  const moved = states.map((s, l) => b.sub(s, anchored[l] as Value));
  const back = vjp(b, pres, moved, anchored);
  const pulls = extra ? vjp(b, [extra], [b.full(extra, -1)], states) : [];
  return pres.map((pre, l) => {
    const sum = b.addition(pre, back[l] as Value);
    return pulls[l] ? b.addition(sum, pulls[l]) : sum;
  });
}

/** Name of the value that the residual compares with the one before. */
export const afterName = (name: string): string => `after.${name}`;

/**
 * The residual of a graph whose outputs have the names of inputs, as a graph of its own: values
 * before, under their names, and `after.NAME` in; the largest change of any element out.
 */
export function residualGraph(step: Graph): Graph {
  const b = new Builder(`${step.name}.residual`);
  const largest = step.outputs.map(({ name, value: { type } }) => {
    const change = b.sub(b.input(afterName(name), type), b.input(name, type));
    return b.reduce("max", b.unary("abs", change), change.type.shape.map((_, i) => i));
  });
  return finish(b, [[residualName, largest.reduce((x, y) => b.max(x, y))]]);
}
