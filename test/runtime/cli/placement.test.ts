/** What `compile` says of a placement: the measure minimised, copies, and what does not fit. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compileModel } from "../../../runtime/api/compileModel.ts";
import { netlistOf } from "../../../runtime/api/netlist.ts";
import { simulate } from "../../../runtime/api/simulate.ts";
import { compileCommand, compileReport } from "../../../runtime/cli/commands/compile.ts";
import { invoke } from "../../../runtime/cli/program.ts";

const lenet = "models/mnist-lenet.onnx";
const words = [lenet, "--target", "neurram-rram", "--print", "plan"];

describe("the table of a placement", () => {
  it("compares units by what is minimised", async () => {
    const texts = await Promise.all((["energy", "latency", "edp"] as const).map(async (objective) =>
      compileReport(await compileModel({
        model: lenet, target: "neurram-rram", objective,
      }), false).table));
    expect(texts[0]).toMatch(/less energy than the other side/);
    expect(texts[1]).toMatch(/less time than the other side/);
    expect(texts[1]).not.toMatch(/energy/);
    expect(texts[2]).toMatch(/energy x time/);
  });

  it("shows how many copies share a unit's products", async () => {
    const result = await compileModel({
      model: lenet, target: "neurram-rram", analog: "all", replicas: { exactly: { "/0/Conv": 4 } },
    });
    expect(compileReport(result, false).table).toMatch(/u0 .* analog x 4 /);
    const one = await compileModel({ model: lenet, target: "neurram-rram", analog: "all" });
    expect(result.plan.tiles).toBe(one.plan.tiles + 3);
    expect(result.plan.cost.latencyS).toBeLessThan(one.plan.cost.latencyS);
    expect(result.plan.cost.areaM2).toBeGreaterThan(one.plan.cost.areaM2);
  });

  it("is simulated copy by copy", async () => {
    const out = join(mkdtempSync(join(tmpdir(), "crosstie-copies-")), "lenet");
    await compileModel({
      model: lenet, target: "neurram-rram", analog: "all", replicas: { exactly: { "/0/Conv": 4 } },
      out,
    });
    const { blocks } = await simulate({
      directory: out, data: "mnist:test[0:2]", trials: 1, seed: 1, device: "wasm",
      only: ["levels", "converters"],
    });
    const own = blocks.find(({ id }) => id === "a0")!.saturation;
    expect(own.map(({ tile }) => tile)).toEqual(
      ["a0.tile0", "a0.tile0.copy1", "a0.tile0.copy2", "a0.tile0.copy3"]);
    expect(new Set(own.map(({ conversions }) => conversions)).size).toBe(1);
    const printed = await netlistOf({ directory: out, tile: "a0.tile0.copy3" });
    expect(printed.netlist).toContain("a0.tile0.copy3");
    rmSync(out, { recursive: true });
  });
});

describe("refused by name", () => {
  it.each([
    [["--replicate", "/0/Conv"], /gives no node a number of copies/],
    [["--replicate", "/0/Conv=1000"], /784 products per inference for 1000 copies/],
    [["--replicate", "nothing=2"], /no unit is or holds the node "nothing"/],
    [["--capacity", "neurram-rram"], /--capacity/],
    [["--capacity", "neurram-rram=x"], /gives no target a number of arrays/],
    [["--analog", "all", "--capacity", "3"], /arrays: \d+ needed, 3 there, \d+ short/],
  ])("%j", async (options, message) => {
    await expect(invoke(compileCommand, [...words, ...options])).rejects.toThrow(message);
  });
});
