/** How many arrays a placement may use: those of one chip, a number, or as many as it takes. */
import { UserError } from "../../compiler/errors.ts";
import { arraysPerChip } from "../../compiler/partition/cost/counts.ts";
import type { Arrays } from "../../compiler/partition/placementProblem.ts";
import type { Target } from "../../targets/schema.ts";

/** A number holds for every target; else each target's own. */
export type Capacity = "chip" | Arrays;

/**
 * Arrays that a capacity means on a target; undefined is no limit.
 * @throws UserError when a chip's arrays are asked for and the target has none
 */
export function arraysOf(capacity: Capacity | undefined, target: Target): number | undefined {
  if (typeof capacity === "object") return capacity[target.name];
  if (capacity !== "chip") return capacity;
  if (target.kind === "hybrid") return arraysPerChip(target);
  throw new UserError(`${target.name} has no arrays to be short of`, {
    place: "--capacity",
    remedy: "Leave it out, or name a target with analog arrays.",
  });
}

/** The same for several targets: each has its own arrays. */
export function arraysOfAll(
  capacity: Capacity | undefined, targets: readonly Target[],
): Arrays | undefined {
  const [only, ...more] = targets;
  if (capacity === undefined || only === undefined) return undefined;
  if (more.length === 0) return arraysOf(capacity, only);
  const hybrids = targets.filter(({ kind }) => kind === "hybrid");
  return Object.fromEntries(hybrids.flatMap((target) => {
    const arrays = arraysOf(capacity, target);
    return arrays === undefined ? [] : [[target.name, arrays]];
  }));
}
