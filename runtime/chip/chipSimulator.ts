/**
 * The chip as the executor sees it: blocks by id, run one after the other between the digital
 * segments. Calibrates ranges on samples, programs chip after chip, and keeps the score: how far
 * each block is from its digital twin, and how many conversions clip.
 *
 * A chip is told apart by its seed and trial. The same two give the same chip and the same noise,
 * on every device; run by run the noise is fresh.
 */
import type { CrossbarConfig } from "../../compiler/emit/crossbar/config.ts";
import type { TensorReader } from "../../compiler/emit/crossbar/decode.ts";
import { InternalError } from "../../compiler/errors.ts";
import { buildProgram } from "../../compiler/kernels/program.ts";
import type { Device as CellDevice } from "../../targets/device.ts";
import type { HybridTarget } from "../../targets/schema.ts";
import type { Second } from "../../targets/units.ts";
import type { Device, DeviceBuffer } from "../device/device.ts";
import type { ChipBlocks, HybridSession } from "../execute/hybridSession.ts";
import { Session, type DeviceTensor, type Feed } from "../execute/session.ts";
import { BlockChip } from "./blockChip.ts";
import { checkedTime } from "./cells.ts";
import type { Compensation } from "./compensation.ts";
import type { FaultMap } from "./faults.ts";
import { idealGraph, type BlockDescription } from "./idealBlock.ts";
import { imperfections, type Imperfections } from "./imperfections.ts";
import { Magnitudes } from "./magnitudes.ts";
import { firstOutputs, observeBlock } from "./observe.ts";
import type { ChipSetting } from "./programBlock.ts";
import { arraysOf } from "./replicas.ts";
import {
  addScores, powers, statisticsOf, type BlockScore, type BlockStatistics,
} from "./score.ts";
import { tileMaps, type TileMaps } from "./tileMaps.ts";
import { addReports, type WriteReport } from "./writeVerify.ts";

/** A target whose arrays hold blocks. */
export interface Home {
  readonly config: CrossbarConfig;
  readonly target: HybridTarget;
  /** Device model of the target's cells. */
  readonly cells: CellDevice;
}

/** A block with where it lies. */
export interface PlacedBlock extends BlockDescription {
  readonly home: Home;
}

/** The chip of an artifact: one target's, or a part of each of several. */
export interface ChipSource {
  /** In the order in which they run. */
  readonly blocks: readonly PlacedBlock[];
  /** Tensors of `conductances.safetensors` by name. */
  readonly read: TensorReader;
}

export interface ChipOptions {
  readonly seed: number;
  /** All of them by default. */
  readonly imperfections?: Imperfections;
  /** From programming to reading; the device's first measurement unless given. */
  readonly time?: Second;
  /** Faults that were measured; drawn from the device's shares unless given. */
  readonly faults?: FaultMap;
  /** Whether the mapper answers stuck cells and wire drop (`repair/`); not unless given. */
  readonly repair?: boolean;
  /** What is done about outputs that fade with time; nothing unless given. */
  readonly compensation?: Compensation;
  /** Pulses per cell, beyond which it is given up; the measured spread alone unless given. */
  readonly pulseBudget?: number;
  /** From run to run: read noise is correlated in time; drawn anew at each read unless given. */
  readonly runInterval?: Second;
}

/** Runs blocks on a device. */
export class ChipSimulator implements ChipBlocks {
  readonly #blocks: ReadonlyMap<string, BlockChip>;
  /** By target: its cells, converters and wires, under one seed. */
  readonly #settings: ReadonlyMap<Home, ChipSetting>;
  readonly #descriptions: readonly PlacedBlock[];
  /** Per block, over the trials since they were last taken. */
  readonly #scores = new Map<string, BlockScore>();
  #trial: number | undefined;
  /** Runs since programming, by block. */
  readonly #runs = new Map<string, number>();

