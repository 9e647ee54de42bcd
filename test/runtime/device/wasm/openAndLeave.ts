/**
 * A program that opens a device with threads, runs something and ends without closing it. The test
 * of the device starts it as a process of its own and expects it to come to an end.
 */
import { ExprPool } from "../../../../compiler/kernels/pool.ts";
import type { PreparedKernel } from "../../../../runtime/device/device.ts";
import { openWasmDevice } from "../../../../runtime/device/wasm/wasmDevice.ts";

const size = 1 << 20;
const pool = new ExprPool();
const i = pool.axis(0, size);
const device = await openWasmDevice({ threads: 3 });
const [fill] = await device.prepare([{
  kernel: {
    name: "fill", origin: [], symbols: [],
    arguments: [{ name: "y", storage: "f32", access: "write", size }],
    body: {
      kind: "map", axes: [{ name: "i", extent: size }],
      store: { buffer: 0, index: i, value: pool.const(2, "f32") },
    },
  },
}]);
const buffer = device.allocate(size);
await device.run([{ kernel: fill as PreparedKernel, buffers: [buffer], sizes: [] }]);
const last = new Float32Array(await device.read(buffer, size)).at(-1);
console.log(`wasm, ${/\d+ threads/.exec(device.info.description)?.[0]}: ${last}`);
