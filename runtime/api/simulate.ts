/**
 * `simulate` as a function: a data set through the digital program, the ideal chip and the
 * simulated chip. Every chip accuracy is of a chip that was programmed (and aged, if asked).
 */
import { artifactFiles } from "../../compiler/artifact/plan.ts";
import { configsOf, parseCrossbars } from "../../compiler/emit/crossbar/config.ts";
import type { Compensation } from "../chip/compensation.ts";
import { addScores, statisticsOf, type BlockStatistics } from "../chip/score.ts";
import type { WriteReport } from "../chip/writeVerify.ts";
import type { DeviceChoice } from "../device/open.ts";
import { chosenImperfections, openIdealChip } from "./chip.ts";
import { runTrials } from "./trialPool.ts";
import { TrialRunner, type TrialResult } from "./trialRunner.ts";

export interface SimulateRequest {
  readonly directory: string;
  /** Data SPEC. */
  readonly data: string;
  readonly dataDir?: string;
  readonly trials: number;
  readonly seed: number;
  readonly device: DeviceChoice;
  /** Seconds between programming and reading. */
  readonly time?: number;
  /** Imperfections to leave on; all by default. */
  readonly only?: readonly string[];
  /** Imperfections to switch off. */
  readonly without?: readonly string[];
  /** Threads that run trials side by side; 1 unless given. */
  readonly workers?: number;
  /** The bundled worker; found beside this program's own files unless given. */
  readonly workerFile?: string;
  /** File of the faults that were measured. */
  readonly faults?: string;
  /** Programs every chip a second time, repaired by the mapper (`chip/repair/`). */
  readonly repair?: boolean;
  /** What is done about outputs that fade with time. */
  readonly compensation?: Compensation;
  /** Pulses per cell, beyond which it is given up; the measured spread alone unless given. */
  readonly pulseBudget?: number;
  /** Seconds from sample to sample: read noise is correlated in time; else drawn at each read. */
  readonly readInterval?: number;
  /** Called after every batch: what runs, samples done, samples in all. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** Accuracies of several chips. */
export interface Spread {
  readonly mean: number;
  readonly std: number;
  readonly trials: readonly number[];
}

/** How a block does on the target whose arrays hold it. */
export interface PlacedStatistics extends BlockStatistics {
  readonly target: string;
}

export interface SimulateResult {
  readonly device: string;
  readonly samples: number;
  readonly accuracy: {
    readonly digital: number;
    readonly ideal: number;
    readonly chip: Spread;
    /** The same chips repaired; only where asked for. */
    readonly repaired?: Spread & {
      /** Of what is lost between the digital program and the chip; null where nothing is. */
      readonly recovered: number | null;
    };
  };
  readonly blocks: readonly PlacedStatistics[];
  /** How all cells of every chip were written, where there was a budget of pulses. */
  readonly writes?: readonly WriteReport[];
  /** What a reader of the numbers must know. */
  readonly notes: readonly string[];
  readonly seconds: { readonly digital: number; readonly ideal: number; readonly chip: number };
}

export async function simulate(request: SimulateRequest): Promise<SimulateResult> {
  const { onProgress, workerFile, workers = 1, repair = false, ...setting } = request;
  chosenImperfections(request);
  const runner = await TrialRunner.open(setting);
  try {
    const { count } = runner.dataset;
    const progress = (stage: string) => (done: number): void => onProgress?.(stage, done, count);
    const digital = await runner.evaluate(undefined, progress("digital"));
    const ideal = await runner.evaluate(
      await openIdealChip(runner.artifact, runner.device), progress("ideal chip"));
    const kinds = repair ? [false, true] : [false];
    const trials = kinds.flatMap((repaired) =>
      Array.from({ length: request.trials }, (_, number) => ({ number, repair: repaired })));
    const results = await runTrials(runner, setting, trials, {
      workers, workerFile,
      onProgress: (done, samples) =>
        onProgress?.("chips", done * count + samples, trials.length * count),
    });
    const chip = results.filter((r): r is TrialResult => r !== undefined);
    const has = chip.length > 0;
    const accuracies = has ? chip.map((r) => r.accuracy) : trials.map(() => digital.accuracy);
    const plain = spread(accuracies.slice(0, request.trials));
    const repaired = spread(accuracies.slice(request.trials));
    const configs = has ? configsOf(
      parseCrossbars(runner.artifact.crossbars, artifactFiles.crossbars)) : [];
    const homes = new Map(configs.flatMap(({ blocks, target }) =>
      blocks.map(({ id }) => [id, target.name])));
    const writes = chip.slice(0, request.trials).flatMap((r) => r.writes ?? []);
    return {
      device: runner.device.info.description,
      samples: count,
      accuracy: {
        digital: digital.accuracy, ideal: ideal.accuracy, chip: plain,
        ...(repair ? { repaired: {
          ...repaired, recovered: recovered(digital.accuracy, plain.mean, repaired.mean),
        } } : {}),
      },
      blocks: statisticsOf(addScores(chip.slice(0, request.trials).map((r) => r.scores)))
        .map((block) => ({ ...block, target: homes.get(block.id) as string })),
      ...(writes.length > 0 ? { writes } : {}),
      notes: notesOn(request, has),
      seconds: {
        digital: digital.seconds, ideal: ideal.seconds,
        chip: chip.reduce((sum, r) => sum + r.seconds, 0),
      },
    };
  } finally {
    runner.close();
  }
}

function notesOn({ time, repair }: SimulateRequest, isProgrammed: boolean): string[] {
  if (!isProgrammed) return ["the plan has no analog block: no chip was programmed"];
  return [
    ...(time === undefined
      ? ["chips are read as soon after programming as their cells were measured; --time ages them"]
      : []),
    ...(repair === true
      ? ["repaired chips hold columns up to 8 times where arrays have room: as many conversions"]
      : []),
  ];
}

/** Mean and sample standard deviation (0 for one trial). */
function spread(trials: readonly number[]): Spread {
  const mean = trials.reduce((sum, x) => sum + x, 0) / Math.max(trials.length, 1);
  const squares = trials.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, std: Math.sqrt(squares / Math.max(trials.length - 1, 1)), trials };
}

/** Share of a loss that is won back; null where nothing was lost. */
const recovered = (digital: number, chip: number, repaired: number): number | null =>
  digital > chip ? (repaired - chip) / (digital - chip) : null;
