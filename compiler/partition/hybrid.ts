/**
 * The hybrid program: an alternation of digital segments and analog blocks, which is the ff-EBM.
 * Made from units and a placement; nothing is changed in meaning. A one-layer block is exactly a
 * feedforward crossbar product followed by its epilogue.
 *
 * Units are sorted by level, digital on even levels and analog on odd ones, so that independent
 * branches share segments and the order of execution is that of the list.
 */
import { subgraph } from "../graph/subgraph.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { unitEdges, type AnalogForm, type Unit } from "./units.ts";

export interface DigitalSegment {
  readonly kind: "digital";
  readonly id: string;
  readonly units: readonly Unit[];
}

export interface AnalogBlock {
  readonly kind: "analog";
  readonly id: string;
  readonly units: readonly [Unit];
  readonly form: AnalogForm;
  /** The block as a graph: reads in, root out. What the chip simulation rewrites. */
  readonly graph: Graph;
}

export type Segment = DigitalSegment | AnalogBlock;

export interface HybridProgram {
  readonly graph: Graph;
  readonly segments: readonly Segment[];
}

export type Placement = "digital" | "analog";

/** @param placements one per unit */
export function formHybrid(
  graph: Graph,
  units: readonly Unit[],
  placements: readonly Placement[],
): HybridProgram {
  const levels = new Array<number>(units.length).fill(0);
  const edges = unitEdges(units);
  units.forEach((_, i) => {
    const isAnalog = placements[i] === "analog";
    let level = isAnalog ? 1 : 0;
    for (const { from, to } of edges) {
      if (to !== i) continue;
      const before = levels[from] as number;
      const fromAnalog = placements[from] === "analog";
      level = Math.max(
        level,
        fromAnalog ? before + (isAnalog ? 2 : 1) : before + (isAnalog ? 1 : 0),
      );
    }
    levels[i] = level;
  });
  const segments: Segment[] = [];
  const last = Math.max(0, ...levels);
  for (let level = 0; level <= last; level++) {
    const here = units.filter((_, i) => levels[i] === level);
    const digital = here.filter((u) => placements[units.indexOf(u)] === "digital");
    if (digital.length > 0) {
      segments.push({ kind: "digital", id: `d${segments.length}`, units: digital });
    }
    for (const unit of here) {
      if (placements[units.indexOf(unit)] !== "analog" || !unit.analog) continue;
      segments.push(analogBlock(`a${segments.length}`, unit, unit.analog));
    }
  }
  return { graph, segments };
}

function analogBlock(id: string, unit: Unit, form: AnalogForm): AnalogBlock {
  const { nodes, reads, root } = unit.cluster;
  const inputs = reads.filter((v: Value) => v.node?.op !== "constant");
  return { kind: "analog", id, units: [unit], form, graph: subgraph(id, nodes, inputs, [root]) };
}

/** Units in the order in which segments run them. */
export const unitsInOrder = (program: HybridProgram): Unit[] =>
  program.segments.flatMap((s) => [...s.units]);
