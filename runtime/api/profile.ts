/**
 * `profile` as a function: what every placement of a model on a target costs. The Pareto front over
 * energy, latency, area and predicted quality, for several targets or for every combination of
 * swept figures, each point with the command that compiles it.
 */
import { availableParallelism } from "node:os";
import { chainPrices, type ChainPrice } from "../../compiler/partition/blocks.ts";
import { trainingCost, type TrainingCost } from "../../compiler/partition/cost/training.ts";
import { namedUnits, type GraphFacts } from "../../compiler/partition/facts.ts";
import { nonDominated } from "../../compiler/partition/front.ts";
import type { Totals } from "../../compiler/partition/unitGraph.ts";
import type { Target } from "../../targets/schema.ts";
import { compileCommandLine } from "../cli/shell.ts";
import { loadTarget, type LoadedTarget } from "../files/targetFiles.ts";
import { figurePaths, withFigures, type Figures } from "../files/targetFigures.ts";
import type { Capacity } from "../partition/capacity.ts";
import { highsSolver } from "../partition/highsSolver.ts";
import { combinations, type Axis } from "../profile/axes.ts";
import { defaultCacheFolder, ProfileCache } from "../profile/cache.ts";
import {
  profileTarget, type Configuration, type Configured, type Placed, type PlacedPoint, type Profile,
  type ProfileOptions,
} from "../profile/configuration.ts";
import { openProfiledModel, type ModelRequest, type ProfiledModel } from "../profile/model.ts";
import { runConfigurations, workerFile, type SweepData } from "../profile/pool.ts";

