/**
 * Several analog targets beside one digital side: the prices of the same units on each, joined into
 * one graph whose units say where they are at home. The digital side is the first target's; what
 * goes from one analog target to another passes through it. A chip that waits draws nothing.
 */
import { InternalError } from "../errors.ts";
import type { AnalogChoice } from "./price.ts";
import { waysOf, type Unit, type UnitGraph, type Way } from "./unitGraph.ts";

/** A graph's prices on one analog target. */
export interface Priced {
  /** Unique among those that are joined. */
  readonly name: string;
  readonly graph: UnitGraph;
}

/**
 * What a choice of analog units means for one of several targets: `NODE@TARGET` names a unit for
 * that target alone, a name without one for whichever is best.
 */
export function choiceOn(
  choice: AnalogChoice, name: string, targets: readonly string[],
): AnalogChoice {
  if (typeof choice === "string" || targets.length === 1) return choice;
  return choice.flatMap((node) => {
    const home = targets.find((target) => node.endsWith(`@${target}`));
    if (home === undefined) return [node];
    return home === name ? [node.slice(0, -home.length - 1)] : [];
  });
}

/** The joined graph; a single target stays as it is. */
export function joinTargets(priced: readonly Priced[]): UnitGraph {
  const [first, ...more] = priced;
  if (first === undefined) throw new InternalError("no target to price on");
  if (more.length === 0) return first.graph;
  const units = first.graph.units.map((unit, u): Unit => {
    const offers = priced.map(({ name, graph }) => ({ name, unit: graph.units[u] as Unit }));
    // Pinned to be analog on some targets, it is analog on one of those.
    const pinned = offers.filter((offer) => offer.unit.pinned === "analog");
    const [own, ...others] = (pinned.length > 0 ? pinned : offers).flatMap((offer): Way[] =>
      waysOf(offer.unit).map((way) => ({ ...way, home: offer.name })));
    if (own === undefined) return unit;
    const { cost, ...rest } = own;
    const { reason: _, pinned: __, ...known } = unit;
    const pin = pinned.length > 0 ? "analog" : unit.pinned;
    return { ...known, ...(pin ? { pinned: pin } : {}), analog: cost, ...rest, others };
  });
  const values = first.graph.values.map((value, v) => ({
    ...value,
    links: Object.fromEntries(priced.map(({ name, graph }) => {
      const { toAnalog, toDigital } = graph.values[v] ?? value;
      return [name, { toAnalog, toDigital }];
    })),
  }));
  return { units, values };
}
