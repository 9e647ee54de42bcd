/** Random numbers of the chip: their distribution, their keys, and the same ones in a graph. */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { symbol, type Dim } from "../../../compiler/graph/dim.ts";
import { erf } from "../../../compiler/kernels/scalar.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { normalsFromWord, normalsOfBlock } from "../../../compiler/ops/normal.ts";
import {
  keyOf, normalAt, normalFromWord, normals, uniformAt,
} from "../../../runtime/chip/normal.ts";

const cumulative = (z: number): number => (1 + erf(z / Math.SQRT2)) / 2;

describe("a normal number from a word", () => {
  it("is the inverse of the cumulative distribution, also far out", () => {
    // The word's magnitude is the probability of a larger one, in 31 bits.
    for (const word of [0, 1, 5, 1000, 2 ** 20, 2 ** 28, 2 ** 30, 2 ** 31 - 2, 2 ** 31 - 1]) {
      const p = (word + 0.5) / 2 ** 31;
      const z = normalFromWord(word);
      const density = Math.exp(-z * z / 2) * Math.sqrt(2 / Math.PI);
      // Error of z, from the error of its probability (tails by Laplace's continued fraction).
      let mills = 0;
      for (let k = 200; k >= 1; k--) mills = k / (z + mills);
      const tail = z > 2 ? density / (z + mills) : 2 * (1 - cumulative(z));
      expect(Math.abs(tail - p) / density).toBeLessThan(z > 5.4 ? 3e-3 : 1e-6 * (1 + z));
      expect(normalFromWord((word | 0x80000000) >>> 0)).toBe(-z);
    }
  });

  it("passes the Kolmogorov-Smirnov test at 99.9 %, and so does a uniform one", () => {
    const n = 40000;
    const distance = (xs: number[], f: (x: number) => number): number => {
      xs.sort((a, b) => a - b);
      return Math.max(...xs.map((x, i) =>
        Math.max(Math.abs(f(x) - i / n), Math.abs(f(x) - (i + 1) / n))));
    };
    const key = keyOf(3, "test");
    const drawn = Array.from({ length: n }, (_, i) => normalAt(key, i));
    expect(distance(drawn, cumulative)).toBeLessThan(1.95 / Math.sqrt(n));
    const flat = Array.from({ length: n }, (_, i) => uniformAt(keyOf(4, "test"), i));
    expect(distance(flat, (x) => x)).toBeLessThan(1.95 / Math.sqrt(n));
  });
});

describe("keys", () => {
  it("differ by seed, and by every step of the path", () => {
    const keys = [keyOf(1), keyOf(2), keyOf(2 ** 40 + 1), keyOf(1, "a"), keyOf(1, "b"),
      keyOf(1, "a", 0), keyOf(1, "a", 1), keyOf(1, 1, "a"), keyOf(1, "a", 1, 0)];
    expect(new Set(keys.map(String)).size).toBe(keys.length);
    expect(keyOf(1, "a", 1)).toEqual(keyOf(1, "a", 1));
  });

  it("give streams that do not correlate", () => {
    const n = 20000;
    const streams = [keyOf(1, "x", 0), keyOf(1, "x", 1), keyOf(2, "x", 0)];
    for (const [a, b] of [[0, 1], [0, 2]] as const) {
      let sum = 0;
      for (let i = 0; i < n; i++) sum += normalAt(streams[a]!, i) * normalAt(streams[b]!, i);
      expect(Math.abs(sum / n)).toBeLessThan(3.3 / Math.sqrt(n));
    }
    // Neighbours in one stream.
    let sum = 0;
    for (let i = 0; i < n; i++) sum += normalAt(streams[0]!, i) * normalAt(streams[0]!, i + 1);
    expect(Math.abs(sum / n)).toBeLessThan(3.3 / Math.sqrt(n));
  });
});

