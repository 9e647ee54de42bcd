/**
 * A model whose blocks have separate weights for the way back: every energy block becomes a field
 * block (`field.ts`), as when two arrays hold the two read directions of a crossbar.
 */
import type { ParameterSpec } from "./block.ts";
import { verifyFfEbm, type FfEbm } from "./ffEbm.ts";
import { copyName, untie } from "./field.ts";

export interface UntiedModel {
  readonly model: FfEbm;
  /** The parameter that each parameter is a copy of: itself, but for couplings. */
  readonly origins: ReadonlyMap<string, string>;
}

export function untieModel(model: FfEbm): UntiedModel {
  const stages = model.stages.map((stage) =>
    (stage.kind === "analog" && stage.block.kind === "energy"
      ? { ...stage, block: untie(stage.block) } : stage));
  const copies = stages.flatMap((stage) => (stage.kind === "analog" ? stage.block.parameters : []));
  const origins = new Map<string, string>();
  const parameters: ParameterSpec[] = model.parameters.flatMap((own) => {
    const mine = copies.filter(({ name }) => name.startsWith(copyName(own.name, "")));
    const kept = mine.length === 0 ? [own] : mine;
    for (const { name } of kept) origins.set(name, own.name);
    return kept;
  });
  return { model: verifyFfEbm({ ...model, stages, parameters }), origins };
}
