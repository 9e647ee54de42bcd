/**
 * What emitted shaders look like: one file per kind of kernel, to be read as text. After a wanted
 * change, `vitest run -u` rewrites them; the difference is the review.
 */
import { expect, test } from "vitest";
import { symbol } from "../../../../compiler/graph/dim.ts";
import { emitWgsl } from "../../../../compiler/emit/wgsl/emit.ts";
import { webGpuDefaults } from "../../../../compiler/emit/wgsl/profile.ts";
import * as small from "./smallKernels.ts";

const kernels = {
  "map": small.relu(1000),
  "map-branch": small.paddedGelu(),
  "map-symbolic": small.relu(symbol("N")),
  "reduce-serial": small.maxPool(),
  "reduce-shared": small.rowMean(),
  "contract-tiles": small.convolution(symbol("N")),
  "contract-exact": small.product(64, 64, 64),
  "contract-vector": small.product(1, 1000, 512, true),
  "contract-serial": small.product(4, 5, 6),
  "cumulate": small.cumulativeSum(),
  "scatter-column": small.scatterAdd(5000, 64, 500),
  "scatter-element": small.scatterAdd(100, 3, 20),
  "sort-short": small.sortRows(5, 20),
  "sort-long": small.sortRows(2, 3000),
};

test.each(Object.entries(kernels))("%s", async (name, kernel) => {
  await expect(emitWgsl(kernel).source).toMatchFileSnapshot(`golden/${name}.wgsl`);
});

test("map-folded: more workgroups than one dimension has", async () => {
  const profile = { ...webGpuDefaults, workgroupsPerDimension: 1000 };
  const { source } = emitWgsl(small.relu(1_000_000), profile);
  await expect(source).toMatchFileSnapshot("golden/map-folded.wgsl");
});
