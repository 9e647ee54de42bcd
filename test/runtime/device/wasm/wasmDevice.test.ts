import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { afterEach, describe, expect, it } from "vitest";
import { emitWasmModule } from "../../../../compiler/emit/wasm/emit.ts";
import { symbol } from "../../../../compiler/graph/dim.ts";
import type { Kernel } from "../../../../compiler/kernels/kernel.ts";
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
import type { Device, PreparedKernel } from "../../../../runtime/device/device.ts";
import { openWasmDevice } from "../../../../runtime/device/wasm/wasmDevice.ts";

/** y = x + `summand`, of N numbers. */
function adding(name: string, summand: number): Kernel {
  const pool = new ExprPool();
  const n = symbol("N");
  const i = pool.axis(0, n);
  const value = pool.binary("add", pool.load(0, i, "f32"), pool.const(summand, "f32"));
  return {
    name, origin: [], symbols: ["N"],
    arguments: [{ name: "x", storage: "f32", access: "read", size: n },
      { name: "y", storage: "f32", access: "write", size: n }],
    body: {
      kind: "map", axes: [{ name: "i", extent: n }], store: { buffer: 1, index: i, value },
    },
  };
}

/** z = x y of 300 x 300 matrices. */
const product = ((): Kernel => {
  const pool = new ExprPool();
  const n = 300;
  const [i, j, k] = [pool.axis(0, n), pool.axis(1, n), pool.axis(2, n)];
  const at = (row: typeof i, column: typeof i): typeof i =>
    pool.add(pool.mul(row, pool.const(n)), column);
  const axis = (name: string) => [{ name, extent: n }];
  const argument = (name: string, access: "read" | "write") =>
    ({ name, storage: "f32" as const, access, size: n * n });
  return {
    name: "product", origin: [], symbols: [],
    arguments: [argument("x", "read"), argument("y", "read"), argument("z", "write")],
    body: {
      kind: "contract", batch: [], m: axis("i"), n: axis("j"), k: axis("k"),
      a: pool.load(0, at(i, k), "f32"), b: pool.load(1, at(k, j), "f32"),
      store: { buffer: 2, index: at(i, j), value: pool.acc("f32") },
    },
  };
})();

const opened: Device[] = [];
afterEach(() => {
  for (const device of opened.splice(0)) device.destroy();
});
async function open(threads?: number): Promise<Device> {
  const device = await openWasmDevice(threads === undefined ? {} : { threads });
  opened.push(device);
  return device;
}
const floats = (data: ArrayBuffer): number[] => [...new Float32Array(data)];

