/**
 * Opens the chip that `run` and `simulate` ask for, from the files of an artifact. A chip is
 * programmed before it computes anything: no accuracy comes from cells that were never written.
 */
import { join } from "node:path";
import { artifactFiles } from "../../compiler/artifact/plan.ts";
import type { Plan } from "../../compiler/artifact/plan.ts";
import {
  configsOf, parseCrossbars, type CrossbarConfig,
} from "../../compiler/emit/crossbar/config.ts";
import { InternalError, UserError } from "../../compiler/errors.ts";
import { parseGraph } from "../../compiler/graph/parse.ts";
import { parseDevice, parseTarget } from "../../targets/target.ts";
import { second } from "../../targets/units.ts";
import {
  ChipSimulator, IdealChip, type ChipSource, type Home, type PlacedBlock,
} from "../chip/chipSimulator.ts";
import type { Compensation } from "../chip/compensation.ts";
import { parseFaultMap } from "../chip/faults.ts";
import {
  imperfectionNames,
  imperfections,
  type Imperfection,
  type Imperfections,
} from "../chip/imperfections.ts";
import { arraysOf } from "../chip/replicas.ts";
import { readTensors } from "../data/tensorStore.ts";
import type { Device } from "../device/device.ts";
import type { ChipBlocks } from "../execute/hybridSession.ts";
import type { Artifact } from "../files/artifactFiles.ts";
import { readJson } from "../files/read.ts";

export const chipModes = ["none", "ideal", "simulated"] as const;
export type ChipMode = (typeof chipModes)[number];

export interface ChipRequest {
  readonly seed: number;
  /** Seconds from programming to reading; the device's first measurement unless given. */
  readonly time?: number;
  /** Imperfections to leave on; all by default. */
  readonly only?: readonly string[];
  /** Imperfections to switch off. */
  readonly without?: readonly string[];
  /** File of the faults that were measured; drawn from the device's shares unless given. */
  readonly faults?: string;
  /** Whether the mapper copies columns and answers stuck cells and wire drop. */
  readonly repair?: boolean;
  /** What is done about outputs that fade with time. */
  readonly compensation?: Compensation;
  /** Pulses per cell, beyond which it is given up. */
  readonly pulseBudget?: number;
  /** Seconds from run to run, over which read noise is correlated; drawn anew unless given. */
  readonly runInterval?: number;
}

/** What the artifact says of its chips; undefined when every unit is digital. */
export async function chipSourceOf(artifact: Artifact): Promise<ChipSource | undefined> {
  const { plan, directory, crossbars, conductancesPath } = artifact;
  if (crossbars === undefined || conductancesPath === undefined) return undefined;
  const place = join(directory, artifactFiles.plan);
  const configs = configsOf(parseCrossbars(crossbars, join(directory, artifactFiles.crossbars)));
  const homes = new Map(configs.flatMap((config) => {
    const home = homeOf(plan, config, place);
    return config.blocks.map((crossbar) => [crossbar.id, { crossbar, home }] as const);
  }));
  const blocks = plan.segments.flatMap(({ id, graph }): PlacedBlock[] => {
    const placed = homes.get(id);
    if (placed === undefined) return [];
    homes.delete(id);
    if (graph === undefined) throw stale(`has no graph for the block ${id}`, place);
    const source = `${place}: graph of ${id}`;
    return [{ ...placed, graph: parseGraph(graph, artifact.weights, source) }];
  });
  const [left] = homes.keys();
  if (left !== undefined) throw stale(`has no graph for the block ${left}`, place);
  const tensors = await readTensors(conductancesPath);
  return {
    blocks,
    read: (name) => {
      const held = tensors.get(name);
      if (!held) throw new InternalError(`${conductancesPath} has no tensor ${name}`);
      return held.data;
    },
  };
}

/** The target that a configuration is of, by its name. */
function homeOf(
  { target, device, others = [] }: Plan, config: CrossbarConfig, place: string,
): Home {
  const all = [{ target, device, at: place },
    ...others.map((other, i) => ({ ...other, at: `${place}: others.${i}` }))];
  const found = all.find((one) => one.target.name === config.target.name);
  if (!found) throw stale(`has crossbars of ${config.target.name}, none of its targets`, place);
  const held = parseTarget(found.target, `${found.at}: target`);
  if (held.kind !== "hybrid" || found.device === undefined) {
    throw stale("has crossbars, but its target has none", place);
  }
  return { config, target: held, cells: parseDevice(found.device, `${found.at}: device`) };
}

const stale = (message: string, place: string): UserError =>
  new UserError(message, { place, remedy: "Compile the model again with crosstie compile." });

/** @throws UserError when a name is not that of an imperfection */
export function chosenImperfections(
  { only, without }: {
    readonly only?: readonly string[] | undefined;
    readonly without?: readonly string[] | undefined;
  },
): Imperfections {
  const on = only ? namesOf(only, "--only") : imperfectionNames;
  const off = without ? namesOf(without, "--without") : [];
  return imperfections(on.filter((name) => !off.includes(name)));
}

function namesOf(names: readonly string[], place: string): readonly Imperfection[] {
  const unknown = names.find((name) => !(imperfectionNames as readonly string[]).includes(name));
  if (unknown === undefined) return names as readonly Imperfection[];
  throw new UserError(`"${unknown}" is no imperfection`, {
    place,
    remedy: `Use some of: ${imperfectionNames.join(", ")}.`,
  });
}

/** The tiles of a chip, those of copies included, and the configurations of their arrays. */
const tilesIn = ({ blocks }: ChipSource): Map<string, CrossbarConfig> =>
  new Map(blocks.flatMap(({ crossbar, home }) =>
    arraysOf(crossbar).tiles.map(({ id }) => [id, home.config])));

/** The simulated chip of an artifact; undefined when it has no analog block. */
export async function openSimulator(
  artifact: Artifact,
  device: Device,
  { seed, time, only, without, faults, repair, compensation, pulseBudget,
    runInterval }: ChipRequest,
): Promise<ChipSimulator | undefined> {
  const chosen = chosenImperfections({ only, without });
  const source = await chipSourceOf(artifact);
  const cells = (source?.blocks ?? []).map(({ home }) => home.cells);
  const forgetful = cells.find(({ read, telegraph }) => read.kind !== "flicker" && !telegraph);
  if (runInterval !== undefined && forgetful) {
    throw new UserError(`has cells (${forgetful.name}) with neither 1/f nor telegraph noise`, {
      place: `${artifact.directory}: device`,
      remedy: "Leave --read-interval out, or compile for cells that have one, such as pcm-hermes.",
    });
  }
  const known = source && faults !== undefined
    ? parseFaultMap(await readJson(faults), tilesIn(source), faults) : undefined;
  return (
    source &&
    new ChipSimulator(device, source, {
      seed,
      imperfections: chosen,
      ...(time === undefined ? {} : { time: second(time, "time") }),
      ...(known === undefined ? {} : { faults: known }),
      ...(repair === undefined ? {} : { repair }),
      ...(compensation === undefined ? {} : { compensation }),
      ...(pulseBudget === undefined ? {} : { pulseBudget }),
      ...(runInterval === undefined ? {} : { runInterval: second(runInterval, "run interval") }),
    })
  );
}

/** The ideal chip of an artifact; undefined when it has no analog block. */
export async function openIdealChip(
  artifact: Artifact,
  device: Device,
): Promise<ChipBlocks | undefined> {
  const source = await chipSourceOf(artifact);
  return source && new IdealChip(device, source);
}
