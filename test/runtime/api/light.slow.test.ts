/**
 * Full-size graphs on every preset with arrays: the placement is proved and no worse than all or
 * nothing, and the tiles hold every weight of every analog unit once.
 */
import { describe, expect, test } from "vitest";
import { emitCrossbars } from "../../../compiler/emit/crossbar/emit.ts";
import { formClusters } from "../../../compiler/kernels/cluster.ts";
import { compile, optimise } from "../../../compiler/compile.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { loadModel } from "../../../runtime/files/modelFiles.ts";
import { loadTarget, targetNames } from "../../../runtime/files/targetFiles.ts";

const graphs = ["light_resnet50", "light_vgg19", "light_squeezenet", "light_densenet121"];
const hybrids = targetNames().filter((name) => loadTarget(name).target.kind === "hybrid");

describe.each(graphs)("%s", (name) => {
  const imported = loadModel(`test/fixtures/onnx-light/${name}.onnx`).then((m) => importModel(m));

  test.each(hybrids)("on %s", async (preset) => {
    const { graph } = await imported;
    const { target } = loadTarget(preset);
    if (target.kind !== "hybrid") throw new Error(`${preset} has no arrays`);
    const best = compile(graph, { target, objective: "energy", analog: "auto" });
    const all = compile(graph, { target, objective: "energy", analog: "all" });
    const none = compile(graph, { target, objective: "energy", analog: "none" });
    expect(best.cut.optimal).toBe(true);
    expect(best.cut.objective).toBeLessThanOrEqual(all.cut.objective);
    expect(best.cut.objective).toBeLessThanOrEqual(none.cut.objective);
    // Every contraction of these graphs can be analog, and one kernel computes each unit.
    const { config, tiles } = emitCrossbars(all.hybrid, target);
    const clusters = formClusters(optimise(graph), { maxBuffers: 8 });
    const products = clusters.filter((c) => c.heart?.op === "conv" || c.heart?.op === "dot");
    expect(config.blocks).toHaveLength(products.length);
    let counted = 0;
    for (const { matrix, tiles: placed } of config.blocks) {
      const { groups, rowsK, colsN } = matrix;
      const cells = placed.reduce(
        (sum, t) => sum + t.groups.count * t.inputs.count * t.outputs.count,
        0,
      );
      expect(cells).toBe(groups * rowsK * colsN);
      counted += placed.length;
    }
    expect(counted).toBe(tiles);
  }, 120_000);
});
