/**
 * Tiles of a compiled LeNet as circuits: what ngspice makes of the emitted netlists is what the
 * wire solver says (linear cells, and Newton's method for cells with a law of their own), and what
 * the effective conductances of the simulated chip multiply to. Whole 128 x 128 tiles take ngspice
 * minutes: `test/bench/chip.bench.ts` has one; here are whole tiles of fewer rows or columns.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tileCircuit } from "../../../compiler/emit/crossbar/netlist.ts";
import { chipSourceOf } from "../../../runtime/api/chip.ts";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { netlistOf } from "../../../runtime/api/netlist.ts";
import { reduceArray } from "../../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../../runtime/chip/wires/solve.ts";
import { writeNpy } from "../../../runtime/data/npy.ts";
import { readArtifact } from "../../../runtime/files/artifactFiles.ts";
import { ammeterName } from "../../../compiler/emit/spice/array.ts";
import { runNgspice } from "../../compiler/emit/spice/runNgspice.ts";
import { describeNeeding } from "../../support/notRun.ts";
import { needProgram } from "../../support/programs.ts";
import { Random } from "../../support/randomGraph.ts";

/** Tiles of every way to lay weights out: pairs of rows, pairs of columns, an offset. */
const tilesOf = {
  "neurram-rram": ["a0.tile0", "a6.tile0"],
  "hermes-pcm": ["a0.tile0", "a6.tile0"],
  "isaac-rram": ["a0.tile0"],
} as const;
type Preset = keyof typeof tilesOf;
const presets = Object.keys(tilesOf) as Preset[];
const tiles = presets.flatMap((preset) => tilesOf[preset].map((id) => ({ preset, id })));

let folder = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-tiles-"));
  for (const target of presets) {
    const out = join(folder, target);
    await compileModel({ model: "models/mnist-lenet.onnx", target, analog: "all", out });
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

describeNeeding(needProgram("ngspice"), "ngspice on the netlist of", (ngspice) => {
  /** Outputs of one tile under random inputs: ngspice's, and the circuit they belong to. */
  async function simulated(preset: Preset, id: string, linear: boolean) {
    const directory = join(folder, preset);
    const source = await chipSourceOf(await readArtifact(directory));
    const block = source?.blocks.find(({ crossbar }) => crossbar.tiles.some((t) => t.id === id));
    const tile = block?.crossbar.tiles.find((t) => t.id === id);
    if (!source || !block || !tile) throw new Error(`${preset} has no tile ${id}`);
    const { config, cells } = block.home;
    const r = new Random(7);
    const { readVolt } = config.input;
    const volt = Float64Array.from({ length: tile.rows }, () => readVolt * r.next());
    const file = join(folder, "volt.npy");
    await writeNpy(file, { dtype: "f8", shape: [tile.rows], data: volt });
    const { netlist } = await netlistOf({ directory, tile: id, volt: file, linear });
    const found = runNgspice(ngspice(), netlist);
    const outputs = Array.from({ length: tile.columns }, (_, j) => found.get(ammeterName(j))!);
    const circuit = tileCircuit(
      config, tile, source.read(tile.conductances), linear ? undefined : cells);
    return { circuit, volt, outputs, netlist };
  }

  function expectClose(actual: ArrayLike<number>, expected: readonly number[]): void {
    expect(actual.length).toBe(expected.length);
    for (const [j, ampere] of expected.entries()) {
      expect(Math.abs(actual[j]! - ampere)).toBeLessThan(1e-6 * Math.abs(ampere));
    }
  }

  test.each(tiles)("$id on $preset, linear cells", async ({ preset, id }) => {
    const { circuit, volt, outputs, netlist } = await simulated(preset, id, true);
    expect(netlist).not.toMatch(/^Bx/m);
    expectClose(solveArray(circuit, [volt])[0]!.outputAmpere, outputs);
    const { conductance, cols } = reduceArray(circuit);
    const product = new Float64Array(cols);
    conductance.forEach((g, c) => {
      product[c % cols]! += g * volt[Math.floor(c / cols)]!;
    });
    expectClose(product, outputs);
  });

  test("a0.tile0 on isaac-rram, cells with their own law", async () => {
    const { circuit, volt, outputs, netlist } = await simulated("isaac-rram", "a0.tile0", false);
    expect(netlist).toMatch(/^Bx/m);
    const [solved] = solveArray(circuit, [volt]);
    expect(solved!.newtonSteps).toBeGreaterThan(1);
    expectClose(solved!.outputAmpere, outputs);
    // The law is no formality: resistors in its place give other currents.
    const linear = solveArray({ ...circuit, cell: { kind: "linear" } }, [volt])[0]!.outputAmpere;
    expect(Math.abs(linear[0]! / outputs[0]! - 1)).toBeGreaterThan(1e-3);
  });
});
