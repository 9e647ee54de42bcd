/** `crosstie targets [NAME]`: the hardware that is known, and where its figures come from. */
import { listTargets, loadTarget, summarise, type TargetSummary } from "../../files/targetFiles.ts";
import type { CommandSpec } from "../command.ts";
import { table } from "../table.ts";

interface Result {
  readonly targets: readonly TargetSummary[];
}

export const targets: CommandSpec = {
  name: "targets",
  summary: "List the hardware targets, or describe one.",
  arguments: [{ name: "[name]", description: "a preset, or a path to a target file" }],
  example: "crosstie targets neurram-rram",
  run({ args: [name] }) {
    const found = name === undefined ? listTargets() : [summarise(loadTarget(name).target)];
    return Promise.resolve({ targets: found } satisfies Result);
  },
  render({ targets: found }: Result) {
    const [only] = found;
    if (found.length === 1 && only) {
      return `${only.name}: ${only.kind}, ${only.process}\n${only.summary}\nsource: ${only.source}`;
    }
    return table(
      ["target", "kind", "process", "what it is"],
      found.map((t) => [t.name, t.kind, t.process, t.summary.split(/: |\. /)[0] ?? t.summary]),
    );
  },
};
