/**
 * How much memory large weights take, counted by the engine (array buffers) and, for the peak, by
 * the system: 16-bit floats in 16 bits, models beyond 2 GB read once and held once.
 */
import {
  existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync,
} from "node:fs";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import onnxProto from "onnx-proto";
import { expect, test } from "vitest";
import { floatToHalf } from "../../../compiler/graph/half.ts";
import { constantOf } from "../../../compiler/graph/graph.ts";
import { tensor } from "../../../compiler/graph/tensor.ts";
import { importModel } from "../../../compiler/onnx/import.ts";
import { decodeModel } from "../../../compiler/onnx/proto.ts";
import { buildProgram } from "../../../compiler/kernels/program.ts";
import { optimise } from "../../../compiler/compile.ts";
import { openWasmDevice } from "../../../runtime/device/wasm/wasmDevice.ts";
import { Session } from "../../../runtime/execute/session.ts";
import { loadModel } from "../../../runtime/files/modelFiles.ts";
import { describeNeeding, type Need } from "../../support/notRun.ts";

const { onnx } = onnxProto;
const mebi = 2 ** 20;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes in array buffers once what nobody holds is gone. */
async function buffers(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    // Weak references hold on until the job in which they were read has ended.
    await new Promise((resolve) => setTimeout(resolve, 10));
    collect();
  }
  return process.memoryUsage().arrayBuffers;
}

const floatType = (elemType: number, ...sizes: number[]) => ({
  tensorType: { elemType, shape: { dim: sizes.map((dimValue) => ({ dimValue })) } },
});

test("float16 weights stay in 16 bits from the file to a session that runs", async () => {
  const n = 2048;
  const rawData = new Uint8Array(2 * n * n);
  new Uint16Array(rawData.buffer).forEach((_, i, all) => {
    all[i] = floatToHalf(((i * 31) % 64) / 64 - 0.5);
  });
  const model = {
    irVersion: 10, opsetImport: [{ domain: "", version: 21 }],
    graph: {
      name: "half", node: [{ opType: "MatMul", input: ["x", "w"], output: ["y"] }],
      initializer: [{ name: "w", dims: [n, n], dataType: 10, rawData }],
      input: [{ name: "x", type: floatType(10, 1, n) }], output: [{ name: "y" }],
    },
  };
  const file = onnx.ModelProto.encode(model).finish().slice();
  const before = await buffers();
  const program = buildProgram(optimise(importModel(decodeModel(file, "half.onnx")).graph));
  const session = await Session.create(await openWasmDevice(), program);
  const x = tensor("float16", [1, n], new Float32Array(n).fill(1));
  const y = (await session.run(new Map([["x", x]]))).get("y");
  // w[i, j] depends on (i * 2048 + j) * 31 mod 64, so on j alone.
  expect(y?.data[3]).toBe(n * (((3 * 31) % 64) / 64 - 0.5));
  expect(program.constants.map(({ tensor: t }) => [t.dtype, t.shape])).toEqual([
    ["float16", [n, n]],
  ]);
  // The device has its own copy, in f32; on the host nothing was added to the file's bytes.
  const device = 4 * n * n;
  expect(await buffers() - before - device).toBeLessThan(0.25 * rawData.length);
  session.release();
});

const gibi = 2 ** 30;
const needMemory: Need<number> = existsSync("/proc/self/clear_refs") && freemem() > 4 * gibi
  ? { value: freemem() } : {
    missing: {
      what: "4 GB of free memory on Linux", reason: `there are ${(freemem() / gibi).toFixed(1)} GB`,
      install: "run it on a larger machine",
    },
  };

describeNeeding(needMemory, "a large model", () => {
  test("a model of 2.3 GB with external data is read once and held once", async () => {
    const folder = mkdtempSync(join(tmpdir(), "crosstie-large-"));
    try {
      const [count, rows, columns] = [5, 8192, 14336];
      const each = 4 * rows * columns;
      const names = Array.from({ length: count }, (_, i) => `w${i}`);
      const model = {
        irVersion: 10, opsetImport: [{ domain: "", version: 21 }],
        graph: {
          name: "large",
          node: names.map((w, i) => ({ opType: "MatMul", input: ["x", w], output: [`y${i}`] })),
          initializer: names.map((name, i) => ({
            name, dims: [rows, columns], dataType: 1, dataLocation: 1,
            externalData: Object.entries({ location: "large.data", offset: i * each, length: each })
              .map(([key, value]) => ({ key, value: String(value) })),
          })),
          input: [{ name: "x", type: floatType(1, 1, rows) }],
          output: names.map((_, i) => ({ name: `y${i}` })),
        },
      };
      writeFileSync(join(folder, "large.onnx"), onnx.ModelProto.encode(model).finish());
      writeFileSync(join(folder, "large.data"), "");
      truncateSync(join(folder, "large.data"), count * each);
      expect(count * each).toBeGreaterThan(2 ** 31);

      const peakOf = (): number =>
        1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);
      const before = await buffers();
      // Forgets the peak of what this process did before.
      writeFileSync("/proc/self/clear_refs", "5");
      const base = process.memoryUsage().rss;
      const { graph } = importModel(await loadModel(join(folder, "large.onnx")));
      const peak = peakOf() - base;
      const weights = graph.nodes.flatMap((node) => node.outputs.map(constantOf))
        .filter((t) => t !== undefined);
      expect(weights.map((t) => t.data.byteLength)).toEqual(names.map(() => each));
      expect(await buffers() - before).toBeLessThan(count * each + 16 * mebi);
      expect(peak).toBeLessThan(count * each + 256 * mebi);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
