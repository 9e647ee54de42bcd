/**
 * The compiler on one page: from an imported graph to everything that an artifact holds. Pure: no
 * file, no device, no clock. Every level it goes through is in the result, and prints.
 */
import type { HybridTarget, Target } from "../targets/schema.ts";
import { emitWasmModule } from "./emit/wasm/emit.ts";
import { emitWgsl, type WgslKernel } from "./emit/wgsl/emit.ts";
import { webGpuDefaults, maxBuffers, maxBytes, type DeviceProfile } from "./emit/wgsl/profile.ts";
import type { Graph } from "./graph/graph.ts";
import { verifyGraph } from "./graph/verify.ts";
import { formClusters } from "./kernels/cluster.ts";
import { buildProgram, type Program } from "./kernels/program.ts";
import { formHybrid, unitsInOrder, type HybridProgram } from "./partition/hybrid.ts";
import type { CutResult } from "./partition/minimumCut.ts";
import { choiceOn, joinTargets } from "./partition/mixed.ts";
import { place, type Objective, type PlaceOptions } from "./partition/place.ts";
import { priceUnits, type AnalogChoice, type Replicas } from "./partition/price.ts";
import { withWays, type UnitGraph } from "./partition/unitGraph.ts";
import { formUnits, type Unit } from "./partition/units.ts";
import { foldConstants } from "./passes/foldConstants.ts";
import { foldScale } from "./passes/foldScale.ts";
import { deadCode, type Pass } from "./passes/rewrite.ts";
import { simplify } from "./passes/simplify.ts";
import { splitConcat, splitConcatTo } from "./passes/splitConcat.ts";
import { splitLarge } from "./passes/splitLarge.ts";

/** In order; each leaves a graph of the same meaning. */
export const passes: readonly Pass[] = [
  foldConstants,
  simplify,
  foldScale,
  foldConstants,
  splitConcat,
  deadCode,
];

/** @param profile limits of the device that is to run it, where it has any */
export function optimise(graph: Graph, profile?: DeviceProfile): Graph {
  const own = profile ? [splitLarge(maxBytes(profile)), splitConcatTo(maxBuffers(profile))] : [];
  return [...passes, ...own].reduce((current, pass) => pass.run(current), graph);
}

export interface CompileOptions extends PlaceOptions {
  /** Its digital side runs what is digital. */
  readonly target: Target;
  /** More targets whose arrays may hold units. */
  readonly others?: readonly HybridTarget[];
  readonly objective: Objective;
  readonly analog: AnalogChoice;
  /** Copies of weights that share the products of an inference; one of each unless given. */
  readonly replicas?: Replicas;
  /** Limits that shaders are emitted for; the defaults run on every WebGPU device. */
  readonly profile?: DeviceProfile;
}

/** What is placed: the optimised graph and its units. */
export interface Placeable {
  /** After all passes. */
  readonly graph: Graph;
  readonly units: readonly Unit[];
}

/** The first half, which depends on no target: any number of targets can be priced from it. */
export function prepare(imported: Graph, profile: DeviceProfile = webGpuDefaults): Placeable {
  const graph = verifyGraph(optimise(imported, profile));
  const clusters = formClusters(graph, { maxBuffers: maxBuffers(profile) });
  return { graph, units: formUnits(clusters) };
}

export interface Compiled extends Placeable {
  readonly options: CompileOptions;
  /** Prices, of analog units in the way that was chosen. */
  readonly priced: UnitGraph;
  readonly cut: CutResult;
  readonly hybrid: HybridProgram;
  readonly program: Program;
  /** One per kernel of the program. */
  readonly wgsl: readonly WgslKernel[];
  readonly wasm: Uint8Array;
}

export function compile(imported: Graph, options: CompileOptions): Compiled {
  const profile = options.profile ?? webGpuDefaults;
  const { graph, units } = prepare(imported, profile);
  const offered = offer(graph, units, options);
  const cut = place(offered, options.objective, options);
  const priced = withWays(offered, cut.ways);
  const placements = units.map((u) => cut.assignment.get(u.id) ?? "digital");
  const hybrid = formHybrid(graph, units, placements);
  const program = buildProgram(graph, { clusters: unitsInOrder(hybrid).map((u) => u.cluster) });
  const wgsl = program.kernels.map((kernel) => emitWgsl(kernel, profile));
  const wasm = emitWasmModule(program.kernels);
  return { options, graph, units, priced, cut, hybrid, program, wgsl, wasm };
}

/** What every unit costs digitally and on each target's arrays. */
function offer(
  graph: Graph, units: readonly Unit[],
  { target, others = [], analog, replicas = {} }: CompileOptions,
): UnitGraph {
  const names = [target, ...others].map(({ name }) => name);
  return joinTargets([target, ...others].map((one) => ({
    name: one.name,
    graph: priceUnits(graph, units, one, { analog: choiceOn(analog, one.name, names), replicas }),
  })));
}
