/**
 * `simulate` as a function: a data set through the digital program, the ideal chip and the
 * simulated chip. Every chip accuracy is of a chip that was programmed (and aged, if asked).
 */
import { UserError } from "../../compiler/errors.ts";
import { elementAt, tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { cardSchema } from "../../models/card.ts";
import { openDataset, type Dataset } from "../data/dataset.ts";
import { openDevice, type DeviceChoice } from "../device/open.ts";
import type { ChipBlocks, HybridSession } from "../execute/hybridSession.ts";
import type { BlockStatistics, ChipSimulator } from "../chip/chipSimulator.ts";
import type { Compensation } from "../chip/compensation.ts";
import { openIdealChip, openSimulator } from "./chip.ts";
import { openArtifact } from "./executable.ts";

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
  /** File of the faults that were measured. */
  readonly faults?: string;
  /** Programs every chip a second time, its stuck cells and wire drop answered by the mapper. */
  readonly repair?: boolean;
  /** What is done about outputs that fade with time. */
  readonly compensation?: Compensation;
  /** Called after every batch: what runs, samples done, samples in all. */
  readonly onProgress?: (stage: string, done: number, total: number) => void;
}

/** Accuracies of several chips. */
export interface Spread {
  readonly mean: number;
  readonly std: number;
  readonly trials: readonly number[];
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
  readonly blocks: readonly BlockStatistics[];
  /** What a reader of the numbers must know. */
  readonly notes: readonly string[];
  readonly seconds: { readonly digital: number; readonly ideal: number; readonly chip: number };
}

/** Samples per run: large enough to fill the kernels, small enough for their memory. */
const BATCH = 128;
/** Samples by which converter ranges are calibrated, from the start of the data. */
const CALIBRATION = 64;

export async function simulate(request: SimulateRequest): Promise<SimulateResult> {
  const device = await openDevice(request.device);
  try {
    const { hybrid, artifact } = await openArtifact(request.directory, device);
    const card = cardSchema.safeParse(artifact.plan.card).data;
    const dataset = await openDataset(request.data, {
      ...(request.dataDir === undefined ? {} : { dataDir: request.dataDir }),
      ...(card ? { preprocessing: card.preprocessing, shape: card.inputShape } : {}),
    });
    const input = soleInput(hybrid, request.directory);
    const evaluate = (stage: string, chip?: ChipBlocks): Promise<Pass> =>
      pass(hybrid, input, dataset, chip, (done) =>
        request.onProgress?.(stage, done, dataset.count),
      );
    const digital = await evaluate("digital");
    const ideal = await evaluate("ideal chip", await openIdealChip(artifact, device));
    let chipSeconds = 0;
    /** Programs chips 0, 1, ... of one kind and measures each. */
    const measure = async (
      name: string, chip: ChipSimulator | undefined,
    ): Promise<Spread> => {
      if (chip?.needsCalibration) {
        const count = Math.min(CALIBRATION, dataset.count);
        const { images } = dataset.batch(0, count);
        const shape = [count, ...dataset.sampleShape];
        await chip.calibrate(hybrid, [new Map([[input, tensor("float32", shape, images)]])]);
      }
      const trials: number[] = [];
      for (let trial = 0; trial < request.trials; trial++) {
        chip?.reprogram(trial);
        const { accuracy, seconds } = await evaluate(`${name}, trial ${trial + 1}`, chip);
        trials.push(accuracy);
        chipSeconds += seconds;
      }
      return spread(trials);
    };
    const chip = await openSimulator(artifact, device, { ...request, repair: false });
    const plain = await measure("chip", chip);
    const again = request.repair ? await openSimulator(artifact, device, request) : undefined;
    const repaired = again && (await measure("repaired chip", again));
    return {
      device: device.info.description,
      samples: dataset.count,
      accuracy: {
        digital: digital.accuracy, ideal: ideal.accuracy, chip: plain,
        ...(repaired ? { repaired: {
          ...repaired, recovered: recovered(digital.accuracy, plain.mean, repaired.mean),
        } } : {}),
      },
      blocks: chip?.statistics() ?? [],
      notes: chip ? [] : ["the plan has no analog block: no chip was programmed"],
      seconds: { digital: digital.seconds, ideal: ideal.seconds, chip: chipSeconds },
    };
  } finally {
    device.destroy();
  }
}

function soleInput(hybrid: HybridSession, place: string): string {
  const { inputs } = hybrid.program;
  const [only] = inputs;
  if (only && inputs.length === 1) return only.name;
  throw new UserError(`has ${inputs.length} inputs, a labelled data set feeds one`, {
    place,
    remedy: "Use crosstie run with one array per input.",
  });
}

interface Pass {
  readonly accuracy: number;
  /** Of the runs alone. */
  readonly seconds: number;
}

async function pass(
  hybrid: HybridSession,
  input: string,
  dataset: Dataset,
  chip: ChipBlocks | undefined,
  onProgress: (done: number) => void,
): Promise<Pass> {
  let [correct, seconds] = [0, 0];
  for (let begin = 0; begin < dataset.count; begin += BATCH) {
    const end = Math.min(begin + BATCH, dataset.count);
    const { images, labels } = dataset.batch(begin, end);
    const feed = tensor("float32", [end - begin, ...dataset.sampleShape], images);
    const start = performance.now();
    const outputs = await hybrid.run(new Map([[input, feed]]), chip);
    seconds += (performance.now() - start) / 1000;
    const [logits] = [...outputs.values()] as [Tensor];
    const classes = logits.shape.at(-1) as number;
    labels.forEach((label, i) => {
      if (argmax(logits, i * classes, classes) === label) correct++;
    });
    onProgress(end);
  }
  return { accuracy: correct / dataset.count, seconds };
}

function argmax(t: Tensor, from: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (elementAt(t, from + i) > elementAt(t, from + best)) best = i;
  return best;
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