  /** @throws UserError when a target's inputs and converters have no meaning together */
  constructor(device: Device, source: ChipSource, options: ChipOptions) {
    const { read } = source;
    const blocks = source.blocks.map((block): PlacedBlock =>
      ({ ...block, crossbar: arraysOf(block.crossbar) }));
    const homes = new Set(blocks.map(({ home }) => home));
    this.#settings = new Map([...homes].map((home) => [home, settingOf(home, options, read)]));
    this.#descriptions = blocks;
    this.#blocks = new Map(blocks.map((block) =>
      [block.crossbar.id, new BlockChip(device, block, this.#settingOf(block))]));
  }

  #settingOf({ home }: PlacedBlock): ChipSetting {
    return this.#settings.get(home) as ChipSetting;
  }

  /** Whether `calibrate` has to be called before blocks can run. */
  get needsCalibration(): boolean {
    return [...this.#blocks.values()].some((block) => block.needsCalibration);
  }

  /**
   * Sets input and converter ranges by samples: the program runs with its blocks as their digital
   * twins, while the blocks see their inputs. Ranges are set on chip 0, as programmed and aged.
   * @param samples inputs of the program, one map per run
   */
  async calibrate(
    hybrid: HybridSession, samples: readonly ReadonlyMap<string, Feed>[],
  ): Promise<void> {
    this.#program(this.#trial ?? 0);
    const through = async (
      see: (block: BlockChip, inputs: ReadonlyMap<string, DeviceTensor>) => Promise<void>,
    ): Promise<void> => {
      const run: ChipBlocks["run"] = async (id, inputs, _output, twin) => {
        await see(this.#block(id), inputs);
        await twin();
      };
      for (const feeds of samples) await hybrid.run(feeds, { run });
    };
    await through(async (block, inputs) => block.seeInputs(await block.drive(inputs)));
    const ranges = new Map(this.#descriptions.map(({ crossbar, home }) =>
      [this.#block(crossbar.id), home.config.converter.range]));
    const isCalibrated = (block: BlockChip): boolean =>
      block.converts && ranges.get(block)?.policy === "calibrated";
    const seen = new Map<BlockChip, Magnitudes[][]>();
    if ([...ranges.keys()].some(isCalibrated)) {
      await through(async (block, inputs) => {
        if (!isCalibrated(block)) return;
        const { slices } = block.layout;
        const kinds = Math.max(...block.passes.map((p) => p.kind)) + 1;
        const held = seen.get(block) ?? Array.from({ length: kinds }, () =>
          Array.from({ length: slices }, () => new Magnitudes()));
        seen.set(block, held);
        await observeBlock(block, inputs, (pass, slice, values, from, to) =>
          held[pass.kind]?.[slice]?.add(values, from, to));
      });
    }
    for (const [block, { percentile = 1 }] of ranges) {
      block.setRanges((seen.get(block) ?? []).map((bySlice) =>
        bySlice.map((values) => values.percentile(percentile))));
    }
  }

  /** Programs chip 0 and compiles what runs the blocks, so that the first run does neither. */
  async prepare(): Promise<void> {
    if (this.#trial === undefined) this.#program(0);
    for (const block of this.#blocks.values()) await block.prepare();
  }

  /** Makes this chip number `trial`: all cells programmed anew, noise from its start. */
  reprogram(trial: number): void {
    this.#program(trial);
  }

  /** How this chip was written; undefined without a budget of pulses. */
  get writes(): WriteReport | undefined {
    const reports = [...this.#blocks.values()].flatMap((block) => block.writes);
    return reports.length > 0 ? addReports(reports) : undefined;
  }

  #program(trial: number): void {
    for (const { crossbar: { id, sharedWith } } of this.#descriptions) {
      const owner = sharedWith === undefined ? undefined : this.#block(sharedWith);
      this.#block(id).program(trial, owner);
    }
    this.#trial = trial;
    this.#runs.clear();
  }

  #block(id: string): BlockChip {
    const found = this.#blocks.get(id);
    if (!found) throw new InternalError(`the chip has no block ${id}`);
    return found;
  }

  /**
   * Runs a block. Of the first run after programming, as many samples as give half a million
   * outputs are also compared with the digital twin.
   */
  async run(
    id: string, inputs: ReadonlyMap<string, DeviceTensor>, output: DeviceBuffer,
    twin: () => Promise<void>,
  ): Promise<void> {
    const block = this.#block(id);
    if (this.#trial === undefined) this.#program(0);
    const run = this.#runs.get(id) ?? 0;
    this.#runs.set(id, run + 1);
    if (run > 0) {
      await block.run(inputs, run, output);
      return;
    }
    const compared = { buffer: output, shape: firstOutputs(block.graph, inputs, MOST_COMPARED) };
    await twin();
    const expected = (await block.read(compared)).slice();
    await block.run(inputs, run, output);
    const score = {
      id, ...powers(expected, await block.read(compared)),
      saturation: block.converts ? await observeBlock(block, inputs, undefined, run) : [],
    };
    const before = this.#scores.get(id);
    this.#scores.set(id, addScores([before ? [before] : [], [score]])[0] as BlockScore);
  }

  /** Of every block that has run, over the trials since the last call of `takeScores`. */
  statistics(): BlockStatistics[] {
    return statisticsOf(this.#inOrder());
  }

  /** The sums behind the statistics, which start anew. */
  takeScores(): BlockScore[] {
    const taken = this.#inOrder();
    this.#scores.clear();
    return taken;
  }

  #inOrder(): BlockScore[] {
    return [...this.#blocks.keys()].flatMap((id) => this.#scores.get(id) ?? []);
  }

  /** Arrays in use: a tile that several blocks share is one. */
  get tileCount(): number {
    return this.#owners.reduce((sum, { crossbar }) => sum + crossbar.tiles.length, 0);
  }

  /** Blocks that have tiles of their own. */
  get #owners(): PlacedBlock[] {
    return this.#descriptions.filter(({ crossbar }) => crossbar.sharedWith === undefined);
  }

  /** What every tile of chip number `trial` looks like, one after the other. */
  *maps(trial: number): Generator<TileMaps> {
    for (const block of this.#owners) yield* tileMaps(block, this.#settingOf(block), trial);
  }

  /** Frees the memory on the device. */
  release(): void {
    for (const block of this.#blocks.values()) block.release();
  }
}

/** How a target's arrays are written and read. @throws UserError when the time is none */
function settingOf(
  { config, target, cells }: Home, options: ChipOptions, read: TensorReader,
): ChipSetting {
  const { temperature, bandwidth, read: relative } = target.noise;
  return {
    config, cells, read, seed: options.seed,
    imperfections: options.imperfections ?? imperfections(),
    time: checkedTime(options.time, cells),
    faults: options.faults, repair: options.repair, compensation: options.compensation,
    pulseBudget: options.pulseBudget, runInterval: options.runInterval,
    noise: { temperature: temperature.value, bandwidth: bandwidth.value, read: relative.value },
  };
}

/** Outputs of one run that are compared with the digital twin. */
const MOST_COMPARED = 2 ** 19;

/** Blocks with ideal cells, converters and wires: the same product with the weights they hold. */
export class IdealChip implements ChipBlocks {
  readonly #device: Device;
  readonly #source: ChipSource;
  readonly #sessions = new Map<string, Promise<Session>>();

  constructor(device: Device, source: ChipSource) {
    this.#device = device;
    this.#source = source;
  }

  async run(
    id: string, inputs: ReadonlyMap<string, DeviceTensor>, output: DeviceBuffer,
  ): Promise<void> {
    const { blocks, read } = this.#source;
    const block = blocks.find(({ crossbar }) => crossbar.id === id);
    if (!block) throw new InternalError(`the chip has no block ${id}`);
    const made = this.#sessions.get(id) ?? Session.create(this.#device,
      buildProgram(idealGraph(block, block.home.config, read)));
    this.#sessions.set(id, made);
    const name = (block.graph.outputs[0] as { name: string }).name;
    await (await made).dispatch(inputs, new Map([[name, output]]));
  }

  /** Frees the memory on the device. */
  async release(): Promise<void> {
    for (const made of this.#sessions.values()) (await made).release();
    this.#sessions.clear();
  }
}
