/**
 * Programs the tiles of a block: from the conductances that are wanted to the matrices that its
 * columns multiply with, as chip number `trial`, aged to the time of reading. Every draw comes from
 * the seed, the trial and the tile's name.
 */
import type { CrossbarConfig, CrossbarTile } from "../../compiler/emit/crossbar/config.ts";
import type { TensorReader } from "../../compiler/emit/crossbar/decode.ts";
import { encodingFrom } from "../../compiler/emit/crossbar/emit.ts";
import type { Device } from "../../targets/device.ts";
import { programmingSigma } from "../../targets/deviceModel.ts";
import {
  noiseVariance, readNoise, telegraphNoise, type NoiseProcess,
} from "../../targets/noiseProcess.ts";
import type { Hertz, Kelvin, Ratio, Second, Siemens } from "../../targets/units.ts";
import { firstTime, ProgrammedCells, type CellTechnology } from "./cells.ts";
import { compensate, fading, type Compensation } from "./compensation.ts";
import { convertersDiffer } from "./converterBank.ts";
import { drawStuck, type FaultMap, type StuckCells } from "./faults.ts";
import { continuousTiles, type StoredWeights } from "./idealBlock.ts";
import type { Imperfections } from "./imperfections.ts";
import type { BlockLayout } from "./layout.ts";
import { splitNoise, type SplitNoise } from "./noiseInTime.ts";
import { lawTerms } from "./nonlinear.ts";
import { keyOf, type Key } from "./normal.ts";
import { inPlace } from "./repair/placement.ts";
import { repairTile, stuckOf } from "./repair/repairTile.ts";
import { addSensedTile } from "./senseDigits.ts";
import { scalesOf } from "./replicas.ts";
import {
  addTile, emptyMatrices, levelStep, thermalCurrent, type BlockMatrices, type TileFill,
} from "./tileMatrix.ts";

/** What all blocks of a chip have in common. */
export interface ChipSetting {
  readonly config: CrossbarConfig;
  /** Device model of the cells. */
  readonly cells: Device;
  /** Of the periphery; read noise is relative to a conductance. */
  readonly noise: {
    readonly temperature: Kelvin; readonly bandwidth: Hertz; readonly read: Ratio;
  };
  readonly imperfections: Imperfections;
  readonly seed: number;
  /** From programming to reading. */
  readonly time: Second;
  /** Stored tensors: conductances in siemens, scales. */
  readonly read: TensorReader;
  /** Faults that were measured; drawn from the device's shares unless given. */
  readonly faults?: FaultMap | undefined;
  /** Whether the mapper copies columns and answers stuck cells and wire drop. */
  readonly repair?: boolean | undefined;
  /** What is done about fading outputs; nothing unless given. */
  readonly compensation?: Compensation | undefined;
  /** Pulses per cell, beyond which it is given up; the measured spread alone unless given. */
  readonly pulseBudget?: number | undefined;
  /** Time from run to run, seconds: what the cells' noise remembers; nothing unless given. */
  readonly runInterval?: Second | undefined;
}

type Timing = Pick<ChipSetting, "cells" | "time" | "runInterval">;

/** The cells' noise, variance 1: what outlasts a run, and the share that is fresh at each read. */
export const noiseOverRuns = ({ cells, time, runInterval }: Timing): SplitNoise =>
  runInterval === undefined ? { lasting: [], fresh: 1 }
    : splitNoise(readNoise(cells, time), runInterval);

/** Telegraph noise of levels 1 apart, if it outlasts a run. */
export function lastingTelegraph({ cells, runInterval }: Timing): NoiseProcess | undefined {
  const process = telegraphNoise(cells);
  const outlasts = process && runInterval !== undefined &&
    splitNoise(process, runInterval).fresh === 0;
  return outlasts ? process : undefined;
}

/** Whether two trials differ at all before noise. */
export const trialsDiffer = ({ imperfections, config, cells }: ChipSetting): boolean =>
  imperfections.programming || imperfections.drift || imperfections.stuck ||
  (imperfections.readNoise && cells.telegraph !== undefined) ||
  (imperfections.converters && convertersDiffer(config.converter));

/**
 * The matrices of a block as chip number `trial` has them at the time of reading.
 * @param noise also the variances that read noise is drawn with
 */
export function programBlock(
  block: StoredWeights, setting: ChipSetting, layout: BlockLayout, trial: number,
  noise: boolean,
): BlockMatrices {
  const { compensation = "none", imperfections, time, config, cells } = setting;
  const old = programAt(block, setting, layout, trial, noise);
  const young = firstTime(cells);
  const fades = imperfections.drift && time > young && config.input.coding !== "digital";
  if (compensation === "none" || !fades) return old;
  const before = programAt(block, { ...setting, time: young }, layout, trial, false);
  compensate(layout, old, fading(layout, block.crossbar, before, old, compensation));
  return old;
}

