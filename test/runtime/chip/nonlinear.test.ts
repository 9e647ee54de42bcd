/** Cells with a current-voltage law under amplitudes, against Newton's method without wires. */
import { describe, expect, it } from "vitest";
import { tileCircuit } from "../../../compiler/emit/crossbar/netlist.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import type { Graph } from "../../../compiler/graph/graph.ts";
import type { Tensor } from "../../../compiler/graph/tensor.ts";
import type { Imperfection } from "../../../runtime/chip/imperfections.ts";
import { solveArray } from "../../../runtime/chip/wires/solve.ts";
import { learningChip } from "../../../runtime/learn/chipRequest.ts";
import { loopConverters } from "../../../runtime/learn/converted.ts";
import type { Device } from "../../../targets/device.ts";
import { Random } from "../../support/randomGraph.ts";
import { compileBlock, runBlock, testTarget, type CompiledBlock } from "./blocks.ts";

/** Demo law of crossbar-simulation.md, section 4.2: I = G (V - 0.25 V^3). */
const cubic = {
  kind: "cubic", k3: { value: -0.25 }, maxVoltage: { value: 1 },
} as unknown as Device["currentVoltage"];

/** Amplitudes on small arrays of a device with a law. */
function target(
  law: "milo" | "cubic", scheme: string, changes: Readonly<Record<string, unknown>> = {},
): ReturnType<typeof testTarget> {
  const made = testTarget("resistive-trainer-rram", {
    "array.rows": 12, "array.columns": 6, "cell.device": "rram-milo2021", "cell.gMin": figure(50),
    "cell.gMax": figure(225), "encoding.scheme": scheme,
    "input.readVoltage": { value: 0.4, unit: "V", source: "assumed: for a test" }, ...changes,
  });
  return law === "milo" ? made : { ...made, cells: { ...made.cells, currentVoltage: cubic } };
}
const figure = (uS: number): unknown => ({ value: uS, unit: "uS", source: "assumed: for a test" });

const [N, K, M] = [4, 15, 5];
function dense(seed: number): { graph: Graph; x: Tensor } {
  const r = new Random(seed);
  const b = new Builder("dense");
  const x = b.input("x", { dtype: "float32", shape: [N, K] });
  const w = b.constant(r.tensor([K, M], -1, 1), "w");
  return {
    graph: b.finish([{ name: "y", value: b.dot(x, w, 0, 1) }]), x: r.tensor([N, K], -1, 1),
  };
}

/** What Newton's method makes of the tiles, with inputs as the rows get them. */
function byNewton(
  { block, setting }: CompiledBlock, inputs: ArrayLike<number>, largest: number,
): Float64Array {
  const { config, cells } = setting;
  const { crossbar } = block;
  const ideal = { ...config, array: { ...config.array,
    rowSegmentOhm: 0, columnSegmentOhm: 0, sourceOhm: 0, senseOhm: 0 } };
  const { readVolt } = config.input;
  const window = config.cell.gMaxSiemens - config.cell.gMinSiemens;
  const scales = setting.read(crossbar.scales);
  const inRows = config.encoding.scheme === "differential-rows";
  const out = new Float64Array(N * M);
  for (const tile of crossbar.tiles) {
    const circuit = tileCircuit(ideal, tile, setting.read(tile.conductances), cells);
    const volts = Array.from({ length: N }, (_, n) => Float64Array.from(
      { length: tile.rows }, (_row, row) => {
        const input = tile.inputs.start + (inRows ? Math.floor(row / 2) : row);
        const v = (readVolt * (inputs[n * K + input] as number)) / largest;
        return inRows && row % 2 === 1 ? -v : v;
      }));
    solveArray(circuit, volts).forEach(({ outputAmpere: i }, n) => {
      for (let o = 0; o < tile.outputs.count; o++) {
        const current = inRows ? i[o] as number
          : (i[2 * o] as number) - (i[2 * o + 1] as number);
        const at = tile.outputs.start + o;
        out[n * M + at]! += ((scales[at] as number) * current * largest) / (window * readVolt);
      }
    });
  }
  return out;
}

const largestIn = (values: ArrayLike<number>): number =>
  Math.max(...Array.from(values, (v) => Math.abs(v)));
