/** `compile` as a function: an ONNX file in, an artifact directory out. */
import { basename } from "node:path";
import { buildPlan } from "../../compiler/artifact/build.ts";
import type { Plan } from "../../compiler/artifact/plan.ts";
import { compile, type Compiled } from "../../compiler/compile.ts";
import { emitCrossbars, type Crossbars } from "../../compiler/emit/crossbar/emit.ts";
import { UserError } from "../../compiler/errors.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import { inspectModel } from "../../compiler/onnx/inspect.ts";
import type { Objective, PlaceOptions } from "../../compiler/partition/place.ts";
import type { AnalogChoice, Replicas } from "../../compiler/partition/price.ts";
import type { HybridTarget, Target } from "../../targets/schema.ts";
import { loadCard } from "../data/card.ts";
import { writeArtifact } from "../files/artifactFiles.ts";
import { loadModel } from "../files/modelFiles.ts";
import { loadTarget, type LoadedTarget } from "../files/targetFiles.ts";
import { withFigures, type Figures } from "../files/targetFigures.ts";
import { renderReport } from "../page/report.ts";
import { arraysOfAll, type Capacity } from "../partition/capacity.ts";
import { highsSolver } from "../partition/highsSolver.ts";
import { withEnergyBlocks } from "./energyBlocks.ts";
import { VERSION } from "./version.ts";

export interface CompileRequest {
  /** Path of the ONNX file. */
  readonly model: string;
  /** Preset name or path of a target file; more, with commas, whose arrays may hold units too. */
  readonly target: string;
  readonly objective?: Objective;
  readonly analog?: AnalogChoice;
  /** Figures of the target that are replaced, by name. */
  readonly figures?: Figures;
  /** Arrays there are, or those of one chip; as many chips as it takes without it. */
  readonly capacity?: Capacity;
  /** Copies of busy layers: up to so many, or exactly so many by name; one unless given. */
  readonly replicas?: Replicas | undefined;
  /** Consecutive layers per energy block; 1, unless given, keeps the model's meaning. */
  readonly blockSize?: number | undefined;
  /** Numbers for symbolic sizes. */
  readonly bind?: Readonly<Record<string, number>>;
  /** Where to write the artifact; nothing is written without it. */
  readonly out?: string;
}

export interface CompileResult {
  readonly compiled: Compiled;
  readonly loaded: LoadedTarget;
  /** Further targets whose arrays may hold units. */
  readonly others: readonly LoadedTarget[];
  readonly plan: Omit<Plan, "digests">;
  /** The artifact's folder, when one was written. */
  readonly artifact?: string;
}

/** @throws UserError when the model or the target cannot be compiled, or the folder not written */
export async function compileModel(request: CompileRequest): Promise<CompileResult> {
  const [loaded, ...others] = openTargets(request.target, request.figures ?? {});
  const { target } = loaded;
  const hybrids = others.map(hybridOf);
  const model = await loadModel(request.model);
  const card = await loadCard(request.model);
  const imported = importModel(model, request.bind ? { bind: request.bind } : {});
  const { blockSize = 1 } = request;
  const { graph, energy } = withEnergyBlocks(model, imported.graph, blockSize);
  const compiled = compile(graph, {
    target,
    ...(hybrids.length === 0 ? {} : { others: hybrids }),
    objective: request.objective ?? "energy",
    analog: request.analog ?? "auto",
    ...(request.replicas === undefined ? {} : { replicas: request.replicas }),
    ...(await placeOptions(request, target, ...hybrids)),
  });
  const crossbars = emitAll(compiled);
  const { opset, parameters } = inspectModel(model);
  const built = buildPlan({
    generator: `crosstie ${VERSION}`,
    compiled,
    model: { name: basename(request.model).replace(/\.onnx$/i, ""), opset, parameters },
    targetJson: loaded.json as Record<string, unknown>,
    ...(request.figures ? { figures: request.figures } : {}),
    ...(loaded.device ? { deviceJson: loaded.deviceJson as Record<string, unknown> } : {}),
    ...(others.length === 0 ? {} : {
      others: others.map(({ json, deviceJson }) => ({
        target: json as Record<string, unknown>, device: deviceJson as Record<string, unknown>,
      })),
    }),
    tiles: crossbars?.tiles ?? 0, blockSize, energy,
    ...(card ? { card } : {}),
  });
  if (request.out === undefined) return { compiled, loaded, others, plan: built.plan };
  const hasBlocks = compiled.hybrid.segments.some((s) => s.kind === "analog");
  const plan = await writeArtifact(request.out, {
    built,
    report: renderReport,
    ...(crossbars && hasBlocks ? { crossbars } : {}),
  });
  return { compiled, loaded, others, plan, artifact: request.out };
}

/** Targets by name, with commas between several. @throws UserError when one is named twice */
export function openTargets(
  names: string, figures: Figures,
): [LoadedTarget, ...LoadedTarget[]] {
  const loaded = names.split(",").map((name) => withFigures(loadTarget(name.trim()), figures));
  const found = loaded.map(({ target }) => target.name);
  const twice = found.find((name, i) => found.indexOf(name) !== i);
  if (twice === undefined) return loaded as [LoadedTarget, ...LoadedTarget[]];
  throw new UserError(`names ${twice} twice`, {
    place: "--target", remedy: "Separate different targets with commas.",
  });
}

/** @throws UserError when a further target has no arrays */
export function hybridOf({ target }: LoadedTarget): HybridTarget {
  if (target.kind === "hybrid") return target;
  throw new UserError(`${target.name} has no arrays, and the first target runs what is digital`, {
    place: "--target", remedy: `Name ${target.name} first, or leave it out.`,
  });
}

/** The crossbars of every target; undefined where none has arrays. */
function emitAll({ hybrid, priced, options }: Compiled): Crossbars | undefined {
  const { target, others = [] } = options;
  const replicas = new Map(priced.units.map((u) => [u.id, u.replicas ?? 1]));
  const homes = new Map(priced.units.map((u) => [u.id, u.home ?? target.name]));
  const targets = [...(target.kind === "hybrid" ? [target] : []), ...others];
  const emitted = targets.map((one) =>
    emitCrossbars(hybrid, one, replicas, (unit) => homes.get(unit) === one.name));
  const [first, ...more] = emitted;
  if (first === undefined || more.length === 0) return first;
  return {
    config: { ...first.config, others: more.map(({ config }) => config) },
    tensors: emitted.flatMap(({ tensors }) => tensors),
    tiles: emitted.reduce((sum, { tiles }) => sum + tiles, 0),
  };
}

/** The arrays that a request allows, and the solver where one is needed. */
export async function placeOptions(
  { objective, capacity }: Pick<CompileRequest, "objective" | "capacity">,
  ...targets: readonly Target[]
): Promise<PlaceOptions> {
  const arrays = arraysOfAll(capacity, targets);
  if (arrays === undefined && objective !== "throughput" && targets.length === 1) return {};
  return { arrays, solve: await highsSolver() };
}
