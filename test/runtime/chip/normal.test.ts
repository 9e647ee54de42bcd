/** Random numbers of the chip: their distribution, their keys, and the same ones in a graph. */
import { describe, expect, it } from "vitest";
import { Builder } from "../../../compiler/graph/builder.ts";
import { erf } from "../../../compiler/kernels/scalar.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { InterpreterDevice } from "../../../runtime/device/interpreter/interpreterDevice.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { normalFromWord } from "../../../compiler/ops/normal.ts";
import { keyOf, normalAt, normals, uniformAt } from "../../../runtime/chip/normal.ts";

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

describe("normals in a graph", () => {
  const devices = { interpreter: () => Promise.resolve(new InterpreterDevice()),
    wasm: () => openWasmDevice() };

  it.each(Object.entries(devices))("are the host's on the %s device", async (_, open) => {
    const device = await open();
    const b = new Builder();
    const key = b.input("key", { dtype: "uint32", shape: [2] });
    const value = normals(b, key, [7, 301]);
    const program = buildProgram(b.finish([{ name: "z", value }]));
    const session = await Session.create(device, program);
    const words = keyOf(9, "graph");
    const out = await session.run(
      new Map([["key", tensor("uint32", [2], Uint32Array.from(words))]]));
    const { data } = out.get("z")!;
    let worst = 0;
    data.forEach((z, i) => {
      worst = Math.max(worst, Math.abs(z - normalAt(words, i)) / (1 + Math.abs(z)));
    });
    // float32: the logarithm, and a polynomial of nine terms.
    expect(worst).toBeLessThan(2e-6);
    device.destroy();
  });
});
