/**
 * Several analog targets beside one digital side: the prices of the same units on each, joined into
 * one graph whose units say where they are at home. The digital side is the first target's; what
 * goes from one analog target to another passes through it. A chip that waits draws nothing.
 */
import { InternalError } from "../errors.ts";
import { waysOf, type Unit, type UnitGraph, type Way } from "./unitGraph.ts";

/** A graph's prices on one analog target. */
export interface Priced {
  /** Unique among those that are joined. */
  readonly name: string;
  readonly graph: UnitGraph;
}

/** The joined graph; a single target stays as it is. */
export function joinTargets(priced: readonly Priced[]): UnitGraph {
  const [first, ...more] = priced;
  if (first === undefined) throw new InternalError("no target to price on");
  if (more.length === 0) return first.graph;
  const units = first.graph.units.map((unit, u): Unit => {
    const [own, ...others] = priced.flatMap(({ name, graph }): Way[] =>
      waysOf(graph.units[u] as Unit).map((way) => ({ ...way, home: name })));
    if (own === undefined) return unit;
    const { cost, ...rest } = own;
    const { reason: _, ...known } = unit;
    return { ...known, analog: cost, ...rest, others };
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
