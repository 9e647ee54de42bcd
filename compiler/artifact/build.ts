/** From what the compiler made to the plan and the files beside it, still as data. */
import type { Compiled } from "../compile.ts";
import { UserError } from "../errors.ts";
import { dimToString } from "../graph/dim.ts";
import type { Value } from "../graph/graph.ts";
import { printGraph } from "../graph/print.ts";
import type { Tensor } from "../graph/tensor.ts";
import { programToJson } from "../kernels/serialise.ts";
import { evaluate } from "../partition/unitGraph.ts";
import { fixedArea } from "../partition/cost/digital.ts";
import type { Segment } from "../partition/hybrid.ts";
import { originsOf } from "../partition/units.ts";
import {
  artifactFiles,
  PLAN_FORMAT,
  PLAN_VERSION,
  type Plan,
  type PlanCost,
  type PlanSegment,
} from "./plan.ts";

/** Facts about the model that the compiler's graph no longer shows. */
export interface ModelFacts {
  readonly name: string;
  readonly opset: number;
  readonly parameters: number;
}

export interface PlanSource {
  readonly generator: string;
  readonly model: ModelFacts;
  readonly compiled: Compiled;
  readonly targetJson: Record<string, unknown>;
  /** Figures of the target that were replaced, by name. */
  readonly figures?: Readonly<Record<string, number>>;
  readonly deviceJson?: Record<string, unknown>;
  /** Further targets whose arrays hold units. */
  readonly others?: Plan["others"];
  readonly tiles: number;
  /** Layers per block that were asked for, and the blocks that relax. */
  readonly blockSize?: number | undefined;
  readonly energy?: Plan["energy"];
  readonly card?: unknown;
}

export interface BuiltPlan {
  /** Everything but the digests of the files. */
  readonly plan: Omit<Plan, "digests">;
  /** File name to text, for `kernels/`. */
  readonly shaders: ReadonlyMap<string, string>;
  readonly wasm: Uint8Array;
  /** Constants of the program and of the block graphs. */
  readonly weights: ReadonlyMap<string, Tensor>;
}

const bare = ({ energyJ, latencyS, areaM2 }: PlanCost): PlanCost => ({ energyJ, latencyS, areaM2 });

export function buildPlan(source: PlanSource): BuiltPlan {
  const { compiled, model } = source;
  const { program, hybrid, priced, cut } = compiled;
  const { objective, analog, arrays, replicas } = compiled.options;
  const weights = new Map<string, Tensor>();
  const keep = (name: string, tensor: Tensor): void => {
    const known = weights.get(name);
    if (known && known !== tensor) {
      throw new UserError(`two constants are called "${name}"`, {
        place: model.name,
        remedy: "Rename one of them in the model.",
      });
    }
    weights.set(name, tensor);
  };
  for (const { buffer, tensor } of program.constants) {
    keep(program.buffers[buffer]?.name ?? "", tensor);
  }
  let next = 0;
  const segments = hybrid.segments.map((segment): PlanSegment => {
    const dispatches = segment.units.map(() => next++);
    const printed = segment.kind === "analog" ? printGraph(segment.graph) : undefined;
    for (const [name, tensor] of printed?.tensors ?? []) keep(name, tensor);
    return {
      id: segment.id,
      kind: segment.kind,
      dispatches,
      nodes: [...new Set(segment.units.flatMap((u) => originsOf(u.cluster)))],
      units: segment.units.map((u) => u.id),
      macs: segment.units.reduce((sum, u) => sum + u.macs, 0),
      cost: costOfSegment(compiled, segment),
      ...(printed ? { graph: printed.text } : {}),
    };
  });
  const totals = evaluate(priced, cut.assignment);
  const value = (name: string, v: Value): Plan["inputs"][number] => ({
    name,
    dtype: v.type.dtype,
    shape: v.type.shape.map(dimToString),
  });
  const shaders = new Map<string, string>();
  const plan: BuiltPlan["plan"] = {
    format: PLAN_FORMAT,
    version: PLAN_VERSION,
    generator: source.generator,
    model: { ...model },
    target: source.targetJson,
    ...(source.deviceJson ? { device: source.deviceJson } : {}),
    ...(source.others === undefined ? {} : { others: source.others }),
    options: {
      objective,
      analog: typeof analog === "string" ? analog : [...analog],
      ...(arrays === undefined ? {} : { arrays }),
      ...(replicas === undefined ? {} : { replicas }),
      ...(source.figures === undefined ? {} : { figures: { ...source.figures } }),
      blockSize: source.blockSize ?? 1,
    },
    ...(source.energy === undefined ? {} : { energy: source.energy }),
    inputs: compiled.graph.inputs.map((v) => value(v.name, v)),
    outputs: compiled.graph.outputs.map((o) => value(o.name, o.value)),
    segments,
    partition: {
      objective: cut.objective,
      bound: cut.bound,
      optimal: cut.optimal,
      units: priced.units.map((u) => ({
        id: u.id,
        name: u.name,
        placement: cut.assignment.get(u.id) ?? "digital",
        ...(u.reason === undefined ? {} : { reason: u.reason }),
        digital: bare(u.digital),
        ...(u.analog ? { analog: bare(u.analog) } : {}),
        ...(u.home !== undefined && cut.assignment.get(u.id) === "analog"
          ? { home: u.home } : {}),
        ...((u.replicas ?? 1) > 1 && cut.assignment.get(u.id) === "analog"
          ? { replicas: u.replicas } : {}),
      })),
    },
    cost: { ...bare(totals), areaM2: totals.areaM2 + fixedArea(compiled.options.target) },
    tiles: source.tiles,
    program: programToJson(program),
    shaders: program.kernels.map(({ name }, i) => {
      const file = `${artifactFiles.kernels}/${name}.wgsl`;
      shaders.set(file, compiled.wgsl[i]?.source ?? "");
      return { kernel: name, file };
    }),
    ...(source.card === undefined ? {} : { card: source.card }),
  };
  return { plan, shaders, wasm: compiled.wasm, weights };
}

function costOfSegment({ priced, cut }: Compiled, segment: Segment): PlanCost {
  const wanted = new Set(segment.units.map((u) => u.id));
  return bare(
    evaluate({ units: priced.units.filter((u) => wanted.has(u.id)), values: [] }, cut.assignment),
  );
}