export interface ProfileRequest extends ModelRequest {
  /** Preset names or paths of target files. */
  readonly targets: readonly string[];
  /** Figures of every target that are replaced, by name. */
  readonly figures?: Figures;
  readonly capacity?: Capacity;
  /** Points to look for on each front. */
  readonly points?: number;
  /** Copies of a unit's weights that the front may use, at most. */
  readonly replicas?: number;
  /** Figures to vary, in all combinations. */
  readonly sweep?: readonly Axis[];
  /** Threads of a sweep; all cores unless given. */
  readonly jobs?: number;
  /** Folder of profiles computed before; the user's cache unless given. */
  readonly cache?: string;
  /** The bundled worker, for programs that are not bundled themselves. */
  readonly workerFile?: string;
  /** Called as a sweep goes on: configurations done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A point of the front. */
export interface ProfilePoint extends PlacedPoint {
  readonly target: string;
  /** Figures that were replaced. */
  readonly figures?: Figures;
  /** Compiles exactly this placement. */
  readonly command: string;
}

/** One target, and how its extremes compare. */
export interface TargetProfile {
  readonly target: string;
  /** Figures that were replaced, by the person or by an operating point of the target. */
  readonly figures?: Figures;
  readonly points: number;
  readonly optimum: Placed;
  readonly allAnalog: Placed;
  readonly allDigital: Placed;
  /** Why its front has one point, where there is only one placement. */
  readonly onlyPoint?: string;
  /** What merging consecutive analog units into energy blocks would cost; needs training. */
  readonly chains: readonly ChainPrice[];
  /** One training step on one sample with the placement of least energy. */
  readonly trainingStep: TrainingCost;
}

/** One configuration of a sweep: its placement of least energy, or why there is none. */
export interface SweptConfiguration extends Configuration {
  readonly optimum?: Placed;
  readonly allAnalog?: Placed;
  readonly allDigital?: Placed;
  readonly command?: string;
  readonly error?: string;
}

export interface SweepSummary {
  readonly axes: readonly Axis[];
  readonly configurations: readonly SweptConfiguration[];
  readonly computed: number;
  /** Taken from the cache. */
  readonly cached: number;
  /** Targets that cannot be built like that. */
  readonly failed: number;
}

export interface ProfileResult {
  readonly model: string;
  readonly units: number;
  readonly mappable: number;
  readonly quality: { readonly method: "gradients" | "layers"; readonly basis: string };
  /** Nothing here is dominated by anything else here. */
  readonly points: readonly ProfilePoint[];
  readonly targets: readonly TargetProfile[];
  readonly sweep?: SweepSummary;
  /** Of reading and calibrating the model, and of pricing and searching. */
  readonly seconds: { readonly model: number; readonly search: number };
}

const POINTS = 24;
const REPLICAS = 16;
/** One mixed point is looked for per so many of a single target: each takes a solver. */
const MIXED_SHARE = 3;

/** @throws UserError when the model, a target, the data or what is swept is wrong */
export async function profileModel(request: ProfileRequest): Promise<ProfileResult> {
  const start = performance.now();
  const targets = new Map(request.targets.map((name) => [name, loadTarget(name)]));
  const model = await openProfiledModel(request);
  const opened = performance.now();
  const axes = request.sweep ?? [];
  const found = axes.length === 0
    ? await profileEach(request, model, targets) : await profileSweep(request, model, targets);
  const { facts, quality } = model;
  return {
    model: model.name,
    units: facts.units.length,
    mappable: facts.units.filter((u) => u.shape !== undefined).length,
    quality: { method: quality.method, basis: quality.basis },
    ...found,
    seconds: {
      model: (opened - start) / 1000, search: (performance.now() - opened) / 1000,
    },
  };
}

type Found = Pick<ProfileResult, "points" | "targets" | "sweep">;

/** The targets as they are, with points above the hull too. */
async function profileEach(
  request: ProfileRequest, model: ProfiledModel, targets: ReadonlyMap<string, LoadedTarget>,
): Promise<Found> {
  const figures = request.figures ?? {};
  const options = {
    ...frontOptions(request), solve: await highsSolver(),
  };
  const results = [...targets].flatMap(([target, loaded]) =>
    [figures, ...operatingPoints(loaded, figures)].map((own): Profiled => ({
      target, figures: own, profile: profileTarget(model, [withFigures(loaded, own)], options),
    })));
  const mixed = mixedProfile(request, model, targets, options);
  return {
    points: front(request, model, [...results, ...(mixed ? [mixed] : [])]),
    targets: results.map((result) => summary(model, result, targets)),
  };
}

const frontOptions = (
  { points = POINTS, replicas = REPLICAS, capacity }: ProfileRequest,
): SweepData["options"] => ({ points, replicas, capacity });

interface Profiled extends Configuration {
  readonly profile: Profile;
}

/** Every combination of the swept figures, what is known taken from the cache. */
async function profileSweep(
  request: ProfileRequest, model: ProfiledModel, targets: ReadonlyMap<string, LoadedTarget>,
): Promise<Found> {
  const axes = request.sweep ?? [];
  const figures = combinations(axes).map((swept) => ({ ...request.figures, ...swept }));
  const configurations = request.targets.flatMap((target) =>
    figures.map((one): Configuration => ({ target, figures: one })));
  const options = frontOptions(request);
  const worker = request.workerFile ?? workerFile();
  const cache = new ProfileCache(request.cache ?? defaultCacheFolder(), model, options,
    worker === undefined ? [] : [worker]);
  const results = new Map<string, Configured>();
  const keyOf = ({ target, figures: f }: Configuration): string => JSON.stringify([target, f]);
  const loadedOf = (name: string): LoadedTarget => targets.get(name) as LoadedTarget;
  for (const configuration of configurations) {
    const kept = await cache.get(configuration, loadedOf(configuration.target));
    if (kept) results.set(keyOf(configuration), kept);
  }
  const cached = results.size;
  const missing = configurations.filter((c) => !results.has(keyOf(c)));
  request.onProgress?.(cached, configurations.length);
  const jobs = { jobs: request.jobs ?? availableParallelism(), workerFile: worker };
  await runConfigurations({ model, targets, options }, missing, jobs, async (result) => {
    await cache.set(result, loadedOf(result.target));
    results.set(keyOf(result), result);
    request.onProgress?.(results.size, configurations.length);
  });
  const ordered = configurations.map((c) => results.get(keyOf(c)) as Configured);
  const profiled = ordered.filter((r): r is Profiled => "profile" in r);
  return {
    points: front(request, model, profiled),
    targets: [],
    sweep: {
      axes,
      configurations: ordered.map((one) => swept(request, model, one)),
      computed: missing.length,
      cached,
      failed: ordered.length - profiled.length,
    },
  };
}

/** Units on the arrays of several targets at once: without copies, which the single fronts have. */
function mixedProfile(
  { figures = {} }: ProfileRequest, model: ProfiledModel,
  targets: ReadonlyMap<string, LoadedTarget>, options: ProfileOptions,
): Profiled | undefined {
  const hybrids = [...targets].filter(([, { target }]) => target.kind === "hybrid");
  if (hybrids.length < 2) return undefined;
  const loaded = hybrids.map(([, one]) => withFigures(one, figures));
  return {
    target: hybrids.map(([name]) => name).join(","), figures,
    profile: profileTarget(
      model, loaded as [LoadedTarget, ...LoadedTarget[]],
      { ...options, replicas: 1, points: Math.ceil(options.points / MIXED_SHARE) }),
  };
}

/** The other ways to run a chip, where figures that the person set leave them open. */
function operatingPoints({ target }: LoadedTarget, set: Figures): Figures[] {
  const all = target.kind === "hybrid" ? Object.values(target.operatingPoints ?? {}) : [];
  return all
    .map((point) => Object.fromEntries(
      Object.entries(point).map(([path, { value }]) => [path, value])))
    .filter((point) => !Object.keys(set).some((name) => figurePaths(name).some((p) => p in point)))
    .map((point) => ({ ...set, ...point }));
}

function summary(
  { facts }: ProfiledModel,
  { target: name, figures, profile: { points, optimum, allAnalog, allDigital } }: Profiled,
  targets: ReadonlyMap<string, LoadedTarget>,
): TargetProfile {
  const { target } = withFigures(targets.get(name) as LoadedTarget, figures);
  const few = fewPoints(facts, target);
  return {
    target: name, ...(Object.keys(figures).length === 0 ? {} : { figures }),
    points: points.length, ...(few === undefined ? {} : { onlyPoint: few }),
    optimum, allAnalog, allDigital,
    chains: target.kind === "hybrid" ? chainPrices(facts, target) : [],
    trainingStep: trainingCost(facts, target, new Map(target.kind === "digital" ? []
      : [...namedUnits(facts, optimum.analogNodes)].map((id) => [id, target]))),
  };
}

/** Why a front has one point, where there is only one placement. */
function fewPoints({ units }: GraphFacts, target: Target): string | undefined {
  if (target.kind === "digital") return `${target.name} has no analog arrays: one placement`;
  return units.some((u) => u.shape !== undefined) ? undefined
    : "no unit has weights that an array could hold: one placement";
}

function swept(
  request: ProfileRequest, model: ProfiledModel, one: Configured,
): SweptConfiguration {
  if ("error" in one) return one;
  const { target, figures, profile: { optimum, allAnalog, allDigital } } = one;
  const command = commandOf(request, model, one, optimum);
  return { target, figures, optimum, allAnalog, allDigital, command };
}

/** The front over all fronts. */
function front(
  request: ProfileRequest, model: ProfiledModel, results: readonly Profiled[],
): ProfilePoint[] {
  const all = results.flatMap((result) => result.profile.points.map((point) =>
    ({ result, point, totals: totalsOf(point) })));
  return nonDominated(all).map(({ result, point }) => ({
    target: result.target,
    ...(Object.keys(result.figures).length === 0 ? {} : { figures: result.figures }),
    ...point,
    command: commandOf(request, model, result, point),
  }));
}

/** Quality is judged as it is printed: the lower the decibels, the more noise. */
const totalsOf = ({ energyJ, latencyS, areaM2, predictedSnrDb }: Placed): Totals => ({
  energyJ, latencyS, areaM2,
  noise: predictedSnrDb === null ? 0 : 10 ** (-predictedSnrDb / 10),
});

/** The command line that compiles exactly a placement. */
function commandOf(
  { model: path, capacity, bind }: ProfileRequest,
  { facts }: ProfiledModel,
  { target, figures }: Configuration,
  { analogNodes, replicas: exactly }: Placed,
): string {
  const all = facts.units.filter((u) => u.shape !== undefined).length;
  const analog = analogNodes.length === 0 ? "none"
    : analogNodes.length === all && !target.includes(",") ? "all" : analogNodes;
  const replicas = Object.keys(exactly).length === 0 ? undefined : { exactly };
  return compileCommandLine({ model: path, target, figures, analog, replicas, capacity, bind });
}
