/** `run` as a function: arrays in, arrays out, on a named device. */
import { join } from "node:path";
import { UserError } from "../../compiler/errors.ts";
import type { Tensor } from "../../compiler/graph/tensor.ts";
import { openDevice, type DeviceChoice } from "../device/open.ts";
import { readNpy, writeNpy } from "../data/npy.ts";
import { fromTensor, toTensor } from "../data/tensors.ts";
import { identifier } from "../../compiler/kernels/names.ts";
import type { Artifact } from "../files/artifactFiles.ts";
import type { ChipBlocks, HybridSession } from "../execute/hybridSession.ts";
import type { Device } from "../device/device.ts";
import { openIdealChip, openSimulator, type ChipMode } from "./chip.ts";
import { openExecutable } from "./executable.ts";

export interface RunRequest {
  /** Artifact folder or ONNX file. */
  readonly source: string;
  /** Input name to .npy file. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly device: DeviceChoice;
  readonly chip: ChipMode;
  readonly seed: number;
  /** Folder for NAME.npy. */
  readonly out: string;
}

export interface RunResult {
  readonly device: string;
  readonly chip: ChipMode;
  readonly outputs: Readonly<Record<string, { shape: readonly number[]; file: string }>>;
  /** Seconds of the run itself, loading and compiling left out. */
  readonly seconds: number;
  readonly notes: readonly string[];
}

export async function runModel(request: RunRequest): Promise<RunResult> {
  const inputs = new Map<string, Tensor>();
  for (const [name, file] of request.inputs) inputs.set(name, toTensor(await readNpy(file), file));
  const device = await openDevice(request.device);
  try {
    const { hybrid, artifact, notes } = await openExecutable(request.source, inputs, device);
    checkNames(
      hybrid.program.inputs.map((i) => i.name),
      inputs,
      request.source,
    );
    const chip = await chipFor(request, artifact, hybrid, inputs, device);
    const start = performance.now();
    const outputs = await hybrid.run(inputs, chip);
    const seconds = (performance.now() - start) / 1000;
    const written: Record<string, { shape: readonly number[]; file: string }> = {};
    for (const [name, tensor] of outputs) {
      const file = join(request.out, `${identifier(name)}.npy`);
      await writeNpy(file, fromTensor(tensor));
      written[name] = { shape: tensor.shape, file };
    }
    return {
      device: device.info.description,
      chip: request.chip,
      outputs: written,
      seconds,
      notes,
    };
  } finally {
    device.destroy();
  }
}

/** The chip that was asked for, calibrated on the very inputs where it has to be. */
async function chipFor(
  { chip: mode, seed, source }: RunRequest,
  artifact: Artifact | undefined,
  hybrid: HybridSession,
  inputs: ReadonlyMap<string, Tensor>,
  device: Device,
): Promise<ChipBlocks | undefined> {
  if (mode === "none") return undefined;
  if (!artifact) {
    throw new UserError("is a model, which has no chip yet", {
      place: source,
      remedy: "Compile it with crosstie compile, and run the artifact.",
    });
  }
  if (mode === "ideal") return openIdealChip(artifact, device);
  const chip = await openSimulator(artifact, device, { seed });
  if (chip?.needsCalibration) await chip.calibrate(hybrid, [inputs]);
  return chip;
}

/** Blames a misspelt input before anything runs. */
function checkNames(
  declared: readonly string[],
  given: ReadonlyMap<string, Tensor>,
  place: string,
): void {
  const unknown = [...given.keys()].find((name) => !declared.includes(name));
  if (unknown === undefined) return;
  throw new UserError(`has no input called "${unknown}"`, {
    place,
    remedy: `Its inputs are: ${declared.join(", ")}.`,
  });
}
