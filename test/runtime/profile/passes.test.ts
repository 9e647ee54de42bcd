/** The predictor's passes are those of the chip simulation, number by number. */
import { describe, expect, it } from "vitest";
import { emitBlocks } from "../../../compiler/emit/crossbar/emit.ts";
import { Builder } from "../../../compiler/graph/builder.ts";
import { evaluateGraph } from "../../../compiler/graph/evaluate.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { inputLimits, readPasses } from "../../../compiler/partition/quality/passes.ts";
import { inputRange, passesOf } from "../../../runtime/chip/passes.ts";
import { testTarget } from "../chip/blocks.ts";

const cases: [string, Record<string, unknown>][] = [
  ["isaac-rram", {}],
  ["isaac-rram", { "input.bits": 7, "input.sign": "sign-magnitude", "input.sliceBits": 2 }],
  ["isaac-rram", { "input.bits": 5, "input.sign": "unsigned" }],
  ["neurram-rram", {}],
  ["neurram-rram", { "input.bits": 8, "adc.bits": 4 }],
  ["neurram-rram", { "input.bits": 6, "input.sign": "twos-complement" }],
  ["hermes-pcm", {}],
  ["hermes-pcm", { "input.phases": 2 }],
  ["resistive-trainer-rram", { "input.bits": 5 }],
  ["ternary-2t2r-rram", {}],
];

describe("passes of a product", () => {
  it.each(cases)("%s %j", (name, changes) => {
    const { target } = testTarget(name, changes);
    const { config } = emitBlocks([], target);
    const limits = inputLimits(target);
    expect(limits).toEqual(inputRange(config.input));
    const theirs = passesOf(config);
    const ours = readPasses(target).sort((p, q) => Math.abs(p.weight) - Math.abs(q.weight));
    expect(ours.length).toBe(theirs.length);
    const step = Math.max(1, Math.floor((limits.high - limits.low) / 500));
    const inputs: number[] = [];
    for (let x = limits.low; x <= limits.high; x += step) inputs.push(x);
    theirs.forEach((theirPass, i) => {
      const ourPass = ours[i]!;
      const b = new Builder();
      const x = b.input("x", { dtype: "float32", shape: [inputs.length] });
      const digits = theirPass.digits(b, x);
      const graph = b.finish([
        { name: "digits", value: digits }, { name: "power", value: theirPass.power(b, digits) },
      ]);
      const values = evaluateGraph(graph, new Map([
        ["x", tensor("float32", [inputs.length], Float32Array.from(inputs))],
      ]));
      const ourDigits = inputs.map((d) => ourPass.digit(d) + 0);
      expect(ourDigits).toEqual([...values.get("digits")!.data].map((d) => Number(d) + 0));
      const ourPower = ourDigits.map((d) => ourPass.power(d));
      expect(ourPower).toEqual([...values.get("power")!.data].map(Number));
      for (const key of ["weight", "largest", "signed", "converterBits", "kind"] as const) {
        expect([key, ourPass[key]]).toEqual([key, theirPass[key]]);
      }
      expect(ourPass.thermal).toBeCloseTo(theirPass.thermal, 9);
    });
  });
});
