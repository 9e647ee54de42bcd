/** A tile of a compiled model as a circuit: what ngspice says is what the wire solver says. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tileCircuit } from "../../../compiler/emit/crossbar/netlist.ts";
import { chipSourceOf } from "../../../runtime/api/chip.ts";
import { solveArray } from "../../../runtime/chip/wires/solve.ts";
import { writeNpy } from "../../../runtime/data/npy.ts";
import { readArtifact } from "../../../runtime/files/artifactFiles.ts";
import { crosstie } from "../../support/cli.ts";
import { describeNeeding } from "../../support/notRun.ts";
import { needProgram } from "../../support/programs.ts";
import { Random } from "../../support/randomGraph.ts";

let folder = "";
const artifact = (): string => join(folder, "lenet");
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "crosstie-netlist-"));
  const words = ["compile", "models/mnist-lenet.onnx", "--target", "neurram-rram"];
  const { code, stderr } = await crosstie(...words, "--analog", "all", "-o", artifact());
  expect(code, stderr).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("netlist", () => {
  test("an unknown tile is refused with some that there are", async () => {
    const { code, stderr } = await crosstie("netlist", artifact(), "a9.tile9");
    expect(code).toBe(1);
    expect(stderr).toContain("a0.tile0");
  });
});

describeNeeding(needProgram("ngspice"), "ngspice on a tile of the compiled LeNet", () => {
  test("gives the columns' currents that the wire solver gives", async () => {
    const source = await chipSourceOf(await readArtifact(artifact()));
    const block = source?.blocks[0];
    const tile = block?.crossbar.tiles[0];
    if (!source || !block || !tile) throw new Error("the artifact has no tile");
    const r = new Random(3);
    const volt = Float64Array.from({ length: tile.rows }, () => 0.5 * r.next());
    const voltFile = join(folder, "volt.npy");
    await writeNpy(voltFile, { dtype: "f8", shape: [tile.rows], data: volt });
    const file = join(folder, "tile.cir");
    const made = await crosstie("netlist", artifact(), tile.id, "--volt", voltFile, "-o", file);
    expect(made.code, made.stderr).toBe(0);
    const printed = execFileSync("ngspice", ["-b", file], { encoding: "utf8", stdio: "pipe" });
    const currents = [...printed.matchAll(/^\s*i\(\S+\)\s*=\s*(\S+)/gim)].map((m) => Number(m[1]));
    const { config, cells } = block.home;
    const circuit = tileCircuit(config, tile, source.read(tile.conductances), cells);
    const [solved] = solveArray(circuit, [volt]);
    expect(currents).toHaveLength(tile.columns);
    currents.forEach((ampere, column) => {
      const exact = solved?.outputAmpere[column] as number;
      expect(Math.abs(ampere - exact)).toBeLessThan(1e-6 * Math.abs(exact));
    });
  });
});