/** A tile as a chip has it. */
export interface ProgrammedTile {
  /** With the copies of its columns, where it was repaired. */
  readonly tile: CrossbarTile;
  /** Conductances that are wanted, siemens, [rows, columns] of the tile. */
  readonly target: ArrayLike<number>;
  /** What they are at the time of reading. */
  readonly cells: Float64Array;
  readonly programmed: ProgrammedCells;
  readonly repair: ReturnType<typeof repairTile> | undefined;
}

/** The tiles of a block as chip number `trial` has them, one after the other. */
export function* programTiles(
  block: StoredWeights, setting: ChipSetting, layout: BlockLayout, trial: number,
): Generator<ProgrammedTile> {
  const { config, cells: device, imperfections, seed, time, read } = setting;
  const { crossbar } = block;
  const encoding = encodingFrom(config);
  const technology = { device, gMin: encoding.gMin, gMax: encoding.gMax };
  const isSensed = config.input.coding === "digital";
  // A repair programs what is wanted, not the level next to it: write-verify reaches any.
  const isRounded = imperfections.levels && (isSensed || !setting.repair);
  const continuous = isRounded ? undefined
    : continuousTiles(block, config, scalesOf(crossbar, read));
  for (const [index, stored] of crossbar.tiles.entries()) {
    const held = continuous ? continuous(index) : read(stored.conductances);
    const key = keyOf(seed, "cells", trial, stored.id);
    const faults = imperfections.stuck ? faultsOf(setting, technology, key, stored.id) : undefined;
    const repair = setting.repair ? repairTile({
      config, encoding, layout, tile: stored, target: held, stuck: faults,
      wires: hasWires(setting),
      spread: imperfections.programming ? middleSpread(technology) : 0,
    }) : undefined;
    const { tile, wanted: target } = repair ?? { tile: stored, wanted: held };
    const places = repair?.places ?? inPlace(tile.columns);
    const programmed = new ProgrammedCells(technology, repair?.target ?? target, key,
      imperfections, stuckOf(faults, tile, places, config.array.columns), setting.pulseBudget);
    yield { tile, target, cells: programmed.at(time), programmed, repair };
  }
}

/** Words that are sensed digitally lose nothing on their way. */
const hasWires = ({ imperfections, config }: ChipSetting): boolean =>
  imperfections.wires && config.input.coding !== "digital";

function programAt(
  block: StoredWeights, setting: ChipSetting, layout: BlockLayout, trial: number,
  noise: boolean,
): BlockMatrices {
  const { config, cells: device, imperfections, seed, time } = setting;
  const encoding = encodingFrom(config);
  const sensed = config.input.coding === "digital";
  const law = lawTerms({ ...setting, input: config.input });
  const out = emptyMatrices(layout, noise, law);
  const { temperature, bandwidth, read: relative } = setting.noise;
  const levelCurrent = levelStep(encoding) * config.input.readVolt;
  const { fresh } = noiseOverRuns(setting);
  const telegraph = telegraphNoise(device);
  const isLasting = lastingTelegraph(setting) !== undefined;
  const fill: TileFill = {
    config, encoding, layout, law, wires: hasWires(setting),
    thermalPerSiemens: thermalCurrent(temperature, bandwidth, 1 as Siemens) / levelCurrent ** 2,
  };
  for (const one of programTiles(block, setting, layout, trial)) {
    const { tile, target, cells, programmed, repair } = one;
    if (programmed.report) out.writes.push(programmed.report);
    if (sensed) {
      const errors = imperfections.programming && device.sensing
        ? { device, key: keyOf(seed, "sensing", trial, tile.id) } : undefined;
      addSensedTile(fill, tile, { target, cells },
        { levels: imperfections.levels, ...(errors ? { errors } : {}) }, out);
      continue;
    }
    const telegraphSteps = noise ? programmed.telegraphSteps(cells) : undefined;
    const readSigma = noise ? programmed.readSigma(cells, time, relative, fresh) : undefined;
    if (readSigma && telegraph && !isLasting) {
      const deviation = Math.sqrt(noiseVariance(telegraph));
      telegraphSteps?.forEach((step, i) => {
        readSigma[i] = Math.hypot(readSigma[i] as number, deviation * step);
      });
    }
    const lastingSigma = noise && fresh < 1
      ? programmed.readSigma(cells, time, 0, 1 - fresh) : undefined;
    addTile(fill, tile, {
      cells, readSigma, lastingSigma, repair, ...(isLasting ? { telegraphSteps } : {}),
    }, out);
  }
  return out;
}

/** Faults of a tile's array; undefined where a map was given that has none. */
function faultsOf(
  { config, faults }: ChipSetting, technology: CellTechnology, key: Key, tile: string,
): StuckCells | undefined {
  return faults ? faults.get(tile) : drawStuck(technology, key, config.array);
}

/** Standard deviation of programming in the middle of the window. */
function middleSpread({ device, gMin, gMax }: CellTechnology): Siemens {
  const g = (gMin + gMax) / 2 as Siemens;
  const sigma = programmingSigma(device, g, firstTime(device), gMax);
  return (device.programming.distribution === "log-normal" ? sigma * g : sigma) as Siemens;
}