describe("four normals from a block", () => {
  it("have the moments and the end of all words together", () => {
    // A word is a radius and an angle: moments are products of those of the two.
    const RADII = 2 ** 20;
    const radial = [0, 0, 0];
    for (let k = 0; k < RADII; k++) {
      const [x, y] = normalsFromWord(2 ** 12 * k);
      const square = x * x + y * y;
      for (let n = 0; n < 3; n++) radial[n]! += square ** (n + 1) / RADII;
    }
    const [x, y] = normalsFromWord(0);
    const end = Math.hypot(x, y);
    expect(end).toBeCloseTo(5.396, 3);
    const angular = [0, 0, 0];
    let mean = 0;
    for (let a = 0; a < 4096; a++) {
      for (const z of normalsFromWord(a)) {
        mean += z;
        for (let n = 0; n < 3; n++) angular[n]! += (z / end) ** (2 * n + 2) / 8192;
      }
    }
    expect(Math.abs(mean)).toBeLessThan(1e-9);
    [1, 3, 15].forEach((moment, n) =>
      expect(Math.abs(radial[n]! * angular[n]! / moment - 1)).toBeLessThan([4e-7, 6e-6, 5e-5][n]!));
  });

  const COUNT = 400000;
  const key = keyOf(21, "blocks");
  const drawn = Float64Array.from(
    Array.from({ length: COUNT / 4 }, (_, block) => normalsOfBlock(key, block)).flat());
  /** Share of numbers that `test` holds for, against its probability, in standard errors. */
  const surprise = (test: (z: number) => boolean, p: number): number =>
    Math.abs(drawn.filter(test).length - COUNT * p) / Math.sqrt(COUNT * p * (1 - p));
  const average = (of: (z: number, i: number) => number): number =>
    drawn.reduce((sum, z, i) => sum + of(z, i), 0) / COUNT;

  it("have mean, variance, skewness and kurtosis of a normal one, at 99.9 %", () => {
    // Variances of the estimates: those of z, z^2, z^3 and z^4.
    const cases: [number, number, number][] = [[1, 0, 1], [2, 1, 2], [3, 0, 15], [4, 3, 96]];
    for (const [power, expected, variance] of cases) {
      expect(Math.abs(average((z) => z ** power) - expected), `${power}`)
        .toBeLessThan(3.3 * Math.sqrt(variance / COUNT));
    }
  });

  it("pass the Kolmogorov-Smirnov test and have its tails, at 99.9 %", () => {
    let distance = 0;
    drawn.toSorted().forEach((z, i) => {
      const p = cumulative(z);
      distance = Math.max(distance, Math.abs(p - i / COUNT), Math.abs(p - (i + 1) / COUNT));
    });
    expect(distance).toBeLessThan(1.95 / Math.sqrt(COUNT));
    for (const border of [0.01, 0.1, 1, 2, 3, 4]) {
      const tail = 1 - cumulative(border);
      expect(surprise((z) => z > border, tail), `above ${border}`).toBeLessThan(3.3);
      expect(surprise((z) => z < -border, tail), `below ${-border}`).toBeLessThan(3.3);
    }
  });

  it("are independent within a block and from block to block, squares as well", () => {
    const later = (i: number, lag: number): number => drawn[(i + lag) % COUNT]!;
    for (const lag of [1, 2, 3, 4, 5, 8, 64, 4096]) {
      expect(Math.abs(average((z, i) => z * later(i, lag))), `lag ${lag}`)
        .toBeLessThan(3.3 / Math.sqrt(COUNT));
      expect(Math.abs(average((z, i) => (z * z - 1) * (later(i, lag) ** 2 - 1))), `lag ${lag}`)
        .toBeLessThan(3.3 * 2 / Math.sqrt(COUNT));
    }
  });
});

describe("normals in a graph", () => {
  const devices = { interpreter: () => Promise.resolve(new InterpreterDevice()),
    wasm: () => openWasmDevice() };
  const n = symbol("N");
  // What is drawn as one axis, of how many, and what is before and behind it, with N = 6.
  const cases: [Dim[], [number, number, number]][] = [
    [[7, 301], [1, 2107, 1]], [[n, 10, 3], [6, 30, 1]], [[4, 5, n], [1, 20, 6]], [[n], [1, 1, 6]],
  ];

  it.each(Object.entries(devices))("are the host's on the %s device", async (_, open) => {
    const device = await open();
    for (const [shape, [before, run, behind]] of cases) {
      const b = new Builder();
      const key = b.input("key", { dtype: "uint32", shape: [2] });
      const x = b.input("x", { dtype: "float32", shape: [n] });
      const value = normals(b, key, shape);
      const program = buildProgram(b.finish([{ name: "z", value }, { name: "x", value: x }]));
      const session = await Session.create(device, program);
      const words = keyOf(9, "graph");
      const out = await session.run(new Map([
        ["key", tensor("uint32", [2], Uint32Array.from(words))],
        ["x", tensor("float32", [6], new Float32Array(6))],
      ]));
      const { data } = out.get("z")!;
      expect(data.length).toBe(before * run * behind);
      const part = Math.ceil(run / 4);
      let worst = 0;
      data.forEach((z, flat) => {
        const [i, j, k] = [Math.floor(flat / run / behind), Math.floor(flat / behind) % run,
          flat % behind];
        const block = (i * part + j % part) * behind + k;
        const expected = normalsOfBlock(words, block)[Math.floor(j / part)]!;
        worst = Math.max(worst, Math.abs(z - expected) / (1 + Math.abs(z)));
      });
      // float32: the logarithm is within 2.1e-7, then polynomials of up to seven terms.
      expect(worst).toBeLessThan(2e-6);
      session.release();
    }
    device.destroy();
  });
});
