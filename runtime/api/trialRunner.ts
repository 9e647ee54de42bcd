/**
 * What runs trials in one thread: an artifact on a device, its data set, and the chips that are
 * programmed one after the other. A trial is told by its number alone, so any thread that runs it
 * gets the same: chips are calibrated on chip 0, and nothing of a trial is left for the next.
 */
import { UserError } from "../../compiler/errors.ts";
import { elementAt, tensor, type Tensor } from "../../compiler/graph/tensor.ts";
import { cardSchema } from "../../models/card.ts";
import type { ChipSimulator } from "../chip/chipSimulator.ts";
import type { BlockScore } from "../chip/score.ts";
import type { WriteReport } from "../chip/writeVerify.ts";
import { openDataset, type Dataset } from "../data/dataset.ts";
import type { Device } from "../device/device.ts";
import { openDevice, type DeviceChoice } from "../device/open.ts";
import type { ChipBlocks, HybridSession } from "../execute/hybridSession.ts";
import type { Artifact } from "../files/artifactFiles.ts";
import { openSimulator, type ChipRequest } from "./chip.ts";
import { openArtifact } from "./executable.ts";

/** Everything a thread needs to know: plain data. */
export interface TrialSetting extends ChipRequest {
  readonly directory: string;
  /** Data SPEC. */
  readonly data: string;
  readonly dataDir?: string;
  readonly device: DeviceChoice;
  /** Seconds from sample to sample, over which read noise is correlated. */
  readonly readInterval?: number;
}

/** One chip to program. */
export interface Trial {
  readonly number: number;
  readonly repair: boolean;
}

/** Accuracy of one pass over the data, and the seconds of the runs alone. */
export interface Pass {
  readonly accuracy: number;
  readonly seconds: number;
}

export interface TrialResult extends Pass {
  readonly scores: readonly BlockScore[];
  /** How the chip was written, where there was a budget of pulses. */
  readonly writes?: WriteReport;
}

/** Samples per run: large enough to fill the kernels, small enough for the caches. */
const BATCH = 32;
/** Samples by which converter ranges are calibrated, from the start of the data. */
const CALIBRATION = 64;

export class TrialRunner {
  readonly device: Device;
  readonly artifact: Artifact;
  readonly dataset: Dataset;
  readonly #hybrid: HybridSession;
  readonly #setting: TrialSetting;
  readonly #input: string;
  readonly #chips = new Map<boolean, Promise<ChipSimulator | undefined>>();

  private constructor(
    device: Device, setting: TrialSetting, hybrid: HybridSession, artifact: Artifact,
    dataset: Dataset,
  ) {
    this.device = device;
    this.artifact = artifact;
    this.dataset = dataset;
    this.#hybrid = hybrid;
    this.#setting = setting;
    this.#input = soleInput(hybrid, setting.directory);
  }

  /** @throws UserError when the artifact, the data or the device cannot be had */
  static async open(setting: TrialSetting): Promise<TrialRunner> {
    const device = await openDevice(setting.device);
    try {
      const { hybrid, artifact } = await openArtifact(setting.directory, device);
      const card = cardSchema.safeParse(artifact.plan.card).data;
      const dataset = await openDataset(setting.data, {
        ...(setting.dataDir === undefined ? {} : { dataDir: setting.dataDir }),
        ...(card ? { preprocessing: card.preprocessing, shape: card.inputShape } : {}),
      });
      return new TrialRunner(device, setting, hybrid, artifact, dataset);
    } catch (error) {
      device.destroy();
      throw error;
    }
  }

  close(): void {
    this.device.destroy();
  }

  /** The whole data set once; without a chip every block is its digital twin. */
  async evaluate(
    chip: ChipBlocks | undefined, onProgress?: (done: number) => void,
  ): Promise<Pass> {
    const { count, sampleShape } = this.dataset;
    let [correct, seconds] = [0, 0];
    for (let begin = 0; begin < count; begin += BATCH) {
      const end = Math.min(begin + BATCH, count);
      const { images, labels } = this.dataset.batch(begin, end);
      const feed = tensor("float32", [end - begin, ...sampleShape], images);
      const start = performance.now();
      const outputs = await this.#hybrid.run(new Map([[this.#input, feed]]), chip);
      seconds += (performance.now() - start) / 1000;
      const [logits] = [...outputs.values()] as [Tensor];
      const classes = logits.shape.at(-1) as number;
      labels.forEach((label, i) => {
        if (argmax(logits, i * classes, classes) === label) correct++;
      });
      onProgress?.(end);
    }
    return { accuracy: correct / count, seconds };
  }

  /** Programs a chip and runs the data set on it; undefined where the plan has no analog block. */
  async run(
    { number, repair }: Trial, onProgress?: (done: number) => void,
  ): Promise<TrialResult | undefined> {
    const made = this.#chips.get(repair) ?? this.#calibrated(repair);
    this.#chips.set(repair, made);
    const chip = await made;
    if (!chip) return undefined;
    chip.reprogram(number);
    const pass = await this.evaluate(chip, onProgress);
    const { writes } = chip;
    return { ...pass, scores: chip.takeScores(), ...(writes ? { writes } : {}) };
  }

  async #calibrated(repair: boolean): Promise<ChipSimulator | undefined> {
    const { readInterval } = this.#setting;
    const chip = await openSimulator(this.artifact, this.device, {
      ...this.#setting, repair,
      ...(readInterval === undefined ? {} : { runInterval: BATCH * checkedInterval(readInterval) }),
    });
    if (!chip) return undefined;
    if (chip.needsCalibration) {
      const count = Math.min(CALIBRATION, this.dataset.count);
      const { images } = this.dataset.batch(0, count);
      const samples = tensor("float32", [count, ...this.dataset.sampleShape], images);
      await chip.calibrate(this.#hybrid, [new Map([[this.#input, samples]])]);
    }
    await chip.prepare();
    return chip;
  }
}

/** @throws UserError unless it is above 0 */
function checkedInterval(seconds: number): number {
  if (Number.isFinite(seconds) && seconds > 0) return seconds;
  throw new UserError(`samples cannot be read every ${seconds} s`, {
    place: "--read-interval", remedy: "Give a number of seconds above 0, such as 1e-4.",
  });
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

function argmax(t: Tensor, from: number, count: number): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (elementAt(t, from + i) > elementAt(t, from + best)) best = i;
  return best;
}