describe("wasm device", () => {
  it("says what it is", async () => {
    const { info } = await open(1);
    expect(info.kind).toBe("wasm");
    expect(info.isSoftware).toBe(false);
    expect(info.description).toMatch(/^wasm \(SIMD(, fused multiply-add)?, 1 thread\)$/);
  });

  it("runs commands in order on buffers of any size", async () => {
    const device = await open();
    const [add, subtract] = await device.prepare(
      [{ kernel: adding("add", 1) }, { kernel: adding("subtract", -10) }]) as
      [PreparedKernel, PreparedKernel];
    for (const n of [0, 1, 3, 4, 1000]) {
      const [x, y] = [device.allocate(n), device.allocate(n)];
      device.write(x, Float32Array.from({ length: n }, (_, i) => i));
      await device.run([
        { kernel: add, buffers: [x, y], sizes: [n] },
        { kernel: subtract, buffers: [y, y], sizes: [n] },
      ]);
      expect(floats(await device.read(y, n))).toEqual(Array.from({ length: n }, (_, i) => i - 9));
      device.free(x);
      device.free(y);
    }
  });

  it("writes at an offset, and refuses to write or read past the end", async () => {
    const device = await open();
    const buffer = device.allocate(4);
    device.write(buffer, Int32Array.of(1, 2, 3, 4));
    device.write(buffer, Int32Array.of(7), 2);
    expect([...new Int32Array(await device.read(buffer, 4))]).toEqual([1, 2, 7, 4]);
    expect(() => device.write(buffer, Int32Array.of(1, 2), 3)).toThrow("internal:");
    expect(() => device.read(buffer, 5)).toThrow("internal:");
  });

  it("keeps contents while memory grows", async () => {
    const device = await open();
    const first = device.allocate(3);
    device.write(first, Float32Array.of(1, 2, 3));
    const large = device.allocate(20_000_000);
    device.write(large, Float32Array.of(5), 19_999_999);
    expect(floats(await device.read(first, 3))).toEqual([1, 2, 3]);
  });

  it("refuses what WebAssembly memory can not hold, with a remedy, and goes on", async () => {
    const device = await open();
    expect(() => device.allocate(1.2e9)).toThrow(
      /memory: the wasm device can not hold \d+ MiB\. Use a smaller batch/);
    const buffer = device.allocate(1);
    device.write(buffer, Float32Array.of(4));
    expect(floats(await device.read(buffer, 1))).toEqual([4]);
  });

  it("knows a buffer that was freed, or is another device's", async () => {
    const device = await open();
    const buffer = device.allocate(1);
    device.free(buffer);
    expect(() => device.write(buffer, Float32Array.of(1))).toThrow("internal: a buffer that was");
    expect(() => device.free({ length: 1 })).toThrow("internal: a buffer that was");
  });

  describe("with threads", () => {
    it("gives the same bits, work shared out", async () => {
      const [one, three] = [await open(1), await open(3)];
      expect(three.info.description).toMatch(/, 3 threads\)$/);
      const results: number[][] = [];
      for (const device of [one, three]) {
        const prepared = await device.prepare([{ kernel: adding("add", 1) }, { kernel: product }]);
        const [add, multiply] = prepared as [PreparedKernel, PreparedKernel];
        const [x, y, z] = [device.allocate(90_000), device.allocate(90_000),
          device.allocate(90_000)];
        device.write(x, Float32Array.from({ length: 90_000 }, (_, i) => Math.sin(i)));
        // Several turns, so that orders follow on each other and depend on each other.
        for (let turn = 0; turn < 5; turn++) {
          await device.run([
            { kernel: add, buffers: [x, y], sizes: [90_000] },
            { kernel: multiply, buffers: [x, y, z], sizes: [] },
            { kernel: add, buffers: [z, x], sizes: [turn] },
          ]);
        }
        results.push(floats(await device.read(z, 90_000)));
      }
      expect(results[1]).toEqual(results[0]);
      expect(results[0]?.some((x) => x !== 0)).toBe(true);
    });

    it("learns kernels that come later, and grows memory under the workers", async () => {
      const device = await open(2);
      const sums: number[] = [];
      for (const summand of [1, 2, 3]) {
        const [add] = await device.prepare([{ kernel: adding(`add${summand}`, summand) }]);
        const n = 1_000_000 * summand;
        const buffer = device.allocate(n);
        device.write(buffer, new Float32Array(n));
        const kernel = add as PreparedKernel;
        await device.run([{ kernel, buffers: [buffer, buffer], sizes: [n] }]);
        sums.push(floats(await device.read(buffer, n)).reduce((a, b) => a + b, 0));
      }
      expect(sums).toEqual([1e6, 4e6, 9e6]);
    });

    it("lets the process end", () => {
      // Nothing of the device is destroyed here: workers must not keep a process alive.
      const script = fileURLToPath(new URL("./openAndLeave.ts", import.meta.url));
      const program = buildSync({
        entryPoints: [script], bundle: true, write: false, platform: "node", format: "esm",
      }).outputFiles[0]?.text ?? "";
      const run = spawnSync(process.execPath, ["--input-type=module"], {
        input: program, encoding: "utf8", timeout: 20_000,
      });
      expect(run.stderr).toBe("");
      expect(run.stdout).toBe("wasm, 3 threads: 2\n");
      expect(run.status).toBe(0);
    });

    it("refuses a number of threads that is none", async () => {
      await expect(open(0)).rejects.toThrow("threads: 0 is no number of threads. Give a whole");
      await expect(open(1.5)).rejects.toThrow("threads: 1.5 is no number of threads");
    });
  });

  describe("with the module of an artifact", () => {
    const kernel = adding("add", 2);

    it("runs it as it is", async () => {
      const device = await open();
      // Another constant than the kernel says proves whose code ran.
      const wasm = emitWasmModule([adding("add", 40)]);
      const [add] = await device.prepare([{ kernel }], wasm) as [PreparedKernel];
      const buffer = device.allocate(1);
      await device.run([{ kernel: add, buffers: [buffer, buffer], sizes: [1] }]);
      expect(floats(await device.read(buffer, 1))).toEqual([40]);
    });

    it("refuses one that lacks a kernel, is cut off, or asks for more than memory", async () => {
      const device = await open();
      const prepare = (wasm: Uint8Array): Promise<unknown> => device.prepare([{ kernel }], wasm);
      await expect(prepare(emitWasmModule([adding("other", 1)]))).rejects.toThrow(
        "kernels.wasm: the module lacks add, add.plan. Compile the model again");
      const whole = emitWasmModule([kernel]);
      await expect(prepare(whole.subarray(0, whole.length - 60))).rejects.toThrow(
        "kernels.wasm: no valid WebAssembly module");
      const greedy = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0,
        2, 7, 1, 1, 97, 1, 98, 0, 0);
      await expect(prepare(greedy)).rejects.toThrow("kernels.wasm: the module");
    });
  });
});
