import { describe, expect, it } from "vitest";
import { reduceArray } from "../../../../runtime/chip/wires/reduced.ts";
import { solveArray } from "../../../../runtime/chip/wires/solve.ts";
import { ohm } from "../../../../targets/units.ts";
import { numpyUniform, seedWords } from "./pcg64.ts";

/** The golden arrays: uniform 1..100 uS cells, uniform 0..0.2 V, by numpy's default_rng(1). */
function goldenArray(n: number): { conductance: Float64Array; volt: Float64Array } {
  const random = numpyUniform(1);
  const conductance = Float64Array.from({ length: n * n }, () => 1e-6 + 99e-6 * random());
  return { conductance, volt: Float64Array.from({ length: n }, () => 0.2 * random()) };
}

const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);

/** Sum of output currents at 1 and 0.1 ohm per segment, and with ideal wires. */
const golden = [
  { n: 64, one: 1.905043345e-2, tenth: 2.143941387e-2, ideal: 2.174605590e-2 },
  { n: 128, one: 5.398907302e-2, tenth: 7.913437823e-2, ideal: 8.363056670e-2 },
  { n: 256, one: 1.145818873e-1, tenth: 2.794689471e-1, ideal: 3.398744212e-1 },
  { n: 512, one: 1.646809662e-1, tenth: 7.325427175e-1, ideal: 1.348893886 },
];

describe("arrays solved by three other simulators", () => {
  it("come from numpy's generator, digit for digit", () => {
    expect(seedWords(1)).toEqual([
      7434755675892716031n, 10007452063617845036n, 5266248848659119178n, 15045448681910192573n,
    ]);
    const random = numpyUniform(1);
    expect([random(), random(), random()]).toEqual([
      0.5118216247002567, 0.9504636963259353, 0.14415961271963373,
    ]);
  });

  it.each(golden)("sum of outputs of $n x $n to all ten digits", ({ n, one, tenth, ideal }) => {
    const { conductance, volt } = goldenArray(n);
    for (const [segment, expected] of [[1, one], [0.1, tenth], [0, ideal]] as const) {
      const wires = { rowSegmentOhm: ohm(segment), colSegmentOhm: ohm(segment) };
      const circuit = { rows: n, cols: n, conductance, ...wires };
      const [solution] = solveArray(circuit, [volt]);
      expect(sum(solution!.outputAmpere).toPrecision(10)).toBe(expected.toPrecision(10));
      expect(solution!.method).toBe("conjugate-gradients");
      expect(solution!.residual).toBeLessThan(1e-12);
      if (n > 128) continue;
      const { conductance: effective } = reduceArray(circuit);
      const product = effective.reduce((total, g, c) => total + g * volt[Math.floor(c / n)]!, 0);
      expect(product.toPrecision(10)).toBe(expected.toPrecision(10));
    }
  });
});