const largestOf = (x: Tensor): number => largestIn(x.data);
const only: Imperfection[] = ["levels", "nonlinearity"];

describe.each([
  ["milo", "differential-columns"], ["milo", "differential-rows"],
  ["cubic", "differential-columns"], ["cubic", "differential-rows"],
] as const)("a law %s in %s", (law, scheme) => {
  it("gives the currents that Newton's method finds without wires", async () => {
    for (const seed of [1, 2]) {
      const { graph, x } = dense(seed);
      const compiled = compileBlock(graph, target(law, scheme), only);
      const expected = byNewton(compiled, x.data, largestOf(x));
      const found = await runBlock(compiled, new Map([["x", x]]), N * M);
      const linear = await runBlock(compileBlock(graph, target(law, scheme), ["levels"]),
        new Map([["x", x]]), N * M);
      // Float32 sums over the rows of both cells of a pair, in units of the window.
      const bound = 2 ** -23 * 2 * K * 4 * largestOf(x) *
        largestIn(compiled.setting.read(compiled.block.crossbar.scales));
      expected.forEach((y, i) => expect(Math.abs((found[i] as number) - y)).toBeLessThan(bound));
      // The law is there: without it results are far off.
      expect(Math.max(...expected.map((y, i) => Math.abs((linear[i] as number) - y))))
        .toBeGreaterThan(100 * bound);
    }
  });

  it("is rounded to the codes of inputs and outputs behind converters", async () => {
    const { graph, x } = dense(3);
    const bits = {
      "input.bits": { value: 6, unit: "bit", source: "assumed: for a test" },
      "adc.bits": { value: 10, unit: "bit", source: "assumed: for a test" },
      "adc.range": { policy: "max" },
    };
    const compiled = compileBlock(
      graph, target(law, scheme, bits), [...only, "converters"]);
    const largest = largestOf(x);
    const step = largest / 31;
    const rounded = Array.from(x.data as Float32Array, (v) => Math.round(v / step) * step);
    const expected = byNewton(compiled, rounded, largest);
    const found = await runBlock(compiled, new Map([["x", x]]), N * M);
    const tiles = Math.max(...compiled.block.crossbar.tiles.map((t) => t.inputs.start)) > 0 ? 2 : 1;
    // Half a code of each row tile: full scale is that of all rows at the largest digit.
    const code = largest * 12 / 511 *
      largestIn(compiled.setting.read(compiled.block.crossbar.scales));
    expected.forEach((y, i) =>
      expect(Math.abs((found[i] as number) - y)).toBeLessThan((tiles * code) / 2 * 1.001));
  });
});

describe("a law", () => {
  it("does not show where pulses have one voltage", async () => {
    const pulses = { "input.coding": "pulse-width", "input.sliceBits": 7 };
    const { graph, x } = dense(4);
    const of = (names: Imperfection[]): Promise<Float32Array> => runBlock(
      compileBlock(graph, target("milo", "differential-columns", pulses), names),
      new Map([["x", x]]), N * M);
    expect(Array.from(await of(only))).toEqual(Array.from(await of(["levels"])));
  });

  it("is refused behind wires, and beyond its voltages", async () => {
    const { graph, x } = dense(5);
    const run = (
      names: readonly Imperfection[], changes?: Parameters<typeof target>[2],
    ): Promise<Float32Array> => runBlock(
      compileBlock(graph, target("milo", "differential-columns", changes), names),
      new Map([["x", x]]), N * M);
    await expect(run([...only, "wires"]))
      .rejects.toThrow(/no fixed effective conductances behind wires.*solve-array/);
    const far = { "input.readVoltage": { value: 0.6, unit: "V", source: "assumed: for a test" } };
    await expect(run(only, far)).rejects.toThrow(/known up to 0.5 V, rows get 0.6 V/);
  });

  it("is part of a loop as far as one matrix holds it", () => {
    const { chip } = learningChip({ chip: "simulated", only: ["nonlinearity"] })!;
    const of = (law: "milo" | "cubic"): ReturnType<typeof loopConverters> =>
      loopConverters({ ...chip, ...target(law, "differential-columns") });
    expect(of("cubic")!.cubic).toBeCloseTo(-0.25 * 0.16, 12);
    expect(() => of("milo")).toThrow(/differs in shape.*simulate has it/);
  });
});
