/**
 * What `train` and `check-gradients` are told of the chip, opened: the target, the device of its
 * cells and which imperfections it has. Not for what runs a compiled model (`api/chip.ts`).
 */
import { UserError } from "../../compiler/errors.ts";
import { second } from "../../targets/units.ts";
import { chosenImperfections, type ChipMode } from "../api/chip.ts";
import type { Compensation } from "../chip/compensation.ts";
import { loadTarget } from "../files/targetFiles.ts";
import type { Chips, LearningChip, ReadDirections } from "./onChip.ts";

export interface LearningChipRequest {
  readonly chip?: ChipMode | undefined;
  /** Preset name or path of a target file. */
  readonly target?: string | undefined;
  /** Imperfections to leave on; all by default. */
  readonly only?: readonly string[] | undefined;
  /** Seconds from programming to reading. */
  readonly time?: number | undefined;
  readonly repair?: boolean | undefined;
  readonly compensation?: Compensation | undefined;
  readonly directions?: ReadDirections | undefined;
  readonly chips?: Chips | undefined;
  readonly seed?: number | undefined;
}

/**
 * The chip of a request; undefined when none is asked for, or an ideal one.
 * @throws UserError for what is asked of a chip that is not there
 */
export function learningChip(request: LearningChipRequest): LearningChip | undefined {
  const { chip = "none", target, only, time, repair, compensation, directions, chips } = request;
  if (chip !== "simulated") {
    const idle = Object.entries({ target, only, time, directions, chips })
      .find(([, value]) => value !== undefined)?.[0];
    if (idle === undefined) return undefined;
    throw new UserError("there is no simulated chip to heed it", {
      place: `--${flags[idle] ?? idle}`, remedy: "add --chip simulated, or leave it away",
    });
  }
  const opened = loadTarget(target ?? "neurram-rram");
  if (opened.target.kind !== "hybrid" || !opened.device) {
    throw new UserError(`${opened.target.name} has no arrays`, {
      place: "--target", remedy: "give a hybrid target; crosstie targets lists them",
    });
  }
  return {
    directions: directions ?? "same", chips: chips ?? "every-step",
    chip: {
      target: opened.target, cells: opened.device, seed: request.seed ?? 1,
      imperfections: chosenImperfections({ only }), repair, compensation,
      time: time === undefined ? undefined : second(time, "--time"),
    },
  };
}

const flags: Readonly<Record<string, string>> = { directions: "arrays" };

/** What of a chip must be the same for a run to go on. */
export const chipIdentity = ({ chip, directions, chips }: LearningChip): unknown => ({
  target: chip.target.name, imperfections: chip.imperfections, seed: chip.seed,
  time: chip.time ?? null, repair: chip.repair ?? false,
  compensation: chip.compensation ?? "none", directions, chips,
});
