/** Options of a chip in the loop of learning, shared by `train` and `check-gradients`. */
import { compensations, type Compensation } from "../chip/compensation.ts";
import type { LearningChipRequest } from "../learn/chipRequest.ts";
import { chipChoices, readDirections, type Chips, type ReadDirections } from "../learn/onChip.ts";
import type { OptionSpec, Options } from "./command.ts";

export const chipOptions: readonly OptionSpec[] = [
  { flags: "--target <target>", description: "of --chip simulated (default: neurram-rram)" },
  { flags: "--only <list>", description: "imperfections of the chip to keep on, by commas" },
  { flags: "--time <seconds>", description: "age of the chip when it is read" },
  {
    flags: "--repair",
    description: "columns of the chip copied, stuck cells and wire drop made up for",
  },
  {
    flags: "--compensate <how>", description: "for outputs that fade with time",
    choices: compensations,
  },
  {
    flags: "--arrays <which>", description: "for transposed reads: the same, or separate ones",
    choices: readDirections,
  },
  {
    flags: "--chips <which>", description: "met in training: another at every step, or one",
    choices: chipChoices,
  },
];

export function chipIn(options: Options): LearningChipRequest {
  return {
    target: options.text("target"), only: options.text("only")?.split(","),
    time: options.number("time", "--time", { above: 0 }), repair: options.flag("repair"),
    compensation: options.choice<Compensation>("compensate"),
    directions: options.choice<ReadDirections>("arrays"), chips: options.choice<Chips>("chips"),
  };
}
