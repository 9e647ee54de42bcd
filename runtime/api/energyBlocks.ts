/**
 * Energy blocks in what is compiled: an ff-EBM file has them, `--block-size` makes them of
 * consecutive layers. Compiled is the relaxation, unrolled; the plan says which layers settle
 * together, and whether somebody has trained them to.
 */
import type { PlanEnergy } from "../../compiler/artifact/plan.ts";
import { readFfEbm } from "../../compiler/energy/ffEbmFile.ts";
import { blocksOf } from "../../compiler/energy/ffEbm.ts";
import { unrolledModel } from "../../compiler/energy/unroll.ts";
import { UserError } from "../../compiler/errors.ts";
import type { Graph } from "../../compiler/graph/graph.ts";
import type { Model } from "../../compiler/onnx/model.ts";
import { importedFfEbm, importedTraining } from "../../models/imported.ts";

export interface WithEnergy {
  readonly graph: Graph;
  readonly energy?: PlanEnergy;
}

/**
 * @param graph what `model` was imported as
 * @throws UserError when layers are to be merged and none can be
 */
export function withEnergyBlocks(model: Model, graph: Graph, blockSize: number): WithEnergy {
  const place = "--block-size";
  const trained = readFfEbm(model);
  if (trained) {
    if (blockSize > 1) {
      throw new UserError("The blocks of an ff-EBM file are what it was trained with", {
        place, remedy: "leave it away",
      });
    }
    const blocks = blocksOf(trained.model).map(({ name, states }) =>
      ({ name, layers: states.map((state) => state.name) }));
    return { graph, energy: { blocks, sweeps: trained.relaxation.sweeps, needsTraining: false } };
  }
  if (blockSize === 1) return { graph };
  const { model: merged, parameters, blocks, isChanged } =
    importedFfEbm(model, graph, blockSize);
  if (!isChanged) {
    throw new UserError("No two consecutive layers can be one block here", {
      place,
      remedy: "use --block-size 1: layers merge where nothing but a linear map lies between two " +
        "activations, and nobody else reads what is between",
    });
  }
  const sweeps = importedTraining.freeSweeps;
  return {
    graph: unrolledModel(merged, parameters, { order: "asynchronous", sweeps }),
    energy: {
      blocks: blocks.map(({ name, layers }) => ({ name, layers: [...layers] })), sweeps,
      needsTraining: true,
    },
  };
}
