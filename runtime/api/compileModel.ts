/** `compile` as a function: an ONNX file in, an artifact directory out. */
import { basename } from "node:path";
import { buildPlan } from "../../compiler/artifact/build.ts";
import type { Plan } from "../../compiler/artifact/plan.ts";
import { compile, type Compiled } from "../../compiler/compile.ts";
import { emitCrossbars } from "../../compiler/emit/crossbar/emit.ts";
import { importModel } from "../../compiler/onnx/import.ts";
import { inspectModel } from "../../compiler/onnx/inspect.ts";
import type { Objective, PlaceOptions } from "../../compiler/partition/place.ts";
import type { AnalogChoice, Replicas } from "../../compiler/partition/price.ts";
import type { Target } from "../../targets/schema.ts";
import { loadCard } from "../data/card.ts";
import { writeArtifact } from "../files/artifactFiles.ts";
import { loadModel } from "../files/modelFiles.ts";
import { loadTarget, type LoadedTarget } from "../files/targetFiles.ts";
import { withFigures, type Figures } from "../files/targetFigures.ts";
import { renderReport } from "../page/report.ts";
import { arraysOf, type Capacity } from "../partition/capacity.ts";
import { highsSolver } from "../partition/highsSolver.ts";
import { VERSION } from "./version.ts";

export interface CompileRequest {
  /** Path of the ONNX file. */
  readonly model: string;
  /** Preset name or path of a target file. */
  readonly target: string;
  readonly objective?: Objective;
  readonly analog?: AnalogChoice;
  /** Figures of the target that are replaced, by name. */
  readonly figures?: Figures;
  /** Arrays there are, or those of one chip; as many chips as it takes without it. */
  readonly capacity?: Capacity;
  /** Copies of busy layers: up to so many, or exactly so many by name; one unless given. */
  readonly replicas?: Replicas | undefined;
  /** Numbers for symbolic sizes. */
  readonly bind?: Readonly<Record<string, number>>;
  /** Where to write the artifact; nothing is written without it. */
  readonly out?: string;
}

export interface CompileResult {
  readonly compiled: Compiled;
  readonly loaded: LoadedTarget;
  readonly plan: Omit<Plan, "digests">;
  /** The artifact's folder, when one was written. */
  readonly artifact?: string;
}

/** @throws UserError when the model or the target cannot be compiled, or the folder not written */
export async function compileModel(request: CompileRequest): Promise<CompileResult> {
  const loaded = withFigures(loadTarget(request.target), request.figures ?? {});
  const { target } = loaded;
  const model = await loadModel(request.model);
  const card = await loadCard(request.model);
  const { graph } = importModel(model, request.bind ? { bind: request.bind } : {});
  const compiled = compile(graph, {
    target,
    objective: request.objective ?? "energy",
    analog: request.analog ?? "auto",
    ...(request.replicas === undefined ? {} : { replicas: request.replicas }),
    ...(await placeOptions(request, target)),
  });
  const replicas = new Map(compiled.priced.units.map((u) => [u.id, u.replicas ?? 1]));
  const crossbars = target.kind === "hybrid"
    ? emitCrossbars(compiled.hybrid, target, replicas) : undefined;
  const { opset, parameters } = inspectModel(model);
  const built = buildPlan({
    generator: `crosstie ${VERSION}`,
    compiled,
    model: { name: basename(request.model).replace(/\.onnx$/i, ""), opset, parameters },
    targetJson: loaded.json as Record<string, unknown>,
    ...(request.figures ? { figures: request.figures } : {}),
    ...(loaded.device ? { deviceJson: loaded.deviceJson as Record<string, unknown> } : {}),
    tiles: crossbars?.tiles ?? 0,
    ...(card ? { card } : {}),
  });
  if (request.out === undefined) return { compiled, loaded, plan: built.plan };
  const hasBlocks = compiled.hybrid.segments.some((s) => s.kind === "analog");
  const plan = await writeArtifact(request.out, {
    built,
    report: renderReport,
    ...(crossbars && hasBlocks ? { crossbars } : {}),
  });
  return { compiled, loaded, plan, artifact: request.out };
}

/** The arrays that a request allows, and the solver where one is needed. */
export async function placeOptions(
  { objective, capacity }: Pick<CompileRequest, "objective" | "capacity">,
  target: Target,
): Promise<PlaceOptions> {
  const arrays = arraysOf(capacity, target);
  if (arrays === undefined && objective !== "throughput") return {};
  return { arrays, solve: await highsSolver() };
}
